"""Chooses the prior correction's strength and the temperature on validation faces."""

import numpy as np
import torch
from torch import Tensor

from fer_models.calibration import Calibration
from training.metrics import measure

STRENGTHS = np.arange(0, 1.51, 0.05)
TEMPERATURES = np.exp(np.arange(-1.5, 1.51, 0.05))


def fit_calibration(
    logits: Tensor, labels: np.ndarray, expressions: tuple[str, ...], prior: np.ndarray
) -> Calibration:
    """The strength of the best balanced accuracy, then the temperature of the least log loss.

    The best strengths lie on a plateau whose single steps are a few faces; the middle of all that
    come within half a point of the best is taken.

    Args:
        logits: (N,K) of validation faces, never of those that are reported on.
        labels: (N,).
        prior: (K,) each class's share of what the network was trained on.
    """
    prior = tuple(float(p) for p in prior)

    def balanced_accuracy(strength: float) -> float:
        probabilities = Calibration(prior, strength).probabilities(logits).numpy()
        return measure(probabilities, labels, expressions).balanced_accuracy_basic

    scores = np.array([balanced_accuracy(strength) for strength in STRENGTHS])
    plateau = STRENGTHS[scores >= scores.max() - 0.005]
    strength = float(round(plateau[len(plateau) // 2], 2))

    target = torch.from_numpy(labels)

    def log_loss(temperature: float) -> float:
        adjusted = Calibration(prior, strength, temperature).adjust(logits.float())
        return float(torch.nn.functional.cross_entropy(adjusted, target))

    temperature = min(TEMPERATURES, key=log_loss)
    return Calibration(prior, strength, float(round(temperature, 4)))
