"""`python app.py` in a process of its own, with settings of its own; not a test file itself."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Page:
    """A running page: its address, its process, what it prints, its visitors' folder."""

    url: str
    process: subprocess.Popen
    log: Path
    uploads: Path


def resident_mb(process_id: int) -> float:
    """Memory of a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def running_page(folder: Path, root: Path = ROOT, **environment: str) -> Iterator[Page]:
    """Start the page of a copy of the repository until it answers; end it afterwards.

    Args:
        folder: for its log and, in `folder / "uploads"`, its visitors' files.
        environment: variables beside this process's own.
    """
    url, log = f"http://127.0.0.1:{free_port()}/", folder / "log.txt"
    uploads = folder / "uploads"
    settings = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(root),
        "GRADIO_TEMP_DIR": str(uploads),
        **environment,
    }
    began = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", url.rsplit(":", 1)[1].rstrip("/")],
            cwd=root,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
        )
    try:
        while not answers(url):
            if process.poll() is not None or time.monotonic() - began > START_LIMIT_S:
                raise RuntimeError(f"the page did not start: {log.read_text()}")
            time.sleep(0.05)
        yield Page(url, process, log, uploads)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
