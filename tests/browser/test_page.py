"""The real page in Chromium, as a visitor uses it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, SHIPPED

NETWORKS = ("ddamfn", "mfn", "resnet50")


def upload(tab, file) -> None:
    tab.set_input_files("#picture input[type=file]", str(file))


def clear(tab) -> None:
    tab.get_by_label("Remove Image").or_(tab.get_by_label("Clear")).first.click()


def wait_for_results(tab) -> None:
    for name in SHIPPED:
        tab.wait_for_selector(f"#card-{name} img", timeout=60_000)
    tab.wait_for_selector("button:has-text('Download JSON'):enabled", timeout=60_000)


def test_the_example_gives_a_prediction_and_a_heatmap_for_each_network(tab, screenshot):
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    for name in set(NETWORKS) - set(SHIPPED):
        assert "No checkpoint" in tab.locator(f"#card-{name}").inner_text()
    for name in SHIPPED:
        card = tab.locator(f"#card-{name}")
        assert card.locator("img").count() == 1
        assert card.locator(".fer-answer strong").inner_text() == "happiness"
        assert card.locator(".fer-bar").count() == 8
        width = card.locator("img").evaluate("image => image.naturalWidth")
        assert width == 336
    tab.wait_for_selector("#attention img")
    assert tab.locator("#attention img").count() == 4
    assert "happiness" in tab.locator("#agreement").inner_text()
    screenshot("compare")


def test_one_click_on_the_example_is_enough(tab):
    tab.locator("#examples img[src*=eileen_collins]").click()
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()


def test_another_target_and_strength_change_the_pictures(tab):
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    image = tab.locator("#card-mfn img")
    before = image.get_attribute("src")
    tab.locator("#target input").click()
    tab.get_by_role("option", name="surprise").click()
    tab.wait_for_selector("#card-mfn .fer-caption:has-text('surprise')")
    after = image.get_attribute("src")
    assert after != before
    tab.locator("#more button").first.click()
    tab.get_by_label("Show the 7x7 cells that were computed").check()
    tab.wait_for_function(
        "before => document.querySelector('#card-mfn img').src !== before", arg=after
    )


def test_the_analysis_can_be_downloaded(tab):
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    with tab.expect_download(timeout=60_000) as download:
        tab.get_by_text("Download JSON").first.click()
    faces = json.loads(download.value.path().read_text())["faces"]
    assert set(faces[0]["networks"]) == set(SHIPPED)


@pytest.mark.parametrize("kind", ["text.jpg", "grey.png"])
def test_bad_pictures_get_a_message_and_the_page_goes_on(tab, tmp_path, kind):
    file = tmp_path / kind
    if kind == "text.jpg":
        file.write_text("no picture")
    else:
        Image.new("RGB", (200, 200), "grey").save(file)
    upload(tab, file)
    tab.wait_for_selector("#agreement .fer-problem", timeout=30_000)
    clear(tab)
    tab.wait_for_selector("#agreement .fer-info")
    upload(tab, EXAMPLE)
    wait_for_results(tab)


def test_a_second_picture_in_a_hurry_gets_its_own_results(tab, tmp_path):
    upload(tab, EXAMPLE)
    tab.wait_for_selector("#card-ddamfn img", timeout=60_000)
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "grey.png")
    clear(tab)
    upload(tab, tmp_path / "grey.png")
    tab.wait_for_selector("#agreement .fer-problem", timeout=30_000)
    tab.wait_for_timeout(3_000)  # whatever the first picture's run still sends must not land
    assert tab.locator("#agreement .fer-problem").count() == 1
    assert tab.locator(".fer-card img").count() == 0
    assert tab.locator("#take-whole").is_visible()


def test_a_face_of_two_can_be_chosen(tab, tmp_path, photograph):
    both = np.full((512, 900, 3), 128, np.uint8)
    both[:, :512] = photograph
    both[100:400, 560:860] = np.asarray(Image.fromarray(photograph).resize((300, 300)))[:, ::-1]
    Image.fromarray(both).save(tmp_path / "both.png")
    upload(tab, tmp_path / "both.png")
    wait_for_results(tab)
    tab.wait_for_selector("#overview img")
    first = tab.locator("#card-mfn img").get_attribute("src")
    overview = tab.locator("#overview img").get_attribute("src")
    tab.locator("#faces button.thumbnail-item").nth(1).click()
    changed = "([card, before]) => document.querySelector(card + ' img')?.src !== before"
    tab.wait_for_function(changed, arg=["#overview", overview])
    tab.wait_for_function(changed, arg=["#card-mfn", first])


def test_on_a_phone_the_columns_stack(tab, screenshot):
    tab.set_viewport_size({"width": 390, "height": 844})
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    tops = [tab.locator(f"#card-{name}").bounding_box()["y"] for name in NETWORKS]
    assert tops[0] < tops[1] < tops[2]
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator("#agreement").bounding_box()["y"] < 360
    screenshot("compare-phone")


def test_a_client_can_call_analyze(page_url):
    from gradio_client import Client, handle_file

    result = Client(page_url, verbose=False).predict(
        handle_file(str(EXAMPLE)), "its own answer", False, api_name="/analyze"
    )
    assert result["faces"][0]["networks"]["ddamfn"]["expression"] == "happiness"
