"""RAF-DB's basic expressions (CVPR 2017, S. Li et al.), as its owners ship them.

`basic/EmoLabel/list_patition_label.txt` (the file's own spelling) has one line an image, such as
`train_00001.jpg 5`; the image is `basic/Image/aligned/train_00001_aligned.jpg`, 100x100 RGB.
"""

from pathlib import Path

from fer_models.expressions import BASIC_EXPRESSIONS, LABEL_ORDERS
from fer_models.preprocessing import Preprocessing
from training.datasets.face_crops import align_files, hard_labelled
from training.datasets.face_set import FaceSet
from training.datasets.source import bad_source, require_count, require_files

# Images of each split, as published.
COUNTS = {"train": 12_271, "test": 3_068}
LIST_FILE = "EmoLabel/list_patition_label.txt"
LAYOUT = (
    f"basic/{LIST_FILE} with lines like 'train_00001.jpg 5', and "
    "basic/Image/aligned/train_00001_aligned.jpg"
)


def load_rafdb(
    path: str, split: str, preprocessing: Preprocessing, is_part: bool = False
) -> FaceSet:
    """RAF-DB's "train" or "test" images with their seven expressions.

    Raises:
        ValueError: if a file is missing, corrupt or unlisted, a label is unknown, or there are not
            as many images as were published, unless `is_part`.
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
    require_count(len(files), [COUNTS[split]], base / LIST_FILE, LAYOUT, is_part)
    crops = align_files(files, preprocessing, LAYOUT)
    return hard_labelled(crops, list(labels.values()), BASIC_EXPRESSIONS, list(labels))


def _read_list(file: Path, split: str) -> dict[str, str]:
    """The split's image names and expressions."""
    if not file.is_file():
        raise bad_source(file, "missing", LAYOUT, "Give the folder that has basic/.")
    labels = {}
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().partition(" ")
        if not label.strip().isdecimal() or not 1 <= int(label) <= len(LABEL_ORDERS["rafdb"]):
            raise bad_source(f"{file}: line {number}", f"{line!r}, but labels are 1 to 7", LAYOUT)
        if name in labels:
            raise bad_source(f"{file}: line {number}", f"names {name} again", LAYOUT)
        if name.startswith(f"{split}_"):
            labels[name] = LABEL_ORDERS["rafdb"][int(label) - 1]
    if not labels:
        raise bad_source(file, f"no line begins with {split}_", LAYOUT)
    return labels


def _require_listed(folder: Path, split: str, listed: int, list_file: Path) -> None:
    present = len(list(folder.glob(f"{split}_*_aligned.jpg")))
    if present != listed:
        problem = f"names {listed} {split} images, but {folder} has {present}"
        raise bad_source(list_file, problem, LAYOUT, "They belong together; unpack both anew.")
