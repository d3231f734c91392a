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
from fer_models.lab.parameters import BACKGROUNDS, RANGES, FaceParameters, ParametersError

__all__ = [
    "ACTIONS",
    "ACTIONS_OF_AU",
    "ACTIONS_OF_REGION",
    "AUS_OF_EXPRESSION",
    "BACKGROUNDS",
    "IDENTITIES",
    "RANGES",
    "Ablation",
    "FaceParameters",
    "Identity",
    "ParametersError",
    "Sweep",
    "ablate_actions",
    "expression_actions",
    "mirror_name",
    "region_of_action",
    "render_face",
    "sweep",
]


def __getattr__(name: str):
    # What draws is imported when it is asked for: `python -m fer_models.lab.render` runs a module
    # that must not have been imported with its package.
    if name == "render_face":
        from fer_models.lab.render import render_face

        return render_face
    if name in ("Ablation", "Sweep", "ablate_actions", "sweep"):
        from fer_models.lab import experiments

        return getattr(experiments, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
