"""What would break on a GPU, without one: results that stay there, and operands that do not meet.

A "meta" tensor has a device and no values: torch refuses to mix it with a CPU's. An `OnDevice` one
has values, and refuses to become an array before it is copied to the CPU.
"""

import numpy as np
import pytest
import torch

from fer_models import engines
from fer_models.analysis import PAGE_NETWORKS, Analyzer, explain_crops
from fer_models.checkpoints import load_network
from fer_models.engines import GPU_BATCH_FACES, Runner, build_runner, torch_runner
from fer_models.explain.attention import attend_channels, probabilities_without_heads
from fer_models.explain.cam import METHODS


class OnDevice(torch.Tensor):
    """A CPU's tensor that behaves like a GPU's; so does all that is computed from it."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        if function in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError("can't convert a device's tensor to numpy; use Tensor.cpu() first")
        result = super().__torch_function__(function, types, arguments, options or {})
        return result.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else result


def on_device(runner: Runner) -> Runner:
    def trunk(images):
        return runner.trunk(images).as_subclass(OnDevice)

    return Runner(trunk, runner.head, runner.engine, runner.device, runner.batch_faces)


@pytest.fixture(scope="module", params=PAGE_NETWORKS)
def checkpoint(request):
    return load_network(request.param)


def test_the_device_that_stands_for_a_gpu_refuses_what_a_gpu_refuses():
    with pytest.raises(TypeError, match="cpu"):
        (torch.zeros(2).as_subclass(OnDevice) + 1).numpy()
    assert (torch.zeros(2).as_subclass(OnDevice) + 1).cpu().numpy().tolist() == [1, 1]


def test_a_network_runs_on_another_device_in_half_precision(checkpoint, photograph_crop):
    runner = torch_runner(checkpoint, "meta", torch.half)
    images = checkpoint.card.preprocessing([photograph_crop] * 2)
    features = runner.trunk(images).requires_grad_(True)
    logits = runner.head(features)
    probabilities = checkpoint.card.calibration.probabilities(logits)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), features)
    assert gradient.shape == features.shape == (2, features.shape[1], 7, 7)
    for value in (features, gradient, probabilities):
        assert value.device.type == "meta" and value.dtype == torch.float32
    assert all(p.device.type == "cpu" for p in checkpoint.stored.parameters())
    assert all(p.device.type == "cpu" for p in checkpoint.head.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_explanations_come_back_from_the_device(checkpoint, photograph_crop, method):
    runner, card = torch_runner(checkpoint), checkpoint.card
    crops = [photograph_crop, np.roll(photograph_crop, 9, axis=1)]
    expected = explain_crops(runner, card, crops, None, None, method)
    found = explain_crops(on_device(runner), card, crops, None, None, method)
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == other.probabilities
        assert np.array_equal(one.gradcam.values, other.gradcam.values)
        if other.attention:
            for name, values in vars(other.attention).items():
                assert np.array_equal(getattr(one.attention, name), values), name


def test_probabilities_come_back_from_the_device(photograph_crop):
    analyzer = Analyzer(["mfn"], engine="torch")
    expected = analyzer.probabilities("mfn", [photograph_crop])
    analyzer._runners["mfn"] = on_device(analyzer.runner("mfn"))
    assert np.array_equal(analyzer.probabilities("mfn", [photograph_crop]), expected)


def test_what_the_heads_tab_asks_for_comes_back_from_the_device(photograph_crop):
    checkpoint = load_network("ddamfn")
    card, head = checkpoint.card, checkpoint.head
    features = torch_runner(checkpoint).trunk(card.preprocessing([photograph_crop]))
    there = features.as_subclass(OnDevice)
    one, other = attend_channels(head, there)[0], attend_channels(head, features)[0]
    assert np.array_equal(one.columns, other.columns) and np.array_equal(one.rows, other.rows)
    assert np.array_equal(
        probabilities_without_heads(head, there, card.calibration),
        probabilities_without_heads(head, features, card.calibration),
    )


def test_where_there_is_a_gpu_it_runs_the_trunk_in_half_precision_and_large_batches(monkeypatch):
    asked, ran = [], []

    def make(*arguments):
        asked.append(arguments)
        return Runner(ran.append, lambda features: None, "torch", "cuda", GPU_BATCH_FACES)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv(engines.ENGINE_VARIABLE, raising=False)
    monkeypatch.setattr(engines, "torch_runner", make)
    checkpoint = load_network("mfn")
    assert build_runner(checkpoint).device == "cuda"
    assert asked == [(checkpoint, torch.device("cuda"), torch.half, GPU_BATCH_FACES)]
    assert [tuple(faces.shape) for faces in ran] == [(1, 3, 112, 112)]


def test_a_gpu_that_runs_no_face_gives_way_to_the_processor(monkeypatch, caplog):
    def fail(checkpoint):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv(engines.ENGINE_VARIABLE, raising=False)
    monkeypatch.setattr(engines, "gpu_runner", fail)
    runner = build_runner(load_network("mfn"))
    assert (runner.engine, runner.device.type) == ("openvino", "cpu")
    assert "no kernel image" in caplog.text
    assert build_runner(load_network("mfn"), "torch").engine == "torch"
