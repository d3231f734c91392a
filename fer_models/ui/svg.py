"""A small line plot as SVG, for the page: it follows dark mode and carries any language."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

LEFT, RIGHT, TOP = 38, 18, 10  # margins, in the units of the drawing
BOTTOM = 38  # below it stand the ticks' labels and the axis's name
FONT_SIZE = 12
MARK_RADIUS = 3.5


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`.

    Attributes:
        ticks: values and what stands beside them; none is drawn where it is empty.
        name: what the axis measures, with its unit.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points; NaN in `y` leaves a gap.

    Attributes:
        x, y: (N,) in the axes' units.
        color: CSS; "currentColor" is the text's own.
        dashes: SVG's `stroke-dasharray`, solid where it is empty.
        marks: a text for each point's mark, which the pointer shows; no marks where it is empty.
        hollow: the points whose marks are not filled.
    """

    x: Sequence[float]
    y: Sequence[float]
    color: str = "currentColor"
    width: float = 1.6
    dashes: str = ""
    marks: tuple[str, ...] = ()
    hollow: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Band:
    """The area between `low` (N,) and `high` (N,) over `x` (N,), in the text's colour, pale."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def line_plot(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    alt: str,
    *,
    band: Band | None = None,
    width: int = 360,
    height: int = 220,
) -> str:
    """An <svg> of lines, the first one drawn on top, over a band.

    Args:
        alt: what a reader who does not see the picture is told.
        width: of the drawing, in its own units; on the page it is as wide as its place.
    """

    def place(values, axis: Axis, start: float, end: float) -> np.ndarray:
        share = (np.asarray(values, dtype=float) - axis.low) / (axis.high - axis.low)
        return start + (end - start) * share

    def at_x(values) -> np.ndarray:
        return place(values, x, LEFT, width - RIGHT)

    def at_y(values) -> np.ndarray:
        return place(values, y, height - BOTTOM, TOP)

    parts = [_y_ticks(y, at_y, width), _x_ticks(x, at_x, width, height)]
    if band is not None:
        there = _points(at_x(band.x), at_y(band.high))
        back = _points(at_x(band.x)[::-1], at_y(band.low)[::-1])
        parts.append(
            f'<path d="M{"L".join(there + back)}z" fill="currentColor" fill-opacity="0.13"/>'
        )
    for line in reversed(lines):
        parts.append(_draw_line(line, at_x(line.x), at_y(line.y)))
    return (
        f'<svg class="fer-plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(alt, quote=True)}" style="aspect-ratio:{width}/{height}">'
        f"{''.join(parts)}</svg>"
    )


def line_key(line: Line, text: str) -> str:
    """The line's looks and name, for the legend beside a plot."""
    return (
        '<span class="fer-key"><svg viewBox="0 0 24 10" width="24" height="10" aria-hidden="true">'
        f'<path d="M0 5H24" {_stroke(line)}/></svg> {escape(text)}</span>'
    )


def band_key(text: str) -> str:
    """As `line_key`, for the band."""
    return (
        '<span class="fer-key"><svg viewBox="0 0 24 10" width="24" height="10" aria-hidden="true">'
        '<path d="M0 0H24V10H0z" fill="currentColor" fill-opacity="0.13"/></svg> '
        f"{escape(text)}</span>"
    )


def _stroke(line: Line) -> str:
    dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
    return f'fill="none" stroke="{line.color}" stroke-width="{line.width:g}"{dashes}'


def _points(x: np.ndarray, y: np.ndarray) -> list[str]:
    return [f"{one:.1f} {other:.1f}" for one, other in zip(x, y, strict=True)]


def _draw_line(line: Line, x: np.ndarray, y: np.ndarray) -> str:
    path, drawing = "", False
    for point, known in zip(_points(x, y), ~np.isnan(y), strict=True):
        if known:
            path += f"{'L' if drawing else 'M'}{point}"
        drawing = known
    drawn = f'<path d="{path}" {_stroke(line)} stroke-linejoin="round"/>' if path else ""
    for index, text in enumerate(line.marks):
        if np.isnan(y[index]):
            continue
        inside = "var(--background-fill-primary, white)" if index in line.hollow else line.color
        drawn += (
            f'<circle cx="{x[index]:.1f}" cy="{y[index]:.1f}" r="{MARK_RADIUS}" fill="{inside}" '
            f'stroke="{line.color}" stroke-width="1.4"><title>{escape(text)}</title></circle>'
        )
    return drawn


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{FONT_SIZE}" text-anchor="{anchor}" '
        f'fill="currentColor">{escape(text)}</text>'
    )


def _y_ticks(axis: Axis, at_y, width: int) -> str:
    """A pale line across the plot at each tick."""
    drawn = ""
    for value, label in axis.ticks:
        strength = 0.6 if value == axis.low else 0.18
        drawn += (
            f'<path d="M{LEFT} {at_y(value):.1f}H{width - RIGHT}" stroke="currentColor" '
            f'stroke-opacity="{strength}"/>' + _text(LEFT - 6, at_y(value) + 4, "end", label)
        )
    return drawn


def _x_ticks(axis: Axis, at_x, width: int, height: int) -> str:
    """The ticks' labels, and the axis's name below them."""
    floor = height - BOTTOM
    drawn = ""
    for value, label in axis.ticks:
        drawn += f'<path d="M{at_x(value):.1f} {floor}v4" stroke="currentColor"/>' + _text(
            at_x(value), floor + 16, "middle", label
        )
    middle = (LEFT + width - RIGHT) / 2
    return drawn + _text(middle, height - 4, "middle", axis.name)
