"""The cards as documents."""

from dataclasses import replace

import pytest

from fer_models.analysis import DISPLAY_NAMES
from fer_models.calibration import Calibration
from fer_models.checkpoints import SHIPPED_FOLDER, load_card, shipped_checkpoints
from fer_models.model_card import model_card
from tests.service.page_process import ROOT


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_the_shipped_document_is_what_its_card_gives(name):
    assert (SHIPPED_FOLDER / f"{name}.md").read_text() == model_card(load_card(name)), (
        "run python -m fer_models checkpoints --write-documents"
    )


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_the_readme_reports_what_the_card_says(name):
    card = load_card(name)
    numbers = card.metrics["PrivateTest"]
    keys = ("accuracy", "balanced_accuracy_basic")
    values = [numbers[kind][key] for key in keys for kind in ("uncorrected", "corrected")]
    values.append(numbers["corrected"]["expected_calibration_error"])
    cells = [DISPLAY_NAMES[name], f"{card.parameters:,}", *(f"{value:.4f}" for value in values)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(cells)} |" in readme


def test_a_document_states_the_weights_the_results_and_the_schedule():
    card = load_card("mfn")
    document = model_card(card)
    assert card.sha256 in document and f"{card.parameters:,}" in document
    numbers = card.metrics["PrivateTest"]["corrected"]
    assert f"{numbers['accuracy']:.4f}" in document and f"n {numbers['n']}" in document
    assert card.training.get("note", "") in document


def test_a_document_says_precision_note_and_how_the_calibration_was_chosen_where_the_card_does():
    card = load_card("mfn")
    training = {"data": "ferplus", "recipe": {}, "device": "CPU, 2 threads"}
    silent = model_card(replace(card, training=training))
    assert "on CPU, 2 threads, data ferplus.\n" in silent
    assert "both were chosen on validation images." in model_card(
        replace(card, calibration=replace(card.calibration, chosen_by=""))
    )
    training = {**training, "precision": "float32", "note": "Cut short.", "before": training}
    calibration = replace(card.calibration, chosen_by="a coin")
    told = model_card(replace(card, training=training, calibration=calibration))
    assert "on CPU, 2 threads in float32, data ferplus. Cut short." in told
    assert "The earlier part" in told and "Chosen by a coin." in told
    plain = replace(card, calibration=Calibration.none(8))
    assert "divided by the temperature 1: the plain softmax." in model_card(plain)
