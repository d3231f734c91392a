"""The losses: soft-label cross entropy and the paper's attention loss."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

# Heads that start alike would divide by almost nothing.
MIN_DIFFERENCE = 1e-6


def attention_loss(attention: Tensor) -> Tensor:
    """The inverse of how much the heads' maps differ, so that they look at different regions.

    Args:
        attention: (N,heads,C,7,7), as `head.attention(features)` gives it.

    Returns:
        1 / mean over unordered pairs of MSE(a_i, a_k), as the published code has it (the paper
        writes the sum over ordered pairs, which for two heads is half of this); 0 with one head.
    """
    pairs = list(itertools.combinations(range(attention.shape[1]), 2))
    if not pairs:
        return attention.new_zeros(())
    differences = [F.mse_loss(attention[:, i], attention[:, k]) for i, k in pairs]
    return 1 / torch.stack(differences).mean().clamp(min=MIN_DIFFERENCE)


def classification_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of logits (N,K) with target distributions (N,K)."""
    return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
