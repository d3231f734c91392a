"""The benchmark once, with tiny counts: that both ways give the same answers, never how fast."""

import pytest

from fer_models.analysis import PAGE_NETWORKS
from fer_models.bench import benchmark, describe, in_turns
from tests.conftest import SHIPPED


@pytest.fixture(scope="module")
def result():
    return benchmark(
        1, photo_side_px=512, live_frames=2, batches=(1, 3), batch_repeats=1, start_repeats=1
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


def test_random_weights_are_labelled_as_such(result):
    assert set(result["random_weights"]) == set(PAGE_NETWORKS) - set(SHIPPED)
    text = describe(result)
    assert ("random weights" in text) == (set(SHIPPED) != set(PAGE_NETWORKS))
    assert "frames a second" in text and "times faster than plain" in text


def test_ways_take_turns_in_both_orders():
    order = []
    in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first round warms up
