"""The Batch tab's functions, without a browser."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_models.analysis import Analyzer
from fer_models.batch import Limits, Problem, Tally
from fer_models.ui.batch import (
    SHOWN_PROBLEMS,
    add_files,
    describe_time,
    draw_problems,
    draw_progress,
    run_batch,
)
from fer_models.words import LANGUAGES, load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")
DRAWN = EXAMPLE.parent


def never() -> bool:
    return False


def read_rows(file: str) -> list[dict]:
    with open(file, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    Image.fromarray(np.full((60, 60, 3), 60, np.uint8)).save(folder / "grey.png")
    with zipfile.ZipFile(folder / "mixed.zip", "w") as archive:
        archive.write(EXAMPLE, "<b>her.jpg")
        archive.write(DRAWN / "happiness.png", "=happy.png")
        archive.write(folder / "grey.png", "grey.png")
        archive.writestr("<script>.txt", "x")
    return folder / "mixed.zip"


@pytest.fixture(scope="module")
def views(analyzer, mixed):
    return list(run_batch(analyzer, [str(mixed)], False, WORDS, never))


def test_a_batch_ends_with_a_table_a_picture_and_the_counts(views):
    last = views[-1]
    rows = read_rows(last.table)
    assert [row["file"] for row in rows] == ["<b>her.jpg", "./=happy.png"]
    assert rows[0]["mfn_answer"] == "happiness" and float(rows[0]["score"]) > 0.99
    assert {key.split("_")[0] for key in rows[0] if key.endswith("_margin")} == set(SHIPPED)
    assert Image.open(last.heatmaps).width > 500
    assert "Done: 3 of 3 pictures." in last.line
    assert "<dt>pictures without a face</dt><dd>1</dd>" in last.results
    assert "<dt>files passed over</dt><dd>1</dd>" in last.results
    answers = {row[f"{name}_answer"] for name in SHIPPED for row in rows}
    assert last.results.count("<img") >= len(answers)
    assert all(view.table is None for view in views[:-1])


def test_names_from_outside_stay_text(views):
    assert "<script>" not in views[-1].results
    assert "&lt;script&gt;.txt: not a picture by its name." in views[-1].results


def test_the_mean_of_one_face_says_so(views):
    ones = views[-1].results.count("n = 1")
    assert ones >= 1 and "A mean of few faces is those few faces." in views[-1].results


def test_a_stop_keeps_what_was_done(analyzer, mixed):
    *_, last = run_batch(analyzer, [str(mixed)], False, WORDS, lambda: True)
    assert len(read_rows(last.table)) == 1
    assert "Stopped after 1 of 3 pictures" in last.line
    assert last.heatmaps is not None


def test_crops_need_no_search(analyzer, tmp_path, photograph_crop):
    file = tmp_path / "crop.png"
    Image.fromarray(photograph_crop).resize((48, 48)).save(file)
    *_, last = run_batch(analyzer, [str(file)], True, WORDS, never)
    (row,) = read_rows(last.table)
    assert row["source"] == "face-crop" and row["right"] == "48.0"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_cannot_be_begun_says_why_and_makes_no_file(language, mixed, tmp_path):
    words = load_words(language)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "no.zip").write_text("x")
    cases = [
        ([], Limits(), words("batch.empty")),
        ([mixed], Limits(2), words("batch.too_many", file="mixed.zip", limit=2)),
        ([tmp_path / "no.zip"], Limits(), words("batch.bad_zip", file="no.zip")),
        ([tmp_path / "notes.txt"], Limits(), words("batch.none_read")),
    ]
    for files, limits, message in cases:
        names = [str(file) for file in files]
        *_, last = run_batch(Analyzer(("mfn",)), names, False, words, never, limits)
        assert message in last.line
        assert last.table is last.heatmaps is None


def test_a_batch_without_any_network_says_so(monkeypatch):
    from fer_models.checkpoints import CheckpointError

    analyzer = Analyzer()

    def refuse(name):
        raise CheckpointError(f"{name} is damaged.")

    monkeypatch.setattr(analyzer, "checkpoint", refuse)
    *_, last = run_batch(analyzer, [str(EXAMPLE)], False, WORDS, never)
    assert "mfn is damaged." in last.line and "fer-problem" in last.line


def test_the_progress_says_how_far_it_is_and_how_long_it_takes():
    line = draw_progress(3, 12, 5, 61.7, WORDS)
    assert 'aria-valuenow="3"' in line and "width:25.0%" in line
    assert "Picture 3 of 12. Faces so far: 5. About 62 s left." in line
    assert describe_time(200, WORDS) == "3 min"


def test_many_problems_are_folded_and_cut():
    problems = [
        Problem(f"{number}.txt", "batch.no_picture") for number in range(SHOWN_PROBLEMS + 7)
    ]
    html = draw_problems(problems, WORDS)
    assert html.count("<li>") == SHOWN_PROBLEMS + 1 and "and 7 more" in html
    assert "<details open" not in html.replace(' class="batch-problems"', "")
    assert " open>" in draw_problems(problems[:1], WORDS)
    assert draw_problems(Tally({}).problems, WORDS) == ""


def test_a_folder_is_added_to_the_list():
    assert add_files(None, ["a"]) == ["a"]
    assert add_files(["a"], ["b", "c"]) == ["a", "b", "c"]
