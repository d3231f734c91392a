"""The Live tab in Chromium, whose camera shows drawn faces."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

ANSWERED = ".live-cards [data-network=mfn] img"
CAMERA_OFF = "document.querySelector('.live-mirror video')?.srcObject === null"


def open_live(tab, name: str = "Live") -> None:
    tab.get_by_role("tab", name=name, exact=True).first.click()
    tab.wait_for_selector("#live-camera button")


def start(tab) -> None:
    tab.locator("#live-camera button").click()
    tab.wait_for_selector(ANSWERED, timeout=90_000)


def line(tab) -> str:
    return tab.locator("#live-line").inner_text()


def download_seconds(tab) -> list[dict]:
    with tab.expect_download(timeout=30_000) as download:
        tab.click("#live-csv")
    return list(csv.DictReader(io.StringIO(download.value.path().read_text())))


def files_of(server) -> set:
    """What the server keeps; another test's run may just be writing its downloads."""
    files = (file for file in server.uploads.rglob("*") if file.is_file())
    return {file for file in files if not file.name.startswith("analysis.")}


def frames(tab) -> list[dict]:
    """What the tab sends from now on, in a list that grows."""
    sent = []

    def note(request) -> None:
        if "component_server" in request.url:
            sent.append(json.loads(request.post_data))

    tab.on("request", note)
    return sent


def wait_for_frames(tab, sent: list, count: int) -> None:
    for _ in range(600):
        if sum(call["fn_name"] == "look" for call in sent) >= count:
            return
        tab.wait_for_timeout(100)
    raise AssertionError(f"{len(sent)} of {count} frames in a minute")


def test_the_camera_gives_answers_a_strip_and_a_rate(camera_tab, camera_screenshot, server):
    tab = camera_tab
    kept = files_of(server)
    open_live(tab)
    assert "not kept" in tab.locator(".live-about").inner_text()
    start(tab)
    sent = frames(tab)
    wait_for_frames(tab, sent, 5)
    assert any(name in line(tab) for name in ("happiness", "surprise", "fear", "neutral"))
    assert tab.locator(".live-cards .fer-card:visible").count() == 2
    assert len(tab.locator(".live-strip path").nth(3).get_attribute("d")) > 20
    assert float(tab.locator(".live-rate").inner_text().split()[0]) > 0
    camera_screenshot("live")
    assert files_of(server) - kept == set()


def test_the_preview_is_mirrored_and_what_is_sent_is_not(camera_tab):
    tab = camera_tab
    open_live(tab)
    sent = frames(tab)
    start(tab)
    wait_for_frames(tab, sent, 3)  # a camera's first frame may be black
    data = [call["data"]["frame"] for call in sent if call["fn_name"] == "look"][-1].split(",")[1]
    frame = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert frame.shape == (480, 640, 3)
    assert frame[240, 20, 0] - frame[240, 20, 1] > 100 and abs(frame[240, 620] - 125).max() < 20
    shown = Image.open(io.BytesIO(tab.locator(".live-mirror").screenshot())).convert("RGB")
    shown = np.asarray(shown).astype(int)
    middle, width = shown.shape[0] // 2, shown.shape[1]
    assert shown[middle, width - 12, 0] - shown[middle, width - 12, 1] > 100
    assert abs(shown[middle, 12, 0] - shown[middle, 12, 1]) < 20
    box, mirror = (tab.locator(s).bounding_box() for s in (".live-face", ".live-mirror"))
    centre = (box["x"] + box["width"] / 2 - mirror["x"]) / mirror["width"]
    assert centre == pytest.approx(0.5, abs=0.08)  # in the middle, give or take 30 px
    # Found and read in one step: the next answer takes the picture's place at any moment.
    read_style = "place => getComputedStyle(document.querySelector(place)).transform"
    assert tab.evaluate(read_style, ANSWERED).startswith("matrix(-1")


def test_only_one_frame_is_under_way_and_stop_ends_it(camera_tab):
    tab = camera_tab
    under_way, most, sent = set(), [0], frames(tab)

    def begin(request) -> None:
        if "component_server" in request.url and json.loads(request.post_data)["fn_name"] == "look":
            under_way.add(request)
            most[0] = max(most[0], len(under_way))

    tab.on("request", begin)
    tab.on("requestfinished", lambda request: under_way.discard(request))
    open_live(tab)
    start(tab)
    wait_for_frames(tab, sent, 4)
    on = download_seconds(tab)
    tab.get_by_role("button", name="Stop the camera").click()
    tab.wait_for_function(CAMERA_OFF)
    off = download_seconds(tab)
    assert {row["network"] for row in on} == {row["network"] for row in off} == {"ddamfn", "mfn"}
    assert len(off) >= len(on) >= 4 and float(off[-1]["seconds"]) == 0
    tab.wait_for_timeout(1_000)
    count = len(sent)
    tab.wait_for_timeout(1_500)
    assert len(sent) == count and sent[-1]["fn_name"] == "leave" and most[0] == 1
    assert "The camera is off" in line(tab)
    assert tab.locator(ANSWERED).count() == 1  # the last answer stays


def test_the_last_face_can_be_had_as_a_figure_also_once_the_camera_is_off(camera_tab):
    open_live(camera_tab)
    camera_tab.click("#live-png")
    camera_tab.wait_for_selector("#live-line:has-text('start the camera first')")
    start(camera_tab)
    camera_tab.locator("#live-camera button").click()
    camera_tab.wait_for_function(CAMERA_OFF)
    with camera_tab.expect_download(timeout=60_000) as download:
        camera_tab.click("#live-png")
    assert download.value.suggested_filename == "live.png"
    assert min(Image.open(download.value.path()).size) > 300
    camera_tab.wait_for_selector("#live-line:has-text('not smoothed')")


def test_weights_chosen_before_the_tab_was_opened_answer_in_it(camera_tab, saved_mfn):
    camera_tab.get_by_role("tab", name="Models").click()
    camera_tab.locator("#models-own button").first.click()
    with camera_tab.expect_file_chooser() as chooser:
        camera_tab.locator("#models-upload").click()
    chooser.value.set_files([str(saved_mfn[0]), str(saved_mfn[0].with_suffix(".json"))])
    camera_tab.wait_for_selector("#models-upload-line .fer-agree", timeout=60_000)
    open_live(camera_tab)
    start(camera_tab)
    camera_tab.wait_for_selector(".live-cards [data-network=mfn] .fer-answer:has-text('contempt')")


def test_leaving_the_tab_switches_the_camera_off(camera_tab):
    open_live(camera_tab)
    start(camera_tab)
    video = camera_tab.locator(".live-mirror video")
    track = video.evaluate_handle("video => video.srcObject.getVideoTracks()[0]")
    camera_tab.get_by_role("tab", name="Compare").first.click()
    camera_tab.wait_for_timeout(1_500)
    assert track.evaluate("track => track.readyState") == "ended"
    open_live(camera_tab)
    assert "because you left" in line(camera_tab)
    start(camera_tab)
    camera_tab.wait_for_function("document.querySelector('.live-rate')?.textContent")


def test_networks_heatmaps_and_the_strip_can_be_chosen(camera_tab):
    tab = camera_tab
    open_live(tab)
    start(tab)
    tab.locator("#live-networks label", has_text="DDAMFN").click()
    tab.wait_for_selector(".live-cards [data-network=ddamfn]", state="hidden")
    tab.wait_for_selector("#live-line >> text=MFN says")
    tab.wait_for_selector(".live-strip >> text=not among the networks chosen")
    tab.locator("#live-strip-of label", has_text="MFN").nth(1).click()
    tab.wait_for_selector(".live-strip h3:has-text('MFN, the last')")
    tab.locator("#live-heat input").uncheck()
    tab.wait_for_selector(".live-cards >> text=The face as the networks are given it")


def test_two_visitors_get_their_own_answers(camera_tab, camera_chromium, page_url):
    other = camera_chromium.new_page()
    other.goto(page_url)
    try:
        sent = [frames(camera_tab), frames(other)]
        for tab in (camera_tab, other):
            open_live(tab)
            tab.locator("#live-camera button").click()
        for tab, calls in zip((camera_tab, other), sent, strict=True):
            tab.wait_for_selector(ANSWERED, timeout=90_000)
            wait_for_frames(tab, calls, 4)
        keys = [
            {call["data"]["key"] for call in calls if call["fn_name"] == "look"} for calls in sent
        ]
        assert len(keys[0]) == len(keys[1]) == 1 and keys[0] != keys[1]
    finally:
        other.close()


def test_without_a_camera_the_page_says_what_to_do(tab):
    open_live(tab)
    tab.click("#live-csv")
    tab.wait_for_selector("#live-line >> text=nothing to download yet")
    tab.locator("#live-camera button").click()
    tab.wait_for_selector("#live-line .fer-problem:has-text('No camera was found')")
    assert tab.get_by_role("button", name="Start the camera").is_visible()


@pytest.mark.parametrize(
    ("error", "said"),
    [("NotAllowedError", "The browser refused"), ("NotReadableError", "another program")],
)
def test_a_refused_camera_is_explained(tab, error, said):
    tab.evaluate(
        """name => {
          const refuse = async () => { throw new DOMException('no', name); };
          navigator.mediaDevices.getUserMedia = refuse;
        }""",
        error,
    )
    open_live(tab)
    tab.locator("#live-camera button").click()
    tab.wait_for_selector(f"#live-line .fer-problem:has-text('{said}')")


def test_a_frame_without_a_face_gets_the_next_step(camera_tab):
    # A grey picture in place of the camera's.
    camera_tab.evaluate(
        """() => {
          const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
          const context = canvas.getContext('2d');
          setInterval(() => { context.fillStyle = '#888'; context.fillRect(0, 0, 640, 480); }, 100);
          navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(10);
        }"""
    )
    open_live(camera_tab)
    camera_tab.locator("#live-camera button").click()
    camera_tab.wait_for_selector("#live-line .fer-problem:has-text('Come closer')", timeout=90_000)
    assert camera_tab.locator(".live-face").is_hidden()
    assert camera_tab.locator(ANSWERED).count() == 0


def test_on_a_phone_the_answers_come_before_the_settings(camera_tab, camera_screenshot):
    tab = camera_tab
    open_live(tab)
    tab.set_viewport_size({"width": 390, "height": 844})
    start(tab)
    tops = [
        tab.locator(place).bounding_box()["y"]
        for place in ("#live-camera", "#live-cards", "#live-strip", "#live-networks")
    ]
    assert tops == sorted(tops)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    camera_screenshot("live-phone")


def test_live_speaks_chinese(camera_tab, camera_screenshot, page_url):
    camera_tab.goto(page_url + "zh?__theme=dark")
    camera_tab.wait_for_selector("#card-ddamfn")
    open_live(camera_tab, "实时")
    start(camera_tab)
    camera_tab.wait_for_selector(".live-rate:has-text('每秒分析')")
    assert "惊讶" in camera_tab.locator(".live-strip").inner_text()
    camera_screenshot("live-zh-dark")
