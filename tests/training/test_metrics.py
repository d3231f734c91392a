"""Every number of a report against one counted by hand."""

import numpy as np
import pytest

from training.metrics import expected_calibration_error, measure

NAMES = ("neutral", "happiness", "contempt")


@pytest.fixture
def metrics():
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]]
    )
    return measure(probabilities, np.array([0, 0, 0, 1, 2]), NAMES)


def test_accuracy_counts_the_right_answers(metrics):
    assert metrics.n == 5
    assert metrics.accuracy == pytest.approx(3 / 5)


def test_the_confusion_has_labels_in_rows_and_predictions_in_columns(metrics):
    assert metrics.confusion == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_balanced_accuracy_is_the_mean_recall(metrics):
    assert metrics.recall == pytest.approx({"neutral": 2 / 3, "happiness": 1, "contempt": 0})
    assert metrics.balanced_accuracy == pytest.approx(5 / 9)
    assert metrics.balanced_accuracy_basic == pytest.approx(5 / 6)


def test_a_class_without_faces_counts_neither_way():
    metrics = measure(np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.array([0, 1]), NAMES)
    assert set(metrics.recall) == {"neutral", "happiness"}
    assert metrics.balanced_accuracy == 1


def test_log_loss_is_the_mean_log_of_the_right_class(metrics):
    expected = -np.log([0.8, 0.2, 0.6, 0.8, 0.2]).mean()
    assert metrics.log_loss == pytest.approx(expected)


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_faces():
    # Bin of 0.9: three of four right, gap 0.15. Bin of 0.6: both wrong, gap 0.6.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1])
    error = expected_calibration_error(probabilities, labels)
    assert error == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)


def test_sure_and_right_is_perfectly_calibrated():
    assert expected_calibration_error(np.eye(3), np.array([0, 1, 2])) == 0
