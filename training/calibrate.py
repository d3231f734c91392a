"""Chooses the prior correction's strength and the temperature on validation faces."""

import numpy as np
import torch
from torch import Tensor

from fer_models.calibration import Calibration
from training.metrics import measure

# What a card says; `fit_calibration` does it.
CHOSEN_BY = (
    "strength: highest mean of accuracy and balanced accuracy over the seven basic expressions on "
    "validation faces, the middle of the strengths within 0.005 of it; temperature: least log loss "
    "there"
)
PLATEAU = 0.005
STRENGTHS = np.arange(0, 1.51, 0.05)
TEMPERATURES = np.exp(np.arange(-1.5, 1.51, 0.05))


def fit_calibration(
    logits: Tensor, labels: np.ndarray, expressions: tuple[str, ...], prior: np.ndarray
) -> Calibration:
    """The strength of the best balance, then the temperature of the least log loss: `CHOSEN_BY`.

    Balanced accuracy alone would give away ten right answers on common expressions for one on a
    rare one, so its mean with plain accuracy decides. The best strengths lie on a plateau whose
    single steps are a few faces; the middle of all within half a point of the best is taken.

    Args:
        logits: (N,K) of validation faces, never of those that are reported on.
        labels: (N,).
        prior: (K,) each class's share of what the network was trained on.
    """
    prior = tuple(float(p) for p in prior)

    def score(strength: float) -> float:
        probabilities = Calibration(prior, strength).probabilities(logits).numpy()
        metrics = measure(probabilities, labels, expressions)
        return (metrics.accuracy + metrics.balanced_accuracy_basic) / 2

    scores = np.array([score(strength) for strength in STRENGTHS])
    plateau = STRENGTHS[scores >= scores.max() - PLATEAU]
    strength = float(round(plateau[len(plateau) // 2], 2))

    target = torch.from_numpy(labels)

    def log_loss(temperature: float) -> float:
        adjusted = Calibration(prior, strength, temperature).adjust(logits.float())
        return float(torch.nn.functional.cross_entropy(adjusted, target))

    temperature = min(TEMPERATURES, key=log_loss)
    return Calibration(prior, strength, float(round(temperature, 4)), CHOSEN_BY)
