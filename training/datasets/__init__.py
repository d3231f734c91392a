"""The data sets, each loaded once into memory as aligned uint8 crops.

`load_faces("ferplus:PATH", "Training", preprocessing)` is the one entry.
"""

from collections.abc import Callable

from fer_models.preprocessing import Preprocessing
from training.datasets.affectnet import load_affectnet7, load_affectnet8
from training.datasets.face_set import FaceSet
from training.datasets.fer2013 import load_fer2013, load_ferplus
from training.datasets.folder import SPLITS as FOLDER_SPLITS
from training.datasets.folder import load_folder
from training.datasets.rafdb import load_rafdb
from training.datasets.source import SUBSET

KINDS: dict[str, Callable[..., FaceSet]] = {
    "affectnet7": load_affectnet7,
    "affectnet8": load_affectnet8,
    "fer2013": load_fer2013,
    "ferplus": load_ferplus,
    "folder": load_folder,
    "rafdb": load_rafdb,
}
# The splits for training, validation and the last measurement, by the data set's own names. RAF-DB
# and AffectNet have two, so what is chosen on the second is measured on it too, as in the papers.
SPLITS: dict[str, tuple[str, str, str]] = {
    "affectnet7": ("train", "val", "val"),
    "affectnet8": ("train", "val", "val"),
    "fer2013": ("Training", "PublicTest", "PrivateTest"),
    "ferplus": ("Training", "PublicTest", "PrivateTest"),
    "folder": FOLDER_SPLITS,
    "rafdb": ("train", "test", "test"),
}


def load_faces(
    data: str, split: str, preprocessing: Preprocessing, fer2013_weight: float = 0.0
) -> FaceSet:
    """A split of a data set, aligned and reduced as `preprocessing` says.

    Args:
        data: "KIND:PATH", for example "ferplus:/data/fer2013"; with "#subset" behind it, fewer
            images than were published are right, too.
        split: the data set's own name of it, for example "Training" or "PublicTest".
        fer2013_weight: FER+ only: share (0..1) of FER2013's own label in the soft targets.

    Raises:
        ValueError: if the kind is unknown, or the files are not what their owners ship.
    """
    kind, _, path = data.partition(":")
    if kind not in KINDS or not path:
        raise ValueError(f"{data!r}: give the data as KIND:PATH; kinds are {', '.join(KINDS)}.")
    is_part, path = path.endswith(SUBSET), path.removesuffix(SUBSET)
    if kind == "folder":  # any number of images is right
        return load_folder(path, split, preprocessing)
    if kind == "ferplus":
        return load_ferplus(path, split, preprocessing, fer2013_weight, is_part)
    return KINDS[kind](path, split, preprocessing, is_part)
