"""A headless Chromium on the running page, and one whose camera shows drawn faces."""

import io
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fer_models.images import load_image

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / "artefacts"
CAMERA_FRAMES_PER_SECOND = 30  # what Chromium takes Motion JPEG for
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def face_video(tmp_path_factory) -> Path:
    """Motion JPEG for Chromium's fake camera, 640x480: two drawn faces in turn, a second each.

    The face moves by up to 30 px to either side. A red stripe marks the camera's left border, so
    that a mirrored frame is told from one that is not.
    """
    frames = io.BytesIO()
    for name in ("happiness", "surprise"):
        face = Image.fromarray(load_image(ROOT / "assets" / "examples" / f"{name}.png"))
        face = face.resize((400, 400))
        for index in range(CAMERA_FRAMES_PER_SECOND):
            frame = Image.new("RGB", (640, 480), (120, 125, 130))
            frame.paste((220, 30, 30), (0, 0, 60, 480))
            moved = round(30 * math.sin(2 * math.pi * index / CAMERA_FRAMES_PER_SECOND))
            frame.paste(face, (120 + moved, 40))
            frame.save(frames, "JPEG", quality=85)
    file = tmp_path_factory.mktemp("camera") / "faces.mjpeg"
    file.write_bytes(frames.getvalue())
    return file


@pytest.fixture(scope="session")
def camera_chromium(chromium, face_video):
    """A second Chromium, whose camera is the video and whose visitors allow it."""
    browser = chromium.browser_type.launch(
        executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
        args=[
            *CHROMIUM_OPTIONS,
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={face_video}",
        ],
    )
    yield browser
    browser.close()


@pytest.fixture
def tab(chromium, page_url):
    """A fresh browser tab on the page; fails the test if the console showed an error."""
    yield from _open_tab(chromium, page_url)


@pytest.fixture
def camera_tab(camera_chromium, page_url):
    """As `tab`, with the camera."""
    yield from _open_tab(camera_chromium, page_url)


def _open_tab(chromium, page_url):
    tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
    errors = tab.errors = []
    tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page_url)
    tab.wait_for_selector("#card-ddamfn", timeout=60_000)
    yield tab
    tab.close()
    assert errors == []


@pytest.fixture
def screenshot(tab):
    return _photographer(tab)


@pytest.fixture
def camera_screenshot(camera_tab):
    return _photographer(camera_tab)


def _photographer(tab):
    def take(name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        tab.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take
