"""Figure 1 in Chromium: one click on the drawn faces, and other faces in their places."""

import json

from tests.browser.waiting import wait_for_file
from tests.conftest import EXAMPLE

SLOTS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


def open_figure1(tab) -> None:
    tab.get_by_role("tab", name="Figure 1").click()
    for name in SLOTS:
        tab.wait_for_selector(f"#figure1-{name} img")


def download_record(tab) -> dict:
    tab.wait_for_selector("#figure1-json:enabled", timeout=120_000)
    with tab.expect_download(timeout=60_000) as download:
        tab.locator("#figure1-json").click()
    return json.loads(download.value.path().read_text())


def test_one_click_draws_the_seven_drawn_faces(tab, screenshot):
    open_figure1(tab)
    tab.click("#figure1-draw")
    tab.wait_for_selector("#figure1-line progress")
    tab.wait_for_selector("#figure1-image img", timeout=120_000)
    assert [row["name"] for row in download_record(tab)["rows"]] == list(SLOTS)
    for kind, beginning in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        with tab.expect_download(timeout=60_000) as download:
            tab.locator(f"#figure1-{kind}").click()
        assert download.value.suggested_filename == f"figure1.{kind}"
        assert download.value.path().read_bytes().startswith(beginning)
    screenshot("figure1")
    tab.click("#figure1-clear")
    tab.wait_for_selector("#figure1-line >> text=have changed; draw again")
    tab.wait_for_selector("#figure1-image img", state="detached")
    assert all(tab.locator(f"#figure1-{kind}").is_disabled() for kind in ("png", "pdf", "json"))


def test_a_change_during_a_run_ends_it(tab):
    open_figure1(tab)
    assert tab.locator("#figure1-stop").is_disabled()
    tab.click("#figure1-draw")
    tab.wait_for_selector("#figure1-stop:enabled")
    assert tab.locator("#figure1-draw").is_disabled()
    tab.click("#figure1-clear")
    tab.wait_for_selector("#figure1-line >> text=have changed; draw again")
    tab.wait_for_timeout(4_000)  # nothing that the run still does may land
    assert tab.locator("#figure1-image img").count() == 0
    assert tab.locator("#figure1-draw").is_enabled() and tab.locator("#figure1-stop").is_disabled()


def test_a_place_can_be_emptied_replaced_and_filled_again(tab):
    open_figure1(tab)
    tab.click("#figure1-clear")
    tab.wait_for_selector("#figure1-anger img", state="detached")
    tab.set_input_files("#figure1-happiness input[type=file]", str(EXAMPLE))
    tab.wait_for_selector("#figure1-happiness img")
    tab.click("#figure1-draw")
    (row,) = download_record(tab)["rows"]
    assert row["name"] == "happiness" and row["source"] == "detected"
    own = tab.locator("#figure1-happiness img").get_attribute("src")
    tab.click("#figure1-fill")
    tab.wait_for_selector("#figure1-anger img")
    assert tab.locator("#figure1-happiness img").get_attribute("src") == own


def test_further_pictures_become_rows_below(tab):
    open_figure1(tab)
    tab.click("#figure1-clear")
    tab.wait_for_selector("#figure1-anger img", state="detached")
    tab.locator("#figure1-more button").first.click()
    tab.set_input_files("#figure1-files input[type=file]", [str(EXAMPLE)])
    wait_for_file(tab, "#figure1-files", "eileen_collins")
    tab.click("#figure1-draw")
    tab.locator("#figure1-image img").or_(tab.locator("#figure1-line .fer-problem")).wait_for(
        timeout=120_000
    )
    assert tab.locator("#figure1-line .fer-problem").all_inner_texts() == []
    assert [row["name"] for row in download_record(tab)["rows"]] == ["eileen_collins"]


# Inside the page: a run takes about two seconds, and a test on a busy machine would come too late.
STOP_AS_SOON_AS_IT_RUNS = """() => new Promise(done => {
  const look = () => {
    const stop = document.querySelector('#figure1-stop:enabled');
    if (!stop) return requestAnimationFrame(look);
    stop.click();
    done();
  };
  document.querySelector('#figure1-draw').click();
  look();
})"""


def test_stop_ends_the_run_and_the_next_one_works(tab):
    open_figure1(tab)
    tab.evaluate(STOP_AS_SOON_AS_IT_RUNS)
    tab.wait_for_selector("#figure1-line >> text=Stopped.")
    tab.wait_for_timeout(4_000)  # nothing that the stopped run still does may land
    assert "Stopped." in tab.locator("#figure1-line").inner_text()
    assert tab.locator("#figure1-image img").count() == 0
    tab.click("#figure1-draw")
    tab.wait_for_selector("#figure1-image img", timeout=120_000)
