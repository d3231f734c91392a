"""`checkpoints --download` under a cut or silent connection, a full disk, a bad folder, a kill."""

import contextlib
import functools
import multiprocessing
import os
import signal
import socketserver
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import pytest
import torch
from test_faults import assert_one_line, full_disk, read_only

from fer_models import __main__ as command_line
from fer_models import checkpoints, official
from fer_models.checkpoints import CheckpointError, load_network, shipped_checkpoints
from fer_models.networks import NETWORKS
from fer_models.official import PUBLISHED, PublishedFile, download_official

NAME = "official-rafdb"
PATH = "checkpoints/a published file.pth"
# As in test_engine: one import of torch serves every child.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training.engine", "matplotlib.backends.backend_agg"])


@pytest.fixture(scope="module")
def published_content(tmp_path_factory) -> bytes:
    """A file in the authors' form, of random weights."""
    torch.manual_seed(0)
    network = NETWORKS["ddamfn"](num_classes=7)
    state = {official.published_name(name): value for name, value in network.state_dict().items()}
    state |= {name: torch.zeros(3) for name in official.never_run_names(list(state))}
    file = tmp_path_factory.mktemp("published") / "file.pth"
    torch.save({"model_state_dict": state}, file)
    return file.read_bytes()


@pytest.fixture
def server(published_content):
    """Promises the whole file and sends `sent` bytes of it; hangs up once `hang_up` is set."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            asked = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            found = urllib.parse.unquote(asked) == f"/{PATH}"
            head = f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Length: "
            self.wfile.write(f"{head}{len(published_content)}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionError):  # the client may hang up first
                self.wfile.write(published_content[: running.sent])
            running.hang_up.wait(60)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    running = Server(("127.0.0.1", 0), Handler)
    running.sent, running.hang_up = None, threading.Event()
    running.hang_up.set()
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    running.url = f"http://127.0.0.1:{running.server_address[1]}"
    yield running
    running.hang_up.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def place(server, published_content, tmp_path, monkeypatch) -> Path:
    """The folder of downloads; the temporary files of a download go beside it, into `temporary`."""
    original = tmp_path / "original.pth"
    original.write_bytes(published_content)
    published = PublishedFile(PATH, official.git_blob_id(original), "RAF-DB, 7 expressions")
    original.unlink()
    monkeypatch.setitem(PUBLISHED, NAME, published)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    download = functools.partial(download_official, base_url=server.url)
    monkeypatch.setattr(command_line, "download_official", download)
    folder = tmp_path / "downloaded"
    for module in (command_line, checkpoints):
        monkeypatch.setattr(module, "DOWNLOADED_FOLDER", folder)
    return folder


@pytest.fixture
def command(place, monkeypatch, capsys):
    """Runs `checkpoints --download`; gives its exit code and what it wrote to stderr."""

    def run():
        monkeypatch.setattr(sys, "argv", ["fer_models", "checkpoints", "--download", NAME])
        code = command_line.main()
        return code, capsys.readouterr().err

    return run


def assert_nothing_is_there(place: Path) -> None:
    assert not place.exists() or not list(place.iterdir())
    assert not list(place.with_name("temporary").iterdir())
    with pytest.raises(CheckpointError, match="No checkpoint"):
        load_network(NAME)


def assert_the_next_download_is_whole(command) -> None:
    assert command() == (0, "")
    assert load_network(NAME).card.name == NAME


def test_a_cut_connection_is_one_line_and_leaves_nothing(command, place, server):
    server.sent = 100_000
    code, error = command()
    assert code == 2
    assert_one_line(error, "cut off after 100000 of", "try again")
    assert_nothing_is_there(place)
    server.sent = None
    assert_the_next_download_is_whole(command)


def test_a_silent_connection_ends_in_one_line(command, place, server, monkeypatch):
    monkeypatch.setattr(official, "TIMEOUT_S", 0.5)
    server.sent = 100_000
    server.hang_up.clear()
    code, error = command()
    assert code == 2
    assert_one_line(error, "timed out", "try again")
    assert_nothing_is_there(place)


def test_a_disk_that_fills_during_the_download_leaves_nothing(command, place):
    with full_disk(1_000_000):
        code, error = command()
    assert code == 2
    assert_one_line(error, "File too large")
    assert_nothing_is_there(place)
    assert_the_next_download_is_whole(command)


def test_a_disk_that_fills_during_the_import_leaves_nothing(command, place, monkeypatch):
    save = official.save_checkpoint

    def save_to_a_full_disk(*arguments, **fields):
        with full_disk(1_000_000):
            return save(*arguments, **fields)

    monkeypatch.setattr(official, "save_checkpoint", save_to_a_full_disk)
    code, error = command()
    assert code == 2
    assert_one_line(error, str(place), "cannot be written", "File too large")
    assert_nothing_is_there(place)
    monkeypatch.setattr(official, "save_checkpoint", save)
    assert_the_next_download_is_whole(command)


def test_a_file_in_the_folders_place_is_named(command, place):
    place.write_text("a file")
    code, error = command()
    assert code == 2
    assert_one_line(error, str(place), "cannot be written")
    assert place.read_text() == "a file"


def test_a_read_only_folder_is_named_and_gets_nothing(command, place, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # nobody may not enter pytest's own
        outer, temporary = Path(name), Path(name, "temporary")
        folder = outer / "downloaded"
        folder.mkdir()
        temporary.mkdir()
        outer.chmod(0o755)
        temporary.chmod(0o777)
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        for module in (command_line, checkpoints):
            monkeypatch.setattr(module, "DOWNLOADED_FOLDER", folder)
        with read_only(folder):
            code, error = command()
        assert code == 2
        assert_one_line(error, str(folder), "cannot be written")
        assert_nothing_is_there(folder)
        assert_the_next_download_is_whole(command)


def write_half_and_die(state, path) -> None:
    Path(path).write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def download_in_child(url: str, folder: Path, published: PublishedFile, changes: dict) -> None:
    """Download, with functions of `checkpoints` changed; for another process."""
    PUBLISHED[NAME] = published
    tempfile.tempdir = str(folder.with_name("temporary"))
    for name, function in changes.items():
        setattr(checkpoints, name, function)
    download_official(NAME, folder, url)


def start_download(server, place, **changes):
    arguments = (server.url, place, PUBLISHED[NAME], changes)
    child = PROCESSES.Process(target=download_in_child, args=arguments)
    child.start()
    return child


def test_a_kill_during_the_download_leaves_nothing_in_its_folder(command, place, server):
    server.sent = 100_000
    server.hang_up.clear()
    child = start_download(server, place)
    arrived = place.with_name("temporary")
    deadline = time.monotonic() + 120
    while not any(file.stat().st_size for file in arrived.rglob("*.pth")):
        assert time.monotonic() < deadline and child.is_alive()
        time.sleep(0.01)
    child.kill()
    child.join()
    assert not place.exists()
    server.sent = None
    server.hang_up.set()
    assert_the_next_download_is_whole(command)


def test_a_kill_while_the_weights_are_written_leaves_no_checkpoint(command, place, server):
    child = start_download(server, place, save_file=write_half_and_die)
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert shipped_checkpoints(place) == []
    with pytest.raises(CheckpointError, match="No checkpoint"):
        load_network(NAME)
    assert_the_next_download_is_whole(command)


def test_weights_whose_card_a_kill_prevented_are_refused(command, place, server):
    child = start_download(server, place, save_card=die)
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert [file.name for file in place.iterdir()] == [f"{NAME}.safetensors"]
    with pytest.raises(CheckpointError, match="card is missing"):
        load_network(NAME)
    assert_the_next_download_is_whole(command)
