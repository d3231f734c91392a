"""The Lab in Chromium: a face that changes under the slider, and its way to the other tabs."""

import json

import pytest
from PIL import Image

from tests.browser.waiting import (
    wait_for_another_picture,
    wait_for_file,
    wait_for_input,
    wait_for_picture,
)
from tests.conftest import SHIPPED

LOADER = "input[type=file][data-testid^='Load parameters']"
CHANGED = "([place, no]) => ![undefined, no].includes(document.querySelector(place)?.innerHTML)"


@pytest.fixture
def lab(tab):
    """The Lab, once its first face and the networks' answers are there."""
    tab.get_by_role("tab", name="Lab").click()
    tab.wait_for_selector("#lab-face img", timeout=60_000)
    for name in SHIPPED:
        tab.wait_for_selector(f"#lab-card-{name} .fer-bar", timeout=60_000)
    return tab


def wait_for_another_face(tab, before: str) -> None:
    wait_for_another_picture(tab, "#lab-face img", before)


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
    wait_for_another_face(lab, face)
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
    assert float(left.input_value()) == pytest.approx(0.7)
    assert float(right.input_value()) == 0


def test_the_face_follows_every_other_control_and_a_slider_that_is_still_held(lab):
    def changes_the_face(act, *arguments):
        before = lab.locator("#lab-face img").get_attribute("src")
        act(*arguments)
        wait_for_another_face(lab, before)

    changes_the_face(lab.locator("#lab-expression label", has_text="contempt").click)
    lab.wait_for_selector("#lab-symmetric input:not(:checked)", state="attached")
    changes_the_face(lab.locator("#lab-symmetric input").check)
    lab.locator("#lab-identity input").click()
    changes_the_face(lab.get_by_role("option", name="Chen").click)
    lab.get_by_role("button", name="Head, light and background").click()
    lab.wait_for_timeout(1000)  # a hand's time: what is typed as a slider appears can be lost
    changes_the_face(set_slider, lab, "#lab-yaw_deg", 20)
    changes_the_face(set_slider, lab, "#lab-light_azimuth_deg", 60)
    changes_the_face(lab.locator("#lab-background label", has_text="blurred").click)

    slider = lab.locator("#lab-browInnerUp input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    lab.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
    lab.mouse.down()
    changes_the_face(lab.mouse.move, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    lab.mouse.up()


def test_heatmaps_come_on_demand_and_all_answers_can_be_saved(lab):
    assert lab.locator("#lab-card-mfn img").count() == 0
    lab.locator("#lab-heatmaps input").check()
    lab.wait_for_selector("#lab-card-mfn img", timeout=60_000)
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-answers").click()
    assert set(json.loads(download.value.path().read_text())["networks"]) == set(SHIPPED)
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-figure").click()
    assert download.value.suggested_filename == "happiness_Ada_answers.png"
    assert Image.open(download.value.path()).size[0] > 1000


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
    wait_for_picture(lab, "#lab-face img", face)
    bad = tmp_path / "bad.json"
    bad.write_text('{"smile": 1}')
    lab.set_input_files(LOADER, str(bad))
    lab.wait_for_selector("#lab-problem .fer-problem >> text=Unknown parameter 'smile'")
    lab.wait_for_timeout(3_000)  # the answer to the face loaded before must not wipe it out
    assert "Unknown parameter 'smile'" in lab.locator("#lab-problem").inner_text()
    lab.locator("#lab-reset").click()
    lab.wait_for_selector("#lab-problem", state="hidden")


def test_the_strength_is_that_of_the_face_after_a_reset_and_a_loaded_file(lab, tmp_path):
    def shows(strength, expression):
        wait_for_input(lab, "#lab-intensity input[type=number]", strength)
        lab.wait_for_selector("#lab-expression input:checked")
        assert lab.locator("#lab-expression input:checked").input_value() == expression

    shows("1", "happiness")
    before = lab.locator("#lab-face img").get_attribute("src")
    set_slider(lab, "#lab-intensity", 0.4)
    wait_for_another_face(lab, before)
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-json").click()
    download.value.save_as(tmp_path / "face.json")
    lab.locator("#lab-reset").click()
    shows("1", "neutral")
    lab.set_input_files(LOADER, str(tmp_path / "face.json"))
    shows("0.4", "happiness")


def test_a_slider_moved_in_the_same_moment_as_a_recipe_leaves_dials_and_face_in_step(lab, tmp_path):
    before = lab.locator("#lab-face img").get_attribute("src")
    slider = lab.locator("#lab-browInnerUp input[type=range]")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    lab.locator("#lab-expression label", has_text="anger").click()
    for _ in range(5):
        slider.press("ArrowRight")
    wait_for_another_face(lab, before)
    lab.wait_for_timeout(4_000)
    shown = float(lab.locator("#lab-browInnerUp input[type=number]").input_value())
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-json").click()
    actions = json.loads(download.value.path().read_text())["actions"]
    assert actions.get("browInnerUp", 0) == pytest.approx(shown)
    assert actions["browDownLeft"] == pytest.approx(1)


def test_the_face_can_be_sent_to_compare(lab):
    lab.locator("#lab-to-compare").click()
    for name in SHIPPED:
        lab.wait_for_selector(f"#card-{name} img", timeout=60_000)
    assert lab.locator("#picture img").first.is_visible()


def test_the_face_lands_in_figure_1_in_the_place_of_its_expression(lab):
    lab.get_by_role("tab", name="Figure 1").click()
    lab.wait_for_selector("#figure1-anger img")
    sources = {
        name: lab.locator(f"#figure1-{name} img").get_attribute("src")
        for name in ("happiness", "anger")
    }
    lab.get_by_role("tab", name="Lab").click()
    lab.locator("#lab-to-figure1").click()
    lab.wait_for_selector("#figure1-line >> text=in the place of happiness")
    assert lab.locator("#figure1-happiness img").get_attribute("src") != sources["happiness"]
    assert lab.locator("#figure1-anger img").get_attribute("src") == sources["anger"]


def test_a_face_without_a_place_becomes_a_further_picture(lab):
    before = content(lab, "#lab-face")
    lab.locator("#lab-expression label", has_text="contempt").click()
    wait_for_change(lab, "#lab-face", before)
    lab.locator("#lab-to-figure1").click()
    lab.wait_for_selector("#figure1-line >> text=among the further pictures")
    lab.locator("#figure1-more button").first.click()
    wait_for_file(lab, "#figure1-files", "contempt_Ada")


def test_taking_actions_away_gives_one_number_and_a_ranking_for_each_network(lab, screenshot):
    lab.get_by_text("Which action matters").first.click()
    lab.locator("#lab-rank").click()
    for name in SHIPPED:
        lab.wait_for_selector(f"#lab-claim-{name} .lab-change", timeout=90_000)
    assert lab.locator("#lab-claims-json").is_enabled()
    screenshot("lab-actions")


def test_a_tuning_curve_grows_and_can_be_downloaded(lab, screenshot):
    lab.get_by_text("Tuning curve: vary").click()
    lab.locator("#lab-sweep").click()
    lab.wait_for_selector("#lab-curve image", timeout=60_000)
    assert lab.locator("#lab-curve-line progress").count() == 1
    lab.wait_for_selector("#lab-curve-svg:enabled", timeout=120_000)
    assert lab.locator("#lab-curve image").count() == 5 * len(SHIPPED)
    with lab.expect_download(timeout=60_000) as download:
        lab.locator("#lab-curve-json").click()
    assert len(json.loads(download.value.path().read_text())["values"]) == 9
    screenshot("lab-curve")


def test_no_result_stands_beside_another_face_or_question(lab):
    lab.get_by_text("Tuning curve: vary").click()
    lab.get_by_text("Which action matters").first.click()
    lab.locator("#lab-rank").click()
    lab.wait_for_selector("#lab-claims-json:enabled", timeout=90_000)
    lab.locator("#lab-sweep").click()
    lab.wait_for_selector("#lab-curve image", timeout=60_000)
    lab.locator("#lab-expression label", has_text="anger").click()  # the curve is not done yet
    for line in ("#lab-curve-line", "#lab-claim-line"):
        lab.wait_for_selector(f"{line} >> text=has changed")
    lab.wait_for_selector("#lab-claims-json:disabled")
    assert lab.locator(".lab-change").count() == 0
    assert lab.locator("#lab-vary input").input_value() == "Recipe: anger, from nothing to full"
    assert lab.locator("#lab-target input").input_value() == "anger"
    lab.wait_for_timeout(3_000)  # nothing that the ended run still does may land
    assert lab.locator("#lab-curve image").count() == 0
    assert lab.locator("#lab-sweep").is_enabled()

    lab.locator("#lab-rank").click()
    lab.wait_for_selector("#lab-claims-json:enabled", timeout=90_000)
    lab.locator("#lab-target input").click()
    lab.get_by_role("option", name="sadness").click()
    lab.wait_for_selector("#lab-claim-line >> text=has changed")


def test_stop_ends_both_experiments(lab):
    stops = [lab.locator("#lab-sweep-stop"), lab.locator("#lab-rank-stop")]
    lab.get_by_text("Tuning curve: vary").click()
    lab.get_by_text("Which action matters").first.click()
    lab.wait_for_selector("#lab-rank-stop:disabled")
    assert stops[0].is_disabled()
    lab.locator("#lab-sweep").click()
    lab.wait_for_selector("#lab-curve image", timeout=60_000)
    assert lab.locator("#lab-sweep").is_disabled() and stops[1].is_disabled()
    lab.locator("#lab-sweep-stop").click()
    lab.wait_for_selector("#lab-curve-line >> text=Stopped.")
    drawn = lab.locator("#lab-curve image").count()
    lab.locator("#lab-rank").click()
    lab.wait_for_selector("#lab-claim-line progress")
    lab.locator("#lab-rank-stop").click()
    lab.wait_for_selector("#lab-claim-line >> text=Stopped.")
    lab.wait_for_timeout(4_000)  # nothing that the stopped runs still do may land
    assert lab.locator("#lab-curve image").count() == drawn < 5 * len(SHIPPED)
    assert "Stopped." in lab.locator("#lab-curve-line").inner_text()
    assert "Stopped." in lab.locator("#lab-claim-line").inner_text()
    assert lab.locator(".lab-change").count() == 0
    assert lab.locator("#lab-claims-json").is_disabled()
    assert all(stop.is_disabled() for stop in stops)
    assert lab.locator("#lab-sweep").is_enabled() and lab.locator("#lab-rank").is_enabled()


def test_on_a_phone_the_face_stays_in_sight_above_the_sliders(lab, screenshot):
    lab.set_viewport_size({"width": 390, "height": 844})
    lab.get_by_role("button", name="Mouth").click()
    lab.locator("#lab-mouthFunnel").scroll_into_view_if_needed()
    box = lab.locator("#lab-face img").bounding_box()
    assert 0 <= box["y"] < 200 and box["height"] > 120
    slider = lab.locator("#lab-mouthFunnel").bounding_box()
    assert slider["y"] > box["y"] + box["height"]
    assert lab.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot("lab-phone")


def test_the_lab_speaks_chinese(tab, page_url, screenshot):
    tab.goto(page_url + "zh")
    tab.get_by_role("tab", name="表情实验室").click()
    tab.wait_for_selector("#lab-card-mfn .fer-bar:has-text('高兴')", timeout=60_000)
    before = content(tab, "#lab-face")
    tab.locator("#lab-expression label", has_text="惊讶").click()
    wait_for_change(tab, "#lab-face", before)
    tab.get_by_text("调谐曲线").click()
    tab.wait_for_function("() => /惊讶/.test(document.querySelector('#lab-vary input')?.value)")
    tab.locator("#lab-sweep").click()
    tab.wait_for_selector("#lab-curve-svg:enabled", timeout=120_000)
    assert "恐惧" in tab.locator("#lab-curve title").all_text_contents()[9 * 4]
    screenshot("lab-zh")


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1093, 614)])
def test_on_a_low_screen_face_and_bars_stay_in_sight_beside_the_sliders(lab, width, height):
    lab.set_viewport_size({"width": width, "height": height})
    lab.get_by_role("button", name="Mouth").click()
    slider = lab.locator("#lab-mouthSmileLeft")
    slider.evaluate("element => element.scrollIntoView({block: 'center'})")
    assert 0 <= slider.bounding_box()["y"] < height
    assert lab.locator("#lab-face img").bounding_box()["y"] >= 0
    for name in SHIPPED:
        bars = lab.locator(f"#lab-card-{name} .fer-bars").bounding_box()
        assert bars["y"] + bars["height"] <= height
