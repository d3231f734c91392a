"""The Compare tab's functions, without a browser."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS, Analyzer
from fer_models.ui import html
from fer_models.ui.compare import (
    Look,
    Question,
    describe_view,
    draw_cards,
    explain_face,
    find_faces,
)
from fer_models.words import load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")


@pytest.fixture(scope="module")
def view(analyzer):
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    return list(explain_face(analyzer, picture, Question()))[-1]


def test_results_appear_network_by_network(analyzer):
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    steps = [
        [*view.result.networks, *view.unavailable]
        for view in explain_face(analyzer, picture, Question())
    ]
    assert steps == [list(PAGE_NETWORKS[: i + 1]) for i in range(3)]


def test_every_card_has_a_heatmap_with_words_and_all_bars_in_order(view):
    *cards, attention = draw_cards(view, Look(), WORDS)
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name not in SHIPPED:
            assert "No checkpoint" in card
            continue
        assert card.count("<img") == 1 and 'alt="The face under' in card
        order = [card.index(f">{e}</span>") for e in view.result.networks[name].probabilities]
        assert order == sorted(order)
    assert attention.count("<img") == 4
    assert "head 1" in attention and "fused" in attention


def test_the_line_above_says_what_the_networks_say(view):
    assert "happiness" in describe_view(view, WORDS)


def test_a_network_that_is_missing_is_named_in_its_column(analyzer, monkeypatch):
    lame = Analyzer()

    def refuse(name):
        if name == "mfn":
            from fer_models.checkpoints import CheckpointError

            raise CheckpointError("mfn.safetensors is damaged. Fetch it anew.")
        return analyzer.checkpoint(name)

    monkeypatch.setattr(lame, "checkpoint", refuse)
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    view = list(explain_face(lame, picture, Question()))[-1]
    cards = draw_cards(view, Look(), WORDS)
    assert "damaged" in cards[1] and "<img" in cards[0]
    assert "MFN is not available" in describe_view(view, WORDS)


def write(folder: Path, name: str) -> Path:
    file = folder / name
    if name == "text.jpg":
        file.write_text("no picture")
    elif name == "one-pixel.png":
        Image.new("RGB", (1, 1)).save(file)
    else:
        Image.fromarray(np.full((300, 300, 3), 60, np.uint8)).save(file)
    return file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.jpg", "not a picture"),
        ("one-pixel.png", "No face was found"),
        ("grey.png", "cut-out face"),
    ],
)
def test_what_cannot_be_explained_gets_a_notice_with_the_next_step(tmp_path, name, message):
    picture, notice = find_faces(str(write(tmp_path, name)), WORDS)
    assert picture is None or picture.faces == []
    assert message in notice and "fer-problem" in notice


def test_text_from_outside_cannot_become_html():
    assert "<script>" not in html.notice("<script>alert(1)</script>")
    assert "<script>" not in html.empty_card("mfn", "<script>")
