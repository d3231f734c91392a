"""Two processes follow the curve of one at the same global batch."""

import csv
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file

from training.distributed import Workers

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
def test_torchrun_follows_the_curve_of_one_process(tmp_path):
    toy.train(tmp_path / "one", network="toy-unnormalised")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, toy.__file__, tmp_path / "two"], check=True, env=environment)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_shares_cover_a_batch_once():
    shares = [list(range(10))[Workers(rank, 3).rows(10)] for rank in range(3)]
    assert sum(shares, []) == list(range(10))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    recipe = toy.make_recipe(batch_size=15)
    with pytest.raises(ValueError, match="multiple of their number, 2"):
        toy.engine.Run(recipe, toy.make_faces(), toy.make_faces(), tmp_path, workers=Workers(0, 2))
