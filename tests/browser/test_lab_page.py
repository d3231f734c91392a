"""The Lab in Chromium: a face that changes under the slider, and its way to the other tabs."""

import json

import pytest

from tests.conftest import SHIPPED

LOADER = "input[type=file][data-testid^='Load parameters']"
CHANGED = "([place, before]) => document.querySelector(place)?.innerHTML !== before"


@pytest.fixture
def lab(tab):
    """The Lab, once its first face and the networks' answers are there."""
    tab.get_by_role("tab", name="Lab").click()
    tab.wait_for_selector("#lab-face img", timeout=60_000)
    for name in SHIPPED:
        tab.wait_for_selector(f"#lab-card-{name} .fer-bar", timeout=60_000)
    return tab


def wait_for_another_face(tab, before: str) -> None:
    changed = "before => document.querySelector('#lab-face img')?.src !== before"
    tab.wait_for_function(changed, arg=before, timeout=60_000)


def load(tab, file) -> None:
    with tab.expect_file_chooser() as chooser:
        tab.locator("#lab-load").click()
    chooser.value.set_files(str(file))


def content(tab, place: str) -> str:
    return tab.locator(place).evaluate("e => e.innerHTML")


def wait_for_change(tab, place: str, before: str) -> None:
    tab.wait_for_function(CHANGED, arg=[place, before], timeout=60_000)


def set_slider(tab, place: str, value: float) -> None:
    tab.locator(f"{place} input[type=number]").fill(str(value))
    tab.locator(f"{place} input[type=number]").press("Enter")


def test_a_slider_changes_the_picture_and_a_probability(lab, screenshot):
    face = lab.locator("#lab-face img").get_attribute("src")
    card = content(lab, "#lab-card-mfn")
    slider = lab.locator("#lab-browInnerUp input[type=range]")
    slider.focus()
    for _ in range(30):
        slider.press("ArrowRight")
    lab.wait_for_function(
        "before => document.querySelector('#lab-face img').src !== before", arg=face
    )
    wait_for_change(lab, "#lab-card-mfn", card)
    assert lab.locator("#lab-expression input:checked").count() == 0  # no recipe's face any more
    screenshot("lab")


def test_an_expression_moves_the_sliders_and_contempt_shows_both_sides(lab):
    lab.get_by_role("button", name="Mouth").click()
    lab.wait_for_selector("#lab-mouthSmileLeft")
    assert not lab.locator("#lab-mouthSmileRight").is_visible()
    before = content(lab, "#lab-face")
    lab.locator("#lab-expression label", has_text="contempt").click()
    wait_for_change(lab, "#lab-face", before)
    lab.wait_for_selector("#lab-mouthSmileRight")
    left = lab.locator("#lab-mouthSmileLeft input[type=number]")
    right = lab.locator("#lab-mouthSmileRight input[type=number]")
    assert float(left.input_value()) == pytest.approx(0.56)
    assert float(right.input_value()) == 0


def test_the_face_can_be_saved_and_loaded_with_the_same_pixels(lab, tmp_path):
    before = lab.locator("#lab-face img").get_attribute("src")
    set_slider(lab, "#lab-browInnerUp", 0.37)
    wait_for_another_face(lab, before)
    face = lab.locator("#lab-face img").get_attribute("src")
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-json").click()
    file = tmp_path / "face.json"
    download.value.save_as(file)
    assert json.loads(file.read_text())["actions"]["browInnerUp"] == 0.37

    lab.locator("#lab-reset").click()
    wait_for_another_face(lab, face)
    lab.set_input_files(LOADER, str(file))
    lab.wait_for_function(
        "wanted => document.querySelector('#lab-face img').src === wanted", arg=face, timeout=60_000
    )
    lab.wait_for_timeout(3_000)  # the networks' answer to the loaded face writes to the same line
    bad = tmp_path / "bad.json"
    bad.write_text('{"smile": 1}')
    lab.set_input_files(LOADER, str(bad))
    lab.wait_for_selector("#lab-line .fer-problem:has-text('Unknown parameter smile')")


def test_the_face_can_be_sent_to_compare(lab):
    lab.locator("#lab-to-compare").click()
    for name in SHIPPED:
        lab.wait_for_selector(f"#card-{name} img", timeout=60_000)
    assert lab.locator("#picture img").first.is_visible()


def test_the_face_can_be_sent_to_figure_1(lab):
    lab.locator("#lab-to-figure1").click()
    lab.wait_for_selector("#figure1-files >> text=happiness_Ada", timeout=60_000)


def test_taking_actions_away_gives_one_number_and_a_ranking_for_each_network(lab, screenshot):
    lab.get_by_text("Which action matters").first.click()
    lab.locator("#lab-rank").click()
    for name in SHIPPED:
        lab.wait_for_selector(f"#lab-claim-{name} .lab-change", timeout=90_000)
    screenshot("lab-actions")


def test_a_tuning_curve_is_drawn(lab, screenshot):
    lab.get_by_text("Tuning curve: vary").click()
    lab.locator("#lab-sweep").click()
    lab.wait_for_selector("#lab-curve img", timeout=120_000)
    screenshot("lab-curve")
