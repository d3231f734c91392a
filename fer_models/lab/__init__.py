"""The Expression Lab: a parametric face with a dial for every facial action, in numpy alone."""

from fer_models.lab.actions import (
    ACTIONS,
    ACTIONS_OF_AU,
    ACTIONS_OF_REGION,
    AUS_OF_EXPRESSION,
    expression_actions,
    mirror_name,
    region_of_action,
)
from fer_models.lab.identities import IDENTITIES, Identity
from fer_models.lab.parameters import BACKGROUNDS, RANGES, FaceParameters

__all__ = [
    "ACTIONS",
    "ACTIONS_OF_AU",
    "ACTIONS_OF_REGION",
    "AUS_OF_EXPRESSION",
    "BACKGROUNDS",
    "IDENTITIES",
    "RANGES",
    "FaceParameters",
    "Identity",
    "expression_actions",
    "mirror_name",
    "region_of_action",
]
