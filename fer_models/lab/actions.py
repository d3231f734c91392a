"""Facial actions: AUs to ARKit names, the expressions as AU recipes, regions and mirroring."""

from collections.abc import Mapping
from types import MappingProxyType

from fer_models.expressions import canonical_expression

# ARKit's 52 blend shapes (developer.apple.com, ARFaceAnchor.BlendShapeLocation), by region.
ACTIONS_OF_REGION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "brows": (
            "browInnerUp",
            "browDownLeft",
            "browDownRight",
            "browOuterUpLeft",
            "browOuterUpRight",
        ),
        "eyes": (
            "eyeBlinkLeft",
            "eyeBlinkRight",
            "eyeSquintLeft",
            "eyeSquintRight",
            "eyeWideLeft",
            "eyeWideRight",
            "eyeLookUpLeft",
            "eyeLookUpRight",
            "eyeLookDownLeft",
            "eyeLookDownRight",
            "eyeLookInLeft",
            "eyeLookInRight",
            "eyeLookOutLeft",
            "eyeLookOutRight",
        ),
        "nose": (
            "noseSneerLeft",
            "noseSneerRight",
            "cheekSquintLeft",
            "cheekSquintRight",
            "cheekPuff",
        ),
        "mouth": (
            "mouthSmileLeft",
            "mouthSmileRight",
            "mouthFrownLeft",
            "mouthFrownRight",
            "mouthDimpleLeft",
            "mouthDimpleRight",
            "mouthStretchLeft",
            "mouthStretchRight",
            "mouthPressLeft",
            "mouthPressRight",
            "mouthUpperUpLeft",
            "mouthUpperUpRight",
            "mouthLowerDownLeft",
            "mouthLowerDownRight",
            "mouthShrugUpper",
            "mouthShrugLower",
            "mouthRollUpper",
            "mouthRollLower",
            "mouthPucker",
            "mouthFunnel",
            "mouthLeft",
            "mouthRight",
            "mouthClose",
        ),
        "jaw": ("jawOpen", "jawForward", "jawLeft", "jawRight", "tongueOut"),
    }
)
# How far a region's actions may move the skin: lowest and highest point, cm above the eyes, in the
# template's coordinates. The build fades shifts out towards these bounds.
REACH_OF_REGION_CM: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "brows": (-2.0, 7.5),
        "eyes": (-5.0, 2.0),
        "nose": (-10.5, 6.5),
        "mouth": (-12.0, 0.5),
        "jaw": (-14.5, 0.0),
    }
)
ACTIONS: tuple[str, ...] = tuple(a for names in ACTIONS_OF_REGION.values() for a in names)

# One row for each action unit: the ARKit actions that show it, with their share.
# Source: M. Ozel, "ARKit to FACS Cheat Sheet" (Face the FACS, 2021); AU names: Ekman, Friesen and
# Hager, "Facial Action Coding System" (2002). ARKit has no lip tightener (AU23): lips rolled in,
# pressed and drawn together stand for it. AU26 is a dropped jaw, so it takes part of jawOpen's way;
# the whole way would be AU27.
ACTIONS_OF_AU: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "1": {"browInnerUp": 1.0},
        "2": {"browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
        "4": {"browDownLeft": 1.0, "browDownRight": 1.0},
        "5": {"eyeWideLeft": 1.0, "eyeWideRight": 1.0},
        "6": {"cheekSquintLeft": 1.0, "cheekSquintRight": 1.0},
        "7": {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0},
        "9": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0},
        "12": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
        "12L": {"mouthSmileLeft": 1.0},
        "14L": {"mouthDimpleLeft": 1.0},
        "15": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
        "17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.4},
        "20": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
        "23": {
            "mouthPressLeft": 0.15,
            "mouthPressRight": 0.15,
            "mouthRollUpper": 0.6,
            "mouthRollLower": 0.6,
            "mouthPucker": 0.3,
        },
        "26": {"jawOpen": 0.5},
    }
)

# EMFACS (Friesen and Ekman, "EMFACS-7", 1983), as AU to strength at full intensity. "L" is the
# subject's left: contempt is one-sided.
AUS_OF_EXPRESSION: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "neutral": {},
        "happiness": {"6": 1.0, "12": 0.9},
        "sadness": {"1": 1.0, "4": 0.5, "15": 1.0},
        "surprise": {"1": 1.0, "2": 1.0, "5": 1.0, "26": 1.0},
        "fear": {"1": 1.0, "2": 0.6, "4": 0.55, "5": 1.0, "20": 1.0, "26": 0.55},
        "disgust": {"9": 1.0, "15": 0.8, "17": 0.9},
        "anger": {"4": 1.0, "5": 0.5, "7": 1.0, "23": 1.0},
        "contempt": {"12L": 0.7, "14L": 1.0},
    }
)


def expression_actions(expression: str, intensity: float = 1.0) -> dict[str, float]:
    """The facial actions of an expression at an intensity from 0 to 1: ARKit name to strength.

    Raises:
        ValueError: if the name is no expression or the intensity is outside 0 to 1.
    """
    expression = canonical_expression(expression)
    if not 0 <= intensity <= 1:
        raise ValueError(f"intensity is {intensity}; give a number from 0 to 1.")
    actions: dict[str, float] = {}
    for au, strength in AUS_OF_EXPRESSION[expression].items():
        for action, share in ACTIONS_OF_AU[au].items():
            actions[action] = min(actions.get(action, 0.0) + intensity * strength * share, 1.0)
    return {action: round(value, 6) for action, value in actions.items() if value}


def region_of_action(action: str) -> str:
    """The region ("brows", "eyes", "nose", "mouth", "jaw") an action belongs to.

    Raises:
        ValueError: if there is no such action.
    """
    for region, names in ACTIONS_OF_REGION.items():
        if action in names:
            return region
    raise ValueError(f"{action!r} is no facial action; use one of {', '.join(ACTIONS)}.")


def mirror_name(action: str) -> str:
    """The action's name on the other side: mouthSmileLeft to mouthSmileRight; others unchanged."""
    if action.endswith("Left"):
        return action.removesuffix("Left") + "Right"
    if action.endswith("Right"):
        return action.removesuffix("Right") + "Left"
    return action
