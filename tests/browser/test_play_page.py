"""The Play tab in Chromium: the brush under the mouse, covers, sliders, reset, files."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SHIPPED


@pytest.fixture
def play(tab):
    """The Play tab, with the example photograph's face."""
    tab.get_by_role("tab", name="Play").click()
    tab.locator("#play-example").click()
    for name in SHIPPED:
        tab.wait_for_selector(f"#play-{name} .fer-bar", timeout=60_000)
    tab.wait_for_selector("#play-brush img")
    return tab


def wait_for_line(tab, text: str) -> None:
    tab.wait_for_selector(f"#play-line .fer-notice:has-text('{text}')", timeout=30_000)


def drag(tab, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Paint a stroke; points are shares of the canvas."""
    box = tab.locator("#play-brush canvas").bounding_box()
    (x0, y0), (x1, y1) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
    )
    tab.mouse.move(x0, y0)
    tab.mouse.down()
    tab.mouse.move(x1, y1, steps=8)
    tab.mouse.up()


def covered(tab) -> int:
    """How many of the canvas's cells are covered."""
    return tab.locator("#play-brush canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, 112, 112).data"
        ".filter((v, i) => i % 4 === 3 && v > 127).length"
    )


def test_a_stroke_of_the_mouse_covers_the_face_and_the_eraser_uncovers_it(play, screenshot):
    picture = play.locator("#play-mfn img").get_attribute("src")
    drag(play, (0.2, 0.35), (0.8, 0.35))
    wait_for_line(play, "of the picture covered by hand")
    assert play.locator("#play-mfn img").get_attribute("src") != picture
    # A brush of 16 cells drawn 0.6 of 112 cells far, with its round ends.
    assert covered(play) == pytest.approx(16 * 0.6 * 112 + np.pi * 8**2, rel=0.05)
    screenshot("play")
    play.locator("#play-brush [name=erase]").check()
    drag(play, (0.0, 0.33), (1.0, 0.33))
    drag(play, (0.0, 0.38), (1.0, 0.38))
    wait_for_line(play, "Nothing is changed yet")
    assert covered(play) == 0


def test_the_cards_look_busy_until_the_answers_are_of_now(play):
    card = "document.querySelector('#play-mfn .fer-card')"
    opacity = f"({card} && getComputedStyle({card}).opacity)"
    # Compare takes the example too, and tells Play, which has it already.
    play.wait_for_selector("#card-ddamfn img", state="attached")
    play.wait_for_function(f"{opacity} === '1'")
    play.locator("#play-mouth").click()
    play.wait_for_function(f"{opacity} < 0.5 && {card}")
    wait_for_line(play, "With the mouth covered")
    play.wait_for_function(f"{opacity} === '1'")


def test_the_sliders_stand_in_one_line_and_on_a_phone_before_the_cards(play):
    play.set_viewport_size({"width": 1366, "height": 768})
    names = "brightness", "contrast", "blur", "rotation"
    boxes = [play.locator(f"#play-{n} input[type=range]").bounding_box() for n in names]
    assert len({box["y"] for box in boxes}) == 1
    play.set_viewport_size({"width": 390, "height": 844})
    slider, card = (play.locator(e).bounding_box() for e in ("#play-rotation", "#play-ddamfn"))
    assert slider["y"] + slider["height"] <= card["y"]


def test_a_cover_and_sliders_change_the_answers_and_reset_brings_them_back(play):
    answer = play.locator("#play-mfn .fer-answer").inner_text()
    play.locator("#play-mouth").click()
    wait_for_line(play, "With the mouth covered: DDAMFN")
    assert covered(play) == 32 * 60
    play.locator("#play-rotation input[type=number]").fill("30")
    play.keyboard.press("Enter")
    wait_for_line(play, "a turn of 30°")
    play.locator("#play-mirror input").check()
    wait_for_line(play, "left and right exchanged")
    assert play.locator("#play-mfn .fer-answer").inner_text() != answer
    assert play.locator("#play-mfn .fer-mark").count() == 8
    play.locator("#play-reset").click()
    wait_for_line(play, "Nothing is changed yet")
    assert play.locator("#play-mfn .fer-answer").inner_text() == answer
    assert covered(play) == 0 and not play.locator("#play-mirror input").is_checked()


def test_changes_stay_when_the_tab_is_left_and_go_with_another_face(play):
    play.locator("#play-eyes").click()
    wait_for_line(play, "With the eyes covered")
    play.get_by_role("tab", name="Compare").click()
    play.get_by_role("tab", name="Play").click()
    play.wait_for_timeout(2_000)
    wait_for_line(play, "With the eyes covered")
    assert covered(play) == 30 * 88
    play.get_by_role("tab", name="Compare").click()
    play.locator("#examples img[src*=sadness]").click()
    play.wait_for_selector("#card-ddamfn img", timeout=60_000)
    play.wait_for_timeout(2_000)
    play.get_by_role("tab", name="Play").click()
    wait_for_line(play, "Nothing is changed yet")
    assert covered(play) == 0


def test_the_changed_face_can_be_downloaded(play):
    play.locator("#play-left").click()
    wait_for_line(play, "With the left half covered")
    with play.expect_download(timeout=60_000) as download:
        play.locator("#play-save-png").click()
    picture = np.asarray(Image.open(download.value.path()))
    assert picture.shape == (336, 336, 3)
    assert (picture[:, :168] == 128).all() and picture[:, 168:].std() > 10
    with play.expect_download(timeout=60_000) as download:
        play.locator("#play-save-json").click()
    assert json.loads(download.value.path().read_text())["covered_regions"] == ["left"]
    with play.expect_download(timeout=60_000) as download:
        play.locator("#play-save-figure").click()
    assert np.asarray(Image.open(download.value.path())).shape[1] > 1000  # four columns


def test_on_a_phone_nothing_is_wider_than_the_screen(play, screenshot):
    play.set_viewport_size({"width": 390, "height": 844})
    play.wait_for_timeout(500)
    assert play.evaluate("document.documentElement.scrollWidth") <= 390
    drag(play, (0.3, 0.7), (0.7, 0.7))
    wait_for_line(play, "covered by hand")
    screenshot("play-phone")
