"""Which part of a picture shows which region of the face, to set beside a heatmap."""

import functools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from fer_models.lab.actions import ACTIONS_OF_REGION
from fer_models.lab.parameters import FaceParameters
from fer_models.lab.render import visible_surface
from fer_models.lab.scene import SIZE_PX


@functools.lru_cache(maxsize=4)  # one face is asked about once for each network and action
def region_masks(parameters: FaceParameters) -> Mapping[str, np.ndarray]:
    """(512, 512) bool, read-only, for each region; a pixel of the face has exactly one.

    The bounds are set in the template's coordinates, so they follow identity, action and pose.
    "brows" includes the forehead, "nose" the cheeks beside it, "mouth" the lips and their
    surround, "jaw" chin and jaw line. Hair, ears, neck and background have no region.
    """
    surface = visible_surface(parameters)
    regions = region_points(surface.rest, surface.inside_mouth)
    skin = surface.part != surface.hair_part
    masks = {}
    for name in ACTIONS_OF_REGION:
        mask = np.zeros(SIZE_PX * SIZE_PX, bool)
        mask[surface.index[regions[name] & skin]] = True
        masks[name] = mask.reshape(SIZE_PX, SIZE_PX)
        masks[name].flags.writeable = False
    return MappingProxyType(masks)


def region_points(rest: np.ndarray, inside_mouth: np.ndarray) -> Mapping[str, np.ndarray]:
    """Which points belong to each of the five regions: (P,) bool; one at most for each point.

    Args:
        rest: (3, P) template coordinates, cm.
        inside_mouth: (P,) bool, teeth and tongue included.
    """
    x, y, z = rest
    side = np.abs(x)
    on_face = (z > -4.5) & (y > -11.5) & (y < 6.0)
    mouth = (y > -8.6) & (y < -4.7) & (side < 3.6)
    regions = {
        "brows": y >= 1.1,
        "eyes": (y < 1.1) & (y >= -1.5) & (side > 1.1),
        "mouth": mouth | inside_mouth,
    }
    others = ~(regions["brows"] | regions["eyes"] | regions["mouth"])
    regions["nose"] = others & (y >= -5.6)
    regions["jaw"] = others & (y < -5.6)
    return {name: regions[name] & on_face for name in ACTIONS_OF_REGION}
