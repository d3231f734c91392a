"""RAF-DB's basic expressions (CVPR 2017, S. Li et al.), as its owners ship them.

`basic/EmoLabel/list_patition_label.txt` (the file's own spelling) has one line an image, such as
`train_00001.jpg 5`; the image is `basic/Image/aligned/train_00001_aligned.jpg`, 100x100 RGB.
"""

import logging
from pathlib import Path

from fer_models.expressions import BASIC_EXPRESSIONS, LABEL_ORDERS
from fer_models.preprocessing import Preprocessing
from training.datasets.face_crops import align_files, hard_labelled, require_files
from training.datasets.face_set import FaceSet

logger = logging.getLogger(__name__)

# Images of each split, as published.
COUNTS = {"train": 12_271, "test": 3_068}
LIST_FILE = "EmoLabel/list_patition_label.txt"
LAYOUT = (
    f"basic/{LIST_FILE} with lines like 'train_00001.jpg 5', and "
    "basic/Image/aligned/train_00001_aligned.jpg"
)


def load_rafdb(path: str, split: str, preprocessing: Preprocessing) -> FaceSet:
    """RAF-DB's "train" or "test" images with their seven expressions.

    Raises:
        ValueError: if a file is missing, corrupt or unlisted, or a label is unknown.
    """
    if split not in COUNTS:
        raise ValueError(f"RAF-DB has no split {split!r}; it has {', '.join(COUNTS)}.")
    root = Path(path)
    base = root / "basic" if (root / "basic").is_dir() else root
    labels = _read_list(base / LIST_FILE, split)
    folder = base / "Image" / "aligned"
    files = [folder / f"{Path(name).stem}_aligned.jpg" for name in labels]
    require_files(files, base / LIST_FILE, LAYOUT)
    _require_listed(folder, split, len(files), base / LIST_FILE)
    crops = align_files(files, preprocessing)
    return hard_labelled(crops, list(labels.values()), BASIC_EXPRESSIONS, list(labels))


def _read_list(file: Path, split: str) -> dict[str, str]:
    """The split's image names and expressions."""
    if not file.is_file():
        raise ValueError(f"{file}: missing. Expected {LAYOUT}. Give the folder that has basic/.")
    labels = {}
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().partition(" ")
        if not label.strip().isdecimal() or not 1 <= int(label) <= len(LABEL_ORDERS["rafdb"]):
            raise ValueError(
                f"{file}: line {number} is {line!r}; expected a file's name and a label of 1 to 7, "
                "such as 'train_00001.jpg 5'. Unpack the file anew."
            )
        if name in labels:
            raise ValueError(f"{file}: line {number} names {name} again; unpack the file anew.")
        if name.startswith(f"{split}_"):
            labels[name] = LABEL_ORDERS["rafdb"][int(label) - 1]
    if not labels:
        raise ValueError(f"{file}: no line begins with {split}_. Expected {LAYOUT}.")
    return labels


def _require_listed(folder: Path, split: str, listed: int, list_file: Path) -> None:
    """Check the count against the folder, and tell of a count other than the published one."""
    present = len(list(folder.glob(f"{split}_*_aligned.jpg")))
    if present != listed:
        raise ValueError(
            f"{list_file}: names {listed} {split} images, but {folder} has {present}. "
            "List and images belong together; unpack both anew."
        )
    if listed != COUNTS[split]:
        logger.warning(
            "%s: %d %s images, but RAF-DB has %d: numbers measured on them compare with no "
            "published ones.",
            list_file,
            listed,
            split,
            COUNTS[split],
        )
