"""Figure 1 for any images: the paper's comparison, with a record of what made it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fer_models.analysis import Analyzer
from fer_models.checkpoints import CheckpointError
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import detect_faces, face_of_crop
from fer_models.figures import FIGURE1_NETWORKS, FigureRow, draw_figure1, drawable_words
from fer_models.report import face_report
from fer_models.words import LANGUAGES, Words, load_words


@dataclass(frozen=True)
class Figure1:
    """The drawn figure and the JSON object that says how it was made."""

    figure: Figure
    record: dict

    @property
    def faceless(self) -> list[str]:
        """The names of the rows in whose pictures no face was found."""
        return [row["name"] for row in self.record["rows"] if row["source"] != "detected"]


@dataclass(frozen=True)
class AnalyzedRow:
    """A row to draw, and its part of the record."""

    row: FigureRow
    record: dict


def row_name(file: Path, number: int, words: Words) -> str:
    """The expression that a file's name begins with ("happiness_2.jpg"), else the name itself.

    The expression may be named in any of the page's languages. No typeface has the letters of all
    other names, so one that is not in Latin letters gives way to the picture's number.
    """
    stem = file.stem.lower()
    for expression in EXPRESSIONS:
        if any(stem.startswith(load_words(name).expression(expression)) for name in LANGUAGES):
            return expression
    if stem.isascii():
        return file.stem[:18]
    return drawable_words(words)("figure1.row_number", number=number)


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
