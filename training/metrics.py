"""Numbers that say how good predictions are."""

from dataclasses import dataclass

import numpy as np

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Metrics:
    """Of N labelled faces. `confusion` is (K,K): rows are labels, columns predictions."""

    n: int
    accuracy: float
    balanced_accuracy: float
    balanced_accuracy_basic: float
    recall: dict[str, float]
    expected_calibration_error: float
    log_loss: float
    confusion: list[list[int]]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean |confidence - accuracy| over 15 equal bins of confidence (arXiv 1706.04599)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(confidence[bins == b].sum() - correct[bins == b].sum()) for b in range(CALIBRATION_BINS)
    ]
    return float(sum(gaps) / len(labels))


def measure(probabilities: np.ndarray, labels: np.ndarray, expressions: tuple[str, ...]) -> Metrics:
    """Metrics of probabilities (N,K) against labels (N,).

    Balanced accuracy is the mean recall of the classes that occur; `balanced_accuracy_basic` leaves
    contempt out of that mean.
    """
    k = len(expressions)
    predictions = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * k + predictions, minlength=k * k).reshape(k, k)
    counts = confusion.sum(axis=1)
    recall = {
        name: float(confusion[i, i] / counts[i])
        for i, name in enumerate(expressions)
        if counts[i] > 0
    }
    basic = [value for name, value in recall.items() if name != "contempt"]
    chosen = probabilities[np.arange(len(labels)), labels]
    return Metrics(
        n=len(labels),
        accuracy=float((predictions == labels).mean()),
        balanced_accuracy=float(np.mean(list(recall.values()))),
        balanced_accuracy_basic=float(np.mean(basic)),
        recall=recall,
        expected_calibration_error=expected_calibration_error(probabilities, labels),
        log_loss=float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        confusion=confusion.tolist(),
    )
