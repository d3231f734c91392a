"""The losses: soft-label cross entropy, the paper's attention loss, distillation."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.distributed import Workers
from training.evaluate import map_side, stretch
from training.recipe import Recipe

# Heads that start alike would divide by almost nothing.
MIN_DIFFERENCE = 1e-6


def attention_loss(
    attention: Tensor, form: str = "code", average: Callable[[Tensor], Tensor] = lambda x: x
) -> Tensor:
    """The inverse of how much the heads' maps differ, so that they look at different regions.

    Args:
        attention: (N,heads,C,7,7), as `head.attention(features)` gives it.
        form: "code": 1 / mean over unordered pairs of MSE(a_i, a_k), as published; "paper": 1 / sum
            over ordered pairs, as written (section 2.2), which for two heads is half of that.
        average: over the processes, before the inverse, which is no linear function of a batch.

    Returns:
        A scalar; 0 with one head.
    """
    pairs = list(itertools.combinations(range(attention.shape[1]), 2))
    if not pairs:
        return attention.new_zeros(())
    differences = [F.mse_loss(attention[:, i], attention[:, k]) for i, k in pairs]
    difference = average(torch.stack(differences)).mean().clamp(min=MIN_DIFFERENCE)
    return 1 / difference if form == "code" else 1 / (2 * len(pairs) * difference)


def classification_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of logits (N,K) with target distributions (N,K)."""
    return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)


def distillation_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Divergence of logits (N,K) at a temperature from the teachers' probabilities (N,K) at it.

    Source: arXiv 1503.02531, section 2; the temperature squared keeps the gradient's scale.
    """
    own = F.log_softmax(logits.float() / temperature, dim=1)
    return F.kl_div(own, taught, reduction="batchmean") * temperature**2


class Objective(nn.Module):
    """A network and the loss it is trained on, as one module: what DDP and torch.compile wrap."""

    def __init__(self, network: nn.Module, recipe: Recipe, workers: Workers):
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.workers = workers
        self.map_side = map_side(network)

    def forward(
        self, images: Tensor, targets: Tensor, taught: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss (scalar) and logits (N,K) of images (N,3,S,S), targets and teachings (N,K)."""
        recipe, head = self.recipe, self.network.head
        features = stretch(self.network.trunk(images), self.map_side)
        attention = head.attention(features) if hasattr(head, "attention") else None
        logits = head(features) if attention is None else head.classify(features, attention)
        loss = classification_loss(logits, targets, recipe.label_smoothing)
        if taught is not None:
            lesson = distillation_loss(logits, taught, recipe.teacher_temperature)
            loss = (1 - recipe.teacher_weight) * loss + recipe.teacher_weight * lesson
        if attention is not None and recipe.attention_loss_weight:
            apart = attention_loss(attention.float(), recipe.attention_loss, self.workers.average)
            loss = loss + recipe.attention_loss_weight * apart
        return loss, logits
