"""Interventions on a Lab face: tuning curves and the removal of one facial action at a time.

Both ask a `predict` callable, images (N, 512, 512, 3) uint8 RGB to probabilities (N, K), so they
serve any network, and tests can use a function whose answer is known by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_models.expressions import EXPRESSIONS
from fer_models.lab.actions import ACTIONS, expression_actions, mirror_name
from fer_models.lab.parameters import RANGES, FaceParameters
from fer_models.lab.render import render_face

Predict = Callable[[np.ndarray], np.ndarray]
BATCH = 8  # pictures held in memory at a time


@dataclass(frozen=True)
class Sweep:
    """A tuning curve: `probabilities[i]` (K,) is the answer to `parameters[i]`, at `values[i]`."""

    name: str
    values: np.ndarray  # (S,)
    parameters: tuple[FaceParameters, ...]
    probabilities: np.ndarray  # (S, K)


@dataclass(frozen=True)
class Ablation:
    """What removing each active action does to one class, largest change first.

    `change` is full minus without: positive where the action spoke for the target.
    """

    target: int
    actions: tuple[tuple[str, ...], ...]  # A groups; a pair of sides is one group
    full: np.ndarray  # (K,) probabilities of the face as it is
    without: np.ndarray  # (A, K) probabilities with the group at zero
    change: np.ndarray  # (A,)


def _predict_all(predict: Predict, faces: Sequence[FaceParameters]) -> np.ndarray:
    answers = []
    for start in range(0, len(faces), BATCH):
        images = np.stack([render_face(face) for face in faces[start : start + BATCH]])
        answer = np.asarray(predict(images), np.float64)
        if answer.ndim != 2 or len(answer) != len(images):
            raise ValueError(
                f"predict gave an array of shape {answer.shape} for {len(images)} images; "
                "it must give (N, K) probabilities."
            )
        answers.append(answer)
    return np.concatenate(answers)


def _set(parameters: FaceParameters, name: str, value: float, symmetric: bool) -> FaceParameters:
    if name in ACTIONS:
        names = {name, mirror_name(name)} if symmetric else {name}
        return parameters.with_actions(**dict.fromkeys(names, value))
    if name in EXPRESSIONS:
        return replace(parameters, actions=expression_actions(name, value))
    return replace(parameters, **{name: value})


def sweep_faces(
    parameters: FaceParameters,
    name: str,
    values: Sequence[float] | None = None,
    symmetric: bool = False,
) -> tuple[np.ndarray, tuple[FaceParameters, ...]]:
    """The values (S,) of a sweep, and the face at each of them; see `sweep`.

    Raises:
        ValueError: if the name or a value is not allowed.
    """
    if name not in ACTIONS and name not in EXPRESSIONS and name not in RANGES:
        raise ValueError(
            f"{name!r} cannot be swept; use a facial action, an expression or one of "
            f"{', '.join(RANGES)}."
        )
    if values is None:
        low, high = RANGES.get(name, (0.0, 1.0))
        values = np.linspace(max(low, -45.0), min(high, 45.0), 11)
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError("values must be a list of at least one number.")
    return values, tuple(_set(parameters, name, float(value), symmetric) for value in values)


def sweep(
    predict: Predict,
    parameters: FaceParameters,
    name: str,
    values: Sequence[float] | None = None,
    symmetric: bool = False,
) -> Sweep:
    """Every class's probability while one thing about the face varies.

    Args:
        predict: (N, 512, 512, 3) uint8 RGB to (N, K) probabilities.
        parameters: the face; all else about it stays.
        name: a facial action, an expression (its preset's intensity), or an angle such as yaw_deg.
        values: what to set it to; by default 11 steps over 0 to 1, or -45 to 45 degrees.
        symmetric: move an action's other side along.

    Raises:
        ValueError: if the name or a value is not allowed, or `predict` answers in another shape.
    """
    values, faces = sweep_faces(parameters, name, values, symmetric)
    return Sweep(name, values, faces, _predict_all(predict, faces))


def remove_actions(
    parameters: FaceParameters, pair_sides: bool = True
) -> tuple[tuple[tuple[str, ...], ...], tuple[FaceParameters, ...]]:
    """The groups of active actions, and the face without each of them.

    Args:
        pair_sides: an action's left and right side are one group.
    """
    groups: dict[tuple[str, ...], None] = {}
    for action in parameters.actions:
        pair = tuple(sorted({action, mirror_name(action)} & set(parameters.actions)))
        groups[pair if pair_sides else (action,)] = None
    removed = tuple(parameters.with_actions(**dict.fromkeys(group, 0.0)) for group in groups)
    return tuple(groups), removed


def rank_removals(groups: Sequence[tuple[str, ...]], answers: np.ndarray, target: int) -> Ablation:
    """The groups ordered by how much their removal changes the target's probability.

    Args:
        groups: A of them, see `remove_actions`.
        answers: (1 + A, K) probabilities of the whole face, then without each group.
        target: the class, an index into K.

    Raises:
        ValueError: if `target` is no class.
    """
    full, without = answers[0], answers[1:]
    if not 0 <= target < len(full):
        raise ValueError(f"target is {target}; the answers hold the classes 0 to {len(full) - 1}.")
    change = full[target] - without[:, target]
    order = np.argsort(-np.abs(change), kind="stable")
    return Ablation(target, tuple(groups[i] for i in order), full, without[order], change[order])


def ablate_actions(
    predict: Predict, parameters: FaceParameters, target: int, pair_sides: bool = True
) -> Ablation:
    """Removes each active action in turn and ranks them by the change in the target's probability.

    Args:
        predict: (N, 512, 512, 3) uint8 RGB to (N, K) probabilities.
        parameters: the face whose active actions are tried.
        target: the class, an index into K.
        pair_sides: remove an action's left and right side together.

    Raises:
        ValueError: if `target` is no class, or `predict` answers in another shape.
    """
    groups, removed = remove_actions(parameters, pair_sides)
    return rank_removals(groups, _predict_all(predict, [parameters, *removed]), target)
