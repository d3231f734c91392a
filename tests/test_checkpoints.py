"""Cards recounted, and every way a checkpoint can be wrong, refused by name."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from fer_models import checkpoints
from fer_models.__main__ import main
from fer_models.checkpoints import (
    CheckpointError,
    count_multiply_adds,
    count_parameters,
    load_card,
    load_network,
    sha256_of,
    shipped_checkpoints,
)
from fer_models.expressions import EXPRESSIONS
from tests.conftest import EXAMPLE


def test_a_saved_network_answers_as_before_to_half_precision(saved_mfn):
    file, network = saved_mfn
    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    loaded = load_network(file).network
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network.eval()(images), atol=1e-2, rtol=1e-2)
    assert not any(p.requires_grad for p in loaded.parameters())


def copy_of(saved_mfn, folder):
    file = folder / "toy.safetensors"
    file.write_bytes(saved_mfn[0].read_bytes())
    file.with_suffix(".json").write_bytes(saved_mfn[0].with_suffix(".json").read_bytes())
    return file


def rewrite_card(file, **changes):
    card = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({**card, **changes}))


@pytest.mark.hostile
def test_changed_weights_are_refused_by_their_sha256(saved_mfn, tmp_path):
    file = copy_of(saved_mfn, tmp_path)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="sha256"):
        load_network(file)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("head.fc.bias"), "Missing.*head.fc.bias"),
        (lambda state: state.update(left_over=torch.zeros(2)), "Unexpected.*left_over"),
        (lambda state: state.update({"head.fc.bias": torch.zeros(2)}), "mismatch.*head.fc.bias"),
    ],
    ids=["missing", "left over", "of another shape"],
)
def test_a_tensor_that_does_not_fit_is_named(saved_mfn, tmp_path, change, named):
    file = copy_of(saved_mfn, tmp_path)
    state = load_file(file)
    change(state)
    save_file(state, file)
    rewrite_card(file, sha256=sha256_of(file))
    with pytest.raises(CheckpointError, match=f"(?s){named}"):
        load_network(file)


@pytest.mark.hostile
def test_a_file_that_is_no_safetensors_is_refused(saved_mfn, tmp_path):
    file = copy_of(saved_mfn, tmp_path)
    file.write_bytes(b"not tensors")
    rewrite_card(file, sha256=sha256_of(file))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_network(file)


def test_a_broken_or_missing_card_is_named(saved_mfn, tmp_path):
    file = copy_of(saved_mfn, tmp_path)
    file.with_suffix(".json").write_text("{")
    with pytest.raises(CheckpointError, match="not a valid card"):
        load_card(file)
    file.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match="card is missing"):
        load_card(file)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": 5}, "its sha256 is no text"),
        ({"sha256": None}, "its sha256 is no text"),
        ({"network": ["mfn"]}, "its network is no text"),
        ({"preprocessing": {"alignment": "eyes-96"}}, "this version has five-point-112 alone"),
        ({"preprocessing": {"alignment": None}}, "this version has five-point-112 alone"),
    ],
)
def test_a_card_with_a_field_of_the_wrong_kind_is_refused_in_one_line(
    saved_mfn, tmp_path, changes, reason, monkeypatch, capsys
):
    file = copy_of(saved_mfn, tmp_path)
    rewrite_card(file, **changes)
    for load in (load_card, load_network):
        with pytest.raises(CheckpointError, match=rf"toy\.json: not a valid card.*{reason}"):
            load(file)
    arguments = ["fer_models", "analyze", str(EXAMPLE), "--networks", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert reason in said.err and "restore it" in said.err


@pytest.mark.parametrize(
    "changes", [{"arguments": {"num_heads": 9}}, {"labels": ["neutral"]}, {"network": "vgg"}]
)
def test_a_card_that_does_not_fit_its_network_is_refused(saved_mfn, tmp_path, changes):
    file = copy_of(saved_mfn, tmp_path)
    rewrite_card(file, **changes)
    with pytest.raises(CheckpointError, match=r"toy\.json"):
        load_network(file)


def test_a_message_does_not_say_where_the_repository_lies():
    file = checkpoints.SHIPPED_FOLDER / "mfn.safetensors"
    assert str(CheckpointError(f"{file}: damaged")) == "assets/checkpoints/mfn.safetensors: damaged"


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_weights_that_are_missing_beside_their_card_are_named(saved_mfn, tmp_path, suffix):
    file = copy_of(saved_mfn, tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"toy\.safetensors: these weights are missing"):
        load_network(file.with_suffix(suffix))


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(CheckpointError, match="Shipped"):
        load_network("nobody")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "card.json"
    file.write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.write_atomically(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_papers_networks_are_shipped():
    assert {"ddamfn", "mfn", "resnet50"} <= set(shipped_checkpoints())


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_card_is_what_recounting_gives(name):
    card = load_card(name)
    network = load_network(name).network
    assert card.parameters == count_parameters(network)
    assert card.multiply_adds == count_multiply_adds(network, card.preprocessing.size)
    assert card.labels == EXPRESSIONS[: len(card.labels)]
    assert abs(sum(card.calibration.prior) - 1) < 1e-4
    assert checkpoints.find_checkpoint(name).stat().st_size < 50_000_000
    assert card.metrics["PrivateTest"]["corrected"]["n"] == 3152
    for metrics in card.metrics.values():
        for kind in ("corrected", "uncorrected"):
            confusion = torch.tensor(metrics[kind]["confusion"])
            assert int(confusion.sum()) == metrics[kind]["n"]
            accuracy = float(confusion.diagonal().sum() / confusion.sum())
            assert abs(accuracy - metrics[kind]["accuracy"]) < 1e-6
            assert 0 <= metrics[kind]["expected_calibration_error"] < 0.5


def test_shipped_weights_are_finite_and_half_precision():
    for name in shipped_checkpoints():
        state = load_file(checkpoints.find_checkpoint(name))
        for key, tensor in state.items():
            assert torch.isfinite(tensor.float()).all(), key
            assert tensor.ndim < 2 or tensor.dtype == torch.float16, key
