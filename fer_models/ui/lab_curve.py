"""The tuning curve as SVG: a panel for each network, the face at five points under its axis.

The same panels stand in the page, where style sheets may change their colours, and in the file to
download, which needs none.
"""

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS
from fer_models.expressions import EXPRESSIONS
from fer_models.figures import NETWORK_COLORS
from fer_models.lab.experiments import Sweep
from fer_models.lab.parameters import RANGES
from fer_models.ui import html
from fer_models.ui.lab_face import draw
from fer_models.words import Words

# Paul Tol's "muted" scheme, which colour-blind people can tell apart (personal.sron.nl/~pault);
# none of it means a network. The marks tell the lines apart in grey, too.
EXPRESSION_COLORS = {
    "neutral": "#777777",
    "happiness": "#999933",
    "sadness": "#332288",
    "surprise": "#88CCEE",
    "fear": "#AA4499",
    "disgust": "#117733",
    "anger": "#882255",
    "contempt": "#CC6677",
}
# Each mark's outline around (0, 0).
EXPRESSION_MARKS = {
    "neutral": "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "happiness": "M-3 -3h6v6h-6z",
    "sadness": "M-4 -3h8l-4 7z",
    "surprise": "M-4 3h8l-4 -7z",
    "fear": "M0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
    "disgust": "M-1.3 -4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    "anger": "M-4 -2.2l1.8 -1.8l2.2 2.2l2.2 -2.2l1.8 1.8l-2.2 2.2l2.2 2.2l-1.8 1.8l-2.2 -2.2"
    "l-2.2 2.2l-1.8 -1.8l2.2 -2.2z",
    "contempt": "M-4.5 -1.5h9v3h-9z",
}
FACES_UNDER_CURVE = 5
WIDTH, HEIGHT = 420, 268  # of a panel, in the units of its drawing
LEFT, RIGHT, TOP, BOTTOM = 36, 384, 12, 158  # where it holds the curves
FACE_SIDE, FACE_TOP = 76, 184
FACE_PX = 152
PANEL_STEP = WIDTH + 20  # in the file, panels stand side by side
LEGEND_WIDTH = 118


def draw_curves(
    sweeps: Mapping[str, Sweep],
    values: np.ndarray,
    label: str,
    unavailable: Mapping[str, str],
    words: Words,
) -> str:
    """The curves as HTML for the page: a legend, and a column for each network.

    Args:
        sweeps: network -> its curve, which may not have come to its end yet.
        values: (S,) all values that the curves will have.
        label: what varies.
        unavailable: network -> why it has no curve.
    """
    faces = _faces_under(next(iter(sweeps.values())), values)
    legend = "".join(
        f'<span class="fer-key"><svg viewBox="-5 -5 10 10">{_line_group(name, _mark(name))}</svg>'
        f"{escape(words.expression(name))}</span>"
        for name in EXPRESSIONS
    )
    cards = []
    for network in PAGE_NETWORKS:
        if network not in sweeps:
            cards.append(html.empty_card(network, unavailable.get(network, "")))
            continue
        alt = words("lab_curve.alt", network=DISPLAY_NAMES[network], label=label)
        panel = (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
            f"{_panel(sweeps[network], values, faces, words)}</svg>"
        )
        cards.append(html.card(network, html.heading(network) + panel))
    return (
        f'<p class="fer-keys">{legend}</p><div class="lab-curves">{"".join(cards)}</div>'
        f'<p class="fer-caption">{escape(words("lab_curve.axes", label=label))}</p>'
    )


def draw_curves_file(sweeps: Mapping[str, Sweep], label: str, words: Words) -> str:
    """The finished curves as an SVG file that needs nothing else."""
    first = next(iter(sweeps.values()))
    values, faces = first.values, _faces_under(first, first.values)
    width, height = max(PANEL_STEP * len(sweeps), LEGEND_WIDTH * 4 + 20), HEIGHT + 110
    parts = [f'<rect width="{width}" height="{height}" fill="white"/>']
    for index, (network, curve) in enumerate(sweeps.items()):
        parts.append(
            f'<g transform="translate({index * PANEL_STEP} 28)">'
            f'<text x="{LEFT}" y="-8" font-size="15" font-weight="bold" '
            f'fill="{NETWORK_COLORS[network]}">{DISPLAY_NAMES[network]}</text>'
            f"{_panel(curve, values, faces, words)}</g>"
        )
    for index, name in enumerate(EXPRESSIONS):
        x, y = 16 + LEGEND_WIDTH * (index % 4), HEIGHT + 44 + 20 * (index // 4)
        parts.append(
            f'<g transform="translate({x} {y})">{_line_group(name, _mark(name))}'
            f'<text x="10" y="4">{escape(words.expression(name))}</text></g>'
        )
    parts.append(f'<text x="12" y="{HEIGHT + 92}">{escape(label)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13" '
        f'color="#222222" fill="#222222">{"".join(parts)}</svg>\n'
    )


def format_value(value: float, name: str) -> str:
    """A value of what varies: an angle with its sign and unit, else a strength."""
    text = f"{value:g}".replace("-", "−")
    return f"{text}°" if name in RANGES else text


def _faces_under(curve: Sweep, values: np.ndarray) -> list[tuple[float, str]]:
    """Those of the five faces that are drawn already: value, and the picture as a data URI."""
    wanted = np.linspace(0, len(values) - 1, FACES_UNDER_CURVE).round().astype(int)
    pictures = []
    for index in wanted[wanted < len(curve.values)]:
        face = Image.fromarray(draw(curve.parameters[index])[30:440, 51:461])
        buffer = io.BytesIO()
        face.resize((FACE_PX, FACE_PX)).save(buffer, "JPEG", quality=85)
        data = base64.b64encode(buffer.getvalue()).decode()
        pictures.append((float(values[index]), f"data:image/jpeg;base64,{data}"))
    return pictures


def _panel(curve: Sweep, values: np.ndarray, faces: list[tuple[float, str]], words: Words) -> str:
    low, high = float(values[0]), float(values[-1])

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - low) / (high - low)

    def y(probability: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * probability

    parts = []
    for level in (0, 0.5, 1):
        parts.append(
            f'<path d="M{LEFT} {y(level):.1f}H{RIGHT}" stroke="currentColor" '
            f'stroke-opacity="{0.6 if level == 0 else 0.18}"/>'
            f'<text x="{LEFT - 6}" y="{y(level) + 4:.1f}" font-size="12" text-anchor="end" '
            f'fill="currentColor">{level:g}</text>'
        )
    for index, name in enumerate(EXPRESSIONS):
        points = [
            (x(value), y(p), value, p)
            for value, p in zip(curve.values, curve.probabilities[:, index], strict=True)
        ]
        parts.append(_line_group(name, _line(points) + _marks(points, name, curve.name, words)))
    if np.isnan(curve.probabilities).all(axis=1).any():
        parts.append(
            f'<text x="{RIGHT}" y="{TOP + 12}" font-size="12" text-anchor="end" '
            f'fill="currentColor">{escape(words("lab_curve.gaps"))}</text>'
        )
    for value, picture in faces:
        parts.append(
            f'<path d="M{x(value):.1f} {BOTTOM}v5" stroke="currentColor" stroke-opacity="0.6"/>'
            f'<text x="{x(value):.1f}" y="{BOTTOM + 18}" font-size="12" text-anchor="middle" '
            f'fill="currentColor">{format_value(value, curve.name)}</text>'
            f'<image x="{x(value) - FACE_SIDE / 2:.1f}" y="{FACE_TOP}" width="{FACE_SIDE}" '
            f'height="{FACE_SIDE}" href="{picture}"/>'
        )
    return "".join(parts)


def _line_group(name: str, content: str) -> str:
    color = EXPRESSION_COLORS[name]
    return f'<g class="lab-line-{name}" stroke="{color}" fill="{color}">{content}</g>'


def _mark(name: str) -> str:
    return f'<path d="{EXPRESSION_MARKS[name]}" stroke="none"/>'


def _line(points: list[tuple]) -> str:
    """The line through the points; where no face was found, it has a gap."""
    path, drawing = "", False
    for x, y, _, probability in points:
        if np.isnan(probability):
            drawing = False
            continue
        path += f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}"
        drawing = True
    return f'<path d="{path}" fill="none" stroke-width="1.8"/>' if path else ""


def _marks(points: list[tuple], expression: str, varied: str, words: Words) -> str:
    marks = ""
    for x, y, value, probability in points:
        if np.isnan(probability):
            continue
        title = words(
            "lab_curve.mark",
            expression=words.expression(expression),
            probability=f"{probability:.2f}",
            value=format_value(value, varied),
        )
        marks += (
            f'<path d="{EXPRESSION_MARKS[expression]}" stroke="none" '
            f'transform="translate({x:.1f} {y:.1f})"><title>{escape(title)}</title></path>'
        )
    return marks
