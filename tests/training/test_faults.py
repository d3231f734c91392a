"""A full disk, a folder that takes no file: one line, exit code 2, and nothing half."""

import contextlib
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file

from training import crossval, engine, evaluate, train
from training.datasets import SPLITS

RECIPE = 'network = "toy"\nsizes = [12]\nepochs = [2.0]\nbatch_size = 16\ndetail_px = 12\n'
NOBODY = 65534


@contextlib.contextmanager
def full_disk(room: int):
    """No file of this process grows over `room` bytes: to a writer, what a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(folder: Path):
    """Nothing in `folder` can be changed; root may write anywhere, so it is nobody meanwhile."""
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


@pytest.fixture
def place():
    """A folder that any user may enter, as pytest's own may not be."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def command(place, monkeypatch, capsys):
    """Runs a module's main on the toy; gives its exit code and what it wrote to stderr."""
    recipe = place / "tiny.toml"
    recipe.write_text(RECIPE)
    splits = {"train": 0, "validation": 1}
    monkeypatch.setitem(SPLITS, "toy", (*splits, "test"))

    def load(data, split, preprocessing, fer2013_weight=0.0):
        return toy.make_faces(48, splits[split])

    def run(out, *options, module=train):
        monkeypatch.setattr(module, "load_faces", load)
        arguments = [module.__name__, str(recipe), "--data", "toy:x", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [*arguments, *options])
        capsys.readouterr()
        try:
            module.main()
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def assert_one_line(error: str, *parts: str) -> None:
    """Progress bars may have lines; the message has one of its own, the last."""
    assert "Traceback" not in error and error.endswith("\n")
    *bars, line = error[:-1].split("\n")
    line = line.rpartition("\r")[2]  # behind a bar that was wiped
    assert all(bar.startswith("\r") for bar in bars) and "it/s" not in line
    for part in parts:
        assert part in line


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def assert_like_unbroken(command, folder: Path) -> None:
    """The run in `folder` goes on, and ends as one that nothing disturbed."""
    assert command(folder, "--resume")[0] == 0
    unbroken = folder.with_name("unbroken")
    assert command(unbroken)[0] == 0
    ours, wanted = (load_file(place / "tiny.safetensors") for place in (folder, unbroken))
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    assert names(folder) == names(unbroken)


def test_a_disk_that_fills_during_training_leaves_the_state_that_was_whole(command, place):
    folder = place / "run"
    assert command(folder, "--minutes", "0")[0] == 0
    saved = (folder / "state.pt").read_bytes()
    with full_disk(2_000):
        code, error = command(folder, "--resume")
    assert code == 2
    assert_one_line(error, str(folder), "state.pt is not whole", "--resume goes on")
    assert (folder / "state.pt").read_bytes() == saved
    assert names(folder) == {"state.pt"}
    assert_like_unbroken(command, folder)


def test_a_disk_that_is_full_from_the_start_leaves_no_state(command, place):
    with full_disk(0):
        code, error = command(place / "run")
    assert code == 2
    assert_one_line(error, "cannot be written")
    assert names(place / "run") == set()
    assert_like_unbroken(command, place / "run")


@pytest.mark.parametrize("writer", ["save_figure", "save_checkpoint"])
def test_a_disk_that_fills_during_the_export_leaves_no_checkpoint(
    command, place, monkeypatch, writer
):
    write = getattr(engine, writer)

    def write_to_a_full_disk(*arguments, **fields):
        with full_disk(2_000):
            return write(*arguments, **fields)

    monkeypatch.setattr(engine, writer, write_to_a_full_disk)
    code, error = command(place / "run")
    monkeypatch.setattr(engine, writer, write)
    assert code == 2
    assert_one_line(error, "cannot be written", "File too large", "--resume goes on")
    left = names(place / "run")
    assert not any(name.endswith((".tmp", ".safetensors", ".json")) for name in left)
    assert_like_unbroken(command, place / "run")


def test_a_disk_that_fills_during_an_export_leaves_the_last_checkpoint(command, place):
    folder = place / "run"
    command(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with full_disk(2_000):
        assert command(folder, "--resume")[0] == 2
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("module", [train, crossval])
def test_a_file_in_the_folders_place_is_named(command, place, module):
    (place / "run").write_text("a file")
    code, error = command(place / "run", module=module)
    assert code == 2
    assert_one_line(error, str(place / "run"), "cannot be written")
    assert (place / "run").read_text() == "a file"


@pytest.mark.parametrize("module", [train, crossval])
def test_a_cross_validation_and_a_run_say_that_the_disk_is_full(command, place, module):
    with full_disk(2_000):
        code, error = command(place / "run", module=module)
    assert code == 2
    assert_one_line(error, "is not whole")
    assert not list((place / "run").rglob("state.pt"))


def test_a_read_only_folder_is_named_and_its_state_stays(command, place):
    folder = place / "run"
    command(folder, "--minutes", "0")
    saved = (folder / "state.pt").read_bytes()
    with read_only(folder):
        code, error = command(folder, "--resume")
    assert code == 2
    assert_one_line(error, str(folder), "cannot be")
    assert names(folder) == {"state.pt"}
    assert (folder / "state.pt").read_bytes() == saved


def test_a_recipe_that_cannot_be_read_is_named(command, place, monkeypatch):
    (place / "tiny.toml").unlink()
    (place / "tiny.toml").mkdir()
    code, error = command(place / "run")
    assert code == 2
    assert_one_line(error, "tiny.toml")


@pytest.mark.parametrize("module", [train, crossval])
def test_a_training_that_diverges_ends_in_one_line_without_a_checkpoint(command, place, module):
    code, error = command(place / "run", "--set", "lr=1e6", "--set", "clip_norm=0", module=module)
    assert code == 2
    assert_one_line(error, str(place / "run"), "diverged", "--set lr=100000")
    assert not list((place / "run").rglob("*.safetensors"))


def test_a_disk_that_fills_leaves_the_numbers_of_the_last_evaluation(command, place, monkeypatch):
    monkeypatch.setattr(evaluate, "load_faces", lambda *arguments: toy.make_faces(30, 1))
    assert command(place / "run")[0] == 0
    file = place / "numbers.json"
    file.write_text("the last ones")
    options = ["--checkpoint", place / "run" / "tiny.safetensors", "--data", "toy:x"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, options), "--json", str(file)])
    with full_disk(100), pytest.raises(SystemExit, match="2"):
        evaluate.main()
    assert file.read_text() == "the last ones"
