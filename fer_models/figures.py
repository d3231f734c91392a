"""Results drawn: overlays as RGB arrays, and matplotlib Figures to download.

Attributions arrive signed and unscaled; here, and only here, they are cut off below zero and
scaled. Every drawing function takes or states its scale.
"""

import contextlib
import functools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import findSystemFonts, fontManager
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter
from PIL import Image, ImageDraw, ImageFont

from fer_models.analysis import DISPLAY_NAMES, GradCam, NetworkResult
from fer_models.explain.attention import Attention
from fer_models.explain.faithfulness import FaithfulnessCurves
from fer_models.words import Words, load_words

# One meaning, one colour. Heat is a perceptually uniform map that colour-blind people can read.
HEAT_COLORMAP = "inferno"
NETWORK_COLORS = {"ddamfn": "#0072B2", "mfn": "#D55E00", "resnet50": "#009E73"}
HEAD_COLORS = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442")
HARDLY_A_LEAD = 0.05  # a head's share of the channels above the one that chance would give it
TRACK_GREY = 225  # behind bars; seen on a light page and on a dark one

FIGURE1_NETWORKS = ("resnet50", "mfn", "ddamfn")  # the paper's order of columns
FIGURE1_MAX_ROWS = 24

# The typefaces with Chinese characters that systems come with, the best to read first.
CHINESE_FONTS = (
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "STHeiti",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Droid Sans Fallback",
    "Noto Sans CJK JP",
    "Arial Unicode MS",
)


@functools.cache
def chinese_font() -> str | None:
    """The name of an installed typeface with Chinese characters; matplotlib's own has none."""
    known = {font.fname for font in fontManager.ttflist}
    for file in findSystemFonts():
        if file not in known:  # matplotlib keeps its list for ever, and fonts may have come since
            with contextlib.suppress(OSError, RuntimeError):
                fontManager.addfont(file)
    installed = {font.name for font in fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def drawable_words(words: Words) -> Words:
    """These words, or the English ones if no typeface here can draw them."""
    return words if words.language == "en" or chinese_font() else load_words()


def signed(value: float) -> str:
    """A number with its sign and two decimals; without the sign where it is rounded to nothing."""
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def heat_colors(values: np.ndarray) -> np.ndarray:
    """(H,W) in 0..1 -> (H,W,3) uint8."""
    table = _heat_table()
    return table[(np.clip(values, 0, 1) * (len(table) - 1) + 0.5).astype(np.uint8)]


@functools.cache
def _heat_table() -> np.ndarray:
    return matplotlib.colormaps[HEAT_COLORMAP](np.arange(256), bytes=True)[:, :3].copy()


def scale_heatmap(attribution: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """Signed attribution (7,7) -> heatmap (7,7) in 0..1: cut off below zero, over the maximum.

    Args:
        maximum: the value drawn as 1, for a scale that several maps share; its own if None.
    """
    positive = np.maximum(attribution, 0)
    maximum = float(positive.max()) if maximum is None else maximum
    return positive / maximum if maximum > 0 else np.zeros_like(positive)


def enlarge_map(values: np.ndarray, size: int, *, cells: bool = False) -> np.ndarray:
    """(7,7) -> (size,size), smoothly or, with `cells`, as the squares that were computed."""
    resampling = Image.Resampling.NEAREST if cells else Image.Resampling.BICUBIC
    image = Image.fromarray(np.asarray(values, dtype=np.float32), mode="F")
    return np.asarray(image.resize((size, size), resampling))


def overlay_heatmap(
    crop: np.ndarray,
    attribution: np.ndarray,
    *,
    strength: float = 0.5,
    maximum: float | None = None,
    cells: bool = False,
) -> np.ndarray:
    """A face under its heatmap.

    Args:
        crop: (S,S,3) RGB uint8.
        attribution: (7,7) signed.
        strength: 0 shows the face alone, 1 the heatmap alone.
        maximum: see `scale_heatmap`.
        cells: draw the 7x7 squares instead of interpolating.

    Returns:
        (S,S,3) RGB uint8.
    """
    heat = enlarge_map(scale_heatmap(attribution, maximum), crop.shape[0], cells=cells)
    return blend(crop, heat_colors(heat), strength)


def blend(below: np.ndarray, above: np.ndarray, strength: float) -> np.ndarray:
    """Two (H,W,3) uint8 images mixed in steps of 1/256; strength 1 shows `above` alone."""
    share = round(256 * strength)
    mixed = below * np.uint16(256 - share) + above * np.uint16(share)  # at most 255 * 256
    return ((mixed + np.uint16(128)) >> 8).astype(np.uint8)


def draw_attention_maps(
    attention: Attention, crop: np.ndarray, strength: float = 0.5, *, cells: bool = False
) -> list[tuple[np.ndarray, float, float]]:
    """Every head's map over the face, then the fused one's, each on a scale of its own.

    Returns:
        Each map's (S,S,3) uint8 picture, and the values that are drawn darkest and brightest.
    """
    return [
        (
            overlay_heatmap(crop, m - m.min(), strength=strength, cells=cells),
            float(m.min()),
            float(m.max()),
        )
        for m in (*attention.maps, attention.fused)
    ]


def describe_wins(attention: Attention, number: int, words: Words) -> str:
    """Where a head, counted from 0, won, and in how many channels it is the larger there."""
    head = words("page.head", number=number + 1)
    won = attention.winner == number
    if not won.any():
        return words("compare.won_none", head=head)
    share = attention.winner_share[won].mean()
    heads = len(attention.maps)
    key = "won_hardly" if heads > 1 and share < 1 / heads + HARDLY_A_LEAD else "won"
    return words(f"compare.{key}", head=head, cells=won.sum(), channels=f"{100 * share:.0f}")


def draw_winners(attention: Attention, crop: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Which head won at each cell, in the heads' colours over the face: (S,S,3) uint8."""
    size = crop.shape[0]
    palette = np.array([_rgb(color) for color in HEAD_COLORS], dtype=np.uint8)
    winner = np.asarray(
        Image.fromarray(attention.winner.astype(np.uint8)).resize(
            (size, size), Image.Resampling.NEAREST
        )
    )
    return blend(crop, palette[winner], strength)


def _rgb(color: str) -> tuple[int, int, int]:
    return tuple(round(255 * c) for c in matplotlib.colors.to_rgb(color))


def draw_faces(image: np.ndarray, boxes: Sequence[tuple], chosen: int = 0) -> np.ndarray:
    """The image with a numbered box around every face, the chosen one's thick: (H,W,3) uint8."""
    drawn = image.copy()
    height, width = image.shape[:2]
    for index, box in enumerate(boxes):
        thickness = max(2, round(max(height, width) / (160 if index == chosen else 400)))
        color = _rgb(HEAD_COLORS[1]) if index == chosen else (255, 255, 255)
        left, top, right, bottom = (round(v) for v in box)
        left, right = np.clip([left, right], 0, width - 1)
        top, bottom = np.clip([top, bottom], 0, height - 1)
        drawn[top : top + thickness, left : right + 1] = color
        drawn[max(bottom - thickness + 1, 0) : bottom + 1, left : right + 1] = color
        drawn[top : bottom + 1, left : left + thickness] = color
        drawn[top : bottom + 1, max(right - thickness + 1, 0) : right + 1] = color
        _draw_number(drawn, index + 1, (left, top), color)
    return drawn


def _draw_number(image: np.ndarray, number: int, corner: tuple[int, int], color: tuple) -> None:
    """Write a face's number on a patch above the box's corner, or in it where there is no room."""
    height, width = image.shape[:2]
    font = ImageFont.load_default(max(10, round(max(height, width) / 26)))
    pad = max(1, font.size // 6)
    left, top, right, bottom = (round(v) for v in font.getbbox(str(number)))
    patch = Image.new("RGB", (right - left + 2 * pad, bottom - top + 2 * pad), color)
    ImageDraw.Draw(patch).text((pad - left, pad - top), str(number), (0, 0, 0), font)
    x = np.clip(corner[0], 0, max(width - patch.width, 0))
    y = np.clip(corner[1] - patch.height, 0, max(height - patch.height, 0))
    part = image[y : y + patch.height, x : x + patch.width]
    part[:] = np.asarray(patch)[: part.shape[0], : part.shape[1]]


def draw_profiles(
    image: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    *,
    color: str = HEAD_COLORS[0],
    low: float = 0.0,
    high: float = 1.0,
) -> np.ndarray:
    """A picture with a bar for each row of cells at its right and for each column below it.

    Args:
        image: (S,S,3) RGB uint8.
        column: (7,) top to bottom, the bars at the right.
        row: (7,) left to right, the bars below.
        low: the value of a bar without length.
        high: the value of a bar as long as the margin, which is a quarter of S.

    Returns:
        (S + S // 4, S + S // 4, 3) uint8.
    """
    size = image.shape[0]
    margin = size // 4
    drawn = np.full((size + margin, size + margin, 3), TRACK_GREY, np.uint8)
    drawn[:size, :size] = image
    drawn[:size, size:] = _draw_bars((column - low) / (high - low), size, margin, color)
    below = _draw_bars((row - low) / (high - low), size, margin, color)
    drawn[size:, :size] = below.transpose(1, 0, 2)
    return drawn


def _draw_bars(lengths: np.ndarray, height: int, width: int, color: str) -> np.ndarray:
    """Bars from the left, one below the other: (height,width,3) uint8, lengths in 0..1."""
    cell, place = np.divmod((np.arange(height) + 0.5) * len(lengths) / height, 1)
    inside = np.abs(place - 0.5) < 0.4  # a fifth of the height stays free between two bars
    ends = np.where(inside, np.clip(lengths, 0, 1)[cell.astype(int)] * width, 0)
    filled = np.arange(width)[None] + 0.5 < ends[:, None]
    return np.where(filled[..., None], np.uint8(_rgb(color)), np.uint8(TRACK_GREY))


def draw_faithfulness(
    on: SubFigure, curves: FaithfulnessCurves, target: str, color: str, words: Words
) -> None:
    """Deletion beside insertion, with the areas in the legends.

    The band reaches from the lowest to the highest of the random orders at each step.

    Args:
        target: the expression whose probability the curves are of.
    """
    left, right = on.subplots(1, 2)
    spread = f"{curves.random_spread:.2f}"
    at_random = words("trust.at_random", area=f"{curves.random_area:.2f}", spread=spread)

    def named(key: str, area: float) -> str:
        return words(f"trust.{key}", area=f"{area:.2f}")

    _draw_curves(
        left,
        curves.shares,
        (curves.deletion, named("by_map", curves.deletion_area)),
        (curves.centre_deletion, named("by_centre", curves.centre_deletion_area)),
        (curves.random_deletion, at_random),
        color,
    )
    _draw_curves(
        right,
        curves.shares,
        (curves.insertion, named("by_map", curves.insertion_area)),
        (curves.centre_insertion, named("by_centre", curves.centre_insertion_area)),
        (curves.random_insertion, at_random),
        color,
    )
    probability = words("trust.probability", target=words.expression(target))
    for axis, kind in ((left, "deletion"), (right, "insertion")):
        axis.set_title(words(f"trust.{kind}"), fontsize=9.5, loc="left")
        axis.set_xlabel(words(f"trust.{kind}_axis"), fontsize=8.5)
        axis.set_ylabel(probability, fontsize=8.5)


def _draw_curves(axis, shares, by_map, by_centre, at_random, color: str) -> None:
    """One panel; each curve comes with its name in the legend."""
    curves, name = at_random
    axis.fill_between(shares, curves.min(axis=0), curves.max(axis=0), color="0.88", linewidth=0)
    axis.plot(shares, curves.mean(axis=0), color="0.55", label=name)
    axis.plot(shares, by_centre[0], color="0.2", linestyle=(0, (4, 2)), label=by_centre[1])
    style = {"linewidth": 2.2, "marker": "o", "markersize": 4, "clip_on": False, "zorder": 3}
    axis.plot(shares, by_map[0], color=color, label=by_map[1], **style)
    axis.set(xlim=(0, 1), ylim=(0, 1.02), yticks=[0, 0.5, 1])
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.tick_params(labelsize=8.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(
        *(list(reversed(part)) for part in axis.get_legend_handles_labels()),
        loc="upper left",
        bbox_to_anchor=(0, -0.24),
        fontsize=8,
        frameon=False,
        borderaxespad=0,
    )


@dataclass(frozen=True)
class RemovalPanel:
    """What "Which action matters" found for one network.

    Attributes:
        title: the network and its answer.
        changes: each action and the change of the probability without it; NaN where there was no
            face then.
        shares: each region, its share of the heatmap's brightness and of the picture, 0..1.
        text: what that means, in words.
    """

    title: str
    color: str
    changes: Sequence[tuple[str, float]]
    shares: Sequence[tuple[str, float, float]]
    text: str


def draw_removal(
    face: np.ndarray, panels: Sequence[RemovalPanel], title: str, words: Words
) -> Figure:
    """A face, and for each network its actions' changes above its heatmap's shares.

    Args:
        face: (S,S,3) RGB uint8.
        title: the one sentence over all of it.
    """
    widths = [2.9, *[4.3] * len(panels)]  # inches
    figure = Figure(figsize=(sum(widths), 6.6), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=10.5)
    left, *columns = figure.subfigures(1, len(widths), width_ratios=widths)
    above, below = left.subplots(2, 1)
    above.imshow(face)
    below.text(0, 1, _wrap(words("lab_removal.about"), 44, words), fontsize=8, va="top")
    for axis in (above, below):
        axis.axis("off")
    for column, panel in zip(columns, panels, strict=True):
        above, below = column.subplots(2, 1)
        column.suptitle(panel.title, fontsize=10.5, color=panel.color)
        _draw_changes(above, panel, words)
        _draw_shares(below, panel, words)
        column.supxlabel(_wrap(panel.text, 72, words), fontsize=8)
    set_typeface(figure, words)
    return figure


def _wrap(text: str, width: int, words: Words) -> str:
    """A text in lines of that many Latin letters; a Chinese character is as wide as two."""
    return textwrap.fill(text, width if words.language == "en" else width // 2)


def _draw_changes(axis: Axes, panel: RemovalPanel, words: Words) -> None:
    changes = [change for _, change in panel.changes]
    axis.barh(range(len(changes)), np.nan_to_num(changes), height=0.6, color=panel.color)
    for place, change in enumerate(changes):
        text = words("lab_removal.no_face") if np.isnan(change) else signed(change)
        axis.text(1.02, place, text, transform=axis.get_yaxis_transform(), fontsize=8, va="center")
    axis.axvline(0, color="0.4", linewidth=0.8)
    axis.set_xlim(-1, 1)
    axis.set_title(words("lab_removal.without"), fontsize=8.5)
    _name_bars(axis, [label for label, _ in panel.changes])


def _draw_shares(axis: Axes, panel: RemovalPanel, words: Words) -> None:
    places = range(len(panel.shares))
    axis.barh(places, [share for _, share, _ in panel.shares], height=0.6, color="0.6")
    areas = [area for *_, area in panel.shares]
    axis.plot(areas, places, linestyle="", marker="|", markersize=13, color="black")
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.set_title(words("lab_removal.shares"), fontsize=8.5)
    _name_bars(axis, [label for label, *_ in panel.shares])


def _name_bars(axis: Axes, labels: Sequence[str]) -> None:
    """Name bars from the top down; few of them are no thicker than six are."""
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(max(len(labels), 6) - 0.5, -0.5)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class FigureRow:
    """A row of Figure 1: its name, the aligned crop, and the networks' results (none: no face)."""

    name: str
    crop: np.ndarray
    networks: dict[str, NetworkResult]


def draw_figure1(
    rows: Sequence[FigureRow], strength: float = 0.5, words: Words | None = None
) -> Figure:
    """The paper's Figure 1 for any faces: original, ResNet-50, MFN, DDAMFN.

    Each heatmap is scaled by its own maximum, as Grad-CAM figures are; the legend says so.

    Args:
        words: English if None; see `drawable_words`.
    """
    words = words or load_words()
    columns = 1 + len(FIGURE1_NETWORKS)
    cell = 1.7  # inches
    figure = Figure(figsize=(cell * columns + 1.6, cell * 1.17 * len(rows) + 1.45), dpi=150)
    top = 1 - 0.45 / figure.get_figheight()
    bottom = 1.0 / figure.get_figheight()
    left = 1.2 / figure.get_figwidth()
    grid = figure.subplots(
        len(rows),
        columns,
        squeeze=False,
        gridspec_kw={
            "top": top,
            "bottom": bottom,
            "left": left,
            "right": 0.98,
            "wspace": 0.06,
            "hspace": 0.2,
        },
    )
    for row, axes in zip(rows, grid, strict=True):
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].imshow(row.crop)
        name = words.expression(row.name)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
        for name, axis in zip(FIGURE1_NETWORKS, axes[1:], strict=True):
            _draw_figure1_cell(axis, row, name, strength, words)
    titles = [words("figure1.original"), *(DISPLAY_NAMES[name] for name in FIGURE1_NETWORKS)]
    for title, axis in zip(titles, grid[0], strict=True):
        axis.set_title(title, fontsize=11, fontweight="bold")
    _draw_legend(figure, left, words)
    set_typeface(figure, words)
    return figure


def set_typeface(figure: Figure, words: Words) -> None:
    """Give a finished figure the characters that its words need."""
    if words.language != "en" and (font := chinese_font()):
        for text in figure.findobj(Text):
            text.set_fontfamily([*text.get_fontfamily(), font])


def _draw_figure1_cell(axis, row: FigureRow, name: str, strength: float, words: Words) -> None:
    result = row.networks.get(name)
    if result is None:
        text = words("figure1.not_available")
        axis.text(0.5, 0.5, text, ha="center", transform=axis.transAxes, fontsize=8)
        return
    axis.imshow(overlay_heatmap(row.crop, result.gradcam.values, strength=strength))
    axis.set_xlabel(_name_answer(result, words), fontsize=8.5, labelpad=2)


def _name_answer(result: NetworkResult, words: Words) -> str:
    """A network's answer: "fear 0.40 (unsure)"."""
    text = f"{words.expression(result.expression)} {result.probability:.2f}"
    return f"{text} ({words('page.unsure')})" if result.unsure else text


def _draw_legend(figure: Figure, left: float, words: Words) -> None:
    height = figure.get_figheight()
    axis = figure.add_axes((left, 0.62 / height, 0.98 - left, 0.09 / height))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), HEAT_COLORMAP), cax=axis, orientation="horizontal"
    )
    bar.set_ticks([0, 0.5, 1])
    bar.ax.tick_params(labelsize=8)
    figure.text(left, 0.07 / height, words("figure1.legend"), fontsize=7.5, va="bottom")


def name_explained(gradcam: GradCam, words: Words) -> str:
    """How a heatmap was made and for what: "Grad-CAM for surprise, not happiness"."""
    method = words(f"methods.{gradcam.method}")
    if gradcam.method == "eigen-cam":
        return method
    target = words.expression(gradcam.target)
    if gradcam.minus is not None:
        target = words("compare.contrast", target=target, minus=words.expression(gradcam.minus))
    return words("compare.explained", method=method, target=target)


def name_scale(low: float, high: float, words: Words) -> str:
    """The values that an attention map is drawn darkest and brightest at."""
    return words("compare.dark_to_bright", low=f"{low:.2f}", high=f"{high:.2f}")


def draw_analysis(
    crop: np.ndarray,
    networks: Mapping[str, NetworkResult],
    strength: float = 0.5,
    *,
    shared: bool = False,
    cells: bool = False,
    words: Words | None = None,
) -> Figure:
    """One face's whole analysis: crop, heatmaps, probabilities, and the attention heads' maps.

    Args:
        crop: the aligned face (S,S,3) uint8.
        networks: every network's answer to it.
        strength: of the heat over the face, 0..1.
        shared: draw all heatmaps over the largest of their maxima; each over its own if not.
        cells: draw the 7x7 squares instead of interpolating.
        words: English if None; see `drawable_words`.
    """
    words = words or load_words()
    answers = networks.values()
    attention = next((a.attention for a in answers if a.attention is not None), None)
    heights = [4.6] if attention is None else [4.6, 2.6]
    columns = len(networks) + 1
    figure = Figure(figsize=(2.6 * columns, sum(heights)), dpi=150, layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_answers(parts[0], crop, networks, strength, shared, cells, words)
    if attention is not None:
        _draw_heads(parts[1], crop, attention, strength, cells, words)
    set_typeface(figure, words)
    return figure


def _draw_answers(
    on: SubFigure,
    crop: np.ndarray,
    networks: Mapping[str, NetworkResult],
    strength: float,
    shared: bool,
    cells: bool,
    words: Words,
) -> None:
    """The face, then a column for each network: its heatmap above its probabilities."""
    largest = max((answer.gradcam.max for answer in networks.values()), default=0.0)
    faces, bars = on.subplots(
        2, len(networks) + 1, squeeze=False, gridspec_kw={"height_ratios": [3, 2]}
    )
    faces[0].imshow(crop)
    faces[0].set_title(words("compare.face_alt"), fontsize=9)
    bars[0].axis("off")
    for face, bar, (name, answer) in zip(faces[1:], bars[1:], networks.items(), strict=True):
        color = NETWORK_COLORS.get(name, "black")
        maximum = largest if shared else answer.gradcam.max
        heat = overlay_heatmap(
            crop, answer.gradcam.values, strength=strength, maximum=maximum, cells=cells
        )
        face.imshow(heat)
        title = f"{DISPLAY_NAMES.get(name, name)}: {_name_answer(answer, words)}"
        face.set_title(title, fontsize=9, color=color)
        high = f"{max(0, maximum):.2g}"  # 0 first: no "-0"
        scale = words("compare.dark_to_bright", low=0, high=high)
        face.set_xlabel(f"{name_explained(answer.gradcam, words)}\n{scale}", fontsize=7)
        expressions = [words.expression(expression) for expression in answer.probabilities]
        bar.barh(expressions, list(answer.probabilities.values()), color=color)
        bar.set_xlim(0, 1)
        bar.invert_yaxis()
        bar.tick_params(labelsize=7)
        bar.spines[["top", "right"]].set_visible(False)
    _leave_ticks_out(faces)


def _draw_heads(
    on: SubFigure,
    crop: np.ndarray,
    attention: Attention,
    strength: float,
    cells: bool,
    words: Words,
) -> None:
    """Every head's map, the fused one, and which head won."""
    maps = draw_attention_maps(attention, crop, strength, cells=cells)
    heads = [words("page.head", number=number + 1) for number in range(len(attention.maps))]
    *axes, last = on.subplots(1, len(heads) + 2, squeeze=False)[0]
    names = [*heads, words("compare.fused")]
    for axis, (picture, low, high), name in zip(axes, maps, names, strict=True):
        axis.imshow(picture)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(name_scale(low, high, words), fontsize=7)
    last.imshow(draw_winners(attention, crop, strength))
    last.set_title(words("compare.winners"), fontsize=9)
    keys = [
        Patch(color=HEAD_COLORS[number], label=describe_wins(attention, number, words))
        for number in range(len(heads))
    ]
    on.legend(
        handles=keys,
        loc="outside lower right",
        fontsize=7,
        frameon=False,
        handlelength=1,
        handleheight=1,
    )
    on.suptitle(words("compare.heads_title"), fontsize=9)
    _leave_ticks_out([*axes, last])


def _leave_ticks_out(axes: Sequence[Axes]) -> None:
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def check_figure_file(file: Path) -> None:
    """Raise ValueError unless the file's ending is one that `save_figure` writes."""
    if file.suffix.lower() not in {".png", ".pdf"}:
        raise ValueError(f"{file.name}: figures are written as .png or .pdf.")


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure as PNG or PDF, by the file's ending.

    Raises:
        ValueError: if the ending is another.
    """
    check_figure_file(file)
    figure.savefig(file)
