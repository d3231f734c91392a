"""The Models tab in Chromium: cards, other numbers, and a checkpoint of the visitor's own."""

import json
from pathlib import Path

import pytest

from fer_models.analysis import PAGE_NETWORKS
from fer_models.checkpoints import SHIPPED_FOLDER, load_card
from tests.conftest import SHIPPED


@pytest.fixture
def models(tab):
    tab.get_by_role("tab", name="Models").click()
    tab.wait_for_selector("#models-cards .models-card >> nth=2")
    return tab


def card(tab, network: str):
    return tab.locator("#models-cards .models-card").nth(
        ("ddamfn", "mfn", "resnet50").index(network)
    )


def upload(tab, *files: Path) -> None:
    if not tab.locator("#models-upload").is_visible():
        tab.locator("#models-own button").first.click()
    with tab.expect_file_chooser() as chooser:
        tab.locator("#models-upload").click()
    chooser.value.set_files([str(file) for file in files])


def test_the_cards_stand_side_by_side_and_their_rows_at_one_height(models, screenshot):
    titles = models.locator("#models-cards .models-card h2").all_inner_texts()
    assert titles == ["DDAMFN", "MFN", "ResNet-50"]
    for network in SHIPPED:
        metrics = load_card(network).metrics["PrivateTest"]["corrected"]
        assert f"{100 * metrics['accuracy']:.2f} %" in card(models, network).inner_text()
        assert card(models, network).locator(".models-confusion tbody td").count() == 64
    tops = {
        card(models, network).locator(".models-confusion").bounding_box()["y"]
        for network in SHIPPED
    }
    assert len(tops) == 1
    assert "Not the same exam." in models.locator("#models-comparison").inner_text()
    screenshot("models")


def test_the_uncorrected_numbers_of_the_validation_pictures_can_be_seen(models):
    before = card(models, "mfn").locator(".models-confusion").inner_text()
    models.locator("#models-kind").get_by_label("uncorrected").check()
    models.wait_for_selector("#models-cards h3:has-text('(recall, uncorrected)')")
    models.locator("#models-split").get_by_label("validation").check()
    models.wait_for_selector("#models-cards caption:has-text('3,199')")
    assert card(models, "mfn").locator(".models-confusion").inner_text() != before


def test_the_card_can_be_read_and_downloaded(models):
    card(models, "mfn").get_by_text("The whole card").click()
    assert '"sha256"' in card(models, "mfn").locator("pre").inner_text()
    with models.expect_download() as download:
        card(models, "mfn").get_by_text("Download the card").click()
    assert download.value.suggested_filename == "mfn.json"
    assert json.loads(download.value.path().read_text()) == json.loads(
        (SHIPPED_FOLDER / "mfn.json").read_text()
    )


def test_a_visitors_own_checkpoint_is_checked_and_chosen_for_this_tab_alone(
    models, chromium, page_url
):
    weights = SHIPPED_FOLDER / "mfn.safetensors"
    upload(models, weights)
    models.wait_for_selector("#models-upload-line .fer-problem:has-text('two files together')")
    upload(models, weights, SHIPPED_FOLDER / "ddamfn.json")
    models.wait_for_selector("#models-upload-line .fer-problem:has-text('sha256')", timeout=60_000)
    upload(models, weights, weights.with_suffix(".json"))
    models.wait_for_selector("#models-upload-line .fer-agree", timeout=60_000)
    models.wait_for_selector("#models-cards .models-card >> text=Your upload.")
    assert models.locator("#models-menu-mfn input").input_value() == "your upload"
    other = chromium.new_page()
    other.goto(page_url)
    other.get_by_role("tab", name="Models").click()
    other.wait_for_selector("#models-cards .models-card >> nth=2")
    assert other.locator("#models-menu-mfn input").input_value() == "mfn (shipped)"
    assert other.get_by_text("Your upload.").count() == 0
    other.close()
    models.locator("#models-menu-mfn input").click()
    models.get_by_role("option", name="mfn (shipped)").click()
    gone = "document.querySelector('#models-cards')?.innerText.includes('Your upload.') === false"
    models.wait_for_function(gone)


def test_on_a_phone_the_cards_stack(models, screenshot):
    models.set_viewport_size({"width": 390, "height": 844})
    tops = [card(models, name).bounding_box()["y"] for name in PAGE_NETWORKS]
    assert tops[0] < tops[1] < tops[2]
    assert models.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot("models-phone")
