"""The benchmark once, with tiny counts: that both ways give the same answers, never how fast."""

import pytest
import torch

from fer_models import bench_engines
from fer_models.analysis import PAGE_NETWORKS
from fer_models.bench import benchmark, describe, in_turns
from fer_models.bench_engines import compare_engines, describe_engines
from fer_models.checkpoints import load_card


@pytest.fixture(scope="module")
def result():
    return benchmark(
        1, photo_side_px=512, live_frames=2, batches=(1, 3), pictures=(1, 2), start_repeats=1
    )


def test_both_ways_give_the_same_answers(result):
    assert result["equality"]["largest_probability_difference"] < 1e-4
    assert result["equality"]["smallest_heatmap_correlation"] > 0.999


def test_the_floor_is_counted_from_the_trunks(result):
    floor = result["floor"]
    # DDAMFN and MFN share a trunk of about half a billion; ResNet-50's stride-1 stem has 4.1.
    assert floor["trunks_giga_multiply_adds"] == pytest.approx(0.54 + 0.54 + 4.1, abs=0.1)
    expected = floor["trunks_giga_multiply_adds"] / floor["peak_giga_multiply_adds_per_s"]
    assert floor["ms"] == pytest.approx(1000 * expected)


def test_every_frame_is_answered_by_every_network(result):
    two, three = result["live"]
    assert two["networks"] == list(PAGE_NETWORKS[:2]) and two["answers"] == 2 * two["frames"]
    assert three["networks"] == list(PAGE_NETWORKS) and three["answers"] == 3 * three["frames"]


def test_what_was_measured_can_be_read(result):
    assert result["weights_sha256"] == [load_card(name).sha256 for name in PAGE_NETWORKS]
    text = describe(result)
    assert "frames a second" in text and "times faster than plain" in text


def test_pictures_are_explained_in_a_process_of_their_own(result):
    one, two = result["pictures"]
    assert (one["pictures"], two["pictures"]) == (1, 2)
    assert one["peak_memory_mib"] <= two["peak_memory_mib"]


def test_a_gpu_is_not_compared_with_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES="):
        benchmark(1)


def test_every_engine_gives_torchs_features(monkeypatch):
    monkeypatch.delitem(bench_engines.NEEDS, "torch.compile")  # minutes of compiling
    monkeypatch.setitem(bench_engines.NEEDS, "onnxruntime", ("no_such_package",))
    monkeypatch.setattr(bench_engines, "PAGE_NETWORKS", ("mfn",))
    result = compare_engines(1)
    trunk = result["trunks"]["mfn"]
    assert set(trunk["ms"]) == {"torch", "openvino"}
    assert trunk["largest_difference"]["openvino"] < 1e-3
    assert "pip install no_such_package" in describe_engines(result)


def test_ways_take_turns_in_both_orders():
    order = []
    in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first round warms up
