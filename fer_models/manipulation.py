"""Changes that a viewer makes to a face, to see the answers follow: light, blur, covers, turning.

Lengths are pixels of a 112x112 crop and are scaled to larger ones, so that the large picture on
the page and the crop that a network reads show the same change.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from fer_models.faces import CROP_SIZE_PX, TEMPLATE

COVERS = ("grey", "blur")
COVER_GREY = 128
# Strong enough that a covered mouth shows neither its corners nor its opening.
COVER_BLUR_PX = 8.0
MAX_FACTOR = 4.0
MAX_BLUR_PX = 20.0


@dataclass(frozen=True)
class Changes:
    """What is done to a face; the defaults change nothing.

    Attributes:
        brightness: factor on all values, 0 (black) to 4; 1 changes nothing.
        contrast: factor on the distance from the mean grey, 0 to 4; 1 changes nothing.
        blur_px: standard deviation of a Gaussian, 0 to 20.
        rotation_deg: about the middle of the five landmarks, counter-clockwise, -180 to 180.
        mirror: left and right exchanged.
        cover: what is laid over the masked parts, "grey" or "blur".

    Raises:
        ValueError: if a value is not in its range.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    blur_px: float = 0.0
    rotation_deg: float = 0.0
    mirror: bool = False
    cover: str = "grey"

    def __post_init__(self):
        for name, low, high in (
            ("brightness", 0, MAX_FACTOR),
            ("contrast", 0, MAX_FACTOR),
            ("blur_px", 0, MAX_BLUR_PX),
            ("rotation_deg", -180, 180),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; give {low:g} to {high:g}.")
        if self.cover not in COVERS:
            raise ValueError(f"cover is {self.cover!r}; use one of {', '.join(COVERS)}.")


def apply_changes(
    image: np.ndarray, changes: Changes, mask: np.ndarray | None = None
) -> np.ndarray:
    """A face under `changes`: contrast, brightness, blur, cover, mirror, then rotation.

    Covers come after light and blur, so that grey stays grey, and before the turning, so that the
    mask lies on the face as it was painted.

    Args:
        image: (S,S,3) RGB uint8, an aligned crop.
        mask: (S,S) bool, True where the face is covered.

    Returns:
        (S,S,3) RGB uint8; the same pixels where nothing is changed.

    Raises:
        ValueError: if the image is not square, or the mask has another size.
    """
    if image.ndim != 3 or image.shape[0] != image.shape[1]:
        raise ValueError(f"The crop is {image.shape}; give a square (S, S, 3) one.")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"The mask is {mask.shape}, the crop {image.shape[:2]}; they must agree.")
    if changes.contrast != 1:
        image = _enhance(ImageEnhance.Contrast, image, changes.contrast)
    if changes.brightness != 1:
        image = change_brightness(image, changes.brightness)
    if changes.blur_px:
        image = blur_image(image, changes.blur_px)
    if mask is not None and mask.any():
        image = cover_image(image, mask, changes.cover)
    if changes.mirror:
        image = image[:, ::-1]
    if changes.rotation_deg:
        image = rotate_face(image, changes.rotation_deg)
    return np.ascontiguousarray(image)


def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """(H,W,3) uint8 with all values times `factor`, cut off at 255."""
    return _enhance(ImageEnhance.Brightness, image, factor)


def _enhance(enhancer: type, image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(enhancer(Image.fromarray(image)).enhance(factor))


def blur_image(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """(S,S,3) uint8 under a Gaussian of `sigma_px` pixels of a 112x112 crop."""
    radius = sigma_px * image.shape[0] / CROP_SIZE_PX
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def cover_image(image: np.ndarray, mask: np.ndarray, cover: str = "grey") -> np.ndarray:
    """(S,S,3) uint8 with the masked (S,S) parts grey, or replaced by the blurred face."""
    paint = blur_image(image, COVER_BLUR_PX) if cover == "blur" else np.uint8(COVER_GREY)
    return np.where(mask[..., None], paint, image)


def rotate_face(image: np.ndarray, rotation_deg: float) -> np.ndarray:
    """(S,S,3) uint8 turned counter-clockwise about the landmarks; the border is repeated."""
    size = image.shape[0]
    padding = size  # the farthest corner lies less than a side away from the crop
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="edge")
    centre = (TEMPLATE.mean(axis=0) + 0.5) * (size / CROP_SIZE_PX) + padding
    turned = Image.fromarray(padded).rotate(
        rotation_deg, Image.Resampling.BICUBIC, center=tuple(centre.tolist())
    )
    return np.asarray(turned)[padding : padding + size, padding : padding + size]


def shift_image(image: np.ndarray, right_px: int, down_px: int) -> np.ndarray:
    """(H,W,3) uint8 moved by whole pixels; the border is repeated."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(height) - down_px, 0, height - 1)
    columns = np.clip(np.arange(width) - right_px, 0, width - 1)
    return image[rows[:, None], columns]


def compress_image(image: np.ndarray, quality: int) -> np.ndarray:
    """(H,W,3) RGB uint8 written as JPEG of a quality from 1 to 95 and read again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
