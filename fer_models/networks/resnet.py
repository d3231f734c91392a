"""ResNet-50 and ResNet-18 for face crops.

Source: arXiv 1512.03385, as torchvision builds it. For 112x112 crops the stem's convolution has
stride 1 instead of 2, so that the last map is 7x7 like the other networks': no heatmap looks
coarser only because its map is smaller. The SPResNet paper's form for 44x44 crops has a max pool
of stride 1 as well: maps of 44, 22, 11 and 6. A stride is no parameter: the weights fit any form.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50


class ResNet(nn.Module):
    """A torchvision ResNet, parted into its convolutional trunk and its pooled linear head."""

    def __init__(self, network: nn.Module, stem_stride: int, pool_stride: int = 2):
        super().__init__()
        network.conv1.stride = (stem_stride, stem_stride)
        network.maxpool.stride = pool_stride
        layers = OrderedDict(network.named_children())
        avgpool, fc = layers.pop("avgpool"), layers.pop("fc")
        self.trunk = nn.Sequential(layers)
        self.head = nn.Sequential(OrderedDict(avgpool=avgpool, flatten=nn.Flatten(), fc=fc))

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,S,S) normalised images, S being 112 or 44 -> (N,num_classes) logits."""
        return self.head(self.trunk(x))


def build_resnet50(num_classes: int = 7, stem_stride: int = 1) -> ResNet:
    """ResNet-50 with random weights; the trunk maps (N,3,112,112) to (N,2048,7,7)."""
    return ResNet(resnet50(num_classes=num_classes), stem_stride)


def build_resnet18(num_classes: int = 7, stem_stride: int = 1) -> ResNet:
    """ResNet-18 with random weights; the trunk maps (N,3,112,112) to (N,512,7,7)."""
    return ResNet(resnet18(num_classes=num_classes), stem_stride)


def build_resnet18_44(num_classes: int = 7) -> ResNet:
    """ResNet-18 as the SPResNet paper trains it; the trunk maps (N,3,44,44) to (N,512,6,6)."""
    return ResNet(resnet18(num_classes=num_classes), stem_stride=1, pool_stride=1)
