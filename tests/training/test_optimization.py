"""Schedules against values worked out by hand, SAM against its definition."""

import pytest
import torch
import toy
from torch import nn

from training.optimization import build_optimizer, learning_rate, worst_nearby_weights

STEPS_PER_EPOCH = 10


def rate_at_epoch(epoch: int, **recipe) -> float:
    step = epoch * STEPS_PER_EPOCH
    return learning_rate(toy.make_recipe(**recipe), step, 3000, STEPS_PER_EPOCH)


def test_the_spresnet_schedule_takes_a_tenth_off_every_five_epochs_after_fifty():
    recipe = {"schedule": "step", "gamma": 0.9, "decay_every": 5.0, "decay_start": 50.0, "lr": 0.1}
    rates = [rate_at_epoch(epoch, **recipe) for epoch in (0, 50, 54, 55, 60, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.09, 0.081, 0.1 * 0.9**49])


def test_the_published_step_schedule_divides_by_ten_every_ten_epochs():
    recipe = {"schedule": "step", "gamma": 0.1, "decay_every": 10.0, "lr": 0.01}
    rates = [rate_at_epoch(epoch, **recipe) for epoch in (9, 10, 20)]
    assert rates == pytest.approx([0.01, 0.001, 0.0001])


def test_exponential_multiplies_every_epoch():
    rates = [rate_at_epoch(e, schedule="exponential", gamma=0.9, lr=1.0) for e in (0, 1, 3)]
    assert rates == pytest.approx([1, 0.9, 0.729])


def test_cosine_falls_from_the_full_rate_over_half_of_it_to_zero():
    recipe = toy.make_recipe(schedule="cosine", lr=0.2)
    rates = [learning_rate(recipe, step, 100, 10) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.2, 0.1, 0])


def test_one_cycle_rises_in_its_warm_up_and_then_falls():
    recipe = toy.make_recipe(schedule="one-cycle", warmup=0.2, lr=0.2)
    rates = [learning_rate(recipe, step, 100, 10) for step in range(100)]
    assert max(range(100), key=rates.__getitem__) == 20
    assert rates[20] == pytest.approx(0.2)
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)


@pytest.mark.parametrize(
    "name, kind",
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_optimizers_decay_filters_and_leave_vectors_alone(name, kind):
    recipe = toy.make_recipe(optimizer=name, weight_decay=0.3)
    optimizer = build_optimizer(recipe, toy.ToyNetwork(4))
    assert type(optimizer) is kind
    filters, vectors = optimizer.param_groups
    assert (filters["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    assert all(p.ndim > 1 for p in filters["params"])
    assert all(p.ndim == 1 for p in vectors["params"])


def test_sam_moves_the_weights_by_rho_along_the_gradient_and_back():
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 4.0]]))
    (network.weight**2).sum().backward()  # the gradient, (6, 8), points along the weights
    with worst_nearby_weights(network, rho=0.5):
        assert network.weight[0].tolist() == pytest.approx([3.3, 4.4])
    assert torch.equal(network.weight, torch.tensor([[3.0, 4.0]]))


def test_sam_restores_the_weights_after_an_error():
    network = nn.Linear(2, 1)
    network(torch.ones(1, 2)).sum().backward()
    before = network.weight.clone()
    with pytest.raises(RuntimeError), worst_nearby_weights(network, rho=0.5):
        raise RuntimeError
    assert torch.equal(network.weight, before)


def test_sam_counts_a_batch_once_in_batch_normalisation():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    images = torch.randn(4, 1, 3, 3)
    network(images).sum().backward()
    mean = network[1].running_mean.clone()
    with worst_nearby_weights(network, rho=0.5):
        network(images)
    assert torch.equal(network[1].running_mean, mean)
    assert network[1].momentum == 0.1
