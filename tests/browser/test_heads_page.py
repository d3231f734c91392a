"""The Heads tab in Chromium: a face from Compare or the example, channels, files."""

import json

import pytest

from tests.browser.test_page import upload
from tests.browser.waiting import wait_for_another_picture
from tests.conftest import EXAMPLE


@pytest.fixture
def heads(tab):
    """The Heads tab, looking at the example photograph."""
    tab.get_by_role("tab", name="Heads").click()
    tab.locator("#heads-example").click()
    tab.wait_for_selector("#heads-off .fer-bar", timeout=60_000)
    return tab


def channel(tab) -> int:
    return int(tab.locator("#heads-channel input[type=number]").input_value())


def wait_for_another_map(tab, before: str) -> None:
    wait_for_another_picture(tab, "#heads-one img", before)


def test_the_face_of_compare_is_looked_at(tab, screenshot):
    upload(tab, EXAMPLE)
    tab.wait_for_selector("#card-ddamfn img", timeout=60_000)
    tab.get_by_role("tab", name="Heads").click()
    tab.wait_for_selector("#heads-off .fer-bar", timeout=60_000)
    assert "DDAMFN says happiness" in tab.locator("#heads-line").inner_text()
    assert tab.locator("#heads-mean img").count() == tab.locator("#heads-one img").count() == 4
    assert not tab.locator("#heads-example").is_visible()
    screenshot("heads")


@pytest.mark.parametrize(
    ("name", "waiting", "shown"),
    [
        ("Heads", "#heads-example", "#heads-off .fer-bar"),
        ("Play", "#play-example", "#play-brush img"),
    ],
)
def test_a_face_that_is_found_late_appears_in_the_tab_that_is_open(tab, name, waiting, shown):
    tab.get_by_role("tab", name=name).click()
    tab.wait_for_selector(waiting)
    upload(tab, EXAMPLE)  # Compare's search ends while this tab is looked at
    tab.wait_for_selector(shown, timeout=60_000)
    assert not tab.locator(waiting).is_visible()


def test_the_channel_slider_changes_the_channels_maps_alone(heads):
    before = heads.locator("#heads-one img").first.get_attribute("src")
    mean = heads.locator("#heads-mean img").first.get_attribute("src")
    start = channel(heads)
    heads.locator("#heads-channel input[type=range]").focus()
    heads.keyboard.press("ArrowRight")
    wait_for_another_map(heads, before)
    assert channel(heads) == start + 1
    assert f"channel {start + 1}" in heads.locator("#heads-differences").inner_text()
    assert heads.locator("#heads-mean img").first.get_attribute("src") == mean
    here = heads.locator("#heads-one img").first.get_attribute("src")
    heads.locator("#heads-different").click()
    wait_for_another_map(heads, here)
    assert channel(heads) != start + 1


def test_a_bar_stands_beside_its_cells(heads):
    picture = heads.locator("#heads-one img").first.bounding_box()
    row = heads.locator("#heads-one .heads-row").first.bounding_box()
    column = heads.locator("#heads-one .heads-column").first.bounding_box()
    assert (row["x"], row["width"]) == pytest.approx((picture["x"], picture["width"]), abs=1)
    assert (column["y"], column["height"]) == pytest.approx(
        (picture["y"], picture["height"]), abs=1
    )


def test_what_is_shown_can_be_downloaded(heads):
    with heads.expect_download(timeout=60_000) as download:
        heads.locator("#heads-json").click()
    report = json.loads(download.value.path().read_text())
    assert report["channel"]["number"] == channel(heads)
    with heads.expect_download(timeout=60_000) as download:
        heads.locator("#heads-png").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_on_a_phone_two_maps_stand_side_by_side(heads, screenshot):
    heads.set_viewport_size({"width": 390, "height": 844})
    heads.wait_for_timeout(500)
    assert heads.evaluate("document.documentElement.scrollWidth") <= 390
    first, second = (heads.locator("#heads-mean figure").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"] and second["x"] + second["width"] <= 390
    screenshot("heads-phone")
