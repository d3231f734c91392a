"""Two processes follow the curve of one at the same global batch."""

import csv
import importlib
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from PIL import Image
from safetensors.torch import load_file

from fer_models.checkpoints import load_network
from training.distributed import Workers

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
PROCESSES = multiprocessing.get_context("forkserver")


def rows_of(folder) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as stream:
        return [
            {key: float(value) for key, value in row.items() if key != "minutes"}
            for row in csv.DictReader(stream)
        ]


def train_with_two_processes(folder, **changes) -> None:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(2):
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port),
            "CUDA_VISIBLE_DEVICES": "",  # two processes cannot share one GPU
        }
        arguments = {"network": "toy-unnormalised", **changes}
        children.append(
            PROCESSES.Process(
                target=toy.train_as_worker, args=(environment, folder), kwargs=arguments
            )
        )
    for child in children:
        child.start()
    for child in children:
        child.join(300)
        child.kill()
    assert [child.exitcode for child in children] == [0, 0]


def assert_same_run(one, two) -> None:
    alone, together = rows_of(one), rows_of(two)
    assert len(alone) == len(together) > 0
    for expected, found in zip(alone, together, strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=2e-3)
    ours, theirs = (load_file(folder / "toy.safetensors") for folder in (one, two))
    for name, value in ours.items():
        assert torch.allclose(value.float(), theirs[name].float(), atol=2e-3), name


@pytest.mark.parametrize("changes", [{}, {"sam_rho": 0.05}], ids=["sgd", "sam"])
def test_two_processes_follow_the_curve_of_one(tmp_path, changes):
    toy.train(tmp_path / "one", network="toy-unnormalised", **changes)
    train_with_two_processes(tmp_path / "two", **changes)
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("sees", ["augmented", "plain"])
def test_two_processes_are_taught_as_one_is(tmp_path, monkeypatch, sees):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    toy.train(tmp_path / "teacher", network="toy-unnormalised", seed=2)
    teacher = [str(tmp_path / "teacher" / "toy.safetensors")]
    changes = {"teacher": teacher, "teacher_sees": sees, "network": "toy-unnormalised"}
    toy.train(tmp_path / "one", **changes)
    train_with_two_processes(tmp_path / "two", **changes)
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_torchrun_follows_the_curve_of_one_process(tmp_path):
    toy.train(tmp_path / "one", network="toy-unnormalised")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*command, toy.__file__, tmp_path / "two"], check=True, env=ENVIRONMENT)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def run_torchrun(folder: Path, recipe: str) -> subprocess.CompletedProcess:
    """The training command under two processes, on a few drawn faces; the run is in folder/run."""
    for split, labels in {"train": ("happy", "sad"), "val": ("happy",)}.items():
        for label in labels:
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for i in range(2):
                face = Image.fromarray(toy.make_faces(1, i).crops[0]).resize((48, 48))
                face.save(folder / split / label / f"{i}.png")
    (folder / "tiny.toml").write_text(recipe)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "training.train", folder / "tiny.toml"]
    command += ["--data", f"folder:{folder}", "--out", folder / "run"]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)


def test_torchrun_of_the_training_command_writes_one_checkpoint(tmp_path):
    recipe = "network = 'mobilefacenet'\nsizes = [32]\ntest_size = 112\nepochs = [1.0]\n"
    done = run_torchrun(tmp_path, recipe + "batch_size = 4\n")
    assert done.returncode == 0, done.stderr[-2000:]
    names = sorted(file.name for file in (tmp_path / "run").iterdir())
    weights = [name for name in names if name.endswith(".safetensors")]
    assert weights == ["tiny.safetensors"]
    assert not [name for name in names if name.endswith(".tmp")]
    training = load_network(tmp_path / "run" / "tiny.safetensors").card.training
    assert (training["steps"], training["images"]) == (1, 4)
    assert training["device"] == "2 x CPU, 1 thread"


def test_torchrun_of_a_bad_recipe_ends_every_process_with_exit_code_2(tmp_path):
    done = run_torchrun(tmp_path, "learning_rate = 1")
    assert done.returncode != 0  # torchrun's own, 1; what it says of its processes counts
    codes = re.findall(r"exitcode +: (\S+)", done.stderr)
    assert codes and set(codes) <= {"2", "-15"}, done.stderr[-2000:]  # -15: by torchrun, if slower
    assert "2" in codes and "unknown keys learning_rate" in done.stderr
    assert not (tmp_path / "run").exists()


def test_shares_cover_a_batch_once():
    shares = [list(range(10))[Workers(rank, 3).rows(10)] for rank in range(3)]
    assert sum(shares, []) == list(range(10))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    recipe = toy.make_recipe(batch_size=15)
    with pytest.raises(ValueError, match="multiple of their number, 2"):
        toy.engine.Run(recipe, toy.make_faces(), toy.make_faces(), tmp_path, workers=Workers(0, 2))


@pytest.mark.parametrize("command", ["crossval", "reproduce"])
def test_commands_of_one_process_refuse_torchruns_several(monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = {
        "crossval": ["training/recipes/mfn.toml", "--out", "nowhere"],
        "reproduce": ["--table", "ddamfn-2"],
    }
    monkeypatch.setattr(sys, "argv", [command, *arguments[command], "--data", "ferplus:nowhere"])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(f"training.{command}").main()
    assert "without torchrun" in capsys.readouterr().err
