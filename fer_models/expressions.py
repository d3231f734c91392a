"""The expressions' names, every data set's own label order, and reordering by name.

Mixed-up label orders are the field's commonest bug, so no code outside this file knows a position:
a label is a name, and arrays change their order through `reorder`.
"""

import numpy as np

# The page's order, which is also the published DDAMFN order.
EXPRESSIONS = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
BASIC_EXPRESSIONS = EXPRESSIONS[:7]

LABEL_ORDERS: dict[str, tuple[str, ...]] = {
    # fer2013.csv's column `emotion`, 0 to 6 (arXiv 1307.0414).
    "fer2013": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    # fer2013new.csv's vote columns (arXiv 1608.01041); the last two are no expressions.
    "ferplus_votes": (
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
        "unknown",
        "not_a_face",
    ),
    # RAF-DB's list_patition_label.txt, 1 to 7.
    "rafdb": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    # AffectNet's `expression`, 0 to 7; AffectNet-7 leaves out contempt.
    "affectnet": EXPRESSIONS,
    # The authors' published DDAMFN checkpoints, with 7 or 8 classes.
    "ddamfn_official": EXPRESSIONS,
}

# Other spellings that data sets and their folders use.
_SYNONYMS = {
    "angry": "anger",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "natural": "neutral",
    "sad": "sadness",
    "suprise": "surprise",
    "surprised": "surprise",
}


def canonical_expression(name: str) -> str:
    """The project's name of an expression, from any usual spelling ("Happy" -> "happiness").

    Raises:
        ValueError: if the name is no expression; the message lists those that are.
    """
    key = name.strip().lower()
    key = _SYNONYMS.get(key, key)
    if key not in EXPRESSIONS:
        raise ValueError(f"{name!r} is no expression; use one of {', '.join(EXPRESSIONS)}.")
    return key


def reorder(
    values: np.ndarray, from_order: tuple[str, ...], to_order: tuple[str, ...]
) -> np.ndarray:
    """The last axis of `values`, (..., len(from_order)), in another order: (..., len(to_order)).

    Raises:
        ValueError: if `to_order` names what `from_order` lacks, or the axis has another length.
    """
    if values.shape[-1] != len(from_order):
        raise ValueError(
            f"The last axis has {values.shape[-1]} entries, but the label order has "
            f"{len(from_order)} names."
        )
    missing = [name for name in to_order if name not in from_order]
    if missing:
        raise ValueError(f"The label order has no {', '.join(missing)}.")
    return values[..., [from_order.index(name) for name in to_order]]
