"""The Trust tab in Chromium: a run, a stop, and what another choice clears."""

import json

import pytest

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS
from tests.browser.waiting import wait_for_another_picture
from tests.conftest import EXAMPLE, SHIPPED

PARTS = ("faithfulness", "randomisation", "stability")


@pytest.fixture
def trust(tab):
    """The tab with the example's face, before a run."""
    tab.set_input_files("#picture input[type=file]", str(EXAMPLE))
    tab.wait_for_selector("#card-mfn img", timeout=60_000)
    tab.get_by_role("tab", name="Trust").click()
    tab.wait_for_selector("#trust-subject img")
    tab.wait_for_selector("#trust-run:enabled")
    return tab


def measured(tab) -> list[bool]:
    return [tab.locator(f"#trust-{part} .fer-notice").count() == 1 for part in PARTS]


def start(tab) -> None:
    tab.click("#trust-run")
    tab.wait_for_selector("#trust-stop:enabled")


def test_without_a_face_the_tab_says_where_to_choose_one(tab):
    tab.get_by_role("tab", name="Trust").click()
    tab.wait_for_selector("#trust-line >> text=Choose a face in the tab Compare")
    assert tab.locator("#trust-run").is_disabled()
    labels = tab.locator("#trust-network label").all_inner_texts()
    assert [label.strip().split(" ")[0] for label in labels] == [
        DISPLAY_NAMES[name] for name in PAGE_NETWORKS
    ]
    assert [("no weights" in label) for label in labels] == [
        name not in SHIPPED for name in PAGE_NETWORKS
    ]


def test_the_example_leads_out_of_the_empty_state(tab):
    tab.get_by_role("tab", name="Trust").click()
    tab.click("#trust-example")
    tab.wait_for_selector("#trust-run:enabled", timeout=60_000)
    tab.wait_for_selector("#trust-example", state="hidden")
    assert "Ready to check" in tab.locator("#trust-line").inner_text()


def test_a_run_fills_the_three_checks_and_the_downloads(trust, screenshot):
    place = trust.locator("#trust-stability").bounding_box()["y"]
    start(trust)
    trust.wait_for_selector("#trust-line progress")
    trust.wait_for_selector("#trust-faithfulness .fer-notice", timeout=120_000)
    assert measured(trust) == [True, False, False]
    trust.wait_for_selector("#trust-json:enabled", timeout=120_000)
    assert measured(trust) == [True, True, True]
    assert "happiness" in trust.locator("#trust-subject").inner_text()
    assert "does not prove" in trust.locator("#trust-line").inner_text()
    assert trust.locator("#trust-faithfulness svg.fer-plot").count() == 2
    assert trust.locator("#trust-run").is_enabled() and trust.locator("#trust-stop").is_disabled()
    # The place that was kept for the first two checks is nearly the place that they take.
    assert trust.locator("#trust-stability").bounding_box()["y"] == pytest.approx(place, abs=60)
    with trust.expect_download() as download:
        trust.click("#trust-json")
    report = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert report["network"] == "ddamfn" and set(PARTS) < set(report)
    screenshot("trust")


def test_a_stop_keeps_what_was_done_and_another_choice_clears_it(trust):
    start(trust)
    trust.wait_for_selector("#trust-faithfulness .fer-notice", timeout=120_000)
    trust.click("#trust-stop")
    trust.wait_for_selector("#trust-run:enabled", timeout=30_000)
    assert measured(trust) == [True, False, False]
    assert "1 of 3" in trust.locator("#trust-line").inner_text()
    trust.wait_for_selector("#trust-png:enabled")
    # A look elsewhere clears nothing; another network does.
    trust.get_by_role("tab", name="Compare").click()
    trust.get_by_role("tab", name="Trust").click()
    trust.wait_for_timeout(1_500)
    assert measured(trust) == [True, False, False]
    trust.locator("#trust-network label").nth(1).click()
    trust.wait_for_selector("#trust-line >> text=MFN")
    assert measured(trust) == [False, False, False]
    assert trust.locator("#trust-json").is_disabled()


def test_another_network_during_a_run_ends_it(trust):
    start(trust)
    trust.wait_for_selector("#trust-line progress", timeout=60_000)
    trust.locator("#trust-network label").nth(1).click()
    trust.wait_for_selector("#trust-run:enabled")
    trust.wait_for_timeout(3_000)  # whatever the first run still sends must not land
    assert measured(trust) == [False, False, False]
    assert "MFN" in trust.locator("#trust-line").inner_text()


@pytest.mark.skipif(set(PAGE_NETWORKS) == set(SHIPPED), reason="every network has weights")
def test_a_network_without_weights_says_so(trust):
    missing = next(i for i, name in enumerate(PAGE_NETWORKS) if name not in SHIPPED)
    trust.locator("#trust-network label").nth(missing).click()
    trust.wait_for_selector(f"#trust-line >> text={DISPLAY_NAMES[PAGE_NETWORKS[missing]]}")
    trust.click("#trust-run")
    trust.wait_for_selector("#trust-line .fer-problem", timeout=30_000)
    assert "not available" in trust.locator("#trust-line").inner_text()
    assert trust.locator("#trust-run").is_enabled()


def test_the_guide_leads_here_with_its_own_face(trust):
    before = trust.locator("#trust-subject img").get_attribute("src")
    trust.locator("#guide button").first.click()
    for number in range(1, 6):
        trust.click("#guide-next")
        trust.wait_for_selector(f"#guide >> text=Step {number} of 5")
    trust.wait_for_selector("#trust-run:visible")
    wait_for_another_picture(trust, "#trust-subject img", before)


def test_it_fits_a_phone(trust):
    trust.set_viewport_size({"width": 390, "height": 844})
    trust.wait_for_timeout(500)
    assert trust.evaluate("document.documentElement.scrollWidth") <= 390
