"""From image files, one labelled face each, to aligned crops and a FaceSet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from fer_models import faces
from fer_models.preprocessing import Preprocessing
from training.datasets.face_set import FaceSet
from training.datasets.source import bad_source, read_image
from training.landmarks import has_detector

BATCH_SIZE = 64
SEARCHED_SIDE_PX = faces.ONET_SIDE_PX
# Given landmarks may lie outside their image by this share of its side, as those of a cut-off face.
MARGIN = 0.25


def find_landmarks(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Landmarks (5,2) of each face crop (H,W,3), in its pixels; the usual ones where none are."""
    small = np.stack([_resize(image, SEARCHED_SIDE_PX) for image in images])
    placed, _ = faces.place_crop_landmarks(small)
    return [
        (points + 0.5) * [image.shape[1], image.shape[0]] / SEARCHED_SIDE_PX - 0.5
        for image, points in zip(images, placed, strict=True)
    ]


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))


def _frame(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The landmarks that a face crop usually has, for each image."""
    return [faces.usual_landmarks(image.shape[1], image.shape[0]) for image in images]


def align_files(
    files: Sequence[Path],
    preprocessing: Preprocessing,
    layout: str,
    landmarks: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """The files' faces as the networks see them: (N,D,D) or (N,D,D,3) uint8.

    Args:
        layout: of the data set, for an error.
        landmarks: five points (5,2) for each file, in its pixels as stored. Without them the images
            must be face crops, which are read as the page reads them: points are found in them, or
            the usual framing is assumed where the detector is not installed.

    Raises:
        ValueError: if a file is no image, or its landmarks do not lie on it.
    """
    find = None
    if landmarks is None:
        find = find_landmarks if has_detector(len(files)) else _frame
    crops = None
    for start in tqdm(range(0, len(files), BATCH_SIZE), desc="aligning", leave=False):
        batch = slice(start, start + BATCH_SIZE)
        images = [read_image(f, f, layout, as_on_page=find is not None) for f in files[batch]]
        points = find(images) if find else landmarks[batch]
        aligned = zip(files[batch], images, points, strict=True)
        for index, (file, image, five) in enumerate(aligned, start):
            if landmarks is not None:
                _require_on_image(five, image, file, layout)
            crop = preprocessing.reduce(_align(image, five, file, layout))
            if crops is None:  # one array from the start: a list of crops would need as much again
                crops = np.empty((len(files), *crop.shape), crop.dtype)
            crops[index] = crop
    return crops


def _require_on_image(landmarks: np.ndarray, image: np.ndarray, file: Path, layout: str) -> None:
    height, width = image.shape[:2]
    share = landmarks / [width, height]
    if not (share.min() >= -MARGIN and share.max() <= 1 + MARGIN):  # false for nan, too
        problem = (
            f"its landmarks do not lie on the image of {width}x{height} pixels; image and "
            "annotation belong to different copies"
        )
        raise bad_source(file, problem, layout, "Unpack both anew.")


def _align(image: np.ndarray, landmarks: np.ndarray, file: Path, layout: str) -> np.ndarray:
    try:
        return faces.align_face(image, landmarks)
    except ValueError as error:
        raise bad_source(file, str(error).rstrip("."), layout) from error


def hard_labelled(
    crops: np.ndarray, labels: Sequence[str], expressions: tuple[str, ...], names: Sequence[str]
) -> FaceSet:
    """A FaceSet of crops with one expression each, by name."""
    indices = np.array([expressions.index(label) for label in labels], dtype=np.int64)
    targets = np.eye(len(expressions), dtype=np.float32)[indices]
    return FaceSet(crops, targets, indices, expressions, tuple(names))
