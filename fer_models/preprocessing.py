"""From an aligned crop to a network's input, as the checkpoint's card states it.

The networks were trained on grey 48x48 faces. So that a colour photograph reaches them looking like
one, a crop is turned grey and reduced to the training images' detail before it is enlarged to the
network's input size: `reduce` then `enlarge`. Training stores what `reduce` returns and lets its
augmentation do the enlarging; what the networks saw in training is what they see here.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ALIGNMENT = "five-point-112"


@dataclass(frozen=True)
class Preprocessing:
    """How crops become a network's input.

    Attributes:
        size: side of the network's square input in pixels.
        mean: per channel (RGB), of values in 0..1.
        std: per channel (RGB), of values in 0..1.
        grey: whether the crop is turned grey (ITU-R 601-2 luma) in all three channels.
        detail_px: side to which the crop is reduced first; None keeps all its detail.
        alignment: how crops are cut out; `ALIGNMENT`, `faces.align_face`, is the only way.
    """

    size: int = 112
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    grey: bool = False
    detail_px: int | None = None
    alignment: str = ALIGNMENT

    def reduce(self, crop: np.ndarray) -> np.ndarray:
        """(H,W,3) RGB uint8 -> (D,D) uint8 where grey, else (D,D,3); D is `detail_px` or H."""
        image = Image.fromarray(crop)
        if self.grey:
            image = image.convert("L")
        if self.detail_px is not None:
            image = image.resize((self.detail_px, self.detail_px), Image.Resampling.BICUBIC)
        return np.asarray(image)

    def enlarge(self, reduced: Tensor) -> Tensor:
        """(N,D,D) or (N,D,D,3) uint8 -> (N,3,size,size) float32, normalised."""
        images = to_channels_first(reduced)
        if images.shape[-1] != self.size:
            size = (self.size, self.size)
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return self.normalise(images)

    def normalise(self, images: Tensor) -> Tensor:
        """(N,1 or 3,S,S) in 0..1 -> (N,3,S,S) with the mean subtracted, divided by std."""
        scale = torch.tensor([self.mean, self.std]).to(images.device, non_blocking=True)
        mean, std = scale.view(2, 1, 3, 1, 1)
        return (images - mean) / std

    def __call__(self, crops: list[np.ndarray]) -> Tensor:
        """N crops (H,W,3) RGB uint8 -> (N,3,size,size) float32."""
        reduced = np.stack([self.reduce(crop) for crop in crops])
        return self.enlarge(torch.from_numpy(reduced))

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Preprocessing":
        """From a card's JSON object.

        Raises:
            ValueError: if a key or the alignment is unknown.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"Unknown preprocessing keys: {', '.join(unknown)}.")
        if values.get("alignment", ALIGNMENT) != ALIGNMENT:
            raise ValueError(f"unknown alignment; this version has {ALIGNMENT} alone")
        tuples = {key: tuple(values[key]) for key in ("mean", "std") if key in values}
        return cls(**{**values, **tuples})


def to_channels_first(images: Tensor) -> Tensor:
    """(N,H,W) or (N,H,W,3) uint8 -> (N,1 or 3,H,W) float32 in 0..1."""
    images = images.unsqueeze(1) if images.ndim == 3 else images.movedim(-1, 1)
    return images.float() / 255
