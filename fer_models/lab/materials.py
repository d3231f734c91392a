"""Colours of what is not skin: eyes, teeth, tongue, hair and the shirt. Linear RGB throughout."""

import numpy as np

from fer_models.lab.identities import Identity
from fer_models.lab.skin import bell, linear_rgb, noise, smoothstep

IRIS_RAD = 0.405  # seen from the eyeball's centre; 1.2 cm across on the template's 1.5 cm radius
PUPIL_RAD = 0.15
# The gum lines of the template's tooth rows, cm under the eyes.
UPPER_GUM_CM, LOWER_GUM_CM = -5.72, -7.5
# Where one upper tooth ends and the next begins, cm from the middle (Wheeler's Dental Anatomy).
TOOTH_EDGES_CM = (0.0, 0.86, 1.53, 2.1, 2.5, 2.85)


def eye_colors(identity: Identity, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour (3, P) and how corneal (P,) each eye pixel is.

    `gaze` (3, P) are unit directions in the eyeball's own frame, z through the pupil.
    """
    angle = np.arccos(np.clip(gaze[2], -1, 1))
    around = np.arctan2(gaze[1], gaze[0])
    red = smoothstep(0.55, 1.15, angle)
    color = linear_rgb((0.84, 0.81, 0.78)) * (1 - red * linear_rgb((0.39, 0.65, 0.65)))
    radius = angle / IRIS_RAD
    fibres = noise(around * 2.2, radius, 1.2, seed=23, stretch=5.0)
    iris = linear_rgb(identity.iris)
    iris = iris + 0.2 * (iris.mean() - iris)
    shade = 0.6 + 0.18 * fibres * smoothstep(0.3, 0.6, radius) + 0.35 * bell(radius, 0.55, 0.18)
    shade *= 1 - 0.62 * smoothstep(0.78, 1.0, radius)
    inside = smoothstep(1.04, 0.94, radius)
    color += inside * (iris * np.clip(shade, 0.15, 2) - color)
    color *= 1 - 0.96 * smoothstep(PUPIL_RAD * 1.08, PUPIL_RAD * 0.9, angle)
    return color, inside


def teeth_colors(rest: np.ndarray, upper: bool) -> np.ndarray:
    """Linear colour (3, P) of tooth-row pixels at template points (3, P)."""
    x, y, z = rest
    side = np.abs(x)
    edges = np.array(TOOTH_EDGES_CM, np.float32) * (1.0 if upper else 0.72)
    middle = (edges[1:] + edges[:-1]) / 2
    tooth = np.clip(np.searchsorted(edges, side) - 1, 0, len(middle) - 1)
    half = (edges[1:] - edges[:-1])[tooth] / 2
    across = np.abs(side - middle[tooth]) / half
    above = (y - UPPER_GUM_CM) if upper else (LOWER_GUM_CM - y)
    gum = smoothstep(-0.03, 0.06, above + 0.16 * across * across)
    color = linear_rgb((0.86, 0.83, 0.75)) * (1 - 0.35 * smoothstep(0.86, 1.0, across))
    color += gum * (linear_rgb((0.55, 0.25, 0.25)) - color)
    return color * (1 - 0.75 * smoothstep(1.7, -0.8, z))


def tongue_colors(rest: np.ndarray) -> np.ndarray:
    """Linear colour (3, P) of the tongue at template points (3, P)."""
    groove = 1 - 0.25 * bell(rest[0], 0, 0.12)
    return linear_rgb((0.66, 0.32, 0.32)) * (groove * (1 + 0.05 * noise(rest[0], rest[2], 1.0)))


def hair_strands(rest: np.ndarray, style: str) -> tuple[np.ndarray, np.ndarray]:
    """Strand brightness (P,) about 1 and the strands' unit directions (3, P), head's frame."""
    x, y, z = rest[0], rest[1], rest[2] + 6.0
    # Strands leave a whorl on the crown and run down; swept hair leaves a side parting instead.
    whorl = (0.0, 9.5, -3.0) if style != "swept" else (2.6, 10.5, 4.0)
    away = np.stack([x - whorl[0], y - whorl[1], z - whorl[2]])
    around = np.arctan2(away[0], away[2] + 1e-6)
    length = np.sqrt((away * away).sum(0))
    fine = noise(around * 6.5, length, 0.8, seed=29, stretch=30.0)
    coarse = noise(around * 3.1, length, 2.5, seed=31, stretch=25.0)
    normal = unit(np.stack([x, y, z]))
    return 1 + 0.26 * fine + 0.24 * coarse, unit(away - (away * normal).sum(0) * normal)


def shirt_cover(rest: np.ndarray) -> np.ndarray:
    """(P,) 1 where a round-necked shirt covers template points (3, P)."""
    x, y, z = rest
    neckline = -15.2 - 2.0 * bell(x, 0, 3.4) * smoothstep(-6, -1, z)
    return smoothstep(0.05, -0.1, y - neckline)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(3, P) vectors scaled to length 1."""
    x, y, z = vectors
    return vectors / np.sqrt(x * x + y * y + z * z + 1e-12)
