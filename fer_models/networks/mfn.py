"""MFN, the Mixed Feature Network: DDAMFN's trunk, here with a classifier of its own.

Source: the DDAMFN paper, Table 1 (input 112x112x3).

| stage | operator                | expand | kernels: channels     | out | stride | times | output |
|-------|-------------------------|--------|-----------------------|-----|--------|-------|--------|
| stem  | conv 3x3, BN, PReLU     |        |                       | 64  | 2      | 1     | 56x56  |
| stem  | dw conv 3x3, BN, PReLU  |        | 3: 64                 | 64  | 1      | 1     | 56x56  |
| 1     | bottleneck              | 128    | 3,5,7: 64,32,32       | 64  | 2      | 1     | 28x28  |
| 2     | residual bottleneck     | 128    | 3,5: 96,32            | 64  | 1      | 9     | 28x28  |
| 3     | bottleneck              | 256    | 3,5,7: 128,64,64      | 128 | 2      | 1     | 14x14  |
| 4     | residual bottleneck     | 256    | 3,5: 192,64           | 128 | 1      | 16    | 14x14  |
| 5     | bottleneck              | 1024   | 3,5,7,9: 256 each     | 256 | 2      | 1     | 7x7    |
| 6     | residual bottleneck     | 512    | 3,5,7: 172,170,170    | 256 | 1      | 6     | 7x7    |
| 7     | conv 1x1, BN, PReLU     |        |                       | 512 | 1      | 1     | 7x7    |
"""

from torch import Tensor, nn

from fer_models.networks.blocks import (
    ConvBN,
    ConvBNPReLU,
    CoordinateAttention,
    GDConvClassifier,
    MixConv,
)

FEATURE_CHANNELS = 512


class Bottleneck(nn.Module):
    """Expand, mixed depthwise convolution, coordinate attention, linear projection."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels_by_kernel: dict[int, int],
        stride: int = 1,
    ):
        super().__init__()
        hidden = sum(channels_by_kernel.values())
        self.expand = ConvBNPReLU(in_channels, hidden, 1)
        self.mixconv = MixConv(channels_by_kernel, stride)
        self.attention = CoordinateAttention(hidden)
        self.project = ConvBN(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.attention(self.mixconv(self.expand(x))))


class ResidualBottleneck(Bottleneck):
    """A bottleneck that keeps its input's shape and is added to it."""

    def __init__(self, channels: int, channels_by_kernel: dict[int, int]):
        super().__init__(channels, channels, channels_by_kernel)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def repeat(count: int, channels: int, channels_by_kernel: dict[int, int]) -> nn.Sequential:
    return nn.Sequential(*(ResidualBottleneck(channels, channels_by_kernel) for _ in range(count)))


def build_mfn_trunk() -> nn.Sequential:
    """(N,3,112,112) -> (N,512,7,7); 4,006,568 parameters."""
    return nn.Sequential(
        ConvBNPReLU(3, 64, 3, stride=2),
        ConvBNPReLU(64, 64, 3, groups=64),
        Bottleneck(64, 64, {3: 64, 5: 32, 7: 32}, stride=2),
        repeat(9, 64, {3: 96, 5: 32}),
        Bottleneck(64, 128, {3: 128, 5: 64, 7: 64}, stride=2),
        repeat(16, 128, {3: 192, 5: 64}),
        Bottleneck(128, 256, {3: 256, 5: 256, 7: 256, 9: 256}, stride=2),
        repeat(6, 256, {3: 172, 5: 170, 7: 170}),
        ConvBNPReLU(256, FEATURE_CHANNELS, 1),
    )


class MFN(nn.Module):
    """MFN as a classifier: the trunk, a linear GDConv and a fully connected layer."""

    def __init__(self, num_classes: int = 7):
        super().__init__()
        self.trunk = build_mfn_trunk()
        self.head = GDConvClassifier(FEATURE_CHANNELS, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,112,112) normalised images -> (N,num_classes) logits."""
        return self.head(self.trunk(x))


def build_mfn(num_classes: int = 7) -> MFN:
    return MFN(num_classes)
