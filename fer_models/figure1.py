"""Figure 1 for any images: the paper's comparison, with a record of what made it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from fer_models.analysis import Analyzer
from fer_models.checkpoints import CheckpointError
from fer_models.faces import detect_faces, face_of_crop
from fer_models.figures import FIGURE1_NETWORKS, FigureRow, draw_figure1
from fer_models.report import face_report
from fer_models.words import Words


@dataclass(frozen=True)
class Figure1:
    """The drawn figure and the JSON object that says how it was made."""

    figure: Figure
    record: dict


@dataclass(frozen=True)
class AnalyzedRow:
    """A row to draw, and its part of the record."""

    row: FigureRow
    record: dict


def make_figure1(analyzer: Analyzer, images: Iterable[tuple[str, np.ndarray]]) -> Figure1:
    """Draw Figure 1: one row an image, columns original, ResNet-50, MFN, DDAMFN.

    Args:
        analyzer: whose networks are those of the columns.
        images: (name of the row, (H,W,3) RGB uint8). The largest face is taken; an image without
            one is taken for a face crop, and the record says so.

    Raises:
        ValueError: if there is no image, or no network can be loaded.
    """
    return compose_figure1(analyzer, list(analyze_rows(analyzer, images)))


def analyze_rows(
    analyzer: Analyzer, images: Iterable[tuple[str, np.ndarray]]
) -> Iterator[AnalyzedRow]:
    """The rows of `make_figure1`, one after the other.

    Raises:
        ValueError: if no network can be loaded.
    """
    problems = [weights.get("unavailable") for weights in _weights(analyzer).values()]
    if all(problems):
        raise ValueError(f"No network could be loaded: {problems[0]}")
    for name, image in images:
        face = next(iter(detect_faces(image)), None) or face_of_crop(image)
        result = analyzer.analyze_faces(image, [face], networks=FIGURE1_NETWORKS).faces[0]
        row = FigureRow(name, result.crop, result.networks)
        yield AnalyzedRow(row, {"name": name, **face_report(result)})


def compose_figure1(
    analyzer: Analyzer, rows: list[AnalyzedRow], words: Words | None = None
) -> Figure1:
    """Draw rows that are analyzed already.

    Args:
        words: the figure's, English if None; the record is English always.

    Raises:
        ValueError: if there is none.
    """
    if not rows:
        raise ValueError("Figure 1 needs at least one image.")
    record = {
        "rows": [row.record for row in rows],
        "weights": _weights(analyzer),
        "layer": "the trunk's output, 7x7",
        "method": "grad-cam",
        "target": "each network's own answer",
        "scale": "cut off below 0, each map divided by its own maximum",
    }
    return Figure1(draw_figure1([row.row for row in rows], words=words), record)


def _weights(analyzer: Analyzer) -> dict[str, dict[str, str]]:
    """Each column's weights by their checksum, or why they cannot be had."""
    weights = {}
    for name in FIGURE1_NETWORKS:
        try:
            weights[name] = {"sha256": analyzer.checkpoint(name).card.sha256}
        except CheckpointError as error:
            weights[name] = {"unavailable": str(error)}
    return weights
