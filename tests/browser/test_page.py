"""The real page in Chromium, as a visitor uses it."""

import json
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS
from fer_models.words import load_words
from tests.browser.waiting import wait_for_another_picture, wait_for_input
from tests.conftest import EXAMPLE, SHIPPED
from tests.test_images import png_header


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
    for name in PAGE_NETWORKS:
        card = tab.locator(f"#card-{name}")
        assert card.locator("img").count() == 1
        assert card.locator(".fer-answer strong").inner_text() == "happiness"
        assert card.locator(".fer-bar").count() == 8
        width = card.locator("img").evaluate("image => image.naturalWidth")
        assert width == 336
        assert card.locator(".fer-scale").inner_text().endswith("logits")
    tab.wait_for_selector("#attention img")
    assert tab.locator("#attention img").count() == 4
    assert "happiness" in tab.locator("#agreement").inner_text()
    legend = tab.locator(".fer-legend:visible")
    assert "Dark regions add nothing, or speak against it" in legend.inner_text()
    screenshot("compare")


def test_one_click_on_the_example_is_enough(tab):
    tab.locator("#examples img[src*=eileen_collins]").click()
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()


def choose(tab, dropdown: str, option: str) -> None:
    tab.locator(f"{dropdown} input").click()
    tab.get_by_role("option", name=option, exact=True).click()


def wait_for_caption(tab, text: str) -> None:
    tab.wait_for_selector(f"#card-mfn .fer-caption:has-text('{text}')", timeout=60_000)


def test_every_setting_changes_the_pictures(tab):
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    image = tab.locator("#card-mfn img").first

    def wait_for_another(before: str) -> str:
        wait_for_another_picture(tab, "#card-mfn img", before)
        return image.get_attribute("src")

    src = image.get_attribute("src")
    choose(tab, "#target", "surprise")
    wait_for_caption(tab, "“surprise”")
    src = wait_for_another(src)
    choose(tab, "#minus", "happiness")
    wait_for_caption(tab, "“surprise, not happiness”")
    src = wait_for_another(src)
    tab.locator("#more button").first.click()
    choose(tab, "#method", "Eigen-CAM (whatever the answer)")
    wait_for_caption(tab, "whatever the answer (Eigen-CAM)")
    src = wait_for_another(src)
    tab.get_by_label("Show the 7x7 cells that were computed").check()
    src = wait_for_another(src)
    tab.locator("#strength input[type=range]").focus()
    tab.keyboard.press("ArrowRight")
    wait_for_another(src)
    tab.locator("#view input[value=wipe]").check()
    handle = tab.locator("#card-mfn .fer-wipe input[type=range]")
    handle.fill("80")
    assert tab.locator("#card-mfn .fer-wipe img").count() == 2

    def covered(name: str) -> tuple[str, str]:
        wipe = tab.locator(f"#card-{name} .fer-wipe")
        cut = wipe.evaluate("e => getComputedStyle(e.querySelectorAll('img')[1]).clipPath")
        return cut, wipe.locator("input").input_value()

    assert covered("mfn") == covered("ddamfn") == ("inset(0px 0px 0px 80%)", "80")
    choose(tab, "#method", "Layer-CAM")
    wait_for_caption(tab, "(Layer-CAM)")
    wait_for_input(tab, "#card-mfn .fer-wipe input", "80")
    assert covered("mfn") == ("inset(0px 0px 0px 80%)", "80")


def settings(tab) -> dict:
    return json.loads(tab.locator("#settings-text textarea").input_value())


def wait_for_setting(tab, key: str, value) -> None:
    tab.wait_for_selector("#settings-text textarea")
    text = "document.querySelector('#settings-text textarea')?.value"
    holds = f"([key, value]) => JSON.parse({text} || '{{}}')[key] === value"
    tab.wait_for_function(holds, arg=[key, value], timeout=30_000)


def test_copied_settings_restore_the_view_after_a_reload(tab):
    tab.locator("#settings button").first.click()
    choose(tab, "#target", "sadness")
    wait_for_setting(tab, "target", "sadness")
    choose(tab, "#minus", "neutral")
    wait_for_setting(tab, "minus", "neutral")
    tab.locator("#view input[value=beside]").check()
    wait_for_setting(tab, "view", "beside")
    tab.locator("#face-crop input").check()
    wait_for_setting(tab, "face_crop", True)
    copied = tab.locator("#settings-text textarea").input_value()
    tab.reload()
    tab.wait_for_selector("#card-ddamfn", timeout=60_000)
    tab.errors.clear()  # what the page that was left had under way
    tab.locator("#settings button").first.click()
    assert settings(tab) != json.loads(copied)
    tab.locator("#settings-text textarea").fill(copied)
    tab.locator("#restore").click()
    wait_for_input(tab, "#target input", "sadness")
    tab.wait_for_timeout(1_000)
    assert settings(tab) == json.loads(copied)
    assert tab.locator("#minus input").input_value() == "neutral"
    assert tab.locator("#view input[value=beside]").is_checked()
    assert tab.locator("#face-crop input").is_checked()


def test_the_analysis_can_be_downloaded(tab):
    assert tab.locator("#save-figure").is_disabled()
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    with tab.expect_download(timeout=60_000) as download:
        tab.get_by_text("Download JSON").first.click()
    faces = json.loads(download.value.path().read_text())["faces"]
    assert set(faces[0]["networks"]) == set(SHIPPED)
    with tab.expect_download(timeout=60_000) as download:
        tab.locator("#save-figure").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


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


def test_a_picture_without_a_face_can_be_taken_whole(tab, tmp_path):
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "grey.png")
    upload(tab, tmp_path / "grey.png")
    tab.locator("#take-whole").click(timeout=60_000)
    wait_for_results(tab)
    assert tab.locator("#face-crop input").is_checked()
    tab.wait_for_selector("#take-whole", state="hidden")


ODD_PICTURES = ("animated.gif", "transparent.png", "sixteen-bits.png", "cmyk.jpg", "exif.jpg")


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_an_odd_picture_that_is_uploaded_gets_results(tab, tmp_path, kind):
    upload(tab, write_odd_picture(kind, tmp_path))
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()


@pytest.mark.parametrize(
    ("kind", "message"), [("pixel.png", "No face was found"), ("bomb.png", "over 50 megapixels")]
)
def test_a_pixel_or_a_bomb_that_is_uploaded_gets_a_message(tab, tmp_path, kind, message):
    file = tmp_path / kind
    if kind == "pixel.png":
        Image.new("RGB", (1, 1)).save(file)
    else:
        file.write_bytes(png_header(10_000, 10_000))
    upload(tab, file)
    tab.wait_for_selector(f"#agreement .fer-problem:has-text('{message}')", timeout=60_000)


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
    assert tab.locator("#faces button.thumbnail-item.selected").get_attribute("aria-label") == (
        "Thumbnail 1 of 2"
    )
    first = tab.locator("#card-mfn img").get_attribute("src")
    overview = tab.locator("#overview img").get_attribute("src")
    tab.locator("#faces button.thumbnail-item").nth(1).click()
    wait_for_another_picture(tab, "#overview img", overview)
    wait_for_another_picture(tab, "#card-mfn img", first)
    wait_for_results(tab)
    tab.locator("#settings button").first.click()
    wait_for_setting(tab, "face", 2)
    copied = tab.locator("#settings-text textarea").input_value()
    second = tab.locator("#card-mfn img").get_attribute("src")
    overview = tab.locator("#overview img").get_attribute("src")
    click_pixel(tab, "#overview", 225, 115)
    wait_for_another_picture(tab, "#overview img", overview)
    wait_for_another_picture(tab, "#card-mfn img", second)
    wait_for_setting(tab, "face", 1)
    tab.locator("#settings-text textarea").fill(copied)
    tab.locator("#restore").click()
    tab.wait_for_selector("#card-mfn:not(:has(img))")
    wait_for_results(tab)
    wait_for_setting(tab, "face", 2)


def click_pixel(tab, picture: str, x: int, y: int) -> None:
    """Click where a picture that is shown whole has its pixel (x, y)."""
    image = tab.locator(f"{picture} img")
    image.scroll_into_view_if_needed()
    width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    box = image.bounding_box()
    scale = min(box["width"] / width, box["height"] / height)
    left = box["x"] + (box["width"] - scale * width) / 2
    top = box["y"] + (box["height"] - scale * height) / 2
    tab.mouse.click(left + scale * x, top + scale * y)


def test_nothing_moves_while_results_arrive(tab):
    tab.evaluate(
        """() => {
            window.tops = [];
            const legend = document.querySelector('.fer-legend');
            (function sample() {
                tops.push(legend.getBoundingClientRect().top + scrollY);
                requestAnimationFrame(sample);
            })();
        }"""
    )
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    tab.locator("#examples img[src*=fear]").click()
    tab.wait_for_selector("#card-mfn:not(:has(img))")
    wait_for_results(tab)
    tops = tab.evaluate("tops")
    assert len(tops) > 20 and max(tops) - min(tops) <= 4


@pytest.mark.parametrize("width", [1024, 1093])
def test_on_a_small_laptop_the_columns_stand_side_by_side(tab, width):
    tab.set_viewport_size({"width": width, "height": 614})
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    boxes = [tab.locator(f"#card-{name}").bounding_box() for name in PAGE_NETWORKS]
    assert len({box["y"] for box in boxes}) == 1
    widths = [box["width"] for box in boxes]
    assert max(widths) - min(widths) <= 1
    assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_columns_stack(tab, screenshot):
    tab.set_viewport_size({"width": 390, "height": 844})
    upload(tab, EXAMPLE)
    wait_for_results(tab)
    tops = [tab.locator(f"#card-{name}").bounding_box()["y"] for name in PAGE_NETWORKS]
    assert tops[0] < tops[1] < tops[2]
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator("#agreement").bounding_box()["y"] < 360
    screenshot("compare-phone")


def test_the_guide_leads_through_its_five_steps(tab):
    tab.locator("#guide button").first.click()

    def go_on(number: int) -> None:
        tab.locator("#guide-next").click()
        tab.wait_for_selector(f"#guide h3:has-text('Step {number} of 5')", timeout=30_000)

    go_on(1)
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()
    go_on(2)
    tab.wait_for_selector("#card-mfn .fer-wipe", timeout=30_000)
    go_on(3)
    wait_for_caption(tab, "“surprise, not happiness”")
    src = tab.locator("#card-mfn img").first.get_attribute("src")
    go_on(4)
    wait_for_another_picture(tab, "#card-mfn img", src)
    wait_for_results(tab)
    assert "fear.png" in tab.locator("#picture img").get_attribute("src")
    assert tab.locator("#target input").input_value() == "its own answer"
    go_on(5)
    tab.wait_for_selector("#trust-run", timeout=30_000)
    assert tab.locator("[role=tab][aria-selected=true]").inner_text() == "Trust"
    assert not tab.locator("#guide-next").is_enabled()


def test_the_browsers_language_is_taken_and_the_switch_is_remembered(chromium, page_url):
    tab = chromium.new_page(locale="zh-CN")
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page_url)
    tab.wait_for_url("**/zh")
    tab.wait_for_selector("#card-ddamfn", timeout=60_000)
    assert tab.locator("h1").inner_text() == load_words("zh")("page.title")
    tab.locator("#language").click()
    for _ in range(2):
        tab.wait_for_selector(f"h1:has-text('{load_words('en')('page.title')}')", timeout=60_000)
        tab.wait_for_selector("#card-ddamfn")
        tab.wait_for_timeout(500)  # time to be led away again
        assert tab.url == page_url
        tab.reload()
    tab.close()
    assert errors == []


@pytest.fixture(scope="module")
def client(page_url) -> Client:
    return Client(page_url, verbose=False, httpx_kwargs={"timeout": 60})


def analyze(client: Client, file: Path) -> dict:
    return client.predict(handle_file(str(file)), "its own answer", False, api_name="/analyze")


def test_a_client_can_call_analyze(client):
    result = analyze(client, EXAMPLE)
    assert result["faces"][0]["networks"]["ddamfn"]["expression"] == "happiness"


def write_odd_picture(kind: str, folder: Path) -> Path:
    with Image.open(EXAMPLE) as image:
        her = image.convert("RGB")
    file = folder / kind
    match kind:
        case "animated.gif":
            her.save(file, save_all=True, append_images=[Image.new("RGB", her.size)])
        case "transparent.png":
            her.putalpha(Image.radial_gradient("L").resize(her.size).point(lambda v: 255 - v // 4))
            her.save(file)
        case "sixteen-bits.png":
            Image.fromarray(np.asarray(her.convert("L"), np.uint16) * 257).save(file)
        case "cmyk.jpg":
            her.convert("CMYK").save(file)
        case "exif.jpg":
            exif = her.getexif()
            exif[274] = 6  # to be shown after a quarter turn clockwise
            her.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
    return file


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_odd_pictures_get_the_answers_of_the_plain_one(client, tmp_path, kind):
    (face,) = analyze(client, write_odd_picture(kind, tmp_path))["faces"]
    left, top, right, bottom = face["box_xyxy"]
    assert 160 < left < right < 290 and 40 < top < bottom < 190
    answers = {name: result["expression"] for name, result in face["networks"].items()}
    assert answers == dict.fromkeys(SHIPPED, "happiness")


def test_a_pixel_has_no_face_and_a_bomb_is_refused_in_words(client, tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    assert analyze(client, tmp_path / "one.png")["faces"] == []
    (tmp_path / "bomb.png").write_bytes(png_header(10_000, 10_000))
    with pytest.raises(AppError, match="over 50 megapixels"):
        analyze(client, tmp_path / "bomb.png")
    assert analyze(client, EXAMPLE)["faces"]


COPY_PICTURE = """async bytes => {
  const blob = new Blob([new Uint8Array(bytes)], {type: "image/png"})
  await navigator.clipboard.write([new ClipboardItem({"image/png": blob})])
}"""


def test_a_picture_can_be_pasted(tab, tmp_path):
    Image.open(EXAMPLE).save(tmp_path / "copied.png")
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.evaluate(COPY_PICTURE, list((tmp_path / "copied.png").read_bytes()))
    tab.locator("#picture").get_by_label("Paste from clipboard").click()
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()
