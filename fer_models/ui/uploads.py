"""The folder of visitors' files: the page's own, swept while it runs and gone when it ends.

Gradio's `delete_cache` deletes what was uploaded or handed out. It leaves the folders, the files
that a visitor who left never fetched, and everything when the process is told to end. Nothing here
imports gradio, which reads the folder's name when it is imported.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

KEEP_UPLOADS_S = int(os.environ.get("FER_MODELS_KEEP_UPLOADS_S") or 3600)
SWEEP_EVERY_S = max(1, KEEP_UPLOADS_S // 6)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for all of gradio's files, within the usual one; deleted at the end."""
    place = os.environ.get("GRADIO_TEMP_DIR") or None
    if place:
        Path(place).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fer_page_", dir=place, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name).resolve()
        os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = None


def sweep(folder: Path, age_s: float, kept: Collection[str] = ()) -> None:
    """Delete all that has not changed for `age_s` in a folder, but for the paths in `kept`."""
    limit, old = time.time() - age_s, []
    for place, folders, files in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in [*files, *folders]):
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_ctime < limit and str(path) not in kept:
                    old.append(path)
    for path in old:  # the ages were taken before, as a folder changes when a file in it goes
        with contextlib.suppress(OSError):  # gone meanwhile, or a folder with something newer in it
            path.rmdir() if path.is_dir() else path.unlink()


def start_sweeper(folder: Path, kept: Collection[str], after: Callable[[], None]) -> None:
    """Sweep a folder from now on, as often and of files as old as gradio is told to.

    Args:
        after: called after every sweep.
    """

    def run() -> None:
        while True:
            time.sleep(SWEEP_EVERY_S)
            sweep(folder, KEEP_UPLOADS_S, kept)
            after()

    threading.Thread(target=run, daemon=True).start()
