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


def _uniform(n: int, low: float, high: float, generator: torch.Generator, device) -> Tensor:
    # Drawn on the CPU, so that a seed gives the same faces on every device.
    return (torch.rand(n, generator=generator) * (high - low) + low).to(device)


def affine_matrices(n: int, recipe: Recipe, generator: torch.Generator, device) -> Tensor:
    """(N,2,3) matrices for `affine_grid`: mirror, rotation, scale and shift, drawn at random."""
    angle = _uniform(n, -1, 1, generator, device) * math.radians(recipe.rotation_deg)
    scale = 1 + _uniform(n, -1, 1, generator, device) * recipe.scale
    mirror = torch.where(_uniform(n, 0, 1, generator, device) < recipe.flip, -1.0, 1.0)
    shift_x = _uniform(n, -1, 1, generator, device) * recipe.shift * 2  # the grid is 2 wide
    shift_y = _uniform(n, -1, 1, generator, device) * recipe.shift * 2
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    top = torch.stack([cosine * mirror, -sine, shift_x], dim=1)
    bottom = torch.stack([sine * mirror, cosine, shift_y], dim=1)
    return torch.stack([top, bottom], dim=1)


def erase(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random erasing (arXiv 1708.04896): a grey rectangle of 2 to 25 % of the area in some."""
    n, _, height, width = images.shape
    device = images.device
    area = _uniform(n, 0.02, 0.25, generator, device)
    aspect = torch.exp(_uniform(n, -1.2, 1.2, generator, device))
    half_height = torch.sqrt(area * aspect).clamp(max=1) / 2
    half_width = torch.sqrt(area / aspect).clamp(max=1) / 2
    centre_y = _uniform(n, 0, 1, generator, device)
    centre_x = _uniform(n, 0, 1, generator, device)
    chosen = _uniform(n, 0, 1, generator, device) < recipe.erasing
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    inside_y = (y - centre_y[:, None]).abs() < half_height[:, None]  # (N, H)
    inside_x = (x - centre_x[:, None]).abs() < half_width[:, None]  # (N, W)
    mask = chosen[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return torch.where(mask[:, None], images.new_tensor(0.5), images)


def augment(
    crops: Tensor, preprocessing: Preprocessing, recipe: Recipe, size: int, seed: int
) -> Tensor:
    """(N,D,D) or (N,D,D,3) uint8 crops -> (N,3,size,size) normalised, augmented input.

    The same seed gives the same result, whatever came before: a resumed run goes on unchanged.
    """
    generator = torch.Generator().manual_seed(seed)
    images = to_channels_first(crops)
    n, channels = images.shape[:2]
    matrices = affine_matrices(n, recipe, generator, images.device)
    grid = F.affine_grid(matrices, [n, channels, size, size], align_corners=False)
    images = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    contrast = 1 + _uniform(n, -1, 1, generator, images.device) * recipe.contrast
    brightness = _uniform(n, -1, 1, generator, images.device) * recipe.brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast.view(-1, 1, 1, 1) + mean + brightness.view(-1, 1, 1, 1)
    images = erase(images.clamp(0, 1), recipe, generator)
    return preprocessing.normalise(images)
