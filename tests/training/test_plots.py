"""Curves and confusion matrices hold the numbers that they show."""

import pytest

from training.plots import draw_confusion, draw_curves

HISTORY = [
    {
        "epoch": epoch,
        "train_accuracy": 0.3 + 0.1 * epoch,
        "validation_accuracy": 0.2 + 0.1 * epoch,
        "train_loss": 2 / epoch,
        "validation_loss": 3 / epoch,
    }
    for epoch in (1, 2, 3)
]


def test_the_curves_are_the_historys_with_accuracy_in_per_cent():
    accuracy, loss = draw_curves(HISTORY, "toy").axes
    train, validation = accuracy.lines
    assert list(train.get_ydata()) == pytest.approx([40, 50, 60])
    assert list(validation.get_ydata()) == pytest.approx([30, 40, 50])
    assert list(loss.lines[1].get_ydata()) == pytest.approx([3, 1.5, 1])
    assert accuracy.get_ylabel() == "accuracy (%)"


def test_rows_of_a_csv_file_are_drawn_too():
    text = [{key: str(value) for key, value in row.items()} for row in HISTORY]
    assert list(draw_curves(text).axes[0].lines[0].get_ydata()) == pytest.approx([40, 50, 60])


def test_a_confusion_matrix_shows_shares_of_each_label_and_counts():
    figure = draw_confusion([[3, 1], [0, 0]], ("neutral", "happiness"))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["75 %\n3", "25 %\n1", "0 %\n0", "0 %\n0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "neutral (4)",
        "happiness (0)",
    ]
    assert axes.get_xlabel() == "prediction"
