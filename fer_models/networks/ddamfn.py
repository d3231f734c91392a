"""DDAMFN: MFN's trunk under a Dual-Direction Attention Network (DDAN).

Source: the DDAMFN paper, section 2.2. A DDA head is coordinate attention whose average pooling is
replaced by depthwise convolutions, so that every cell of a row or column has a weight of its own.
The heads' maps are fused by their element-wise maximum.
"""

import torch
from torch import Tensor, nn

from fer_models.networks.blocks import ConvBN, DirectionalGates, GDConvClassifier
from fer_models.networks.mfn import FEATURE_CHANNELS, MFN, build_mfn_trunk

MAX_HEADS = 4


class DDAHead(nn.Module):
    """One dual-direction attention head; 34,864 parameters on a 7x7x512 map."""

    def __init__(self, channels: int = FEATURE_CHANNELS, map_size: int = 7):
        super().__init__()
        self.pool_column = ConvBN(channels, channels, (1, map_size), groups=channels)
        self.pool_row = ConvBN(channels, channels, (map_size, 1), groups=channels)
        self.gates = DirectionalGates(channels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N,C,7,7) -> the column `x_h` (N,C,7,1) and the row `x_w` (N,C,1,7), in 0..1."""
        return self.gates(self.pool_column(features), self.pool_row(features))


class DDAN(nn.Module):
    """The dual-direction attention network: heads, fusion by maximum, linear GDConv, FC."""

    def __init__(self, num_classes: int, num_heads: int):
        super().__init__()
        self.dda_heads = nn.ModuleList(DDAHead() for _ in range(num_heads))
        self.classifier = GDConvClassifier(FEATURE_CHANNELS, num_classes)

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N,C,7,7) -> columns (N,heads,C,7,1) and rows (N,heads,C,1,7) of all heads."""
        columns, rows = zip(*(head(features) for head in self.dda_heads), strict=True)
        return torch.stack(columns, dim=1), torch.stack(rows, dim=1)

    def attention(self, features: Tensor) -> Tensor:
        """(N,C,7,7) -> every head's map `a_i = x_h * x_w`, (N,heads,C,7,7) in 0..1."""
        columns, rows = self.factors(features)
        return columns * rows

    def classify(self, features: Tensor, attention: Tensor) -> Tensor:
        """Logits (N,K) of `features` (N,C,7,7) under the heads' maps (N,heads,C,7,7)."""
        fused = attention.amax(dim=1)  # (N, C, 7, 7): the paper's a_m
        return self.classifier(features * fused)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features, self.attention(features))


class DDAMFN(nn.Module):
    """MFN's trunk and a DDAN head of one to four DDA heads."""

    def __init__(self, num_classes: int = 7, num_heads: int = 2):
        super().__init__()
        self.trunk = build_mfn_trunk()
        self.head = DDAN(num_classes, num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,112,112) normalised images -> (N,num_classes) logits."""
        return self.head(self.trunk(x))


def build_ddamfn(num_classes: int = 7, num_heads: int = 2) -> nn.Module:
    """DDAMFN; without any DDA head it is MFN, as in the first row of the paper's Table 4.

    Raises:
        ValueError: if `num_heads` is not 0 to 4.
    """
    if num_heads not in range(MAX_HEADS + 1):
        raise ValueError(f"num_heads is {num_heads!r}; DDAMFN takes 0 to {MAX_HEADS} heads.")
    return DDAMFN(num_classes, num_heads) if num_heads else MFN(num_classes)
