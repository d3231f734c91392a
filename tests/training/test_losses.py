"""The losses against cases solved by hand."""

import math

import pytest
import torch
import toy

from fer_models.networks import NETWORKS
from training.distributed import Workers
from training.evaluate import map_side, stretch
from training.losses import Objective, attention_loss, classification_loss, distillation_loss


def maps_at(*levels: float) -> torch.Tensor:
    """Heads whose maps are constant, so that MSE(a_i, a_k) is the levels' difference squared."""
    return torch.stack([torch.full((2, 5, 7, 7), level) for level in levels], dim=1)


def test_two_heads_give_the_inverse_of_their_mean_squared_difference():
    assert attention_loss(maps_at(0.1, 0.6)).item() == pytest.approx(1 / 0.25)


def test_three_heads_average_over_the_three_unordered_pairs():
    # Differences 0.1, 0.3, 0.2: squares 0.01, 0.09, 0.04, whose mean is 0.14 / 3.
    assert attention_loss(maps_at(0.1, 0.2, 0.4)).item() == pytest.approx(3 / 0.14, rel=1e-5)


def test_the_papers_form_sums_over_both_orders_of_every_pair():
    assert attention_loss(maps_at(0.1, 0.6), "paper").item() == pytest.approx(1 / 0.5)
    three = attention_loss(maps_at(0.1, 0.2, 0.4), "paper").item()
    assert three == pytest.approx(1 / (2 * 0.14), rel=1e-5)


def test_one_head_has_no_attention_loss():
    assert attention_loss(maps_at(0.4)).item() == 0


def test_equal_heads_give_a_finite_loss_whose_gradient_is_finite():
    maps = maps_at(0.3, 0.3).requires_grad_()
    loss = attention_loss(maps)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(maps.grad).all()


def test_the_loss_drives_the_heads_apart():
    maps = maps_at(0.4, 0.5).requires_grad_()
    attention_loss(maps).backward()
    assert (maps.grad[:, 0] > 0).all() and (maps.grad[:, 1] < 0).all()


def test_soft_targets_weigh_each_class_by_its_share():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    expected = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert classification_loss(logits, targets).item() == pytest.approx(expected)


def test_label_smoothing_gives_every_class_its_share():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    hard = torch.tensor([[1.0, 0.0, 0.0]])
    uniform = (math.log(2) + 2 * math.log(4)) / 3
    expected = 0.9 * math.log(2) + 0.1 * uniform
    assert classification_loss(logits, hard, 0.1).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "name, side",
    [("ddamfn", 7), ("mfn", 7), ("mobilefacenet", 7), ("resnet18_44", None), ("spresnet18", None)],
)
def test_only_heads_of_convolutions_have_their_features_stretched(name, side):
    network = NETWORKS[name](num_classes=7)
    assert map_side(network) == side
    features = torch.ones(1, 512, 6, 6)
    assert stretch(features, side).shape[2:] == ((7, 7) if side else (6, 6))


def test_the_objective_is_the_weighted_sum_of_its_parts():
    recipe = toy.make_recipe(teacher_weight=0.25, attention_loss_weight=0.5)
    network = toy.ToyNetwork(4).eval()
    images = recipe.preprocessing.enlarge(torch.from_numpy(toy.make_faces(6).crops))
    targets = torch.from_numpy(toy.make_faces(6).targets)
    taught = torch.full((6, 4), 0.25)
    loss, logits = Objective(network, recipe, Workers())(images, targets, taught)
    features = stretch(network.trunk(images), 7) if map_side(network) else network.trunk(images)
    expected = (
        0.75 * classification_loss(logits, targets)
        + 0.25 * distillation_loss(logits, taught, recipe.teacher_temperature)
        + 0.5 * attention_loss(network.head.attention(features))
    )
    assert torch.allclose(logits, network(images))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
