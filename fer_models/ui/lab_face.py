"""What the Lab's parts share: the drawn face, and its actions, regions and angles in words."""

from functools import lru_cache

import numpy as np

from fer_models.lab import FaceParameters
from fer_models.lab.render import render_face
from fer_models.words import Words

# Symmetric, these would pull both ways at once; the symmetry lock leaves them out.
SIDEWAYS = ("mouthLeft", "mouthRight", "jawLeft", "jawRight")


@lru_cache(maxsize=32)
def draw(parameters: FaceParameters) -> np.ndarray:
    """The face (512,512,3), kept a while: drawing, measuring and sending ask for the same one."""
    image = render_face(parameters)
    image.flags.writeable = False
    return image


def is_shown(action: str, symmetric: bool) -> bool:
    """Whether the action has a slider of its own: under the lock one stands for both sides."""
    return not symmetric or not (action.endswith("Right") or action in SIDEWAYS)


def action_label(action: str, words: Words, both: bool = False) -> str:
    """An action in words; with its side, unless `both` sides move together."""
    base = action.removesuffix("Left").removesuffix("Right")
    if action in SIDEWAYS or base == action:
        return words(f"lab_actions.{action}")
    label = words(f"lab_actions.{base}")
    if both:
        return label
    side = "left" if action.endswith("Left") else "right"
    return words(f"lab.{side}_side", action=label)


def group_label(group: tuple[str, ...], words: Words) -> str:
    """An ablation's group of actions in words."""
    return action_label(group[0], words, both=len(group) > 1)


def region_title(region: str, words: Words) -> str:
    """A region's name as a title."""
    return words(f"lab_regions.{region}").capitalize()
