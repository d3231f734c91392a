"""The choice of strength and temperature against cases solved by hand."""

import numpy as np
import pytest
import torch

from fer_models.calibration import Calibration
from training.calibrate import CHOSEN_BY, STRENGTHS, fit_calibration
from training.metrics import measure

NAMES = ("neutral", "happiness")


def overconfident_faces(sharpness: float) -> tuple[torch.Tensor, np.ndarray]:
    """Answers right 3 times in 4, but as sure of it as the log odds times `sharpness` say."""
    labels = np.array([0, 1] * 200)
    right = np.arange(400) % 8 < 6
    answers = np.where(right, labels, 1 - labels)
    logits = np.eye(2)[answers] * np.log(3) * sharpness
    return torch.from_numpy(logits).float(), labels


def test_the_temperature_that_makes_sureness_true_is_found():
    logits, labels = overconfident_faces(sharpness=2.0)
    calibration = fit_calibration(logits, labels, NAMES, np.array([0.5, 0.5]))
    assert calibration.temperature == pytest.approx(2.0, rel=0.03)
    confidence = calibration.probabilities(logits).amax(dim=1).mean().item()
    assert confidence == pytest.approx(0.75, abs=0.01)


def test_a_strength_that_finds_the_rare_class_is_chosen():
    # The network answers in proportion to a prior of 19 to 1; half of the rare faces get lost.
    labels = np.array([0] * 190 + [1] * 10)
    evidence = np.where(labels == 1, 1.5, -1.5)[:, None] * np.array([[-1.0, 1.0]])
    logits = torch.from_numpy(evidence + np.log([0.95, 0.05])).float()
    assert (logits.argmax(1).numpy()[labels == 1] == 1).all()
    blurred = logits - torch.tensor([0.0, 1.5])
    assert (blurred.argmax(1).numpy()[labels == 1] == 0).all()
    calibration = fit_calibration(blurred, labels, NAMES, np.array([0.95, 0.05]))
    assert calibration.strength > 0
    assert (calibration.probabilities(blurred).argmax(1).numpy() == labels).all()


@pytest.mark.parametrize(("late", "chosen"), [(1, 0.35), (40, 1.05)])
def test_the_least_strength_of_nearly_the_best_balance_is_chosen(late, chosen):
    # With prior odds of e to 1, a face whose first logit leads by m is answered 1 from strength m.
    prior = np.array([np.e, 1]) / (np.e + 1)
    groups = [(0, 3.0, 300), (1, 0.32, 200), (1, 1.02, late)]  # label, lead of the first, faces
    labels = np.concatenate([np.full(count, label) for label, _, count in groups])
    leads = np.concatenate([np.full(count, lead) for _, lead, count in groups])
    logits = torch.from_numpy(np.stack([leads, np.zeros_like(leads)], axis=1))

    def balance(strength: float) -> float:
        probabilities = Calibration(tuple(prior), strength).probabilities(logits).numpy()
        return measure(probabilities, labels, NAMES).balanced_accuracy_basic

    assert STRENGTHS[np.argmax([balance(s) for s in STRENGTHS])] == pytest.approx(1.05)
    calibration = fit_calibration(logits, labels, NAMES, prior)
    assert calibration.strength == chosen
    assert calibration.chosen_by == CHOSEN_BY
