"""Measuring a checkpoint, and what the command line writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from fer_models.calibration import Calibration
from fer_models.checkpoints import load_card, save_checkpoint
from fer_models.networks import NETWORKS
from training import evaluate
from training.calibrate import CHOSEN_BY
from training.datasets import SPLITS
from training.distributed import Workers
from training.engine import build_network
from training.evaluate import measure_both, predict_logits

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "toy", toy.ToyNetwork)
    recipe = toy.make_recipe()
    network = build_network(recipe, toy.EXPRESSIONS)
    save_checkpoint(
        network,
        tmp_path,
        name="toy",
        network="toy",
        arguments={},
        labels=toy.EXPRESSIONS,
        preprocessing=recipe.preprocessing,
        calibration=Calibration((0.7, 0.1, 0.1, 0.1), strength=1.0),
    )
    return tmp_path / "toy.safetensors"


def run_main(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    evaluate.main()


@pytest.fixture
def splits(monkeypatch):
    """Toy faces in splits of their own."""
    monkeypatch.setitem(SPLITS, "toy", ("Training", "PublicTest", "PrivateTest"))
    seeds = {"PublicTest": 1, "PrivateTest": 2}
    monkeypatch.setattr(
        evaluate, "load_faces", lambda data, split, preprocessing: toy.make_faces(30, seeds[split])
    )


def test_evaluate_writes_the_numbers_that_it_prints(
    checkpoint, splits, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "numbers.json"
    picture = tmp_path / "confusion.png"
    common = ("--checkpoint", checkpoint, "--data", "toy:x", "--json", file)
    run_main(monkeypatch, *common, "--confusion", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(file.read_text())["PublicTest"]
    assert set(numbers) == {"uncorrected", "corrected"}
    for metrics in numbers.values():
        confusion = np.array(metrics["confusion"])
        assert metrics["n"] == confusion.sum() == 30
        assert metrics["accuracy"] == pytest.approx(confusion.trace() / 30)
        assert set(metrics["recall"]) == set(toy.EXPRESSIONS)
        assert 0 <= metrics["expected_calibration_error"] <= 1
    assert f"accuracy {numbers['corrected']['accuracy']:.4f}" in capsys.readouterr().out


def test_write_card_records_the_split_and_keeps_the_rest(checkpoint, monkeypatch):
    faces = toy.make_faces(30, 1)
    monkeypatch.setattr(evaluate, "load_faces", lambda data, split, preprocessing: faces)
    before = load_card(checkpoint)
    common = ("--checkpoint", checkpoint, "--data", "toy:x", "--write-card", "--split")
    run_main(monkeypatch, *common, "PublicTest")
    run_main(monkeypatch, *common, "PrivateTest", "--flip")
    card = load_card(checkpoint)
    assert set(card.metrics) == {"PublicTest", "PrivateTest with flip"}
    assert card.metrics["PublicTest"]["uncorrected"]["n"] == 30
    assert card.sha256 == before.sha256


@pytest.mark.parametrize("kind, split", [("rafdb", "test"), ("folder", "val"), ("ferplus", None)])
def test_without_a_split_the_one_for_validation_is_measured(checkpoint, monkeypatch, kind, split):
    asked = []

    def load(data, split, preprocessing):
        asked.append(split)
        return toy.make_faces(30, 1)

    monkeypatch.setattr(evaluate, "load_faces", load)
    run_main(monkeypatch, "--checkpoint", checkpoint, "--data", f"{kind}:x", "--write-card")
    assert asked == list(load_card(checkpoint).metrics) == [split or "PublicTest"]


def test_numbers_of_a_part_are_recorded_as_such(checkpoint, splits, monkeypatch):
    common = ("--checkpoint", checkpoint, "--write-card", "--data")
    run_main(monkeypatch, *common, "toy:x#subset")
    assert load_card(checkpoint).metrics["PublicTest"]["data"] == "toy#subset"
    run_main(monkeypatch, *common, "toy:x")
    assert load_card(checkpoint).metrics["PublicTest"]["data"] == "toy"


def test_the_device_is_that_of_the_other_commands(checkpoint, splits, monkeypatch):
    devices = []

    def predict(network, faces, preprocessing, device, flip):
        devices.append(device)
        return predict_logits(network, faces, preprocessing, CPU, flip)

    monkeypatch.setattr(evaluate, "predict_logits", predict)
    workers = Workers(device=torch.device("cpu", 0))
    monkeypatch.setattr(evaluate, "Workers", lambda: workers)
    run_main(monkeypatch, "--checkpoint", checkpoint, "--data", "toy:x")
    assert devices == [workers.device]


def test_recalibrating_drops_the_numbers_of_the_old_calibration(checkpoint, splits, monkeypatch):
    common = ("--checkpoint", checkpoint, "--data", "toy:x", "--split")
    for split in ("PublicTest", "PrivateTest"):
        run_main(monkeypatch, *common, split, "--write-card")
    before = load_card(checkpoint)
    run_main(monkeypatch, *common, "PublicTest", "--recalibrate")
    card = load_card(checkpoint)
    assert set(before.metrics) == {"PublicTest", "PrivateTest"}
    assert set(card.metrics) == {"PublicTest"}
    assert card.calibration.prior == before.calibration.prior
    assert card.calibration.chosen_by == CHOSEN_BY != before.calibration.chosen_by
    run_main(monkeypatch, *common, "PrivateTest", "--write-card")
    assert set(load_card(checkpoint).metrics) == {"PublicTest", "PrivateTest"}


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--split", "PrivateTest"], "toy's PublicTest; give --split PublicTest"),
        (["--split", "PublicTest", "--flip"], "leave --flip out"),
    ],
)
def test_nothing_but_plain_validation_faces_recalibrates(
    checkpoint, splits, monkeypatch, capsys, options, complaint
):
    card = checkpoint.with_suffix(".json").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        run_main(
            monkeypatch, "--checkpoint", checkpoint, "--data", "toy:x", "--recalibrate", *options
        )
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err
    assert checkpoint.with_suffix(".json").read_bytes() == card


def test_faces_labelled_otherwise_than_the_checkpoint_are_refused(checkpoint, monkeypatch, capsys):
    faces = toy.make_faces(30, 1)
    swapped = type(faces)(**{**faces.__dict__, "expressions": toy.EXPRESSIONS[::-1]})
    monkeypatch.setattr(evaluate, "load_faces", lambda data, split, preprocessing: swapped)
    with pytest.raises(SystemExit) as stopped:
        run_main(monkeypatch, "--checkpoint", checkpoint, "--data", "toy:x")
    assert stopped.value.code == 2
    assert "labelled surprise, sadness" in capsys.readouterr().err


def test_flip_makes_the_answer_the_same_for_a_face_and_its_mirror(monkeypatch):
    network = build_network(toy.make_recipe(), toy.EXPRESSIONS)
    faces, preprocessing = toy.make_faces(5), toy.make_recipe().preprocessing
    mirrored = type(faces)(**{**faces.__dict__, "crops": faces.crops[:, :, ::-1].copy()})
    plain = [predict_logits(network, f, preprocessing, CPU) for f in (faces, mirrored)]
    flipped = [predict_logits(network, f, preprocessing, CPU, True) for f in (faces, mirrored)]
    assert not torch.allclose(plain[0], plain[1], atol=1e-4)
    assert torch.allclose(flipped[0], flipped[1], atol=1e-5)


def test_the_batch_size_does_not_change_the_answer():
    network = build_network(toy.make_recipe(), toy.EXPRESSIONS)
    faces, preprocessing = toy.make_faces(7), toy.make_recipe().preprocessing
    whole, parts = (
        predict_logits(network, faces, preprocessing, CPU, batch_size=size) for size in (7, 3)
    )
    assert torch.allclose(whole, parts, atol=1e-6)


def test_corrected_differs_from_uncorrected_only_through_the_calibration():
    faces = toy.make_faces(20)
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    unchanged = measure_both(logits, faces, Calibration.none(4))
    assert unchanged["corrected"] == unchanged["uncorrected"]
    moved = measure_both(logits, faces, Calibration((0.7, 0.1, 0.1, 0.1), strength=5.0))
    assert moved["corrected"] != moved["uncorrected"]


def test_training_imports_no_page_no_detector_and_no_pyplot():
    modules = [file.stem for file in (ROOT / "training").glob("*.py") if file.stem != "__init__"]
    unwanted = ("gradio", "facenet_pytorch", "pytorch_grad_cam", "matplotlib.pyplot")
    code = (
        f"import sys; {'; '.join(f'import training.{name}' for name in modules)}; "
        f"print([name for name in {unwanted} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_numbers_that_cannot_be_written_end_in_one_line(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load_faces", lambda *arguments: toy.make_faces(30, 1))
    missing = tmp_path / "no folder" / "numbers.json"
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, "--checkpoint", checkpoint, "--data", "toy:x", "--json", missing)
    assert "numbers.json" in capsys.readouterr().err
