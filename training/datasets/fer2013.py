"""FER2013 (arXiv 1307.0414) and its FER+ relabelling (arXiv 1608.01041).

Both come in several forms; each is found by what lies at the path:

- Parquet: `Training*.parquet`, `PublicTest*.parquet`, `PrivateTest*.parquet` with the columns
  name, image, emotion, votes;
- `fer2013.csv` (emotion, pixels, Usage), with `fer2013new.csv` beside it for FER+;
- FER+'s own folders: `FER2013Train/*.png` + `label.csv`, `FER2013Valid`, `FER2013Test`;
- image folders (FER2013 only): `train/angry/Training_*.jpg`, `test/angry/PublicTest_*.jpg`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
from training.datasets.source import (
    bad_source,
    read_image,
    read_rows,
    require_count,
    require_files,
)
from training.landmarks import load_landmarks

SPLITS = ("Training", "PublicTest", "PrivateTest")
FERPLUS_FOLDERS = {
    "Training": "FER2013Train",
    "PublicTest": "FER2013Valid",
    "PrivateTest": "FER2013Test",
}
# Images as published, and those of them that FER+ has votes for.
COUNTS = {"Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589}
FERPLUS_COUNTS = {"Training": 28_558, "PublicTest": 3_579, "PrivateTest": 3_573}
SIDE_PX = 48
COLUMNS = ("emotion", "pixels", "Usage")
NO_VOTES = [0] * len(LABEL_ORDERS["ferplus_votes"])
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


def read_records(path: str, split: str, is_part: bool = False) -> Records:
    """All images of one split, in whichever form lies at `path`.

    Raises:
        ValueError: if the split is unknown, no known form is there, a file is not whole, or there
            are not as many images as were published, unless `is_part`.
    """
    if split not in SPLITS:
        raise ValueError(f"FER2013 has no split {split!r}; it has {', '.join(SPLITS)}.")
    source, records = _read(Path(path), split)
    counts = FERPLUS_COUNTS if records.emotions is None else COUNTS
    require_count(len(records.names), [counts[split]], f"{source}: {split}", LAYOUTS, is_part)
    if records.votes is not None:
        voted = int(records.votes.any(axis=1).sum())
        where = f"{source}: {split}, with FER+ votes"
        require_count(voted, [FERPLUS_COUNTS[split]], where, LAYOUTS, is_part)
    return records


def _read(root: Path, split: str) -> tuple[Path, Records]:
    """The file or folder that holds the split, and what is in it."""
    if root.is_file() and root.suffix == ".csv":
        return root, _read_csv(root, split)
    if sorted(root.glob(f"{split}*.parquet")):
        return root, _read_parquet(sorted(root.glob(f"{split}*.parquet")))
    if (root / "fer2013.csv").is_file():
        return root / "fer2013.csv", _read_csv(root / "fer2013.csv", split)
    folder = root / FERPLUS_FOLDERS[split]
    if (folder / "label.csv").is_file():
        return folder, _read_ferplus_folder(folder)
    folder = root / ("train" if split == "Training" else "test")
    if folder.is_dir():
        return folder, _read_image_folders(folder, split)
    raise bad_source(root, f"no FER2013 files for {split} here", LAYOUTS, "Give their folder.")


def _records(source: Path, names: list, images: list, emotions: list, votes: list) -> Records:
    """Lists of rows as arrays; an empty list of emotions or of votes means that there are none."""
    if not names:
        raise bad_source(source, "no image of the split is here", LAYOUTS)
    return Records(
        tuple(names),
        np.stack(images),
        np.array(emotions) if emotions else None,
        np.array(votes) if votes else None,
    )


def _image(source: Path | bytes, where: Path | str) -> np.ndarray:
    """One grey image (48,48)."""
    pixels = read_image(source, where, LAYOUTS, "L")
    if pixels.shape != (SIDE_PX, SIDE_PX):
        raise bad_source(where, f"{pixels.shape[1]}x{pixels.shape[0]} pixels, not 48x48", LAYOUTS)
    return pixels


def _pixels(text: str, where: str) -> np.ndarray:
    """One grey image (48,48), written as 2304 numbers."""
    try:
        values = bytes(map(int, text.split()))
    except ValueError:
        raise bad_source(where, "pixels that are not numbers of 0 to 255", LAYOUTS) from None
    if len(values) != SIDE_PX**2:
        raise bad_source(where, f"{len(values)} pixels, not {SIDE_PX**2}", LAYOUTS)
    return np.frombuffer(values, np.uint8).reshape(SIDE_PX, SIDE_PX)


def _emotion(value: str | int | None, where: str) -> int:
    order = LABEL_ORDERS["fer2013"]
    if str(value).strip() not in map(str, range(len(order))):
        problem = f"emotion {value!r}, but FER2013's labels are 0 to 6 ({', '.join(order)})"
        raise bad_source(where, problem, LAYOUTS)
    return int(value)


def _votes(values: list, where: str) -> list[int]:
    count = len(LABEL_ORDERS["ferplus_votes"])
    if len(values) != count or not all(str(value).strip().isdecimal() for value in values):
        raise bad_source(where, f"votes {values}, not {count} numbers", LAYOUTS)
    return [int(value) for value in values]


def _read_parquet(files: list[Path]) -> Records:
    import pyarrow.parquet as parquet

    names, images, emotions, votes = [], [], [], []
    for file in files:
        try:
            table = parquet.read_table(file, columns=["name", "image", "emotion", "votes"])
        except (OSError, ValueError) as error:
            raise bad_source(file, f"not the expected Parquet file ({error})", LAYOUTS) from error
        for row in table.to_pylist():
            where = f"{file}: {row['name']}"
            names.append(row["name"])
            images.append(_image(row["image"] or b"", where))
            emotions.append(_emotion(row["emotion"], where))
            votes.append(_votes(row["votes"], where) if row["votes"] else NO_VOTES)
    return _records(files[0].parent, names, images, emotions, votes)


def _read_csv(file: Path, split: str) -> Records:
    """fer2013.csv, with the votes of fer2013new.csv beside it, row by row, where that exists."""
    rows = read_rows(file, LAYOUTS)
    header = rows.pop(0)[1] if rows else []
    if missing := set(COLUMNS) - set(header):
        raise bad_source(file, f"no column {', '.join(sorted(missing))}", LAYOUTS)
    votes_file = file.with_name("fer2013new.csv")
    vote_rows = read_rows(votes_file, LAYOUTS)[1:] if votes_file.is_file() else None
    if vote_rows is not None and len(vote_rows) != len(rows):
        problem = f"{len(vote_rows)} rows, but {file.name} has {len(rows)}"
        raise bad_source(votes_file, problem, LAYOUTS, "They belong together; fetch both anew.")
    names, images, emotions, votes = [], [], [], []
    for number, (where, row) in enumerate(rows):
        if len(row) != len(header):
            raise bad_source(where, f"{len(row)} columns, not {len(header)}", LAYOUTS)
        values = dict(zip(header, row, strict=True))
        if values["Usage"] != split:
            continue
        names.append(f"fer{number:07d}.png")
        images.append(_pixels(values["pixels"], where))
        emotions.append(_emotion(values["emotion"], where))
        if vote_rows is not None:
            votes.append(_votes_of_row(*vote_rows[number], split))
    return _records(file, names, images, emotions, votes)


def _votes_of_row(where: str, row: list[str], split: str) -> list[int]:
    """Usage, the image's name, ten votes. An empty name marks a row that FER+ leaves out."""
    if row[0].strip() != split:
        problem = f"Usage {row[0]!r}, but the image of this row is of {split}"
        raise bad_source(where, problem, LAYOUTS, "Both files must have their published order.")
    is_left_out = len(row) > 1 and row[1].strip() == ""
    return NO_VOTES if is_left_out else _votes(row[2:12], where)


def _read_ferplus_folder(folder: Path) -> Records:
    """FER+'s folder of PNG files; label.csv holds name, box and ten votes, without a header."""
    rows = read_rows(folder / "label.csv", LAYOUTS)
    files = [folder / row[0] for _, row in rows]
    require_files(files, folder / "label.csv", LAYOUTS)
    votes = [_votes(row[2:], where) for where, row in rows]
    return _records(folder, [row[0] for _, row in rows], [_image(f, f) for f in files], [], votes)


def _read_image_folders(top: Path, split: str) -> Records:
    names, images, emotions = [], [], []
    for folder in sorted(p for p in top.iterdir() if p.is_dir()):
        try:
            label = LABEL_ORDERS["fer2013"].index(canonical_expression(folder.name))
        except ValueError:
            raise bad_source(folder, "no expression of FER2013", LAYOUTS, "Rename it.") from None
        for file in sorted(folder.glob(f"{split}_*")):
            names.append(f"{folder.name}/{file.name}")
            images.append(_image(file, file))
            emotions.append(label)
    return _records(top, names, images, emotions, [])


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
    path: str,
    split: str,
    preprocessing: Preprocessing,
    fer2013_weight: float = 0.0,
    is_part: bool = False,
) -> FaceSet:
    """FER+ with eight expressions: soft labels as targets, majority labels as labels.

    Images that lack a majority are kept with the label -1, for training on their votes; those on
    which unknown or not-a-face has it, or without any vote for an expression, are left out.

    Args:
        fer2013_weight: share (0..1) of FER2013's own label in the targets, where the form has it.
        is_part: as for `read_records`.
    """
    records = read_records(path, split, is_part)
    if records.votes is None:
        fix = "Put fer2013new.csv beside fer2013.csv."
        raise bad_source(path, "no FER+ votes here", LAYOUTS, fix)
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


def load_fer2013(
    path: str, split: str, preprocessing: Preprocessing, is_part: bool = False
) -> FaceSet:
    """FER2013 with its own seven labels, all images of the split."""
    records = read_records(path, split, is_part)
    if records.emotions is None:
        problem = "FER+'s folders hold no FER2013 labels"
        raise bad_source(path, problem, LAYOUTS, f"Use ferplus:{path}.")
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
    seven = reorder(np.eye(len(order), dtype=np.float32)[emotions], order, BASIC_EXPRESSIONS)
    return np.pad(seven, ((0, 0), (0, 1)))
