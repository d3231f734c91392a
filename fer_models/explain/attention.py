"""What the dual-direction attention heads look at: their profiles, maps, fusion and winners."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fer_models.calibration import Calibration


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
    return summarise_factors(*head.factors(features))


@torch.no_grad()
def summarise_factors(columns: Tensor, rows: Tensor) -> list[Attention]:
    """As `attend`, from what `DDAN.factors` gave: (N,heads,C,7,1) and (N,heads,C,1,7)."""
    maps = columns * rows  # (N, heads, C, 7, 7)
    fused, winning_head = maps.max(dim=1)  # (N, C, 7, 7) each
    num_heads = maps.shape[1]
    shares = torch.stack([(winning_head == i).float().mean(dim=1) for i in range(num_heads)], dim=1)
    winner_share, winner = shares.max(dim=1)  # (N, 7, 7) each, over the heads
    differences = (maps.unsqueeze(1) - maps.unsqueeze(2)).square().mean(dim=(3, 4, 5))
    values = {
        "columns": columns.mean(dim=2).squeeze(-1),
        "rows": rows.mean(dim=2).squeeze(-2),
        "maps": maps.mean(dim=2),
        "fused": fused.mean(dim=1),
        "winner": winner,
        "winner_share": winner_share,
        "pairwise_mse": differences,
    }
    arrays = {name: value.cpu().numpy() for name, value in values.items()}
    return [
        Attention(**{name: array[n] for name, array in arrays.items()}) for n in range(len(maps))
    ]


@dataclass(frozen=True)
class ChannelAttention:
    """The DDA heads of one face in every channel; values in 0..1.

    Attributes:
        columns: (heads,C,7) the vertical profiles, top to bottom.
        rows: (heads,C,7) the horizontal profiles, left to right.
    """

    columns: np.ndarray
    rows: np.ndarray

    def maps(self, channel: int) -> np.ndarray:
        """(heads,7,7) the heads' maps in one channel: column times row."""
        return self.columns[:, channel, :, None] * self.rows[:, channel, None, :]

    def fused(self, channel: int) -> np.ndarray:
        """(7,7) the maximum over the heads, by which the channel's features are multiplied."""
        return self.maps(channel).max(axis=0)


@torch.no_grad()
def attend_channels(head: nn.Module, features: Tensor) -> list[ChannelAttention]:
    """As `attend`, without the mean over the channels."""
    columns, rows = head.factors(features)  # (N, heads, C, 7, 1), (N, heads, C, 1, 7)
    columns, rows = columns.squeeze(-1).cpu().numpy(), rows.squeeze(-2).cpu().numpy()
    return [ChannelAttention(*profiles) for profiles in zip(columns, rows, strict=True)]


@torch.no_grad()
def without_head(head: nn.Module, features: Tensor, switched_off: int) -> Tensor:
    """The logits when the element-wise maximum is taken over the other DDA heads.

    Where the only head is switched off, the features reach the classifier as they are, as in a
    DDAMFN without heads (Table 4, first row); its weights were trained for smaller ones.

    Args:
        head: a `DDAN`.
        features: (N,C,7,7) from the trunk.
        switched_off: the head's number, from 0.

    Returns:
        (N,K).

    Raises:
        ValueError: if there is no such head.
    """
    attention = head.attention(features)  # (N, heads, C, 7, 7)
    num_heads = attention.shape[1]
    if switched_off not in range(num_heads):
        raise ValueError(f"No DDA head {switched_off}; there are {num_heads}, counted from 0.")
    if num_heads == 1:
        return head.classifier(features)
    others = [i for i in range(num_heads) if i != switched_off]
    return head.classify(features, attention[:, others])


def probabilities_without_heads(
    head: nn.Module, features: Tensor, calibration: Calibration
) -> np.ndarray:
    """(N,heads,K) calibrated probabilities with each DDA head in turn switched off."""
    logits = [without_head(head, features, i) for i in range(len(head.dda_heads))]
    return calibration.probabilities(torch.stack(logits, dim=1)).cpu().numpy()
