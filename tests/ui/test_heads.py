"""The Heads tab's functions, without a browser."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fer_models.analysis import Analyzer
from fer_models.choice import Choices
from fer_models.explain.attention import ChannelAttention
from fer_models.ui.compare import find_faces
from fer_models.ui.heads import (
    HeadsLook,
    attention_of_channel,
    clearest_channel,
    draw_channel,
    draw_differences,
    draw_mean,
    draw_without,
    heads_report,
    look_into_heads,
    most_different_channel,
    show_heads,
    write_figure,
    write_json,
)
from fer_models.ui.html import answer_of, describe_change, probability_bars
from fer_models.words import load_words
from tests.conftest import EXAMPLE

WORDS = load_words("en")


@pytest.fixture(scope="module")
def picture():
    return find_faces(str(EXAMPLE), WORDS)[0]


@pytest.fixture(scope="module")
def choices(analyzer):
    return Choices(analyzer)


@pytest.fixture(scope="module")
def view(choices, picture):
    return look_into_heads(choices, {}, picture, WORDS)


def by_hand() -> ChannelAttention:
    """Two heads, three channels: flat, flat with unlike heads, and a pattern in head 1."""
    columns, rows = np.full((2, 3, 7), 0.5, np.float32), np.full((2, 3, 7), 0.5, np.float32)
    columns[0, 1], rows[0, 1] = 0.9, 0.9
    columns[1, 1], rows[1, 1] = 0.1, 0.1
    columns[0, 2, 3], rows[0, 2, 4] = 1.0, 1.0
    return ChannelAttention(columns, rows)


def test_a_channels_map_is_its_column_times_its_row():
    attention = attention_of_channel(by_hand(), 2)
    assert attention.maps[0, 3, 4] == 1 and attention.maps[0, 3, 0] == 0.5
    assert attention.maps[0, 0, 0] == 0.25
    np.testing.assert_array_equal(
        attention.maps, attention.columns[:, :, None] * attention.rows[:, None, :]
    )


def test_a_channels_difference_is_the_mean_square_of_its_maps_difference():
    difference = attention_of_channel(by_hand(), 1).pairwise_mse
    assert difference[0, 1] == pytest.approx((0.81 - 0.01) ** 2)
    assert difference[0, 0] == 0 and difference[1, 0] == difference[0, 1]


def test_the_channels_to_jump_to_are_found():
    assert clearest_channel(by_hand()) == 2
    assert most_different_channel(by_hand()) == 1


def test_the_mean_of_the_channels_is_the_attention_that_compare_shows(view, analyzer, picture):
    face = picture.faces[0]
    result = analyzer.analyze_faces(picture.image, [face], networks=["ddamfn"]).faces[0]
    np.testing.assert_allclose(view.mean.maps, result.networks["ddamfn"].attention.maps, atol=1e-6)
    channels = [attention_of_channel(view.channels, c).maps for c in range(view.num_channels)]
    np.testing.assert_allclose(np.mean(channels, axis=0), view.mean.maps, atol=1e-5)


def test_the_probabilities_with_all_heads_are_compares(view, analyzer, picture):
    result = analyzer.analyze_faces(picture.image, picture.faces[:1], networks=["ddamfn"])
    expected = result.faces[0].networks["ddamfn"].probabilities
    assert view.probabilities == pytest.approx(expected, abs=1e-5)


def test_switching_a_head_off_changes_the_probabilities_and_the_sentence(view):
    assert len(view.without) == 2
    for after in view.without:
        assert sum(after.values()) == pytest.approx(1, abs=1e-5)
        assert max(abs(after[e] - p) for e, p in view.probabilities.items()) > 1e-4
    drawn = draw_without(view, WORDS)
    for after in view.without:
        assert describe_change(view.probabilities, after, WORDS) in drawn
    assert drawn.count('fer-mark"') == 2 * len(view.probabilities)


def test_a_change_is_said_in_words():
    before = {"fear": 0.2, "anger": 0.8}
    assert describe_change(before, {"fear": 0.3, "anger": 0.7}, WORDS) == "still anger, 0.80 → 0.70"
    replaced = describe_change(before, {"fear": 0.9, "anger": 0.1}, WORDS)
    assert replaced == "fear (0.90) instead of anger, 0.80 → 0.10"
    assert answer_of(before) == "anger"


def test_a_bar_has_its_mark_where_it_was_before():
    bars = probability_bars({"fear": 0.25, "anger": 0.75}, WORDS, {"fear": 0.6, "anger": 0.4})
    assert re.findall(r"left:([\d.]+)%", bars) == ["60.0", "40.0"]
    assert re.findall(r"width:([\d.]+)%", bars) == ["25.0", "75.0"]


def test_every_map_has_its_bars_and_the_values_of_its_colours(view):
    channel = most_different_channel(view.channels)
    attention = attention_of_channel(view.channels, channel)
    drawn = draw_channel(view, channel, HeadsLook(), WORDS)
    assert drawn.count("<img") == 4
    bars = [float(v) for v in re.findall(r"--value:([\d.]+)", drawn)]
    expected = [(r, c) for r, c in zip(attention.rows, attention.columns, strict=True)]
    np.testing.assert_allclose(bars, np.ravel(expected), atol=5e-4)
    for values in (*attention.maps, attention.fused):
        assert f"<span>{values.min():.2f}</span>" in drawn
        assert f"<span>{values.max():.2f}</span>" in drawn


def test_the_product_of_the_brightest_cell_is_worked_out(view):
    channel = clearest_channel(view.channels)
    attention = attention_of_channel(view.channels, channel)
    drawn = draw_channel(view, channel, HeadsLook(), WORDS)
    for column, row in zip(attention.columns, attention.rows, strict=True):
        assert f"{column.max():.2f} × {row.max():.2f} ≈ {column.max() * row.max():.2f}" in drawn


def test_one_scale_for_all_maps_is_from_0_to_1(view):
    drawn = draw_mean(view, HeadsLook(scale="unit"), WORDS)
    assert drawn.count("<span>0.00</span>") == drawn.count("<span>1.00</span>") == 3


def test_the_winners_shares_stand_on_the_mean_map_alone(view):
    shares = re.findall(r"<b>(\d+)</b>", draw_mean(view, HeadsLook(), WORDS))
    assert [int(s) for s in shares] == [round(100 * float(s)) for s in view.mean.winner_share.flat]
    assert "<b>" not in draw_channel(view, 0, HeadsLook(), WORDS)


def test_the_table_holds_both_differences(view):
    table = draw_differences(view, 7, WORDS)
    assert f"{view.mean.pairwise_mse[0, 1]:.4f}" in table
    assert f"{attention_of_channel(view.channels, 7).pairwise_mse[0, 1]:.4f}" in table


def test_the_json_holds_what_is_shown(view):
    report = json.loads(Path(write_json(view, 7)).read_text())
    assert report == json.loads(json.dumps(heads_report(view, 7)))
    assert report["channel"]["number"] == 7
    first = report["channel"]["heads"][0]
    np.testing.assert_allclose(np.outer(first["column"], first["row"]), first["map"], atol=2e-6)
    assert report["probabilities_without_head"]["2"] == view.without[1]


def test_the_figure_is_a_png(view):
    assert Path(write_figure(view, 7, HeadsLook(), WORDS)).read_bytes().startswith(b"\x89PNG")


def test_no_face_is_an_empty_tab_with_a_way_out(choices):
    (shown,) = show_heads(choices, {}, WORDS, None, None, HeadsLook())
    view, text, example, body, *_ = shown
    assert view is None and WORDS("page.no_face_yet") in text
    assert example["visible"] and not body["visible"]


def test_a_face_that_is_shown_already_is_not_computed_again(choices, picture, view, monkeypatch):
    monkeypatch.setattr(Analyzer, "runner", lambda *_: pytest.fail("the trunk ran again"))
    (shown,) = show_heads(choices, {}, WORDS, picture, view, HeadsLook())
    assert all(update == {"__type__": "update"} for update in shown)


def test_a_network_without_heads_is_said(choices, picture):
    first, shown = show_heads(choices, {"ddamfn": "mfn"}, WORDS, picture, None, HeadsLook())
    assert "<progress" in first[1]  # a bar that moves until then
    assert shown[0] is None and WORDS("heads.headless") in shown[1]
    assert not shown[3]["visible"]
