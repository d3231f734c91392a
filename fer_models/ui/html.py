"""Results as HTML: the cards of the Compare tab. Plain functions, tested without a browser."""

import base64
import html
import io

import numpy as np
from PIL import Image

from fer_models.analysis import DISPLAY_NAMES, NetworkResult
from fer_models.explain.attention import Attention
from fer_models.figures import HEAD_COLORS, NETWORK_COLORS, heat_colors


def image_tag(image: np.ndarray, alt: str) -> str:
    """An <img> that holds (H,W,3) RGB uint8 itself."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=92, method=2)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = image.shape[:2]
    return (
        f'<img src="data:image/webp;base64,{data}" alt="{html.escape(alt, quote=True)}" '
        f'width="{width}" height="{height}">'
    )


def notice(text: str, kind: str = "info") -> str:
    """The line above the columns; `kind` is info, agree, disagree or problem."""
    live = 'role="status" aria-live="polite"'
    return f'<div class="fer-notice fer-{kind}" {live}>{html.escape(text)}</div>'


def probability_bars(result: NetworkResult) -> str:
    """Every expression's probability, in the fixed order, so that columns compare at a glance."""
    rows = []
    for name, probability in result.probabilities.items():
        chosen = " fer-chosen" if name == result.expression else ""
        rows.append(
            f'<div class="fer-bar{chosen}"><span class="fer-name">{name}</span>'
            f'<span class="fer-track"><span style="width:{100 * probability:.1f}%"></span></span>'
            f'<span class="fer-number">{probability:.2f}</span></div>'
        )
    return f'<div class="fer-bars">{"".join(rows)}</div>'


def network_card(name: str, result: NetworkResult, overlay: np.ndarray) -> str:
    """One network's column: its answer, the face under its heatmap, its probabilities."""
    title = DISPLAY_NAMES.get(name, name)
    unsure = '<span class="fer-unsure">unsure</span>' if result.unsure else ""
    gradcam = result.gradcam
    alt = f"The face under {title}'s {gradcam.method} heatmap for {gradcam.target}"
    if gradcam.max > 0:
        about = f"Heatmap for {gradcam.target}; brightest cell {gradcam.max:.2g}"
    else:
        about = f"No region speaks for {gradcam.target}, so nothing is bright"
    return (
        f'<section class="fer-card" style="--network:{NETWORK_COLORS.get(name, "#555")}">'
        f"<h2>{html.escape(title)}</h2>"
        f'<p class="fer-answer"><strong>{result.expression}</strong> '
        f"{result.probability:.2f} {unsure}</p>"
        f"{image_tag(overlay, alt)}"
        f'<p class="fer-caption">{about}.</p>'
        f"{probability_bars(result)}</section>"
    )


def empty_card(name: str, text: str = "") -> str:
    """A column that waits, or says why it stays empty."""
    title = DISPLAY_NAMES.get(name, name)
    return (
        f'<section class="fer-card fer-empty" style="--network:{NETWORK_COLORS.get(name, "#555")}">'
        f'<h2>{html.escape(title)}</h2><p class="fer-caption">{html.escape(text)}</p></section>'
    )


def heat_legend() -> str:
    """What the heatmaps' colours mean, and what they do not."""
    stops = heat_colors(np.linspace(0, 1, 9)[None])[0]
    gradient = ", ".join(f"rgb({r},{g},{b})" for r, g, b in stops)
    return (
        '<div class="fer-legend"><div class="fer-scale"><span>0</span>'
        f'<span class="fer-gradient" style="background:linear-gradient(90deg,{gradient})"></span>'
        "<span>each map's own maximum</span></div>"
        "<p>Bright: the network's answer for the named expression rests most on these regions, as "
        "Grad-CAM estimates it. Dark: they add nothing to it, or speak against it. Each network "
        "has 7x7 cells to look with; the smooth edges between them are drawn, not measured. The "
        "networks saw this face grey and reduced to 48x48, as they were trained. A heatmap is a "
        "hint about one network and proves nothing about the person.</p></div>"
    )


def attention_row(
    attention: Attention, pictures: list[np.ndarray], winners: np.ndarray, low: float, high: float
) -> str:
    """DDAMFN's heads: a picture for each head, the fused map, and which head won where.

    Args:
        pictures: of every head, then of the fused map, drawn on the scale `low` to `high`.
        winners: the winner map drawn over the face.
    """
    names = [f"head {i + 1}" for i in range(len(attention.maps))] + ["fused (maximum)"]
    cells = [
        f"<figure>{image_tag(picture, f'DDA {name}')}<figcaption>{name}</figcaption></figure>"
        for name, picture in zip(names, pictures, strict=True)
    ]
    keys = "".join(
        f'<span class="fer-key"><i style="background:{HEAD_COLORS[i]}"></i>head {i + 1} won '
        f"{(attention.winner == i).mean():.0%} of the cells</span>"
        for i in range(len(attention.maps))
    )
    cells.append(
        f"<figure>{image_tag(winners, 'Which DDA head won at each cell')}"
        f"<figcaption>which head won</figcaption></figure>"
    )
    differences = "; ".join(
        f"heads {i + 1} and {k + 1}: {attention.pairwise_mse[i, k]:.4f}"
        for i in range(len(attention.maps))
        for k in range(i + 1, len(attention.maps))
    )
    return (
        '<section class="fer-attention"><h2>DDAMFN\'s attention heads</h2>'
        f'<div class="fer-maps">{"".join(cells)}</div><p class="fer-keys">{keys}</p>'
        f'<p class="fer-caption">Mean over 512 channels, all on one scale: dark {low:.2f} to '
        f"bright {high:.2f}. The fused map multiplies what the trunk found at each cell, whatever "
        "the answer is; it is attention to a place, not evidence for an expression. Mean squared "
        f"difference between {differences or 'heads: only one'}.</p></section>"
    )
