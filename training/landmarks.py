"""FER2013's landmarks, found once and kept as one small file.

`python -m training.landmarks --data PATH` finds them (it needs facenet-pytorch) and writes
`landmarks_fer2013.npz` beside this file: the numbers alone, so that a machine that trains aligns
faces without a detector. An image is known by a hash of its pixels, whatever its name.
"""

import argparse
import hashlib
import importlib.util
import logging
from pathlib import Path

import numpy as np

from fer_models import faces
from fer_models.checkpoints import write_atomically

logger = logging.getLogger(__name__)

CACHE_FILE = Path(__file__).with_name("landmarks_fer2013.npz")
# A landmark is stored in a byte: a quarter of a pixel, from 8 pixels outside the image.
STEPS_PER_PX = 4
OUTSIDE_PX = 8


def pixel_hash(image: np.ndarray) -> int:
    """64 bits that stand for a grey image (48,48) uint8."""
    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")


def pack_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """(N,5,2) pixels -> (N,5,2) uint8."""
    return np.clip(np.rint((landmarks + OUTSIDE_PX) * STEPS_PER_PX), 0, 255).astype(np.uint8)


def unpack_landmarks(packed: np.ndarray) -> np.ndarray:
    """(N,5,2) uint8 -> (N,5,2) pixels."""
    return packed / STEPS_PER_PX - OUTSIDE_PX


def has_detector(count: int) -> bool:
    """Whether landmarks can be found here; where not, tell how `count` face crops are aligned."""
    if importlib.util.find_spec("facenet_pytorch") is not None:
        return True
    logger.warning(
        "facenet_pytorch is not installed: %d face crops are aligned by the usual framing, "
        "not by their own landmarks. Install it to train on the crops that the page makes.",
        count,
    )
    return False


def find_landmarks(images: np.ndarray) -> np.ndarray:
    """Landmarks (N,5,2) in pixels of grey face crops (N,48,48); the usual ones where none are."""
    return faces.place_crop_landmarks(np.repeat(images[..., None], 3, axis=-1))[0]


def load_landmarks(images: np.ndarray, cache_file: Path = CACHE_FILE) -> np.ndarray:
    """Landmarks (N,5,2) in pixels of grey images (N,48,48): from the cache, else found now.

    Where the detector is not installed, the usual ones stand for those that the cache lacks.
    """
    known = {}
    if cache_file.is_file():
        with np.load(cache_file) as cache:
            known = dict(zip(cache["hashes"].tolist(), cache["landmarks"], strict=True))
    hashes = [pixel_hash(image) for image in images]
    unknown = [index for index, key in enumerate(hashes) if key not in known]
    landmarks = np.zeros((len(images), 5, 2))
    if unknown and not has_detector(len(unknown)):
        landmarks[unknown] = faces.usual_landmarks(images.shape[2], images.shape[1])
    elif unknown:
        logger.info("finding landmarks in %d images that %s lacks", len(unknown), cache_file.name)
        landmarks[unknown] = unpack_landmarks(pack_landmarks(find_landmarks(images[unknown])))
    for index, key in enumerate(hashes):
        if key in known:
            landmarks[index] = unpack_landmarks(known[key])
    return landmarks


def main() -> None:
    from training.datasets.fer2013 import SPLITS, read_records

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder of FER2013, in any of its forms")
    parser.add_argument("--out", type=Path, default=CACHE_FILE, help="by default the cache itself")
    arguments = parser.parse_args()
    try:
        images = np.concatenate([read_records(arguments.data, split).images for split in SPLITS])
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    all_hashes = np.array([pixel_hash(image) for image in images], dtype=np.uint64)
    hashes, first = np.unique(all_hashes, return_index=True)
    landmarks = pack_landmarks(find_landmarks(images[first]))

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez_compressed(stream, hashes=hashes, landmarks=landmarks)

    try:
        write_atomically(arguments.out, write)
    except OSError as error:
        parser.exit(2, f"{arguments.out}: cannot be written ({error})\n")
    print(f"{len(images)} images, {len(hashes)} different ones -> {arguments.out}")


if __name__ == "__main__":
    main()
