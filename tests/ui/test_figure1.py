"""The Figure 1 tab's functions, without a browser."""

import json
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.figures import FIGURE1_MAX_ROWS
from fer_models.ui import figure1
from fer_models.words import load_words
from tests.conftest import EXAMPLE

ENGLISH, CHINESE = load_words("en"), load_words("zh")
EMPTY = [None] * len(figure1.SLOTS)


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(figure1, "make_download_folder", lambda: tmp_path)


def test_the_places_are_the_seven_basic_expressions_and_each_has_a_drawn_face():
    assert tuple(e for e in EXPRESSIONS if e != "contempt") == figure1.SLOTS
    samples = figure1.fill_slots(EMPTY)
    assert [Path(file).stem for file in samples] == list(figure1.SLOTS)
    assert all(Image.open(file).size == (512, 512) for file in samples)


def test_drawn_faces_fill_only_the_empty_places():
    slots = ["mine.png", *EMPTY[1:]]
    filled = figure1.fill_slots(slots)
    assert filled[0] == "mine.png"
    assert filled[1] == figure1.sample_file("happiness")


def test_rows_are_the_filled_places_by_expression_then_the_further_pictures():
    slots = ["a.png", *EMPTY[1:-1], "b.png"]
    more = ["/x/Fear_3.jpg", "/x/holiday.jpg", "/x/高兴_1.png", "/x/照片.png"]
    assert figure1.name_rows(slots, more, ENGLISH) == [
        ("neutral", "a.png"),
        ("anger", "b.png"),
        ("fear", more[0]),
        ("holiday", more[1]),
        ("happiness", more[2]),
        ("picture 6", more[3]),
    ]
    assert figure1.name_rows(EMPTY, None, ENGLISH) == []


def test_the_figure_comes_step_by_step_with_its_files_at_the_end(analyzer, tmp_path):
    Image.new("RGB", (120, 120), "grey").save(tmp_path / "fear.png")
    rows = [("happiness", str(EXAMPLE)), ("fear", str(tmp_path / "fear.png"))]
    *steps, (line, paths) = figure1.draw_rows(analyzer, rows, CHINESE)
    assert all("<progress" in text and files is None for text, files in steps)
    assert "第 1 张脸，共 2 张" in steps[0][0] and "正在绘制" in steps[-1][0]
    assert "在 恐惧 中没有找到脸" in line and "fer-problem" in line
    assert [Path(path).suffix for path in paths] == [".png", ".pdf", ".json"]
    assert Path(paths[1]).read_bytes().startswith(b"%PDF")
    record = json.loads(Path(paths[2]).read_text())
    assert [row["name"] for row in record["rows"]] == ["happiness", "fear"]
    assert [row["source"] for row in record["rows"]][0] == "detected"
    width, height = Image.open(paths[0]).size
    assert width > 1000 and height > 600


def test_the_visitors_own_checkpoint_is_drawn(analyzer, saved_mfn):
    with gr.Blocks() as page:
        choice = gr.State({})
        figure1.build_figure1_tab(Choices(analyzer), choice, ENGLISH)
    draw = next(event for event in page.fns.values() if event.name == "draw")
    assert draw.inputs[1] is choice
    *_, shown, _ = draw.fn([0, None], {"mfn": str(saved_mfn[0])}, None, str(EXAMPLE), *EMPTY[1:])
    record = json.loads(Path(shown[5]["value"]).read_text())
    assert record["rows"][0]["networks"]["mfn"]["expression"] == "contempt"
    assert record["weights"]["mfn"]["sha256"] != record["weights"]["ddamfn"]["sha256"]
    shipped = analyzer.checkpoint("mfn").card.sha256
    assert record["weights"]["mfn"]["sha256"] != shipped


def test_a_change_of_faces_or_weights_takes_away_what_was_drawn_from_others(analyzer):
    with gr.Blocks() as page:
        choice = gr.State({})
        tab = figure1.build_figure1_tab(Choices(analyzer), choice, ENGLISH)
    forget = next(event for event in page.fns.values() if event.name == "forget")
    inputs = {component._id for component in (*tab.slots.values(), tab.files, choice)}
    assert {trigger for trigger, _ in forget.targets} == inputs
    drawn = [{}, None, *["a.png"] * len(figure1.SLOTS)]
    begun, line, picture, *downloads, start, stop = forget.fn(True, [1, drawn], {}, *["b.png"] * 8)
    assert "have changed" in line and begun is False and picture is None
    assert downloads == [gr.update(value=None, interactive=False)] * 3
    assert start["interactive"] and not stop["interactive"]
    assert forget.fn(False, [1, drawn], {}, *["b.png"] * 8) == [gr.skip()] * len(tab.shown)
    assert forget.fn(True, [1, drawn], *drawn) == [gr.skip()] * len(tab.shown)


def test_a_face_from_the_lab_is_said_and_not_called_a_change():
    *slots, more, begun, line, picture = figure1.receive_face("a.png", "fear", None, ENGLISH)[:11]
    assert [slot for slot in slots if slot != gr.skip()] == ["a.png"] and more == gr.skip()
    assert "in the place of fear" in line and begun is False and picture is None
    *slots, more, begun, line, _ = figure1.receive_face("a.png", None, ["b.png"], ENGLISH)[:11]
    assert slots == [gr.skip()] * len(figure1.SLOTS) and more == ["b.png", "a.png"]
    assert "among the further pictures" in line and begun is False


def test_without_pictures_the_tab_says_what_to_do(analyzer):
    ((line, paths),) = figure1.draw_rows(analyzer, [], ENGLISH)
    assert "put one into a place" in line and paths is None


def test_unreadable_pictures_are_named_and_too_many_are_cut(analyzer, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no picture")
    ((line, paths),) = figure1.draw_rows(analyzer, [("fear", str(tmp_path / "text.jpg"))], ENGLISH)
    assert "text.jpg: not a picture" in line and paths is None
    drawn = []

    def refuse(analyzer, images):
        drawn.extend(images)
        raise ValueError("No network could be loaded: <b>gone</b>")

    monkeypatch.setattr(figure1, "analyze_rows", refuse)
    rows = [("fear", str(EXAMPLE))] * (FIGURE1_MAX_ROWS + 1)
    *_, (line, paths) = figure1.draw_rows(analyzer, rows, ENGLISH)
    assert len(drawn) == FIGURE1_MAX_ROWS
    assert "&lt;b&gt;gone" in line and paths is None
    *_, (line, paths) = figure1.draw_rows(analyzer, rows, CHINESE)
    assert "服务器的说明（英文）：No network could be loaded" in line
