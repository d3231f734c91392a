"""FER2013 (arXiv 1307.0414) and its FER+ relabelling (arXiv 1608.01041).

Both come in several forms; each is found by what lies at the path:

- Parquet: `Training*.parquet`, `PublicTest*.parquet`, `PrivateTest*.parquet` with the columns
  name, image, emotion, votes;
- `fer2013.csv` (emotion, pixels, Usage), with `fer2013new.csv` beside it for FER+;
- FER+'s own folders: `FER2013Train/*.png` + `label.csv`, `FER2013Valid`, `FER2013Test`;
- image folders (FER2013 only): `train/angry/Training_*.jpg`, `test/angry/PublicTest_*.jpg`.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fer_models.expressions import (
    BASIC_EXPRESSIONS,
    EXPRESSIONS,
    LABEL_ORDERS,
    canonical_expression,
    reorder,
)
from fer_models.faces import align_face
from fer_models.preprocessing import Preprocessing
from training.datasets.face_set import NO_LABEL, FaceSet
from training.landmarks import load_landmarks

SPLITS = ("Training", "PublicTest", "PrivateTest")
FERPLUS_FOLDERS = {
    "Training": "FER2013Train",
    "PublicTest": "FER2013Valid",
    "PrivateTest": "FER2013Test",
}
SIDE_PX = 48
LAYOUTS = (
    "Training*.parquet (and PublicTest, PrivateTest), or fer2013.csv (with fer2013new.csv for "
    "FER+), or FER2013Train/label.csv with its PNG files, or train/angry/*.jpg"
)


@dataclass(frozen=True)
class Records:
    """Rows as their owners ship them: `emotions` (N,) in FER2013's order, `votes` (N,10) in FER+'s.

    Either may be None where the form lacks it; a row of zero votes has none.
    """

    names: tuple[str, ...]
    images: np.ndarray  # (N, 48, 48) uint8
    emotions: np.ndarray | None
    votes: np.ndarray | None


def read_records(path: str, split: str) -> Records:
    """All images of one split, in whichever form lies at `path`.

    Raises:
        ValueError: if the split is unknown, or no known form is there.
    """
    if split not in SPLITS:
        raise ValueError(f"FER2013 has no split {split!r}; it has {', '.join(SPLITS)}.")
    root = Path(path)
    if root.is_file() and root.suffix == ".csv":
        return _read_csv(root, split)
    if sorted(root.glob(f"{split}*.parquet")):
        return _read_parquet(sorted(root.glob(f"{split}*.parquet")))
    if (root / "fer2013.csv").is_file():
        return _read_csv(root / "fer2013.csv", split)
    if (root / FERPLUS_FOLDERS[split] / "label.csv").is_file():
        return _read_ferplus_folder(root / FERPLUS_FOLDERS[split])
    if (root / "train").is_dir() and (root / "test").is_dir():
        return _read_image_folders(root, split)
    raise ValueError(f"{path}: no FER2013 files for {split} here; expected {LAYOUTS}.")


def _decode(content: bytes | Path, name: str) -> np.ndarray:
    """One grey 48x48 image; `name` is what an error calls it."""
    try:
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("L"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: not a readable image ({error}); fetch it anew.") from error
    if pixels.shape != (SIDE_PX, SIDE_PX):
        raise ValueError(f"{name}: {pixels.shape[1]}x{pixels.shape[0]} pixels, expected 48x48.")
    return pixels


def _read_parquet(files: list[Path]) -> Records:
    import pyarrow.parquet as parquet

    names, images, emotions, votes = [], [], [], []
    for file in files:
        try:
            table = parquet.read_table(file, columns=["name", "image", "emotion", "votes"])
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: not the expected Parquet file ({error}).") from error
        for row in table.to_pylist():
            names.append(row["name"])
            images.append(_decode(row["image"], f"{file}: {row['name']}"))
            emotions.append(row["emotion"])
            votes.append(row["votes"] or [0] * 10)
    return Records(tuple(names), np.stack(images), np.array(emotions), np.array(votes))


def _read_csv(file: Path, split: str) -> Records:
    """fer2013.csv, with the votes of fer2013new.csv beside it, row by row, where that exists."""
    votes_file = file.with_name("fer2013new.csv")
    vote_rows = None
    if votes_file.is_file():
        with votes_file.open(newline="") as stream:
            vote_rows = list(csv.reader(stream))[1:]
    names, images, emotions, votes = [], [], [], []
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        missing = {"emotion", "pixels", "Usage"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(
                f"{file}: no column {', '.join(sorted(missing))}; fer2013.csv has emotion, pixels "
                "and Usage."
            )
        rows = list(reader)
    if vote_rows is not None and len(vote_rows) != len(rows):
        raise ValueError(
            f"{votes_file}: {len(vote_rows)} rows, but {file.name} has {len(rows)}; "
            "the two belong together row by row."
        )
    for number, row in enumerate(rows):
        if row["Usage"] != split:
            continue
        pixels = np.fromstring(row["pixels"], dtype=np.uint8, sep=" ")
        if pixels.size != SIDE_PX**2:
            raise ValueError(f"{file}: row {number + 2} has {pixels.size} pixels, expected 2304.")
        names.append(f"fer{number:07d}.png")
        images.append(pixels.reshape(SIDE_PX, SIDE_PX))
        emotions.append(int(row["emotion"]))
        if vote_rows is not None:
            # An empty image name marks a row that FER+ leaves out.
            used = vote_rows[number][1].strip() != ""
            votes.append([int(v) for v in vote_rows[number][2:12]] if used else [0] * 10)
    if not images:
        raise ValueError(f"{file}: no row has Usage {split!r}.")
    return Records(
        tuple(names), np.stack(images), np.array(emotions), np.array(votes) if votes else None
    )


def _read_ferplus_folder(folder: Path) -> Records:
    """FER+'s folder of PNG files; label.csv holds name, box and ten votes, without a header."""
    names, images, votes = [], [], []
    with (folder / "label.csv").open(newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if len(row) != 12:
                raise ValueError(
                    f"{folder / 'label.csv'}: line {number} has {len(row)} columns, expected 12 "
                    "(name, box, ten votes)."
                )
            file = folder / row[0]
            if not file.is_file():
                raise ValueError(f"{file}: named in label.csv, but missing.")
            names.append(row[0])
            images.append(_decode(file, str(file)))
            votes.append([int(v) for v in row[2:]])
    return Records(tuple(names), np.stack(images), None, np.array(votes))


def _read_image_folders(root: Path, split: str) -> Records:
    names, images, emotions = [], [], []
    top = root / ("train" if split == "Training" else "test")
    for folder in sorted(p for p in top.iterdir() if p.is_dir()):
        label = LABEL_ORDERS["fer2013"].index(canonical_expression(folder.name))
        for file in sorted(folder.glob(f"{split}_*")):
            names.append(f"{folder.name}/{file.name}")
            images.append(_decode(file, str(file)))
            emotions.append(label)
    if not images:
        raise ValueError(f"{top}: no image's name begins with {split}_; expected {LAYOUTS}.")
    return Records(tuple(names), np.stack(images), np.array(emotions), None)


def soft_labels(votes: np.ndarray) -> np.ndarray:
    """FER+ votes (N,10) -> distributions (N,8) in the project's order; a row without any is zero.

    Votes of 1 or less are taken for slips and set to 0, as FER+'s authors do.
    """
    kept = np.where(votes <= 1, 0, votes)
    eight = reorder(kept, LABEL_ORDERS["ferplus_votes"], EXPRESSIONS).astype(np.float32)
    return eight / np.maximum(eight.sum(axis=1, keepdims=True), 1)


def majority_labels(votes: np.ndarray) -> np.ndarray:
    """FER+ votes (N,10) -> labels (N,) in the project's order, -1 where FER+ leaves the image out.

    That is where no class has more than half of the kept votes, or unknown or not-a-face has.
    """
    kept = np.where(votes <= 1, 0, votes)
    ordered = reorder(kept, LABEL_ORDERS["ferplus_votes"], (*EXPRESSIONS, "unknown", "not_a_face"))
    winner = ordered.argmax(axis=1)
    is_majority = 2 * ordered.max(axis=1) > ordered.sum(axis=1)
    return np.where(is_majority & (winner < len(EXPRESSIONS)), winner, NO_LABEL)


def _align(records: Records, preprocessing: Preprocessing, chosen: np.ndarray) -> np.ndarray:
    landmarks = load_landmarks(records.images[chosen])
    colour = np.repeat(records.images[chosen][..., None], 3, axis=-1)  # (N, 48, 48, 3)
    return np.stack(
        [
            preprocessing.reduce(align_face(image, points))
            for image, points in zip(colour, landmarks, strict=True)
        ]
    )


def load_ferplus(
    path: str, split: str, preprocessing: Preprocessing, fer2013_weight: float = 0.0
) -> FaceSet:
    """FER+ with eight expressions: soft labels as targets, majority labels as labels.

    Images that lack a majority are kept with the label -1, for training on their votes; those on
    which unknown or not-a-face has it, or without any vote for an expression, are left out.

    Args:
        fer2013_weight: share (0..1) of FER2013's own label in the targets, where the form has it.
    """
    records = read_records(path, split)
    if records.votes is None:
        raise ValueError(f"{path}: FER+ needs its votes; put fer2013new.csv beside fer2013.csv.")
    targets, labels = soft_labels(records.votes), majority_labels(records.votes)
    kept = np.where(records.votes <= 1, 0, records.votes)
    rejected = 2 * kept[:, 8:].max(axis=1) > kept.sum(axis=1)
    chosen = np.flatnonzero((targets.sum(axis=1) > 0) & ~rejected)
    targets = targets[chosen]
    if fer2013_weight and records.emotions is not None:
        own = _one_hot(records.emotions[chosen])
        targets = (1 - fer2013_weight) * targets + fer2013_weight * own
    return FaceSet(
        _align(records, preprocessing, chosen),
        targets.astype(np.float32),
        labels[chosen],
        EXPRESSIONS,
        tuple(records.names[i] for i in chosen),
    )


def load_fer2013(path: str, split: str, preprocessing: Preprocessing) -> FaceSet:
    """FER2013 with its own seven labels, all images of the split."""
    records = read_records(path, split)
    if records.emotions is None:
        raise ValueError(f"{path}: FER+'s folders hold no FER2013 labels; use ferplus:{path}.")
    targets = _one_hot(records.emotions)[:, : len(BASIC_EXPRESSIONS)]
    everything = np.arange(len(records.names))
    return FaceSet(
        _align(records, preprocessing, everything),
        targets,
        targets.argmax(axis=1),
        BASIC_EXPRESSIONS,
        records.names,
    )


def _one_hot(emotions: np.ndarray) -> np.ndarray:
    """FER2013's numbers (N,) -> (N,8) float32 in the project's order; contempt is never set."""
    order = LABEL_ORDERS["fer2013"]
    if emotions.min() < 0 or emotions.max() >= len(order):
        raise ValueError(f"FER2013 labels are 0 to 6; found {emotions.min()} to {emotions.max()}.")
    seven = reorder(np.eye(len(order), dtype=np.float32)[emotions], order, BASIC_EXPRESSIONS)
    return np.pad(seven, ((0, 0), (0, 1)))
