import math

import pytest
import torch

from fer_models.calibration import Calibration


def test_without_correction_it_is_the_plain_softmax():
    logits = torch.tensor([[1.0, 2.0, -1.0]])
    torch.testing.assert_close(Calibration.none(3).probabilities(logits), logits.softmax(1))


def test_full_strength_takes_the_prior_out():
    prior = (0.9, 0.1)
    logits = torch.log(torch.tensor([[0.9, 0.1]]))  # the network knows nothing but the prior
    found = Calibration(prior, strength=1.0).probabilities(logits)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5]]))


def test_the_temperature_changes_how_sure_but_not_what():
    logits = torch.tensor([[2.0, 0.0]])
    found = Calibration((0.5, 0.5), temperature=2.0).probabilities(logits)
    assert found[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)


def test_a_class_that_training_never_saw_stays_finite():
    for strength in (0.0, 1.0):
        found = Calibration((0.9, 0.1, 0.0), strength).probabilities(torch.zeros(1, 3))
        assert torch.isfinite(found).all()


def test_it_survives_json():
    calibration = Calibration((0.7, 0.3), 0.4, 1.3)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
