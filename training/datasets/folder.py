"""Any data set as folders of face crops: `SPLIT/CLASS/NAME.jpg`, or `CLASS/NAME.jpg` alone.

A class is any usual spelling of an expression. Where nobody has parted the images into train, val
and test, a tenth of each class goes to val and a tenth to test, by their names, so that they are
the same on every machine. Images of one person may then be on both sides. The split "all" is every
image below the path's own class folders.
"""

import hashlib
from pathlib import Path

from fer_models.expressions import BASIC_EXPRESSIONS, EXPRESSIONS, canonical_expression
from fer_models.preprocessing import Preprocessing
from training.datasets.face_crops import align_files, hard_labelled
from training.datasets.face_set import FaceSet
from training.datasets.source import bad_source

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
SPLITS = ("train", "val", "test")
LAYOUT = "SPLIT/CLASS/NAME.jpg (train/happy/1.jpg), or CLASS/NAME.jpg (happy/1.jpg)"


def load_folder(path: str, split: str, preprocessing: Preprocessing) -> FaceSet:
    """The face crops of a split, labelled by their folders.

    There are seven expressions, or eight where any split has a folder for contempt, so that all
    splits agree.

    Raises:
        ValueError: if the split is absent or empty, a folder's name is no expression, or a file is
            no image.
    """
    root = Path(path)
    is_parted = split != "all" and any((root / name).is_dir() for name in (split, *SPLITS))
    top = root / split if is_parted else root
    if not top.is_dir() or not (is_parted or split in ("all", *SPLITS)):
        raise bad_source(root / split, "no such folder", LAYOUT, "Give the folder above it.")
    files, labels = [], []
    for folder in _class_folders(top):
        label = _expression(folder)
        images = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
        if not is_parted and split != "all":
            images = _part(images, split)
        files += images
        labels += [label] * len(images)
    if not files:
        fix = f"Images end in {', '.join(sorted(SUFFIXES))}."
        raise bad_source(top, "no images in class folders here", LAYOUT, fix)
    expressions = EXPRESSIONS if _has_contempt(root, top) else BASIC_EXPRESSIONS
    names = [str(file.relative_to(top)) for file in files]
    return hard_labelled(align_files(files, preprocessing, LAYOUT), labels, expressions, names)


def _part(images: list[Path], split: str) -> list[Path]:
    """A split's images of a class, in the order given; three images are the fewest for all."""
    mixed = sorted(images, key=lambda image: hashlib.sha256(image.name.encode()).digest())
    tenth = max(1, len(images) // 10) if len(images) >= len(SPLITS) else 0
    kept = {"val": mixed[:tenth], "test": mixed[tenth : 2 * tenth], "train": mixed[2 * tenth :]}
    return sorted(kept[split])


def _class_folders(top: Path) -> list[Path]:
    return sorted(f for f in top.iterdir() if f.is_dir() and not f.name.startswith("."))


def _expression(folder: Path) -> str:
    try:
        return canonical_expression(folder.name)
    except ValueError as error:
        problem = str(error).removesuffix(".")
        raise bad_source(folder, problem, LAYOUT, "Rename the folder, or take it away.") from None


def _has_contempt(root: Path, top: Path) -> bool:
    splits = [root] if top == root else _class_folders(root)
    names = {folder.name.strip().lower() for split in splits for folder in _class_folders(split)}
    return not names.isdisjoint({"contempt", "contemptuous"})
