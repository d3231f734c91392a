"""The Batch tab's functions, without a browser."""

import csv
import json
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData, ListFiles
from PIL import Image

from fer_models.analysis import Analyzer
from fer_models.batch import Limits, Problem, Tally
from fer_models.choice import Choices
from fer_models.ui.batch import (
    SHOWN_PROBLEMS,
    Upload,
    add_files,
    build_batch_tab,
    describe_time,
    draw_problems,
    draw_progress,
    read_uploads,
    run_batch,
    show_uploads,
)
from fer_models.words import LANGUAGES, load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")
DRAWN = EXAMPLE.parent


def never() -> bool:
    return False


def upload(file: Path, name: str | None = None) -> Upload:
    return Upload(str(file), name or file.name)


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
    return list(run_batch(analyzer, [upload(mixed)], False, WORDS, never))


def test_a_batch_ends_with_a_table_a_picture_and_the_counts(views):
    last = views[-1]
    rows = read_rows(last.table)
    assert [row["file"] for row in rows] == ["<b>her.jpg", "./=happy.png"]
    assert rows[0]["mfn_answer"] == "happiness" and float(rows[0]["score"]) > 0.99
    assert {key.split("_")[0] for key in rows[0] if key.endswith("_margin")} == set(SHIPPED)
    assert Image.open(last.heatmaps).width > 500
    report = json.loads(Path(last.report).read_text(encoding="utf-8"))
    assert (report["pictures"], report["faces"]) == (3, 2)
    assert np.shape(report["networks"]["mfn"]["answers"]["happiness"]["mean_heatmap"]) == (7, 7)
    assert report["passed_over"][0]["reason"] == "<script>.txt: not a picture by its name."
    assert "Done: 3 of 3 pictures." in last.line
    assert "<dt>pictures without a face</dt><dd>1</dd>" in last.results
    assert "<dt>files passed over</dt><dd>1</dd>" in last.results
    answers = {row[f"{name}_answer"] for name in SHIPPED for row in rows}
    assert last.results.count("<img") >= len(answers)
    assert all(view.table is view.report is None for view in views[:-1])


def test_names_from_outside_stay_text(views):
    assert "<script>" not in views[-1].results
    assert "&lt;script&gt;.txt: not a picture by its name." in views[-1].results


def test_the_mean_of_one_face_says_so(analyzer):
    last = list(run_batch(analyzer, [upload(EXAMPLE)], False, WORDS, never))[-1]
    assert last.results.count("n = 1") == len(SHIPPED)
    assert "A mean of few faces is those few faces." in last.results


def test_a_stop_keeps_what_was_done(analyzer, mixed):
    *_, last = run_batch(analyzer, [upload(mixed)], False, WORDS, lambda: True)
    assert len(read_rows(last.table)) == 1
    assert "Stopped after 1 of 3 pictures" in last.line
    assert last.heatmaps is not None


def test_crops_need_no_search(analyzer, tmp_path, photograph_crop):
    file = tmp_path / "crop.png"
    Image.fromarray(photograph_crop).resize((48, 48)).save(file)
    *_, last = run_batch(analyzer, [upload(file)], True, WORDS, never)
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
        uploads = [upload(file) for file in files]
        *_, last = run_batch(Analyzer(("mfn",)), uploads, False, words, never, limits)
        assert message in last.line
        assert last.table is last.heatmaps is None
        assert (last.report is not None) == ("notes.txt" in last.results)


def test_a_batch_without_any_network_says_so(monkeypatch):
    from fer_models.checkpoints import CheckpointError

    analyzer = Analyzer()

    def refuse(name):
        raise CheckpointError(f"{name} is damaged.")

    monkeypatch.setattr(analyzer, "checkpoint", refuse)
    *_, last = run_batch(analyzer, [upload(EXAMPLE)], False, WORDS, never)
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


def test_an_uploads_name_goes_to_the_list_and_back(tmp_path):
    file = tmp_path / "1.png"
    file.write_bytes(b"1234")
    given = ListFiles(root=[FileData(path=str(file), orig_name="holiday/a/1.png")])
    uploads = read_uploads(given)
    assert uploads == [Upload(str(file), "holiday/a/1.png")]
    assert read_uploads(show_uploads(uploads)) == uploads
    assert show_uploads(uploads).root[0].size == 4
    assert read_uploads(FileData(path=str(file))) == [Upload(str(file), "1.png")]
    assert read_uploads(None) is show_uploads(None) is show_uploads([]) is None


def test_the_same_picture_under_two_names_has_two_rows(analyzer, tmp_path, photograph_crop):
    Image.fromarray(photograph_crop).save(tmp_path / "1.png")
    uploads = [upload(tmp_path / "1.png", f"holiday/{name}/1.png") for name in "ab"]
    *_, last = run_batch(analyzer, uploads, True, WORDS, never)
    assert [row["file"] for row in read_rows(last.table)] == ["holiday/a/1.png", "holiday/b/1.png"]


@pytest.fixture
def events(analyzer) -> dict:
    """The tab's own functions, by name."""
    with gr.Blocks() as page:
        build_batch_tab(Choices(analyzer), gr.State({}), WORDS)
    return {event.name: event.fn for event in page.fns.values()}


def test_other_files_clear_the_results_and_say_what_to_press(events):
    line, results, *downloads, start, stop = events["forget"](
        [upload(EXAMPLE)], False, {}, [0, 0, None]
    )
    assert "Files given: 1. Press Analyse." in line and results == ""
    assert downloads == [gr.update(value=None, interactive=False)] * 3
    assert start["interactive"] and not stop["interactive"]
    assert WORDS("batch.empty") in events["forget"](None, False, {}, [0, 0, None])[0]


def test_a_change_during_a_run_lets_nothing_of_it_land(events, mixed):
    ticket = [0, 0, None]
    run = events["run"]([upload(mixed)], False, {}, ticket)
    while "Picture 0 of 3" not in next(run)[0]:
        pass
    untouched = events["forget"]([upload(mixed)], False, {}, ticket)  # the very change, late
    assert untouched == [gr.skip()] * 7
    events["forget"](None, False, {}, ticket)
    assert list(run) == [[gr.skip()] * 7]


def test_a_stop_lets_the_run_hand_over_what_it_has(events, mixed):
    ticket = [0, 0, None]
    run = events["run"]([upload(mixed)], False, {}, ticket)
    while "Picture 0 of 3" not in next(run)[0]:
        pass
    events["ask_to_stop"](ticket)
    *_, (line, *_, start, stop) = run
    assert "Stopped after 1 of 3" in line
    assert start["interactive"] and not stop["interactive"]


def test_the_visitors_own_checkpoint_fills_the_table(
    analyzer, saved_mfn, tmp_path, photograph_crop
):
    Image.fromarray(photograph_crop).save(tmp_path / "1.png")
    with gr.Blocks() as page:
        choice = gr.State({})
        build_batch_tab(Choices(analyzer), choice, WORDS)
    run = next(event for event in page.fns.values() if event.name == "run")
    assert run.inputs[2] is choice
    forget = next(event for event in page.fns.values() if event.name == "forget")
    assert (choice._id, "change") in forget.targets
    chosen = {"mfn": str(saved_mfn[0])}
    *_, shown = run.fn([upload(tmp_path / "1.png")], True, chosen, [0, 0, None])
    (row,) = read_rows(shown[2]["value"])
    assert (row["mfn_answer"], row["ddamfn_answer"]) == ("contempt", "happiness")
    report = json.loads(Path(shown[4]["value"]).read_text(encoding="utf-8"))
    assert report["networks"]["mfn"]["checkpoint"]["name"] == "contemptuous"
