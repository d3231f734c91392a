"""The shipped weights are as accurate on real faces as their cards say."""

import numpy as np
import pytest

from fer_models.checkpoints import load_network
from tests.conftest import SHIPPED
from training.datasets import load_faces
from training.distributed import Workers
from training.evaluate import measure_both, predict_logits

EVERY = 20  # faces of the split: all three networks see their part in half a minute on two cores


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_says_how_often_its_network_is_right(name, fer2013_folder):
    checkpoint = load_network(name)
    card, device = checkpoint.card, Workers().device
    stated = card.metrics["PrivateTest"]
    faces = load_faces(f"ferplus:{fer2013_folder}", "PrivateTest", card.preprocessing).labelled()
    assert len(faces) == stated["uncorrected"]["n"]
    part = faces.subset(np.arange(len(faces)) % EVERY == 0)
    network = checkpoint.network.to(device)
    logits = predict_logits(network, part, card.preprocessing, device)
    measured = measure_both(logits, part, card.calibration)
    for kind, metrics in measured.items():
        accuracy = stated[kind]["accuracy"]
        error = (accuracy * (1 - accuracy) / len(part)) ** 0.5
        assert abs(metrics.accuracy - accuracy) < 3 * error
