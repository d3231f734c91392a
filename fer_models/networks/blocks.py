"""Building blocks that several networks share.

Sources: MobileFaceNets (arXiv 1804.07573) for the linear global depthwise convolution, MixConv
(arXiv 1907.09595), coordinate attention (arXiv 2103.02907).
"""

import torch
from torch import Tensor, nn


class ConvBNPReLU(nn.Sequential):
    """Convolution without bias, batch normalisation, PReLU with one weight per channel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.PReLU(out_channels)


class ConvBN(nn.Sequential):
    """Convolution without bias and batch normalisation, with no activation ("linear")."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        groups: int = 1,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)


class MixConv(nn.Module):
    """Depthwise convolution whose channel groups have kernels of different sizes.

    Args:
        channels_by_kernel: kernel size -> number of channels it filters, in channel order.
    """

    def __init__(self, channels_by_kernel: dict[int, int], stride: int = 1):
        super().__init__()
        self.split_sizes = list(channels_by_kernel.values())
        self.convs = nn.ModuleList(
            nn.Conv2d(c, c, k, stride, padding=k // 2, groups=c, bias=False)
            for k, c in channels_by_kernel.items()
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, self.split_sizes, dim=1)
        return torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], dim=1)


class DirectionalGates(nn.Module):
    """From a column and a row profile to two sigmoid gates: coordinate attention's second half.

    Source: arXiv 2103.02907, section 3.2. The two profiles share one 1x1 convolution, batch
    normalisation and h-swish, and part again for one 1x1 convolution each.
    """

    def __init__(self, channels: int, reduction: int = 32):
        super().__init__()
        hidden = max(8, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.bn = nn.BatchNorm2d(hidden)
        self.act = nn.Hardswish()
        self.expand_column = nn.Conv2d(hidden, channels, 1)
        self.expand_row = nn.Conv2d(hidden, channels, 1)

    def forward(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """(N,C,H,1) and (N,C,1,W) profiles to gates of the same shapes, in 0..1."""
        height, width = column.shape[2], row.shape[3]
        profiles = torch.cat([column, row.transpose(2, 3)], dim=2)  # (N, C, H+W, 1)
        hidden = self.act(self.bn(self.squeeze(profiles)))  # (N, C/r, H+W, 1)
        column, row = torch.split(hidden, [height, width], dim=2)
        gate_column = torch.sigmoid(self.expand_column(column))  # (N, C, H, 1)
        gate_row = torch.sigmoid(self.expand_row(row.transpose(2, 3)))  # (N, C, 1, W)
        return gate_column, gate_row


class CoordinateAttention(nn.Module):
    """Scales a map by gates made from its average over each row and over each column."""

    def __init__(self, channels: int, reduction: int = 32):
        super().__init__()
        self.gates = DirectionalGates(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        column = x.mean(dim=3, keepdim=True)  # (N, C, H, 1)
        row = x.mean(dim=2, keepdim=True)  # (N, C, 1, W)
        gate_column, gate_row = self.gates(column, row)
        return x * gate_column * gate_row


class GDConvClassifier(nn.Module):
    """Linear global depthwise convolution, flatten, fully connected layer.

    Source: MobileFaceNets, section 3.1: a learned weight for every cell takes the place of global
    average pooling. It starts as that average, so that an untrained head is not blind to any cell.
    Without classes there is no fully connected layer: the pooled features (N,C) come out.
    """

    def __init__(self, channels: int, num_classes: int, map_size: int = 7):
        super().__init__()
        self.gdconv = ConvBN(channels, channels, map_size, groups=channels)
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        nn.init.constant_(self.gdconv.conv.weight, 1 / map_size**2)

    def forward(self, features: Tensor) -> Tensor:
        pooled = self.gdconv(features)  # (N, C, 1, 1)
        return self.fc(pooled.flatten(1))
