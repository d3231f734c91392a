"""python -m training.train from its arguments to the files that it leaves."""

import argparse
import importlib
import logging
import sys
import time

import pytest
import torch
import toy

from fer_models.checkpoints import load_card
from training import crossval, train
from training.datasets import SPLITS
from training.distributed import Workers
from training.engine import Run
from training.recipe import Recipe

RECIPE = 'network = "toy"\nsizes = [12]\nepochs = [2.0]\nbatch_size = 16\ndetail_px = 12\n'


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a module's main with the toy data and recipe; returns the run's folder."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    splits = {"train": 0, "validation": 1}
    monkeypatch.setitem(SPLITS, "toy", (*splits, "test"))

    def load(data, split, preprocessing, fer2013_weight=0.0):
        return toy.make_faces(48, splits[split])

    def run(*options, module=train):
        monkeypatch.setattr(module, "load_faces", load)
        arguments = [module.__name__, str(recipe), "--data", "toy:x", "--out", f"{tmp_path}/run"]
        monkeypatch.setattr(sys, "argv", [*arguments, *options])
        module.main()
        return tmp_path / "run"

    return run


def test_the_command_leaves_weights_card_history_and_pictures(command):
    folder = command("--name", "mine", "--set", "lr=0.05", "--set", "attention_loss=paper")
    files = {file.name for file in folder.iterdir()}
    assert files == {
        "mine.safetensors",
        "mine.json",
        "history.csv",
        "curves.png",
        "confusion.png",
        "state.pt",
    }
    card = load_card(folder / "mine.safetensors")
    assert card.training["recipe"]["lr"] == 0.05
    assert card.training["recipe"]["attention_loss"] == "paper"
    assert card.training["data"] == "toy"


def test_what_comes_before_the_first_step_is_of_the_budget(command, monkeypatch):
    given = []

    class SlowRun(Run):  # as one that asks its teachers first
        def __init__(self, *arguments, **options):
            time.sleep(0.6)
            super().__init__(*arguments, **options)

        def train(self, minutes):
            given.append(minutes)
            super().train(minutes)

    for module in (train, crossval):
        monkeypatch.setattr(module, "Run", SlowRun)
    command("--minutes", "0.01")
    with pytest.raises(SystemExit, match="0"):
        command("--minutes", "0.01", "--folds", "2", module=crossval)
    assert given == [0, 0]


def test_a_budget_leaves_a_state_that_the_same_command_finishes(command):
    folder = command("--minutes", "0")
    assert not (folder / "tiny.safetensors").exists()
    assert (command("--resume") / "tiny.safetensors").exists()


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--set", "learning_rate=1"], "unknown keys learning_rate"),
        (["--set", "init=nowhere"], "No checkpoint 'nowhere'"),
    ],
)
def test_a_mistake_stops_before_training_with_one_line(command, capsys, options, complaint):
    with pytest.raises(SystemExit) as stopped:
        command(*options)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_note_goes_into_the_card(command):
    folder = command("--note", "Cut short: no GPU.")
    assert load_card(folder / "tiny.safetensors").training["note"] == "Cut short: no GPU."


def test_another_precision_does_not_resume(command, capsys, monkeypatch):
    monkeypatch.setattr(train, "join_workers", lambda: Workers(device=torch.device("cpu")))
    command("--minutes", "0")
    with pytest.raises(SystemExit) as stopped:
        command("--resume", "--bfloat16")
    assert stopped.value.code == 2
    assert "was made in float32; to resume, leave --bfloat16 out" in capsys.readouterr().err


def test_data_without_a_kind_is_refused_with_the_kinds_there_are():
    with pytest.raises(ValueError, match="KIND:PATH; kinds are .*ferplus"):
        train.load_splits("faces", Recipe())


def test_crossval_prints_every_fold_and_the_mean_and_goes_on_after_its_budget(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        command("--folds", "2", "--minutes", "0", module=crossval)
    assert stopped.value.code == 0
    command("--folds", "2", module=crossval)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[:2]] == ["fold 1: n 24", "fold 2: n 24"]
    assert lines[2].startswith("mean accuracy")


def test_the_log_says_how_validation_went(command, caplog):
    caplog.set_level(logging.INFO)
    command()
    assert "validation_accuracy" in caplog.text


def test_a_part_of_the_data_is_recorded_as_such(command):
    folder = command("--data", "toy:x#subset")
    assert load_card(folder / "tiny.safetensors").training["data"] == "toy#subset"
    command("--data", "toy:x#subset", "--folds", "2", module=crossval)
    card = load_card(folder / "fold-01" / "checkpoint.safetensors")
    assert card.training["data"] == "toy#subset"


@pytest.mark.parametrize(
    "module", ["benchmark", "crossval", "evaluate", "export", "landmarks", "reproduce", "train"]
)
def test_every_argument_says_what_it_is_for(monkeypatch, module):
    parsers = []

    def stop(parser):
        parsers.append(parser)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        importlib.import_module(f"training.{module}").main()
    (parser,) = parsers
    assert not [action.dest for action in parser._actions if not action.help]
