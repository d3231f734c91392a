"""Damaged and malicious input against the running page: python -m pytest -m hostile"""

import base64
import hashlib
import http.server
import io
import json
import os
import pickle
import struct
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, ROOT

pytestmark = pytest.mark.hostile
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # the last two are refused
MALFORMED_FILES = 200
FRAMES = 40  # as many as gradio has threads


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


def assert_still_answers(visitor) -> None:
    event, data = visitor.analyze_bytes("face.jpg", EXAMPLE.read_bytes())
    assert event == "complete" and len(data[0]["faces"]) == 1


def test_malformed_files_leave_the_page_working(visitor):
    events = []
    for name, content in malformed_files():
        event, data = visitor.analyze_bytes(name, content)
        assert_is_harmless(event, data)
        events.append(event)
    assert len(events) == MALFORMED_FILES and events.count("error") > MALFORMED_FILES / 3
    assert_still_answers(visitor)


def do_nothing(visitor) -> None:
    pass


def click_an_example(visitor) -> None:
    assert "eileen_collins" in visitor.use("examples", "click", {"examples": 0})


def open_the_guide(visitor) -> None:
    """Its first step leaves the picture as it is, by `gr.skip`, where it is the example already."""
    picture = visitor.upload_file("a.jpg", EXAMPLE.read_bytes())
    assert "Step 1" in visitor.use("guide-next", "click", {"picture": picture})


@pytest.fixture(params=[do_nothing, click_an_example, open_the_guide])
def any_visitor(request, visitor):
    """Gradio makes a component anew for a visitor whose event updated it, or skipped it."""
    request.param(visitor)
    return visitor


def test_metadata_made_to_hold_up_the_page_do_not(any_visitor):
    content = EXAMPLE.read_bytes()
    block = b"\xff\xe1\x00\x0e" + 2 * b"Exif\0\0"  # Pillow 12 copies the rest once for each
    event, data = any_visitor.analyze_bytes("a.jpg", content[:2] + 50_000 * block + content[2:])
    assert event == "complete" and len(data[0]["faces"]) == 1


@pytest.mark.parametrize("content", [picture_bytes("BMP"), b"no picture"])
def test_what_is_refused_is_refused_by_us_and_not_opened_by_gradio(any_visitor, content):
    event, data = any_visitor.analyze_bytes("a.png", content)
    assert event == "error" and "JPEG, PNG, WebP or GIF" in str(data)


def zip_bytes(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_that_lies(said: int = 1000, packed: int = 5_000_000) -> bytes:
    """Its list of contents says fewer bytes than are packed."""
    content = bytearray(zip_bytes({"liar.png": bytes(packed)}))
    place = content.index(struct.pack("<I", packed), content.index(b"PK\x01\x02"))
    content[place : place + 4] = struct.pack("<I", said)
    return bytes(content)


def test_hostile_archives_are_refused_one_by_one_and_the_batch_goes_on(visitor, server):
    contents = {
        "bomb.zip": zip_bytes({"bomb.png": bytes(40_000_000)}),
        "liar.zip": zip_that_lies(),
        "climber.zip": zip_bytes({"../../outside.png": picture_bytes("PNG")}),
        "outer.zip": zip_bytes({"inner.zip": zip_bytes({"a.png": picture_bytes("PNG")})}),
        "face.jpg": EXAMPLE.read_bytes(),
    }
    files = [visitor.upload_file(name, content) for name, content in contents.items()]
    answer = visitor.use("batch-start", "click", {"batch-files": files})
    assert_is_harmless("complete", answer)
    for reason in (
        "bomb.png: unpacks to more",
        "liar.png: damaged",
        "leads out of",
        "a zip inside",
    ):
        assert reason in answer, reason
    assert "faces.csv" in answer  # of the good picture
    assert not list(server.uploads.parent.rglob("outside*"))
    no_zip = visitor.upload_file("torn.zip", b"PK\x03\x04" + bytes(100))
    answer = visitor.use("batch-start", "click", {"batch-files": [no_zip]})
    assert_is_harmless("complete", answer)
    assert "torn.zip: not a zip file" in answer
    assert_still_answers(visitor)


class Runs:
    """Pickles as a command that makes a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


def test_hostile_checkpoints_are_refused(visitor, saved_mfn, tmp_path):
    weights, marker = saved_mfn[0].read_bytes(), tmp_path / "it-ran"
    card = json.loads(saved_mfn[0].with_suffix(".json").read_text())
    for content in (
        pickle.dumps(Runs(marker)),
        weights[: len(weights) // 2],
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 90_000_000) + weights[8:],
    ):
        own = {**card, "sha256": hashlib.sha256(content).hexdigest()}
        files = [
            visitor.upload_file("w.safetensors", content),
            visitor.upload_file("w.json", json.dumps(own).encode()),
        ]
        answer = visitor.use("models-upload", "upload", {"models-upload": files})
        assert_is_harmless("complete", answer)
        assert "The files were refused" in answer and "not a safetensors file" in answer
    assert not marker.exists()
    assert_still_answers(visitor)


def test_hostile_parameters_of_a_face_are_refused(visitor):
    for text, reason in {
        '{"yaw_deg": NaN}': "give a number",
        '{"actions": {"jawOpen": 1e999}}': "give a number",
        '{"identity": "__class__"}': "cannot be used",
        "[" * 90_000: "nested too deeply",
        '{"actions": ' * 8_000: "nested too deeply",
        " " * 200_000: "too large",
    }.items():
        file = visitor.upload_file("face.json", text.encode())
        answer = visitor.use("lab-load", "upload", {"lab-load": file})
        assert_is_harmless("complete", answer)
        assert reason in answer, text[:30]
    assert_still_answers(visitor)


def test_what_is_no_picture_is_no_row_of_figure_1(visitor):
    text = visitor.upload_file("notes.txt", b"no picture")
    slots = {f"figure1-{name}": None for name in ("neutral", "sadness", "surprise", "fear")}
    slots |= {f"figure1-{name}": text for name in ("happiness", "disgust", "anger")}
    answer = visitor.use("figure1-draw", "click", {**slots, "figure1-files": None})
    assert_is_harmless("complete", answer)
    assert "notes.txt: not a picture" in answer
    assert_still_answers(visitor)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", str(ROOT / "app.py"), str(ROOT / "requirements.txt"), "/proc/self/environ"],
)
def test_no_file_of_the_server_can_be_read(visitor, path):
    shown = visitor.http.get(f"gradio_api/file={EXAMPLE}")
    assert shown.status_code == 200 and shown.content == EXAMPLE.read_bytes()  # the route works
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


def test_a_link_is_not_fetched(any_visitor):
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
            event, data = any_visitor.analyze(file)
            assert event == "error"
            assert_is_harmless(event, data)
    finally:
        other.shutdown()
    assert asked == []


def test_a_public_link_is_refused_with_the_way_out(any_visitor):
    link = {"path": "https://example.com/a.png", "meta": {"_type": "gradio.FileData"}}
    event, data = any_visitor.analyze(link)
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
    assert config["run_history"] is False
    assert visitor.http.get("gradio_api/runs").status_code == 404


def test_a_flood_of_one_cameras_frames_leaves_the_page_answering(visitor):
    parts = visitor.http.get("config").json()["components"]
    camera = next(part for part in parts if part["props"].get("elem_id") == "live-camera")
    frame = "data:image/jpeg;base64," + base64.b64encode(EXAMPLE.read_bytes()).decode()
    data = {"key": "one", "frame": frame, "networks": ["mfn"], "heat": True, "strip": "mfn"}
    body = {"data": data, "component_id": camera["id"], "fn_name": "look"}
    body["session_hash"] = visitor.session

    def look(_) -> dict | None:
        answer = visitor.http.post("gradio_api/component_server", json=body)
        answer.raise_for_status()
        return answer.json()

    with ThreadPoolExecutor(FRAMES) as pool:
        answers = pool.map(look, range(2 * FRAMES))
        assert_still_answers(visitor)
        answers = list(answers)
    assert any(answer and answer.get("box") for answer in answers)
    assert answers.count(None) > FRAMES  # turned away, in place of holding a thread each
