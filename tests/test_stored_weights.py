"""Weights stay in their file until they are run, are there once for everybody, and are numbers."""

import gc
import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fer_models.analysis import Analyzer
from fer_models.checkpoints import (
    CheckpointError,
    find_checkpoint,
    load_card,
    load_network,
    sha256_of,
)
from fer_models.choice import LOADED_PARAMETERS, Choices
from fer_models.engines import Runner
from tests.conftest import SHIPPED

MAPS = Path("/proc/self/maps")


@pytest.mark.skipif(not MAPS.is_file(), reason="this system does not list what is mapped")
def test_weights_are_mapped_from_their_file():
    file = find_checkpoint("mfn")
    checkpoint = load_network(file)
    mapped = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in MAPS.read_text().splitlines()
        if line.endswith(str(file))
    ]
    for name, tensor in checkpoint.stored.state_dict().items():
        assert any(begin <= tensor.data_ptr() < end for begin, end in mapped), name


def test_what_is_run_is_a_copy_in_float32_and_the_head_alone_is_the_networks_own():
    checkpoint = load_network("ddamfn")
    stored, network = checkpoint.stored.state_dict(), checkpoint.network.state_dict()
    for name, tensor in network.items():
        assert tensor.dtype in (torch.float32, torch.int64), name
        assert torch.equal(tensor, stored[name].to(tensor.dtype)), name
        assert tensor.data_ptr() != stored[name].data_ptr(), name
    for name, tensor in checkpoint.head.state_dict().items():
        assert torch.equal(tensor, network[f"head.{name}"]), name
    assert not any(p.requires_grad for p in checkpoint.network.parameters())


@pytest.mark.parametrize("kind", [torch.int32, torch.complex64])
def test_weights_that_are_no_real_numbers_are_refused_by_name(tmp_path, kind):
    original, file = find_checkpoint("mfn"), tmp_path / "odd.safetensors"
    state = load_file(original)
    state["head.fc.bias"] = state["head.fc.bias"].to(kind)
    save_file(state, file)
    card = json.loads(original.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({**card, "sha256": sha256_of(file)}))
    with pytest.raises(CheckpointError, match=r"head\.fc\.bias"):
        load_network(file)


def live_runners() -> int:
    """How many networks are ready to run in this process."""
    gc.collect()
    return sum(type(thing) is Runner for thing in gc.get_objects())


def copy_shipped(name: str, file: Path) -> str:
    for suffix in (".safetensors", ".json"):
        shutil.copy(find_checkpoint(name).with_suffix(suffix), file.with_suffix(suffix))
    return str(file)


def test_uploads_and_shipped_weights_are_less_than_two_sets():
    parameters = {name: load_card(name).parameters for name in SHIPPED}
    assert parameters["resnet50"] + parameters["ddamfn"] <= LOADED_PARAMETERS
    assert sum(parameters.values()) > LOADED_PARAMETERS


def test_all_visitors_share_the_networks_and_uploads_hold_no_more(analyzer, tmp_path):
    shared = {name: analyzer.runner(name) for name in SHIPPED}
    choices, before = Choices(analyzer), live_runners()
    for number in range(12):  # every visitor has an own MFN
        file = copy_shipped("mfn", tmp_path / f"{number}.safetensors")
        visitor, again = (choices.analyzer({"mfn": file}) for _ in range(2))
        assert visitor.runner("mfn") is again.runner("mfn") is not shared["mfn"]
        for name in set(SHIPPED) - {"mfn"}:
            assert visitor.runner(name) is shared[name]
        held = (live_runners() - before) * load_card("mfn").parameters
        assert held <= LOADED_PARAMETERS
    swapped = choices.analyzer({"mfn": "resnet50"})  # an installed one
    assert swapped.runner("mfn") is shared["resnet50"]


def test_the_smallest_upload_that_is_enough_makes_room(tmp_path):
    choices = Choices(Analyzer(()))
    files = {name: copy_shipped(name, tmp_path / f"{name}.safetensors") for name in SHIPPED}
    files["another"] = copy_shipped("resnet50", tmp_path / "another.safetensors")

    def held(name: str) -> set[str]:
        """Who is in memory after this one was asked for."""
        runners[name] = weakref.ref(choices.upload(files[name])[1])
        gc.collect()
        return {name for name, runner in runners.items() if runner() is not None}

    runners = {}
    assert held("resnet50") == {"resnet50"}
    assert held("ddamfn") == {"resnet50", "ddamfn"}
    assert held("mfn") == {"resnet50", "mfn"}
    assert held("ddamfn") == {"resnet50", "ddamfn"}  # a visitor's own three: the small take turns
    assert held("another") == {"another", "ddamfn"}
