"""Any data set as folders of face crops: `SPLIT/CLASS/NAME.jpg`, such as `train/happy/1.jpg`.

A class is any usual spelling of an expression. With the split "all", the class folders lie right
at the path.
"""

from pathlib import Path

from fer_models.expressions import BASIC_EXPRESSIONS, EXPRESSIONS, canonical_expression
from fer_models.preprocessing import Preprocessing
from training.datasets.face_crops import align_files, hard_labelled
from training.datasets.face_set import FaceSet

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
LAYOUT = "SPLIT/CLASS/NAME.jpg (train/happy/1.jpg), or CLASS/NAME.jpg with the split 'all'"


def load_folder(path: str, split: str, preprocessing: Preprocessing) -> FaceSet:
    """The face crops of a split, labelled by their folders.

    There are seven expressions, or eight where any split has a folder for contempt, so that all
    splits agree.

    Raises:
        ValueError: if the split is absent or empty, a folder's name is no expression, or a file is
            no image.
    """
    root = Path(path)
    top = root if split == "all" else root / split
    if not top.is_dir():
        raise ValueError(f"{top}: no such folder. Expected {LAYOUT}.")
    files, labels = [], []
    for folder in _class_folders(top):
        label = _expression(folder)
        images = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
        files += images
        labels += [label] * len(images)
    if not files:
        raise ValueError(f"{top}: no images in class folders here. Expected {LAYOUT}.")
    expressions = EXPRESSIONS if _has_contempt(root, top) else BASIC_EXPRESSIONS
    names = [str(file.relative_to(top)) for file in files]
    return hard_labelled(align_files(files, preprocessing, LAYOUT), labels, expressions, names)


def _class_folders(top: Path) -> list[Path]:
    return sorted(f for f in top.iterdir() if f.is_dir() and not f.name.startswith("."))


def _expression(folder: Path) -> str:
    try:
        return canonical_expression(folder.name)
    except ValueError as error:
        raise ValueError(f"{folder}: {error} Expected {LAYOUT}.") from None


def _has_contempt(root: Path, top: Path) -> bool:
    splits = [root] if top == root else _class_folders(root)
    names = {folder.name.strip().lower() for split in splits for folder in _class_folders(split)}
    return not names.isdisjoint({"contempt", "contemptuous"})
