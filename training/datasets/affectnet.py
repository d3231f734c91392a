"""AffectNet (arXiv 1708.03985) with seven or eight expressions, in both layouts in circulation.

- Annotation CSV: `training.csv`, `validation.csv` (at the path or in
  `Manually_Annotated_file_lists/`) with the columns below, and `Manually_Annotated_Images/`;
- numpy annotations: `train_set/annotations/{id}_exp.npy` (and `{id}_lnd.npy`) with
  `train_set/images/{id}.jpg`, likewise `val_set`.

Both give 68 landmarks (iBUG's order), from which the five of the alignment follow. Labels 8 to 10
(none, uncertain, no face) are no expressions: their images are left out, as are those of contempt
with seven expressions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_models.expressions import BASIC_EXPRESSIONS, EXPRESSIONS, LABEL_ORDERS
from fer_models.preprocessing import Preprocessing
from training.datasets.face_crops import align_files, hard_labelled
from training.datasets.face_set import FaceSet
from training.datasets.source import bad_source, read_rows, require_count, require_files

CSV_FILES = {"train": "training.csv", "val": "validation.csv"}
NUMPY_FOLDERS = {"train": "train_set", "val": "val_set"}
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
NO_EXPRESSION = ("none", "uncertain", "no face")
LABELS = (*LABEL_ORDERS["affectnet"], *NO_EXPRESSION)
# Images of each split by number of expressions; the later release lacks one validation image.
COUNTS = {
    ("train", 7): (283_901,),
    ("train", 8): (287_651,),
    ("val", 7): (3_500, 3_499),
    ("val", 8): (4_000, 3_999),
}
LAYOUT = (
    "training.csv and validation.csv with Manually_Annotated_Images/, or "
    "train_set/annotations/ID_exp.npy with train_set/images/ID.jpg (and val_set)"
)


@dataclass(frozen=True)
class Annotation:
    """One image's label and its landmarks (68,2) in the image's pixels, where there are any."""

    name: str
    file: Path
    label: str
    landmarks: np.ndarray | None


def load_affectnet7(
    path: str, split: str, preprocessing: Preprocessing, is_part: bool = False
) -> FaceSet:
    """AffectNet-7, "train" or "val": without contempt."""
    return _load(path, split, preprocessing, BASIC_EXPRESSIONS, is_part)


def load_affectnet8(
    path: str, split: str, preprocessing: Preprocessing, is_part: bool = False
) -> FaceSet:
    """AffectNet-8, "train" or "val"."""
    return _load(path, split, preprocessing, EXPRESSIONS, is_part)


def _load(
    path: str,
    split: str,
    preprocessing: Preprocessing,
    expressions: tuple[str, ...],
    is_part: bool,
) -> FaceSet:
    if split not in CSV_FILES:
        raise ValueError(f"AffectNet has no split {split!r}; it has {', '.join(CSV_FILES)}.")
    source, everything = _read_annotations(Path(path), split)
    chosen = [annotation for annotation in everything if annotation.label in expressions]
    if not chosen:
        raise bad_source(source, f"no image of {', '.join(expressions)}", LAYOUT)
    files = [annotation.file for annotation in chosen]
    require_files(files, source, LAYOUT)
    require_count(len(chosen), COUNTS[split, len(expressions)], source, LAYOUT, is_part)
    landmarks = None
    if chosen[0].landmarks is not None:
        landmarks = [five_points(annotation.landmarks) for annotation in chosen]
    crops = align_files(files, preprocessing, LAYOUT, landmarks)
    labels = [annotation.label for annotation in chosen]
    return hard_labelled(crops, labels, expressions, [annotation.name for annotation in chosen])


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """iBUG's 68 landmarks (68,2) -> eyes' centres, tip of the nose, corners of the mouth (5,2)."""
    left_eye, right_eye = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    return np.stack([left_eye, right_eye, landmarks[30], landmarks[48], landmarks[54]])


def _read_annotations(root: Path, split: str) -> tuple[Path, list[Annotation]]:
    """All annotations of a split, and the file or folder they come from."""
    numpy_folder = root / NUMPY_FOLDERS[split]
    if (numpy_folder / "annotations").is_dir():
        return numpy_folder / "annotations", _read_numpy(numpy_folder)
    for folder in (root, root / "Manually_Annotated_file_lists"):
        if (folder / CSV_FILES[split]).is_file():
            file = folder / CSV_FILES[split]
            return file, _read_csv(file, _images_folder(root))
    raise bad_source(root, f"no AffectNet {split} annotations here", LAYOUT)


def _images_folder(root: Path) -> Path:
    nested = root / "Manually_Annotated" / "Manually_Annotated_Images"
    return nested if nested.is_dir() else root / "Manually_Annotated_Images"


def _label(text: str, where: str) -> str:
    if not text.strip().isdecimal() or int(text) >= len(LABELS):
        problem = f"label {text!r}; AffectNet's are 0 to {len(LABELS) - 1} ({', '.join(LABELS)})"
        raise bad_source(where, problem, LAYOUT)
    return LABELS[int(text)]


def _landmarks(values: list[str] | np.ndarray, where: str) -> np.ndarray:
    """136 numbers, x and y by turns, as (68,2)."""
    try:
        return np.asarray(values, dtype=np.float64).reshape(68, 2)
    except ValueError:
        raise bad_source(where, "not 68 landmarks, x and y by turns", LAYOUT) from None


def _read_csv(file: Path, images: Path) -> list[Annotation]:
    """One row an image. Some copies of validation.csv have no line of column names."""
    annotations = []
    for where, row in read_rows(file, LAYOUT):
        if row[0] == COLUMNS[0]:
            continue
        if len(row) != len(COLUMNS):
            problem = f"{len(row)} columns instead of {len(COLUMNS)} ({', '.join(COLUMNS)})"
            raise bad_source(where, problem, LAYOUT)
        fields = dict(zip(COLUMNS, row, strict=True))
        label = _label(fields["expression"], where)
        if label not in NO_EXPRESSION:
            points = _landmarks(fields["facial_landmarks"].split(";"), where)
            name = fields["subDirectory_filePath"]
            annotations.append(Annotation(name, images / name, label, points))
    return annotations


def _read_numpy(folder: Path) -> list[Annotation]:
    """One `_exp.npy` an image; `_lnd.npy` for all of them or for none."""
    label_files = sorted((folder / "annotations").glob("*_exp.npy"))
    images = sum(1 for _ in (folder / "images").glob("*.jpg"))
    if not label_files or images > len(label_files):
        problem = f"{len(label_files)} files annotations/*_exp.npy, but {images} images/*.jpg"
        raise bad_source(folder, problem, LAYOUT, "Unpack both anew.")
    has_landmarks = any((folder / "annotations").glob("*_lnd.npy"))
    annotations = []
    for file in label_files:
        name = file.name.removesuffix("_exp.npy")
        label = _label(str(_load_array(file).reshape(-1)[0]), str(file))
        points_file = file.with_name(f"{name}_lnd.npy")
        points = _landmarks(_load_array(points_file), str(points_file)) if has_landmarks else None
        annotations.append(Annotation(name, folder / "images" / f"{name}.jpg", label, points))
    return annotations


def _load_array(file: Path) -> np.ndarray:
    """A small array; never a pickled one, which could run code."""
    try:
        array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise bad_source(file, "missing", LAYOUT, "Unpack it anew.") from None
    except (OSError, ValueError, EOFError) as error:
        raise bad_source(file, f"not a numpy array ({error})", LAYOUT) from error
    if array.size == 0:
        raise bad_source(file, "an empty array", LAYOUT)
    return array
