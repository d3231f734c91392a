"""The data sets, each loaded once into memory as aligned uint8 crops.

`load_faces("ferplus:PATH", "Training", preprocessing)` is the one entry.
"""

from collections.abc import Callable

from fer_models.preprocessing import Preprocessing
from training.datasets.face_set import FaceSet
from training.datasets.fer2013 import load_fer2013, load_ferplus

KINDS: dict[str, Callable[[str, str, Preprocessing], FaceSet]] = {
    "ferplus": load_ferplus,
    "fer2013": load_fer2013,
}


def load_faces(
    data: str, split: str, preprocessing: Preprocessing, fer2013_weight: float = 0.0
) -> FaceSet:
    """A split of a data set, aligned and reduced as `preprocessing` says.

    Args:
        data: "KIND:PATH", for example "ferplus:/data/fer2013".
        split: the data set's own name of it, for example "Training" or "PublicTest".
        fer2013_weight: FER+ only: share (0..1) of FER2013's own label in the soft targets.

    Raises:
        ValueError: if the kind is unknown, or the files are not what their owners ship.
    """
    kind, _, path = data.partition(":")
    if kind not in KINDS or not path:
        raise ValueError(f"{data!r}: give the data as KIND:PATH; kinds are {', '.join(KINDS)}.")
    if kind == "ferplus":
        return load_ferplus(path, split, preprocessing, fer2013_weight)
    return KINDS[kind](path, split, preprocessing)
