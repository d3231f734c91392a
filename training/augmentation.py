"""Batched augmentation on the training device: one affine resampling, light, erasing.

The resampling also enlarges: a crop of 48x48 bytes goes straight to the network's input size, so
that with every range at zero this equals `Preprocessing.enlarge`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_models.preprocessing import Preprocessing, to_channels_first
from training.recipe import Recipe

MAX_DRAWS = 14  # numbers for a face


class Draws:
    """Random numbers for the faces of a batch, or for the share of it that one process has.

    Drawn on the CPU for the whole batch, so that a seed gives the same faces on every device and
    whatever the number of processes; all at once, because a GPU waits for each copy.
    """

    def __init__(self, seed: int, rows: slice, total: int, device: torch.device | str):
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(MAX_DRAWS, total, generator=generator)[:, rows]
        self._values = iter(values.contiguous().to(device, non_blocking=True))

    def uniform(self, low: float, high: float) -> Tensor:
        """One number in low..high for every face of the share, (n,)."""
        return next(self._values) * (high - low) + low


def affine_matrices(draws: Draws, recipe: Recipe, size: int, side: int) -> Tensor:
    """(n,2,3) matrices for `affine_grid`: mirror, rotation, scale, shift and window, at random.

    Args:
        size: of the images to make, in pixels.
        side: of the crops that they are made from.
    """
    angle = draws.uniform(-1, 1) * math.radians(recipe.rotation_deg)
    scale = 1 + draws.uniform(-1, 1) * recipe.scale
    mirror = torch.where(draws.uniform(0, 1) < recipe.flip, -1.0, 1.0)
    shift_x = draws.uniform(-1, 1) * recipe.shift * 2  # the grid is 2 wide
    shift_y = draws.uniform(-1, 1) * recipe.shift * 2
    if recipe.crop:
        scale = scale * size / side
        shift_x = shift_x + window_shift(draws, size, side)
        shift_y = shift_y + window_shift(draws, size, side)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    top = torch.stack([cosine * mirror, -sine, shift_x], dim=1)
    bottom = torch.stack([sine * mirror, cosine, shift_y], dim=1)
    return torch.stack([top, bottom], dim=1)


def window_shift(draws: Draws, size: int, side: int) -> Tensor:
    """(n,) shifts of a window's centre from the crop's, in the grid's units; whole pixels."""
    places = side - size + 1
    corner = torch.floor(draws.uniform(0, 1) * places).clamp(max=places - 1)
    return (2 * corner - (side - size)) / side


def erase(images: Tensor, recipe: Recipe, draws: Draws) -> Tensor:
    """Random erasing (arXiv 1708.04896): a grey rectangle of 2 to 25 % of the area in some.

    Its centre lies anywhere, and what reaches over the image's border is cut off: it may be less.
    """
    _, _, height, width = images.shape
    device = images.device
    area = draws.uniform(0.02, 0.25)
    aspect = torch.exp(draws.uniform(-1.2, 1.2))
    half_height = torch.sqrt(area * aspect).clamp(max=1) / 2
    half_width = torch.sqrt(area / aspect).clamp(max=1) / 2
    centre_y = draws.uniform(0, 1)
    centre_x = draws.uniform(0, 1)
    chosen = draws.uniform(0, 1) < recipe.erasing
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    inside_y = (y - centre_y[:, None]).abs() < half_height[:, None]  # (n, H)
    inside_x = (x - centre_x[:, None]).abs() < half_width[:, None]  # (n, W)
    mask = chosen[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return images.masked_fill(mask[:, None], 0.5)


def augment(
    crops: Tensor,
    preprocessing: Preprocessing,
    recipe: Recipe,
    size: int,
    seed: int,
    share: tuple[int, int] | None = None,
) -> Tensor:
    """(n,D,D) or (n,D,D,3) uint8 crops -> (n,3,size,size) normalised, augmented input.

    The same seed gives the same result, whatever came before: a resumed run goes on unchanged.

    Args:
        share: (first row, rows of the whole batch) where the crops are a part of one.
    """
    images = to_channels_first(crops)
    n, channels, _, side = images.shape
    first, total = share or (0, n)
    draws = Draws(seed, slice(first, first + n), total, images.device)
    matrices = affine_matrices(draws, recipe, size, side)
    grid = F.affine_grid(matrices, [n, channels, size, size], align_corners=False)
    images = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    contrast = 1 + draws.uniform(-1, 1) * recipe.contrast
    brightness = draws.uniform(-1, 1) * recipe.brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast.view(-1, 1, 1, 1) + mean + brightness.view(-1, 1, 1, 1)
    images = erase(images.clamp(0, 1), recipe, draws)
    return preprocessing.normalise(images)
