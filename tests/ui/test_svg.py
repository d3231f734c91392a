"""The small line plot: where its points stand, its gaps, and that no text becomes markup."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fer_models.ui.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    Band,
    Line,
    band_key,
    line_key,
    line_plot,
)

UNIT = Axis(0, 1, ((0, "0"), (0.5, "half"), (1, "1")), "share")


def draw(*lines: Line, x: Axis = UNIT, **settings) -> ElementTree.Element:
    return ElementTree.fromstring(line_plot(lines, x, UNIT, "a plot", **settings))


def paths(svg: ElementTree.Element) -> list[str]:
    return [path.get("d") for path in svg.iter("path") if path.get("fill") == "none"]


def test_a_line_reaches_the_corners_of_its_axes():
    svg = draw(Line([0, 1], [0, 1]), width=360, height=220)
    assert paths(svg) == [f"M{LEFT}.0 {220 - BOTTOM}.0L{360 - RIGHT}.0 {TOP}.0"]


def test_an_axis_need_not_begin_at_zero():
    svg = draw(Line([-4, 0, 4], [1, 1, 1]), x=Axis(-4, 4), width=LEFT + RIGHT + 80)
    assert [p.split()[0] for p in re.split("[ML]", paths(svg)[0])[1:]] == [
        f"{LEFT}.0",
        f"{LEFT + 40}.0",
        f"{LEFT + 80}.0",
    ]


def test_an_unknown_value_leaves_a_gap_and_no_mark():
    svg = draw(Line([0, 0.25, 0.5, 0.75, 1], [0.1, 0.2, np.nan, 0.4, 0.5], marks=tuple("abcde")))
    assert [paths(svg)[0].count(letter) for letter in "ML"] == [2, 2]
    assert [title.text for title in svg.iter("title")] == list("abde")


@pytest.mark.parametrize("y", [[], [np.nan, np.nan]])
def test_a_line_without_points_draws_nothing(y):
    assert paths(draw(Line(np.linspace(0, 1, len(y)), y))) == []


def test_the_first_line_lies_on_top():
    svg = draw(Line([0, 1], [0, 0], "#111111"), Line([0, 1], [1, 1], "#222222"))
    colors = [p.get("stroke") for p in svg.iter("path") if p.get("fill") == "none"]
    assert colors == ["#222222", "#111111"]


def test_hollow_marks_are_not_filled_with_the_lines_colour():
    line = Line([0, 1], [0, 1], "#0072B2", marks=("a", "b"), hollow=frozenset({1}))
    first, second = draw(line).iter("circle")
    assert first.get("fill") == "#0072B2" != second.get("fill")
    assert first.get("stroke") == second.get("stroke") == "#0072B2"


def test_the_band_goes_along_the_high_and_back_along_the_low():
    svg = draw(band=Band([0, 1], [0.25, 0.25], [0.75, 1]), width=LEFT + RIGHT + 100, height=148)
    assert BOTTOM + TOP == 48
    shape = next(p.get("d") for p in svg.iter("path") if p.get("fill") == "currentColor")
    assert shape == "M38.0 35.0L138.0 10.0L138.0 85.0L38.0 85.0z"


def test_ticks_and_names_are_written():
    texts = [text.text for text in draw().iter("text")]
    assert texts.count("half") == 2 and "share" in texts


def test_no_text_becomes_markup():
    bad = '<script>"&'
    axis = Axis(0, 1, ((0, bad),), bad)
    drawn = line_plot([Line([0], [0], marks=(bad,))], axis, axis, bad)
    svg = ElementTree.fromstring(drawn)  # well-formed, so everything was escaped
    assert svg.get("aria-label") == bad and [t.text for t in svg.iter("title")] == [bad]
    assert "<script" not in drawn + line_key(Line([], []), bad) + band_key(bad)


def test_a_key_looks_like_its_line():
    key = line_key(Line([], [], "#0072B2", 2.2, "4 2"), "by the map")
    assert 'stroke="#0072B2" stroke-width="2.2" stroke-dasharray="4 2"' in key
    assert key.endswith("by the map</span>")
