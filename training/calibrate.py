"""Chooses the prior correction's strength and the temperature on validation faces."""

import numpy as np
import torch
from torch import Tensor

from fer_models.calibration import Calibration
from training.metrics import measure

# What a card says; `fit_calibration` does it.
CHOSEN_BY = (
    "strength: the least whose balanced accuracy over the seven basic expressions on validation "
    "faces is within 0.005 of the highest; temperature: least log loss there"
)
TOLERANCE = 0.005
STRENGTHS = np.arange(0, 1.51, 0.05)
TEMPERATURES = np.exp(np.arange(-1.5, 1.51, 0.05))


def fit_calibration(
    logits: Tensor, labels: np.ndarray, expressions: tuple[str, ...], prior: np.ndarray
) -> Calibration:
    """The strength of the best balance, then the temperature of the least log loss: `CHOSEN_BY`.

    Many strengths balance nearly equally well, and the stronger ones give away right answers on
    common expressions for nothing; so the least of them is taken.

    Args:
        logits: (N,K) of validation faces, never of those that are reported on.
        labels: (N,).
        prior: (K,) each class's share of what the network was trained on.
    """
    prior = tuple(float(p) for p in prior)

    def balance(strength: float) -> float:
        probabilities = Calibration(prior, strength).probabilities(logits).numpy()
        return measure(probabilities, labels, expressions).balanced_accuracy_basic

    balances = np.array([balance(strength) for strength in STRENGTHS])
    strength = float(round(STRENGTHS[balances >= balances.max() - TOLERANCE][0], 2))

    target = torch.from_numpy(labels)

    def log_loss(temperature: float) -> float:
        adjusted = Calibration(prior, strength, temperature).adjust(logits.float())
        return float(torch.nn.functional.cross_entropy(adjusted, target))

    temperature = min(TEMPERATURES, key=log_loss)
    return Calibration(prior, strength, float(round(temperature, 4)), CHOSEN_BY)
