"""The learning rate's schedules, the optimizers, and sharpness-aware minimisation."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """The rate of one step.

    one-cycle is a linear warm-up and half a cosine to zero, cosine the latter alone; step takes
    `gamma` times the rate every `decay_every` epochs, exponential every epoch, both from
    `decay_start` on.
    """
    if recipe.schedule in ("step", "exponential"):
        every = recipe.decay_every if recipe.schedule == "step" else 1.0
        epoch = step // steps_per_epoch
        return recipe.lr * recipe.gamma ** max(0, (epoch - recipe.decay_start) // every)
    warmup_steps = recipe.warmup * total_steps if recipe.schedule == "one-cycle" else 0
    if step < warmup_steps:
        return recipe.lr * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    # Normalisation, PReLU slopes and biases are not decayed: they hold scales, not filters.
    groups = [
        {
            "params": [p for p in network.parameters() if p.ndim > 1],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)


@contextlib.contextmanager
def worst_nearby_weights(network: nn.Module, rho: float) -> Iterator[None]:
    """Within the block, the weights lie `rho` up their gradient; then they are as before.

    Source: SAM (arXiv 2010.01412), equation 2. The gradient found in the block is the one to step
    with. Batch normalisation counts the batch once: its statistics rest within the block.
    """
    trained = [p for p in network.parameters() if p.grad is not None]
    gradients = [p.grad for p in trained]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    before = [p.detach().clone() for p in trained]
    momenta = {m: m.momentum for m in network.modules() if isinstance(m, _BatchNorm)}
    with torch.no_grad():
        scale = rho / (norm + 1e-12)
        torch._foreach_add_(trained, [g * scale for g in gradients])
    try:
        for module in momenta:
            module.momentum = 0.0
        yield
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        with torch.no_grad():
            torch._foreach_copy_(trained, before)
