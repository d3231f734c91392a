"""python -m fer_models, run as a user runs it."""

import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_models.__main__ import main
from fer_models.checkpoints import SHIPPED_FOLDER, load_card, sha256_of
from tests.conftest import SHIPPED

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "assets" / "examples" / "eileen_collins.jpg"


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "fer_models", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_analyze_writes_the_documented_json_and_a_figure(tmp_path):
    out, figure = tmp_path / "out.json", tmp_path / "out.png"
    done = run("analyze", EXAMPLE, "--json", out, "--figure", figure, "--target", "happiness")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("face 1: ")
    report = json.loads(out.read_text())
    assert set(report) == {"faces"}
    (face,) = report["faces"]
    assert set(face) == {"box_xyxy", "score", "landmarks", "source", "networks"}
    assert len(face["box_xyxy"]) == 4 and face["score"] > 0.9 and face["source"] == "detected"
    assert np.shape(face["landmarks"]) == (5, 2)
    assert list(face["networks"]) == list(SHIPPED)
    for name, network in face["networks"].items():
        assert set(network) == {"expression", "probabilities", "gradcam", "attention", "seconds"}
        assert tuple(network["probabilities"]) == load_card(name).labels
        assert abs(sum(network["probabilities"].values()) - 1) < 1e-3
        assert network["expression"] in network["probabilities"] and network["seconds"] > 0
        gradcam = network["gradcam"]
        assert set(gradcam) == {"target", "minus", "method", "values", "max"}
        asked = (gradcam["target"], gradcam["minus"], gradcam["method"])
        assert asked == ("happiness", None, "grad-cam")
        assert np.shape(gradcam["values"]) == (7, 7)
        assert np.max(gradcam["values"]) == pytest.approx(gradcam["max"], abs=1e-5)
        assert (network["attention"] is None) == (name != "ddamfn")
    attention = face["networks"]["ddamfn"]["attention"]
    assert set(attention) == {"heads", "fused", "winner", "pairwise_mse"}
    heads = attention["heads"]
    assert len(heads) == 2
    for head in heads:
        shapes = {kind: np.shape(values) for kind, values in head.items()}
        assert shapes == {"row": (7,), "column": (7,), "map": (7, 7)}
    assert np.shape(attention["fused"]) == (7, 7)
    assert np.shape(attention["winner"]) == (7, 7) and set(np.ravel(attention["winner"])) <= {0, 1}
    assert np.shape(attention["pairwise_mse"]) == (2, 2)
    assert attention["pairwise_mse"][0][1] == attention["pairwise_mse"][1][0] > 0
    assert Image.open(figure).width > 500


def test_a_face_crop_is_taken_whole(tmp_path, monkeypatch, capsys):
    small = tmp_path / "small.png"
    with Image.open(EXAMPLE) as image:
        image.crop((160, 40, 290, 190)).resize((48, 48)).save(small)
    arguments = ["fer_models", "analyze", str(small), "--networks", "mfn"]
    boxes = {}
    for is_crop in (False, True):
        monkeypatch.setattr(sys, "argv", arguments + ["--face-crop"] * is_crop)
        assert main() == 0
        faces = json.loads(capsys.readouterr().out)["faces"]
        boxes[is_crop] = [face["box_xyxy"] for face in faces]
    assert boxes[True] == [[0, 0, 48, 48]] != boxes[False]


def test_a_picture_that_is_there_and_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.jpg").write_text("no picture")
    monkeypatch.setattr(sys, "argv", ["fer_models", "analyze", str(tmp_path / "text.jpg")])
    assert main() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "text.jpg: not a picture that can be read; use JPEG" in said.err


def test_a_network_without_the_target_is_named_and_the_others_answer(
    seven_expressions, monkeypatch, capsys
):
    command = ["fer_models", "analyze", str(EXAMPLE), "--target", "contempt", "--networks"]
    monkeypatch.setattr(sys, "argv", [*command, f"{seven_expressions},mfn"])
    assert main() == 0
    said = capsys.readouterr()
    reason = "seven was not trained on contempt"
    report = json.loads(said.out)
    assert list(report["faces"][0]["networks"]) == ["mfn"]
    assert reason in report["unavailable"][str(seven_expressions)] and reason in said.err
    monkeypatch.setattr(sys, "argv", [*command, str(seven_expressions)])
    assert main() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: {reason}") and said.err.count("\n") == 1


def test_a_picture_without_a_face_is_no_error(tmp_path):
    Image.new("RGB", (80, 80), "grey").save(tmp_path / "grey.png")
    done = run("analyze", tmp_path / "grey.png", "--networks", "mfn")
    assert done.returncode == 0
    assert json.loads(done.stdout)["faces"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "no-such.jpg"], "no such file"),
        (["analyze", EXAMPLE, "--target", "boredom"], "is no expression"),
        (["analyze", EXAMPLE, "--networks", "nobody"], "No checkpoint 'nobody'"),
    ],
)
def test_unusable_input_is_one_line_on_stderr_and_exit_2(arguments, message, tmp_path):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", EXAMPLE.parent], "give --csv FILE"),
        (["analyze", EXAMPLE, "--heatmaps", "means.png"], "give --csv FILE"),
        (["analyze", EXAMPLE.parent, "--csv", "f.csv", "--heatmaps", "f.txt"], ".png or .pdf"),
        (["analyze", EXAMPLE, "--csv", "f.csv", "--target", "fear"], "own answer"),
        (["analyze", EXAMPLE, "--networks", ","], "--networks names none"),
        (["analyze", EXAMPLE, "--csv", "f.csv", "--networks", ""], "--networks names none"),
        (["analyze", EXAMPLE, "--figure", "f.txt"], ".png or .pdf"),
        (["figure1", EXAMPLE, "--out", "f.txt"], ".png or .pdf"),
    ],
)
def test_unusable_arguments_are_refused_before_any_work(
    arguments, message, tmp_path, monkeypatch, capsys
):
    for work in ("load_image", "Analyzer"):
        monkeypatch.setattr(f"fer_models.__main__.{work}", lambda *_: pytest.fail("work"))
    arguments = [str(tmp_path / a) if a == "f.csv" else str(a) for a in arguments]
    monkeypatch.setattr(sys, "argv", ["fer_models", *arguments])
    assert main() == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_leaves_no_table(analyzer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fer_models.__main__.Analyzer", lambda *_: analyzer)
    table = tmp_path / "f.csv"
    command = ["fer_models", "analyze", str(tmp_path / "nowhere"), "--csv", str(table)]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 2
    assert "no such file" in capsys.readouterr().err
    assert not table.exists()


def test_a_zip_becomes_a_table_and_bad_files_stop_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(EXAMPLE, "her.jpg")
        archive.writestr("broken.jpg", "no picture")
        archive.writestr("notes.txt", "x")
    table, heatmaps = tmp_path / "faces.csv", tmp_path / "means.png"
    done = run("analyze", tmp_path / "faces.zip", "--csv", table, "--heatmaps", heatmaps)
    assert done.returncode == 0, done.stderr
    assert "broken.jpg: not a picture" in done.stderr and "notes.txt" in done.stderr
    assert "1 faces in 1 pictures, 0 without a face, 2 files passed over" in done.stdout
    with table.open(encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["file"] == "her.jpg" and row["mfn_answer"] == "happiness"
    assert Image.open(heatmaps).width > 500
    assert sorted(f.name for f in tmp_path.iterdir()) == ["faces.csv", "faces.zip", "means.png"]


def test_a_folder_of_nothing_but_bad_files_is_no_error(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "broken.png").write_text("no picture")
    done = run("analyze", folder, "--csv", tmp_path / "faces.csv", "--networks", "mfn")
    assert done.returncode == 0, done.stderr
    assert "broken.png: not a picture" in done.stderr
    assert (tmp_path / "faces.csv").read_text(encoding="utf-8-sig").count("\n") == 1


def test_figure1_writes_the_figure_and_its_record(tmp_path):
    done = run("figure1", f"happiness={EXAMPLE}", "--out", tmp_path / "f.pdf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    record = json.loads((tmp_path / "f.json").read_text())
    assert record["rows"][0]["name"] == "happiness"
    assert record["weights"] == {
        name: {"sha256": sha256_of(SHIPPED_FOLDER / f"{name}.safetensors")} for name in SHIPPED
    }
    assert record["layer"] == "the trunk's output, 7x7" and record["method"] == "grad-cam"
    assert record["target"] == "each network's own answer"
    assert record["scale"] == "cut off below 0, each map divided by its own maximum"


def test_figure1_names_its_rows_as_the_page_does_and_says_what_it_left_out(
    analyzer, tmp_path, monkeypatch, capsys
):
    files = ["happiness_2.jpg", "照片.png", "a-very-long-name-of-a-photograph.jpg", "late.jpg"]
    for name in set(files) - {"照片.png"}:
        (tmp_path / name).symlink_to(EXAMPLE)
    Image.new("RGB", (120, 120), "grey").save(tmp_path / "照片.png")
    monkeypatch.setattr("fer_models.__main__.Analyzer", lambda: analyzer)
    monkeypatch.setattr("fer_models.figures.FIGURE1_MAX_ROWS", 3)
    monkeypatch.setattr(sys, "argv", ["fer_models", "figure1", *files, "--out", "f.png"])
    monkeypatch.chdir(tmp_path)
    assert main() == 0
    rows = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["happiness", "picture 2", "a-very-long-name-o"]
    assert capsys.readouterr().err.splitlines() == [
        "Only the first 3 pictures are drawn.",
        "No face was found in picture 2: taken for face crops.",
    ]


def test_the_library_imports_neither_gradio_nor_the_heavy_packages_before_use():
    code = (
        "import sys, fer_models.analysis, fer_models.figures, fer_models.__main__; "
        "print([m for m in ('gradio', 'facenet_pytorch', 'pytorch_grad_cam') if m in sys.modules])"
    )
    assert printed(code) == "[]"


def test_importing_the_page_loads_nothing():
    code = (
        "import sys, app; print([m for m in sys.modules if m.partition('.')[0] in "
        "('torch', 'gradio', 'matplotlib', 'facenet_pytorch', 'pytorch_grad_cam')])"
    )
    assert printed(code) == "[]"


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
