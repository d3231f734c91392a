"""A run's curves and confusion matrix as pictures."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fer_models.checkpoints import write_atomically

TRAINING_COLOUR, VALIDATION_COLOUR = "#1f6fb4", "#d1571b"


def draw_curves(history: list[dict], title: str = "") -> Figure:
    """Accuracy and loss by epoch, as the SPResNet paper's Fig. 8; rows of `history.csv`.

    Training values are means over the epoch's augmented faces, and its loss is all that is trained
    on; validation values are the averaged weights', and the loss is their cross entropy.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [float(row["epoch"]) for row in history]
    marker = "o" if len(epochs) < 20 else None
    percent = {"accuracy": 100, "loss": 1}
    for axes, (kind, factor) in zip(figure.subplots(1, 2), percent.items(), strict=True):
        for part, colour in (("train", TRAINING_COLOUR), ("validation", VALIDATION_COLOUR)):
            values = [factor * float(row[f"{part}_{kind}"]) for row in history]
            label = {"train": "training", "validation": "validation"}[part]
            axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=3)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{kind} (%)" if kind == "accuracy" else kind)
        axes.set_xlim(0, max(epochs))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle(title, fontsize=11)
    return figure


def draw_confusion(confusion: list[list[int]], labels: tuple[str, ...], title: str = "") -> Figure:
    """A confusion matrix (K,K) of counts, as the SPResNet paper's Figs. 6 and 7.

    Rows are labels, columns predictions; a cell's colour and first line are its share of the row,
    its second line the number of faces.
    """
    counts = np.array(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    side = 1.6 + 0.62 * len(labels)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{100 * shares[row, column]:.0f} %\n{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if shares[row, column] > 0.65 else "black",
        )
    names = [f"{name} ({total})" for name, total in zip(labels, totals[:, 0], strict=True)]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label (faces)")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the label's faces")
    return figure


def save_figure(figure: Figure, file: Path) -> None:
    """Write a PNG whole or not at all."""
    FigureCanvasAgg(figure)
    write_atomically(file, lambda path: figure.savefig(path, format="png", dpi=150))
