"""Visitors' files are deleted while the page runs and when it ends: python -m pytest -m hostile"""

import signal
import time
from pathlib import Path

import pytest

from fer_models.ui.uploads import sweep
from tests.conftest import EXAMPLE
from tests.service.conftest import Visitor
from tests.service.page_process import running_page

pytestmark = pytest.mark.hostile
KEEP_S = 15
LIMIT_S = 90


def test_a_sweep_takes_what_is_old_and_not_kept(tmp_path):
    old, kept = tmp_path / "fer_old" / "inner" / "faces.csv", tmp_path / "shown" / "kept.png"
    mixed = tmp_path / "mixed" / "old.png"
    for file in (old, kept, mixed):
        file.parent.mkdir(parents=True)
        file.write_text("")
    time.sleep(0.5)
    new = tmp_path / "mixed" / "new.png"
    new.write_text("")
    sweep(tmp_path, 0.3, {str(kept)})
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {kept, new}
    assert {path for path in tmp_path.iterdir()} == {kept.parent, new.parent}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_no_copy_of_what_a_visitor_saw_is_kept_or_handed_out(visitor, server):
    face = visitor.upload_file("face.jpg", EXAMPLE.read_bytes())
    assert visitor.analyze(face)[0] == "complete"
    asked = {"session_hash": visitor.session}
    link = visitor.http.get("gradio_api/deep_link", params=asked).json()
    kept = server.uploads.glob(f"*/deep_links/{link}/state.json")
    assert [file.read_text() for file in kept] == ["[]"]


def test_nothing_of_a_visit_stays_and_an_ended_page_leaves_nothing(tmp_path):
    uploads = tmp_path / "uploads"
    with running_page(tmp_path, FER_MODELS_KEEP_UPLOADS_S=str(KEEP_S)) as page:
        before = set(uploads.rglob("*"))
        shown = {path for path in before if path.is_file()}  # to every visitor
        visitor = Visitor(page.url)
        visitor.analyze_bytes("first.jpg", EXAMPLE.read_bytes())  # loads weights, however long
        face = visitor.upload_file("face.jpg", EXAMPLE.read_bytes())
        assert visitor.analyze(face)[0] == "complete" and "face.jpg" in names(uploads)
        visitor.use("batch-start", "click", {"batch-files": [face]})
        assert {"faces.csv", "mean_heatmaps.png"} <= names(uploads)
        visitor.use("lab-json", "click", {})
        assert any(name.endswith(".json") for name in names(uploads))
        # Gradio would take the folder for a file, fail to delete it, and delete nothing ever after.
        folder = str(Path(face["path"]).parent)
        assert visitor.analyze({**face, "path": folder})[0] == "error"
        ended = time.monotonic() + LIMIT_S
        while (left := set(uploads.rglob("*")) - before) and time.monotonic() < ended:
            time.sleep(0.5)
        assert left == set()
        assert shown and all(file.is_file() for file in shown)
        visitor.upload("late.png", b"just before the end")
        assert "late.png" in names(uploads)
    assert list(uploads.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
    reason="nothing here tells a page that its terminal was closed",
)
def test_a_page_whose_terminal_is_closed_leaves_nothing(tmp_path):
    with running_page(tmp_path) as page:
        Visitor(page.url).upload("late.png", b"just before the end")
        (own,) = page.uploads.iterdir()
        for number in range(20_000):  # the deletion takes long enough to be broken off
            (own / f"{number}.txt").touch()
        ended = time.monotonic() + LIMIT_S
        while page.process.poll() is None and time.monotonic() < ended:
            page.process.send_signal(signal.SIGHUP)  # a shell says it, and the system again
            time.sleep(0.02)
    assert list(page.uploads.iterdir()) == []
