"""Damaged and malicious input against the running page: python -m pytest -m hostile"""

import http.server
import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, ROOT

pytestmark = pytest.mark.hostile
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
MALFORMED_FILES = 200


def picture_bytes(kind: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(EXAMPLE) as image:
        image.resize((160, 160)).save(buffer, kind)
    return buffer.getvalue()


def malformed_files(seed: int = 0):
    """Names and contents: truncated, with damaged headers or bodies, and no pictures at all."""
    random = np.random.default_rng(seed)
    whole = {kind: picture_bytes(kind) for kind in FORMATS}
    names = ("a.jpg", "../../a.png", "<img src=x onerror=alert(1)>.png", "a.png.exe", "é 图.webp")
    for number in range(MALFORMED_FILES):
        content = bytearray(whole[FORMATS[number % len(FORMATS)]])
        way = number % 4
        if way == 0:
            content = content[: random.integers(1, len(content))]
        elif way == 1:
            content[: random.integers(4, 64)] = random.bytes(32)
        elif way == 2:
            for place in random.integers(0, len(content), size=40):
                content[place] = random.integers(256)
        else:
            content = bytearray(random.bytes(int(random.integers(1, 5000))))
        yield names[number % len(names)], bytes(content)


def assert_is_harmless(event: str, data: object) -> None:
    assert event in ("complete", "error")
    text = str(data)
    assert "Traceback" not in text and str(ROOT) not in text and ".py" not in text


def test_malformed_files_leave_the_page_working(visitor):
    events = []
    for name, content in malformed_files():
        event, data = visitor.analyze_bytes(name, content)
        assert_is_harmless(event, data)
        events.append(event)
    assert len(events) == MALFORMED_FILES and events.count("error") > MALFORMED_FILES / 3
    event, data = visitor.analyze_bytes("face.jpg", EXAMPLE.read_bytes())
    assert event == "complete" and len(data[0]["faces"]) == 1


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", str(ROOT / "app.py"), str(ROOT / "requirements.txt"), "/proc/self/environ"],
)
def test_no_file_of_the_server_can_be_read(visitor, path):
    for address in (
        f"gradio_api/file={path}",
        f"gradio_api/file=..%2f..%2f..%2f..{path.replace('/', '%2f')}",
        f"file={path}",
        f"gradio_api/proxy=file://{path}",
        f"static/..%2f..%2f..{path.replace('/', '%2f')}",
    ):
        assert visitor.http.get(address).status_code >= 400, address
    event, data = visitor.analyze({"path": path, "meta": {"_type": "gradio.FileData"}})
    assert event == "error"
    assert_is_harmless(event, data)


def test_a_link_is_not_fetched(visitor):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    link = f"http://127.0.0.1:{other.server_port}/secret.png"
    try:
        for file in (
            {"path": link, "meta": {"_type": "gradio.FileData"}},
            {"path": "a.png", "url": link, "meta": {"_type": "gradio.FileData"}},
        ):
            event, data = visitor.analyze(file)
            assert event == "error"
            assert_is_harmless(event, data)
    finally:
        other.shutdown()
    assert asked == []


def test_a_public_link_is_refused_with_the_way_out(visitor):
    link = {"path": "https://example.com/a.png", "meta": {"_type": "gradio.FileData"}}
    event, data = visitor.analyze(link)
    assert event == "error" and "upload the file" in str(data)


def test_an_upload_over_the_limit_is_refused_before_it_is_opened(visitor, server):
    answer = visitor.upload("large.png", bytes(60_000_000))
    assert answer.status_code == 413
    assert not any(file.stat().st_size > 53_000_000 for file in server.uploads.rglob("large.png"))


def test_a_bomb_of_pixels_is_refused_in_words(visitor):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(buffer, "PNG")
    event, data = visitor.analyze_bytes("bomb.png", buffer.getvalue())
    assert event == "error" and "megapixels" in str(data)


def test_an_uploads_name_cannot_leave_its_folder(visitor, server):
    path = visitor.upload("../../../outside.png", picture_bytes("PNG")).json()[0]
    assert path.startswith(str(server.uploads))
    assert not list(server.uploads.parent.glob("outside*"))


def test_nothing_is_measured_or_kept_about_visitors(visitor):
    assert visitor.http.get("monitoring/summary").status_code >= 400
    config = visitor.http.get("config").json()
    assert config["analytics_enabled"] is False
