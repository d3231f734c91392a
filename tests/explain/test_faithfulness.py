import copy

import numpy as np
import pytest
import torch
from torch import nn

from fer_models.calibration import Calibration
from fer_models.checkpoints import Card, Checkpoint
from fer_models.explain.cam import Target, attribute
from fer_models.explain.faithfulness import (
    FaithfulnessCurves,
    Randomisation,
    finish,
    measure_faithfulness,
    measure_randomisation,
    measure_stability,
    perturb,
    rank_correlation,
    show_cells,
)
from fer_models.manipulation import COVER_BLUR_PX, blur_image
from fer_models.preprocessing import Preprocessing
from tests.conftest import SHIPPED

CELL = (2, 4)  # the only one that the toy network reads
FACE = np.zeros((112, 112, 3), np.uint8)
FACE[32:48, 64:80] = 255  # that cell is white, so blur takes light from its middle


class CellNetwork:
    """Its probability of class 1 is the light (0..1) in the middle of one cell."""

    def __init__(self):
        self.batches = []

    def __call__(self, crops):
        self.batches.append(len(crops))
        light = np.array([crop[38:42, 70:74].mean() / 255 for crop in crops])
        return np.stack([1 - light, light], axis=1)


def attribution_ranking_the_cell(first: bool) -> np.ndarray:
    attribution = np.linspace(0.1, 0.5, 49).reshape(7, 7)
    attribution[CELL] = 1.0 if first else -1.0
    return attribution


def curves_of(attribution, **options) -> FaithfulnessCurves:
    return finish(measure_faithfulness(CellNetwork(), FACE, attribution, 1, **options))


def test_the_areas_are_those_known_by_hand_when_the_one_cell_that_counts_goes_first():
    curves = curves_of(attribution_ranking_the_cell(first=True), steps=49)
    blank = curves.deletion[-1]  # the light that blur leaves in the cell
    assert 0.1 < blank < 0.6
    np.testing.assert_allclose(curves.shares, np.arange(50) / 49)
    np.testing.assert_allclose(curves.deletion, [1] + [blank] * 49)
    np.testing.assert_allclose(curves.insertion, [blank] + [1] * 49)
    one_step = (1 - blank) / 2 / 49  # the trapezoid in which the light goes or comes
    assert curves.deletion_area == pytest.approx(blank + one_step)
    assert curves.insertion_area == pytest.approx(1 - one_step)
    assert curves.beats_random and curves.beats_centre


def test_a_map_that_ranks_the_cell_last_is_worse_than_random_and_than_the_centre():
    curves = curves_of(attribution_ranking_the_cell(first=False), steps=49)
    blank = curves.deletion[-1]
    one_step = (1 - blank) / 2 / 49
    assert curves.deletion_area == pytest.approx(1 - one_step)
    assert curves.insertion_area == pytest.approx(blank + one_step)
    assert curves.deletion_area > curves.random_area > curves.insertion_area
    assert not curves.deletion_beats_random and not curves.insertion_beats_random
    assert not curves.beats_random and not curves.beats_centre


def test_random_orders_lose_the_cell_at_a_random_step():
    curves = curves_of(attribution_ranking_the_cell(True), steps=49, random_orders=40)
    blank = curves.deletion[-1]
    steps_shown = (curves.random_deletion > (1 + blank) / 2).sum(axis=1)  # 1 to 49, evenly
    assert steps_shown.mean() == pytest.approx(25, abs=4 * np.sqrt((49**2 - 1) / 12 / 40))
    assert curves.random_area == pytest.approx((1 + blank) / 2, abs=0.1)
    np.testing.assert_array_equal(curves.random_insertion[:, 0], curves.deletion[-1])
    np.testing.assert_array_equal(curves.random_insertion[:, -1], curves.deletion[0])


def test_the_middle_of_the_map_goes_first_in_the_order_that_knows_no_network():
    in_the_middle = np.roll(FACE, (16, -16), axis=(0, 1))  # the white cell is now (3, 3)

    def predict(crops):
        light = np.array([crop[54:58, 54:58].mean() / 255 for crop in crops])
        return np.stack([1 - light, light], axis=1)

    ramp = np.arange(49.0).reshape(7, 7)
    curves = finish(measure_faithfulness(predict, in_the_middle, ramp, 1, steps=49))
    assert curves.centre_deletion[0] > curves.centre_deletion[1] == curves.centre_deletion[-1]
    assert curves.centre_insertion[0] < curves.centre_insertion[1] == curves.centre_insertion[-1]


def test_the_seed_decides_the_random_orders_and_nothing_else():
    attribution = attribution_ranking_the_cell(True)
    one, same, other = (curves_of(attribution, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.random_deletion, same.random_deletion)
    assert not np.array_equal(one.random_deletion, other.random_deletion)
    np.testing.assert_array_equal(one.deletion, other.deletion)


def test_every_picture_is_predicted_once_in_full_batches():
    network = CellNetwork()
    steps = list(
        measure_faithfulness(
            network,
            FACE,
            attribution_ranking_the_cell(True),
            1,
            steps=7,
            random_orders=3,
            batch_size=10,
        )
    )
    # Both ends, and six steps between for two curves of two orders and for three random orders.
    assert sum(network.batches) == 2 + 6 * (2 * 2 + 3) == steps[-1].total
    assert network.batches == [10, 10, 10, 10, 4]
    assert [step.done for step in steps] == [10, 20, 30, 40, 44]
    assert [step.result is None for step in steps] == [True] * 4 + [False]


def test_a_caller_who_stops_cancels_the_rest():
    network = CellNetwork()
    steps = measure_faithfulness(network, FACE, attribution_ranking_the_cell(True), 1)
    next(steps)
    steps.close()
    assert len(network.batches) == 1


def test_cells_are_squares_of_the_crop():
    shown = np.zeros((7, 7), bool)
    shown[CELL] = True
    white, black = np.full_like(FACE, 255), np.zeros_like(FACE)
    assert np.array_equal(show_cells(white, black, shown), FACE)


@pytest.mark.parametrize("steps", [4, 50])
def test_steps_that_part_the_cells_unevenly_are_refused(steps):
    with pytest.raises(ValueError, match="49 cells"):
        curves_of(np.zeros((7, 7)), steps=steps)


def test_a_single_random_order_is_refused():
    with pytest.raises(ValueError, match="spread"):
        curves_of(np.zeros((7, 7)), random_orders=1)


def test_rank_correlation_is_spearmans():
    ramp = np.arange(9.0).reshape(3, 3)
    assert rank_correlation(ramp, np.exp(ramp)) == pytest.approx(1)
    assert rank_correlation(ramp, -ramp) == pytest.approx(-1)
    # By hand: 1 - 6 sum(d^2) / (n (n^2 - 1)) with d = (1, 1, 0).
    assert rank_correlation(np.array([1, 2, 3]), np.array([2, 1, 3])) == pytest.approx(0.5)
    assert rank_correlation(ramp, np.zeros((3, 3))) == 0


class ToyNetwork(nn.Module):
    """Three stages, one of them without weights, from 112x112 to 7x7, and a linear head."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.BatchNorm2d(8)),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    card = Card(
        name="toy",
        network="toy",
        arguments={},
        labels=("neutral", "happiness", "sadness", "surprise"),
        preprocessing=Preprocessing(),
        calibration=Calibration.none(4),
        parameters=0,
        multiply_adds=0,
        sha256="",
    )
    return Checkpoint(ToyNetwork().eval(), card)


NOISE = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def test_randomisation_goes_from_the_head_down_and_starts_from_the_networks_own_map(checkpoint):
    result = finish(measure_randomisation(checkpoint, NOISE, Target(1), draws=2))
    assert result.levels == ("head", "2", "0")
    assert result.maps.shape == (2, 3, 7, 7) and np.isfinite(result.maps).all()
    with torch.no_grad():
        features = checkpoint.network.trunk(checkpoint.card.preprocessing([NOISE]))
    own = attribute(checkpoint.network.head, features, [Target(1)])[0]
    np.testing.assert_allclose(result.original, own, rtol=1e-4, atol=1e-7)
    one = rank_correlation(result.original, result.maps[1, 2])
    assert result.correlations.shape == (2, 3) and result.correlations[1, 2] == one
    np.testing.assert_allclose(result.likeness, np.abs(result.correlations).mean(axis=0))


def test_weights_that_are_all_alike_give_the_same_map_however_shuffled(checkpoint):
    """The ranks are those of the cells' light, whose scale alone the statistics change."""
    network = nn.Module()
    network.trunk = nn.Sequential(nn.Conv2d(3, 4, 16, stride=16), nn.ReLU())
    network.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    for weights in network.parameters():
        nn.init.constant_(weights, 0.01)
    ramp = np.repeat(np.arange(112 * 112).reshape(112, 112, 1) // 50, 3, axis=2).astype(np.uint8)
    unchanging = Checkpoint(network.eval(), checkpoint.card)
    result = finish(measure_randomisation(unchanging, ramp, Target(1), draws=2))
    np.testing.assert_allclose(result.correlations, 1)
    assert not result.depends_on_weights


def test_likeness_is_absolute_and_judged_where_every_weight_is_random():
    ramp = np.arange(49.0).reshape(7, 7)
    bowl = np.abs(ramp - 24)  # as high on either side of the ramp's middle: no correlation
    result = Randomisation(("head", "0"), ramp, np.array([[ramp, bowl], [-ramp, bowl]]))
    np.testing.assert_allclose(result.correlations, [[1, 0], [-1, 0]], atol=1e-12)
    np.testing.assert_allclose(result.likeness, [1, 0], atol=1e-12)
    assert result.depends_on_weights


def test_statistics_of_randomised_stages_are_measured_anew(checkpoint):
    def maps():
        return finish(measure_randomisation(checkpoint, NOISE, Target(1), draws=1)).maps[0]

    before = maps()
    for module in checkpoint.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 0.3
            module.running_var *= 1e4
    after = maps()
    np.testing.assert_allclose(after[-1], before[-1], rtol=1e-5)  # every stage is randomised
    assert not np.allclose(after[0], before[0])  # under a random head, the trunk's own count


def test_the_shared_network_stays_bit_for_bit_and_no_hook_is_left(checkpoint):
    before = copy.deepcopy(checkpoint.network.state_dict())
    finish(measure_randomisation(checkpoint, NOISE, Target(1), draws=1))
    after = checkpoint.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for module in checkpoint.network.modules():
        assert not module.training
        assert not module._forward_hooks and not module._backward_hooks


def test_randomisation_is_decided_by_its_seed(checkpoint):
    one, same, other = (
        finish(measure_randomisation(checkpoint, NOISE, Target(1), draws=1, seed=seed)).maps
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_randomisation_reports_each_level_and_can_be_stopped_between_them(checkpoint):
    steps = list(measure_randomisation(checkpoint, NOISE, Target(1), draws=2))
    assert [(step.done, step.total) for step in steps] == [(i, 6) for i in range(1, 7)]
    assert [step.result is not None for step in steps] == [False] * 5 + [True]


RAMP = np.repeat(np.arange(112, dtype=np.uint8)[None, :, None], 112, axis=0).repeat(3, axis=2)


def explain_light(crops):
    """Probabilities from the light (0..255) about x = 56, and maps of the cells' mean light."""
    light = np.array([crop[:, 56, 0].mean() / 255 for crop in crops])
    maps = [crop[..., 0].reshape(7, 16, 7, 16).mean(axis=(1, 3)) for crop in crops]
    return np.stack([1 - light, light], axis=1), np.stack(maps)


def test_stability_on_a_ramp_from_left_to_right_is_known_by_hand():
    stability = finish(measure_stability(explain_light, RAMP, 1))
    found = {(p.kind, p.amount): p for p in stability.perturbed}
    assert stability.probability == pytest.approx(56 / 255) and stability.answer == 0
    for px in (1, 2, 4):
        assert found["shift_x", px].probability_change == pytest.approx(-px / 255)
        assert found["shift_x", -px].probability_change == pytest.approx(px / 255)
        assert found["shift_y", px].probability_change == 0
        assert found["shift_y", px].correlation == pytest.approx(1)
    assert found["brightness", 1.5].probability == pytest.approx(84 / 255)
    assert stability.largest_change is found["brightness", 1.5]
    assert stability.answers_kept == 1
    assert [p.amount for p in stability.perturbed if p.kind == "jpeg"] == [90, 70, 50, 30]


def test_changed_answers_and_maps_are_counted():
    def explain(crops):
        """Answers 1 and turns its map around for crops that are darker than the ramp."""
        dark = np.array([crop.mean() < 0.9 * RAMP.mean() for crop in crops])
        sign = np.where(dark, -1, 1)[:, None, None]
        return np.stack([~dark, dark], axis=1), sign * np.arange(49.0).reshape(1, 7, 7)

    stability = finish(measure_stability(explain, RAMP, 0))
    darker = [p for p in stability.perturbed if p.kind == "brightness" and p.amount < 0.9]
    assert [p.answer for p in darker] == [1, 1] and [p.probability for p in darker] == [0, 0]
    assert [p.correlation for p in darker] == pytest.approx([-1, -1])
    assert stability.lowest_correlation in darker
    count = len(stability.perturbed)
    assert stability.answers_kept == pytest.approx((count - 2) / count)
    assert stability.mean_correlation == pytest.approx((count - 4) / count)


def test_stability_can_be_stopped_between_batches():
    sizes = []

    def explain(crops):
        sizes.append(len(crops))
        return explain_light(crops)

    steps = list(measure_stability(explain, RAMP, 1, batch_size=10))
    assert sum(sizes) == 1 + len(perturb(RAMP)) == steps[-1].total and max(sizes) == 10
    sizes.clear()
    steps = measure_stability(explain, RAMP, 1)
    next(steps)
    steps.close()
    assert len(sizes) == 1


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_measured_by_their_own_probabilities(name, analyzer, photograph_crop):
    answer = analyzer.analyze_crops([photograph_crop], networks=[name])[name][0]
    labels = analyzer.checkpoint(name).card.labels
    target = labels.index(answer.expression)
    curves = finish(
        measure_faithfulness(
            lambda crops: analyzer.probabilities(name, crops),
            photograph_crop,
            answer.gradcam.values,
            target,
            steps=1,
            random_orders=2,
        )
    )
    assert curves.deletion[0] == curves.insertion[1] == pytest.approx(answer.probability, abs=1e-4)
    blurred = blur_image(photograph_crop, COVER_BLUR_PX)
    blank = analyzer.probabilities(name, [blurred])[0, target]
    assert curves.deletion[1] == curves.insertion[0] == pytest.approx(blank, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_keep_a_living_signal_when_randomised(name, analyzer, photograph_crop):
    """Under stale statistics, the deepest levels would all give one map, whatever the face."""
    checkpoint = analyzer.checkpoint(name)
    upright, mirrored = (
        finish(measure_randomisation(checkpoint, crop, Target(1), draws=1)).maps[0]
        for crop in (photograph_crop, photograph_crop[:, ::-1].copy())
    )
    assert abs(rank_correlation(upright[-1], mirrored[-1])) < 0.98
    deepest = [rank_correlation(upright[-1], one) for one in upright[-4:-1]]
    assert max(deepest) < 0.98
