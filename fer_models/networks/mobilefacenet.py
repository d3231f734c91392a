"""MobileFaceNet, the network that MFN grew out of, as a backbone for expressions.

Source: arXiv 1804.07573, Table 1 (input 112x112x3).

| operator                 | expand | out | stride | repeat | output |
|--------------------------|--------|-----|--------|--------|--------|
| conv 3x3, BN, PReLU      |        | 64  | 2      | 1      | 56x56  |
| depthwise 3x3, BN, PReLU |        | 64  | 1      | 1      | 56x56  |
| bottleneck               | x2     | 64  | 2      | 5      | 28x28  |
| bottleneck               | x4     | 128 | 2      | 1      | 14x14  |
| bottleneck               | x2     | 128 | 1      | 6      | 14x14  |
| bottleneck               | x4     | 128 | 2      | 1      | 7x7    |
| bottleneck               | x2     | 128 | 1      | 2      | 7x7    |
| conv 1x1, BN, PReLU      |        | 512 | 1      | 1      | 7x7    |

With 7 classes it has 940,935 parameters: 911,232 in the trunk, 26,112 in the linear GDConv, 3,591
in the fully connected layer. The DDAMFN paper's Table 2 says 1.148 M. The original goes on with
what only face recognition needs, a linear 1x1 convolution to an embedding: one of width 128 makes
it 1,003,136 parameters (the MobileFaceNet paper's 0.99 M), one of width 512, as many
implementations have it, 1,200,512. So such an embedding explains most of the difference; exactly
1.148 M follows from no layer table that we know of.
"""

from torch import Tensor, nn

from fer_models.networks.blocks import ConvBN, ConvBNPReLU, GDConvClassifier

FEATURE_CHANNELS = 512


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual (arXiv 1801.04381) with PReLU.

    Its input is added where it has the output's shape.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int = 1):
        super().__init__()
        hidden = expansion * in_channels
        self.is_residual = stride == 1 and in_channels == out_channels
        self.expand = ConvBNPReLU(in_channels, hidden, 1)
        self.depthwise = ConvBNPReLU(hidden, hidden, 3, stride, groups=hidden)
        self.project = ConvBN(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.is_residual else out


def repeat(count: int, channels: int, expansion: int) -> list[Bottleneck]:
    return [Bottleneck(channels, channels, expansion) for _ in range(count)]


def build_mobilefacenet_trunk() -> nn.Sequential:
    """(N,3,112,112) -> (N,512,7,7); 911,232 parameters."""
    return nn.Sequential(
        ConvBNPReLU(3, 64, 3, stride=2),
        ConvBNPReLU(64, 64, 3, groups=64),
        Bottleneck(64, 64, 2, stride=2),
        *repeat(4, 64, 2),
        Bottleneck(64, 128, 4, stride=2),
        *repeat(6, 128, 2),
        Bottleneck(128, 128, 4, stride=2),
        *repeat(2, 128, 2),
        ConvBNPReLU(128, FEATURE_CHANNELS, 1),
    )


class MobileFaceNet(nn.Module):
    """MobileFaceNet's trunk, a linear GDConv and a fully connected layer."""

    def __init__(self, num_classes: int = 7):
        super().__init__()
        self.trunk = build_mobilefacenet_trunk()
        self.head = GDConvClassifier(FEATURE_CHANNELS, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,112,112) normalised images -> (N,num_classes) logits."""
        return self.head(self.trunk(x))


def build_mobilefacenet(num_classes: int = 7) -> MobileFaceNet:
    return MobileFaceNet(num_classes)
