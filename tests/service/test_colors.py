"""Colours that colour-blind readers can order and tell apart, as numbers."""

from itertools import combinations

import numpy as np
import pytest

from fer_models.figures import HEAD_COLORS, NETWORK_COLORS, blend, heat_colors

# Machado, Oliveira and Fernandes (2009), full severity; they apply to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
FAR = 15  # in CIELAB; a difference of 2.3 is just seen
FAR_ON_A_FACE = 10


def lab(colors: np.ndarray, vision: str = "normal") -> np.ndarray:
    """(...,3) sRGB in 0..255 -> (...,3) CIELAB under D65, as that vision sees it."""
    share = np.asarray(colors) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISION[vision].T, 0, 1)
    xyz = seen @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(axis=1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def rgb(color: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(color[1:]), dtype=np.uint8)


def distance(one: np.ndarray, other: np.ndarray, vision: str) -> float:
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def test_lab_of_known_colors():
    assert lab([255, 255, 255]) == pytest.approx([100, 0, 0], abs=0.01)
    assert lab([255, 0, 0]) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    red, green = [200, 60, 0], [90, 110, 0]
    assert distance(red, green, "deuteranopia") < 0.4 * distance(red, green, "normal")


@pytest.mark.parametrize("vision", VISION)
def test_more_heat_is_always_lighter(vision):
    lightness = lab(heat_colors(np.linspace(0, 1, 256)[None])[0], vision)[:, 0]
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] < 5 and lightness[-1] > 90


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colors", [HEAD_COLORS, tuple(NETWORK_COLORS.values())])
def test_heads_and_networks_have_colors_that_are_far_apart(colors, vision):
    for one, other in combinations(colors, 2):
        assert distance(rgb(one), rgb(other), vision) > FAR, (one, other)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("grey", [0, 60, 128, 200, 255])
def test_the_heads_that_won_are_told_apart_on_any_face(grey, vision):
    face = np.full((1, 1, 3), grey, np.uint8)
    drawn = [blend(face, rgb(color)[None, None], 0.6)[0, 0] for color in HEAD_COLORS]
    for one, other in combinations(drawn, 2):
        assert distance(one, other, vision) > FAR_ON_A_FACE
