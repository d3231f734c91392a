"""SPResNet18 and SPResNet18_CA: ResNet-18 with split convolutions and coordinate attention.

Source: the SPResNet18_CA paper (DOI 10.3788/LOP202259.1815009), Table 1 (input 44x44x3); SPConv is
from arXiv 2006.12085.

| layer | operator                                          | out | stride | output |
|-------|---------------------------------------------------|-----|--------|--------|
| stem  | conv 7x7, BN, ReLU; max pool 3x3                  | 64  | 1; 1   | 44x44  |
| 1     | (SPConv, SPConv, coordinate attention), residual  | 64  | 1      | 44x44  |
| 2     | the same                                          | 128 | 2      | 22x22  |
| 3     | the same                                          | 256 | 2      | 11x11  |
| 4     | the same                                          | 512 | 2      | 6x6    |

Each layer has two blocks, of which the first has the stride. SPResNet18 leaves the attention out.
The paper's figure of a block is not in its text: here the attention follows the second SPConv's
batch normalisation, right before the input is added.
"""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.models.resnet import ResNet as TorchvisionResNet

from fer_models.networks.blocks import CoordinateAttention
from fer_models.networks.resnet import ResNet

BLOCKS = [2, 2, 2, 2]


class SPConv(nn.Module):
    """Split convolution: a 3x3 convolution for half of the channels, 1x1 for the other.

    Source: arXiv 2006.12085, section 3, with ratio 0.5. The first half is filtered by a 3x3
    convolution in two groups plus a 1x1 convolution, the second by a 1x1 convolution. The two maps
    are added, each channel weighted by the softmax over their two global averages.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        half = in_channels // 2
        self.split_sizes = [half, in_channels - half]
        self.conv_3x3 = nn.Conv2d(half, out_channels, 3, stride, padding=1, groups=2)
        self.conv_1x1 = nn.Conv2d(half, out_channels, 1)
        self.bn_representative = nn.BatchNorm2d(out_channels)
        self.conv_redundant = nn.Conv2d(in_channels - half, out_channels, 1)
        self.bn_redundant = nn.BatchNorm2d(out_channels)
        # An odd map's last row and column are averaged with what is there: 11 -> 6, as the padded
        # 3x3 convolution gives.
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N,C,H,W) -> the representative and the redundant half's maps, (N,O,H/s,W/s) both."""
        representative, redundant = torch.split(x, self.split_sizes, dim=1)
        representative = self.conv_3x3(representative) + self.conv_1x1(self.pool(representative))
        redundant = self.conv_redundant(self.pool(redundant))
        return self.bn_representative(representative), self.bn_redundant(redundant)

    def forward(self, x: Tensor) -> Tensor:
        representative, redundant = self.branches(x)
        averages = torch.stack(
            [representative.mean(dim=(2, 3)), redundant.mean(dim=(2, 3))]
        )  # (2, N, O)
        weights = torch.softmax(averages, dim=0)[..., None, None]  # (2, N, O, 1, 1)
        return weights[0] * representative + weights[1] * redundant


class SPBlock(BasicBlock):
    """ResNet's basic block with SPConv in place of both 3x3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *args, **kwargs):
        super().__init__(in_channels, out_channels, stride, *args, **kwargs)
        self.conv1 = SPConv(in_channels, out_channels, stride)
        self.conv2 = SPConv(out_channels, out_channels)
        self.attention = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.conv2(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(shortcut + out)


class CASCBlock(SPBlock):
    """The paper's Coordinate Attention Split Convolution block."""

    def __init__(self, in_channels: int, out_channels: int, *args, **kwargs):
        super().__init__(in_channels, out_channels, *args, **kwargs)
        self.attention = CoordinateAttention(out_channels)


def _build(block: type[SPBlock], num_classes: int) -> ResNet:
    network = TorchvisionResNet(block, BLOCKS, num_classes)
    return ResNet(network, stem_stride=1, pool_stride=1)


def build_spresnet18(num_classes: int = 7) -> ResNet:
    """SPResNet18; the trunk maps (N,3,44,44) to (N,512,6,6). 4,188,487 parameters, 7 classes."""
    return _build(SPBlock, num_classes)


def build_spresnet18_ca(num_classes: int = 7) -> ResNet:
    """SPResNet18_CA; the trunk maps (N,3,44,44) to (N,512,6,6). 4,263,223 parameters, 7 classes."""
    return _build(CASCBlock, num_classes)
