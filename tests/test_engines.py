"""Compiled trunks give torch's answers; the cache of compiled models survives what it meets."""

import importlib.util
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from fer_models import engines
from fer_models.calibration import Calibration
from fer_models.checkpoints import Card, Checkpoint, load_network, save_checkpoint
from fer_models.engines import (
    available_cores,
    build_runner,
    choose_engine,
    openvino_runner,
    torch_runner,
)
from fer_models.explain.cam import Target, attribute
from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing
from tests.conftest import SHIPPED, require_packages

require_packages("openvino")
openvino = importlib.import_module("openvino")
RANDOM = "resnet50 with random weights"


@pytest.fixture(scope="module", params=[*SHIPPED, RANDOM])
def checkpoint(request, tmp_path_factory) -> Checkpoint:
    if request.param != RANDOM:
        return load_network(request.param)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("random")
    save_checkpoint(
        NETWORKS["resnet50"](num_classes=8).eval(),
        folder,
        name="random",
        network="resnet50",
        arguments={},
        labels=tuple("abcdefgh"),
        preprocessing=Preprocessing(),
        calibration=Calibration.none(8),
    )
    return load_network(folder / "random.safetensors")


def test_a_compiled_trunk_gives_torchs_answers(checkpoint, photograph_crop, tmp_path):
    card, head = checkpoint.card, checkpoint.head
    crops = [np.roll(photograph_crop, shift, axis=1) for shift in (0, 5, -9, 20, 40)]
    images = card.preprocessing(crops)
    expected = torch_runner(checkpoint).trunk(images)
    compiled = openvino_runner(checkpoint, tmp_path if checkpoint.card.name == "random" else None)
    for count in (1, 3, 5):
        features = compiled.trunk(images[:count])
        assert features.shape == expected[:count].shape and features.dtype == torch.float32
        assert (features - expected[:count]).abs().max() < 1e-3 * expected.abs().max()
        with torch.no_grad():
            found = card.calibration.probabilities(head(features))
            wanted = card.calibration.probabilities(head(expected[:count]))
        assert (found - wanted).abs().max() < 1e-4
        targets = [Target(int(answer)) for answer in wanted.argmax(dim=1)]
        for ours, theirs in zip(
            attribute(head, features, targets),
            attribute(head, expected[:count], targets),
            strict=True,
        ):
            assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999


class Toy(nn.Module):
    """A network small enough to compile in no time."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.PReLU(4))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8))


def toy(seed: int = 0, sha256: str = "0", arguments: dict | None = None) -> Checkpoint:
    card = Card(
        name="toy",
        network="toy",
        arguments=arguments or {},
        labels=tuple("abcdefgh"),
        preprocessing=Preprocessing(size=16),
        calibration=Calibration.none(8),
        parameters=0,
        multiply_adds=0,
        sha256=sha256,
    )
    return Checkpoint(Toy(seed).eval().requires_grad_(False), card)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def no_conversion(monkeypatch):
    """Returns a function from whose call on nothing can be converted any more."""

    def refuse(*arguments, **settings):
        raise RuntimeError("no conversion here")

    return lambda: monkeypatch.setattr(openvino, "convert_model", refuse)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_compiled_model_is_read_from_the_cache(tmp_path, images, no_conversion):
    expected = torch_runner(toy()).trunk(images)
    openvino_runner(toy(), tmp_path)
    no_conversion()
    checkpoint = toy()
    cached = openvino_runner(checkpoint, tmp_path)
    assert same(cached.trunk(images), expected) and same(cached.trunk(images[:1]), expected[:1])
    assert "network" not in vars(checkpoint)  # no copy of the weights in float32 was made
    assert all(file.suffix == ".blob" for file in tmp_path.iterdir())  # nothing half-written


@pytest.mark.parametrize("other", [{"sha256": "1"}, {"arguments": {"stem_stride": 2}}])
def test_other_weights_or_arguments_are_another_model(tmp_path, images, other):
    openvino_runner(toy(), tmp_path)
    found = openvino_runner(toy(seed=5, **other), tmp_path).trunk(images)
    assert same(found, torch_runner(toy(seed=5)).trunk(images))
    assert not same(found, torch_runner(toy()).trunk(images))


def test_another_engine_version_is_another_model(tmp_path, monkeypatch, no_conversion):
    openvino_runner(toy(), tmp_path)
    no_conversion()
    monkeypatch.setattr(openvino, "__version__", "0")
    with pytest.raises(RuntimeError, match="no conversion here"):
        openvino_runner(toy(), tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a model", None])
def test_a_damaged_cache_file_is_made_anew(tmp_path, images, caplog, damage):
    openvino_runner(toy(), tmp_path)
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        file.unlink()  # the compiled model above has the old file mapped
        file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        found = openvino_runner(toy(), tmp_path).trunk(images)
    assert "made anew" in caplog.text
    assert same(found, torch_runner(toy()).trunk(images))


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path, images):
    file = tmp_path / "file"
    file.touch()
    found = openvino_runner(toy(), file / "folder").trunk(images)
    assert same(found, torch_runner(toy()).trunk(images))


def test_the_cache_lies_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build_runner(toy(), "openvino").engine == "openvino"
    assert len(list((tmp_path / "fer-models").glob("toy-*.blob"))) == 1


def test_what_cannot_be_compiled_runs_in_torch_and_says_so(
    monkeypatch, tmp_path, images, caplog, no_conversion
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    no_conversion()
    with caplog.at_level(logging.WARNING):
        runner = build_runner(toy(), "openvino")
    assert runner.engine == "torch" and "toy: openvino failed" in caplog.text
    assert torch.equal(runner.trunk(images), torch_runner(toy()).trunk(images))


def test_two_threads_get_what_one_after_the_other_gets(tmp_path, images):
    trunk = openvino_runner(toy(), tmp_path).trunk
    batches = [images[:count] for count in (1, 4, 1, 6, 2)] * 20
    alone = [trunk(batch + n) for n, batch in enumerate(batches)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda n: trunk(batches[n] + n), range(len(batches))))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_half_precision_leaves_the_checkpoints_own_weights_alone(images):
    checkpoint = toy()
    runner = torch_runner(checkpoint, "cpu", torch.half)
    features = runner.trunk(images)
    expected = torch_runner(checkpoint).trunk(images)
    assert features.dtype == torch.float32
    assert not torch.equal(features, expected)
    assert torch.allclose(features, expected, atol=0.01)
    assert checkpoint.stored.trunk[0].weight.dtype == torch.float32


def test_the_engine_is_chosen_by_argument_then_environment_then_what_is_installed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv(engines.ENGINE_VARIABLE, raising=False)
    assert choose_engine() == choose_engine("auto") == "openvino"
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    assert choose_engine() == "torch"
    assert choose_engine("openvino") == "openvino"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_engine("auto") == "torch"


def test_without_openvino_torch_runs_and_asking_for_it_names_the_fix(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_engine("auto") == "torch"
    with pytest.raises(ValueError, match="pip install openvino"):
        choose_engine("openvino")


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="auto, torch, openvino"):
        choose_engine("abacus")


def test_cores_are_those_of_the_affinity_and_the_control_group(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert available_cores(tmp_path / "nothing") == 6
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_cores(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert available_cores(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("20000 100000\n")
    assert available_cores(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert available_cores(tmp_path) == 6
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    assert available_cores(tmp_path) == 3
