"""What the dual-direction attention heads look at: their profiles, maps, fusion and winners."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Attention:
    """The DDA heads of one face; every value is a mean over the channels, in 0..1.

    Attributes:
        columns: (heads,7) the vertical profile `x_h`, top to bottom.
        rows: (heads,7) the horizontal profile `x_w`, left to right.
        maps: (heads,7,7) the heads' maps `a_i = x_h * x_w`.
        fused: (7,7) the element-wise maximum over the heads, `a_m`, which scales the features.
        winner: (7,7) int, the head that gives the maximum in most channels.
        winner_share: (7,7) the share of channels in which it does.
        pairwise_mse: (heads,heads) mean squared difference of the heads' maps.
    """

    columns: np.ndarray
    rows: np.ndarray
    maps: np.ndarray
    fused: np.ndarray
    winner: np.ndarray
    winner_share: np.ndarray
    pairwise_mse: np.ndarray


def has_attention(head: nn.Module) -> bool:
    """Whether a network's head has DDA heads to show."""
    return hasattr(head, "factors")


@torch.no_grad()
def attend(head: nn.Module, features: Tensor) -> list[Attention]:
    """The DDA heads' attention for each face of a batch.

    Args:
        head: a `DDAN`.
        features: (N,C,7,7) from the trunk.
    """
    columns, rows = head.factors(features)  # (N, heads, C, 7, 1), (N, heads, C, 1, 7)
    maps = columns * rows  # (N, heads, C, 7, 7)
    fused, winning_head = maps.max(dim=1)  # (N, C, 7, 7) each
    num_heads = maps.shape[1]
    shares = torch.stack([(winning_head == i).float().mean(dim=1) for i in range(num_heads)], dim=1)
    winner_share, winner = shares.max(dim=1)  # (N, 7, 7) each, over the heads
    differences = (maps.unsqueeze(1) - maps.unsqueeze(2)).square().mean(dim=(3, 4, 5))
    return [
        Attention(
            columns=columns[n].mean(dim=1).squeeze(-1).numpy(),
            rows=rows[n].mean(dim=1).squeeze(-2).numpy(),
            maps=maps[n].mean(dim=1).numpy(),
            fused=fused[n].mean(dim=0).numpy(),
            winner=winner[n].numpy(),
            winner_share=winner_share[n].numpy(),
            pairwise_mse=differences[n].numpy(),
        )
        for n in range(len(features))
    ]
