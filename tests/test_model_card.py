"""The cards as documents."""

import pytest

from fer_models.checkpoints import SHIPPED_FOLDER, load_card, shipped_checkpoints
from fer_models.model_card import model_card


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_the_shipped_document_is_what_its_card_gives(name):
    assert (SHIPPED_FOLDER / f"{name}.md").read_text() == model_card(load_card(name)), (
        "run python -m fer_models checkpoints --write-documents"
    )


def test_a_document_states_the_weights_the_results_and_the_schedule():
    card = load_card("mfn")
    document = model_card(card)
    assert card.sha256 in document and f"{card.parameters:,}" in document
    numbers = card.metrics["PrivateTest"]["corrected"]
    assert f"{numbers['accuracy']:.4f}" in document and f"n {numbers['n']}" in document
    assert card.training["note"] in document
