"""Faces: finding them, their five landmarks, and the one alignment that everything uses.

The only import of facenet_pytorch, made where it is used: a machine that trains needs only
`align_face`. Landmarks are left eye, right eye, nose, left and right mouth corner as the viewer
sees them, (x, y) in pixels, where whole numbers are the pixels' centres.
"""

import functools
import logging
from dataclasses import dataclass

import numpy as np
from PIL import Image

logger = logging.getLogger(__name__)

CROP_SIZE_PX = 112
# The frontal five-point template of ArcFace-style alignment, in a 112x112 crop.
TEMPLATE = np.array(
    [[33.566, 40.559], [78.321, 40.559], [55.338, 64.967], [38.479, 90.276], [73.591, 90.276]]
)
# Where landmarks lie in an image that is a face crop already, as fractions of its side: FER2013's
# medians over 200 PublicTest images. They frame a crop in which no landmarks are found.
FACE_CROP_LANDMARKS = (
    np.array([[15.3, 19.0], [33.4, 18.6], [24.4, 29.4], [16.9, 38.3], [32.1, 38.1]]) / 48
)
MIN_SCORE = 0.90
# A landmark network is surer of a framed face than a detector is of a photograph's region, so a
# low score here means a drawing, a profile or no face at all.
MIN_LANDMARK_SCORE = 0.70
# Faces smaller than about a thirtieth of the photograph are not looked for: bounded work. Those
# found get their landmarks from the photograph itself, so these are as fine as the picture.
MAX_DETECTION_SIDE_PX = 640
MIN_FACE_SIDE_PX = 20
ONET_SIDE_PX = 48
MAX_REGION_SIDE_PX = 8 * ONET_SIDE_PX
# Where the nose lies between the eyes' line (0) and the mouth (1). Measured with this detector on
# twelve Lab faces (five identities; neutral, happiness, surprise) at pitch 0, +-20 and +-40
# degrees: outside are none, 1 and 3, 7 and 7. Of FER2013's PublicTest crops, 3 and 1 % are.
RAISED_NOSE, LOWERED_NOSE = 0.3, 0.8


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels; may reach over the image's border.
        landmarks: (5,2) x, y in pixels, in the order that this module's docstring gives.
        score: the detector's, 0..1.
        source: "detected", "face-crop" (the whole image, landmarks found in it) or "framed" (the
            whole image, none found: the usual framing is assumed).
    """

    box_xyxy: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float
    source: str = "detected"

    @property
    def side_px(self) -> float:
        """The longer side of the box."""
        left, top, right, bottom = self.box_xyxy
        return max(right - left, bottom - top)

    @property
    def is_turned(self) -> bool:
        """Whether the head is turned, raised or lowered far, or tilted by more than 30 degrees.

        Turned: the nose lies over an eye or outside of both, instead of between them. Raised or
        lowered: it lies near the eyes' line or the mouth's.
        """
        left_eye, right_eye, nose = self.landmarks[:3]
        across = right_eye - left_eye
        down = np.array([-across[1], across[0]])
        eyes, mouth = (left_eye + right_eye) / 2, self.landmarks[3:].mean(axis=0)
        length, height = float(np.hypot(*across)), float((mouth - eyes) @ down)
        if length == 0 or height <= 0:
            return True
        nose_position = float((nose - left_eye) @ across) / length**2  # 0 left eye, 1 right eye
        nose_height = float((nose - eyes) @ down) / height  # 0 eyes, 1 mouth
        tilt = abs(float(across[1])) / length
        return (
            not 0.15 < nose_position < 0.85
            or not RAISED_NOSE < nose_height < LOWERED_NOSE
            or across[0] <= 0
            or tilt > 0.5
        )


@functools.cache
def load_detector():
    """The MTCNN detector (arXiv 1604.02878) with the weights in the facenet-pytorch package."""
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, min_face_size=MIN_FACE_SIDE_PX, device="cpu").eval()


def detect_faces(image: np.ndarray, min_score: float = MIN_SCORE) -> list[Face]:
    """All faces of an image, the largest first; an empty list where there is none.

    Args:
        image: (H,W,3) RGB uint8. One longer than 640 px is searched in a smaller copy.
        min_score: faces of a lower score (0..1) are left out.
    """
    height, width = image.shape[:2]
    scale = min(1.0, MAX_DETECTION_SIDE_PX / max(height, width))
    size = (round(width * scale), round(height * scale))
    if min(size) < MIN_FACE_SIDE_PX:
        return []
    searched = Image.fromarray(image)
    if scale < 1:
        searched = searched.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    faces = _search(searched, 0, scale, min_score)
    if not faces or any(_reaches_over(face, width, height) for face in faces):
        # MTCNN misplaces the landmarks of a face that touches the border, and is sure of them.
        faces = _search(searched, max(size) // 4, scale, min_score)
    if scale < 1:
        faces = [track_face(image, face, min_score) or face for face in faces]
    return sorted(faces, key=lambda face: -face.side_px)


def track_face(image: np.ndarray, face: Face, min_score: float = MIN_SCORE) -> Face | None:
    """A face that was found before, found again near its box: MTCNN's last step alone.

    It follows a face that moves by up to a quarter of its size, in about a millisecond.

    Args:
        image: (H,W,3) RGB uint8; another frame, or the photograph of which a copy was searched.
        face: where the face was, in this image's pixels.
        min_score: 0..1.

    Returns:
        The face, or None if a score below `min_score` says that it is gone.
    """
    left, top, right, bottom = face.box_xyxy
    side = round(face.side_px)
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    height, width = image.shape[:2]
    if side < MIN_FACE_SIDE_PX / 2 or not (-side < x < width and -side < y < height):
        return None
    columns = np.clip(np.arange(x, x + side), 0, width - 1)
    rows = np.clip(np.arange(y, y + side), 0, height - 1)
    edges, landmarks, scores = _last_network(image[rows[:, None], columns][None])
    if scores[0] < min_score:
        return None
    box = np.array([x, y, x + side, y + side]) + edges[0] * side
    return Face(tuple(box.tolist()), landmarks[0] * side + [x, y] - 0.5, float(scores[0]))


def _reaches_over(face: Face, width: int, height: int) -> bool:
    left, top, right, bottom = face.box_xyxy
    return left < 1 or top < 1 or right > width - 2 or bottom > height - 2


def _search(searched: Image.Image, padding_px: int, scale: float, min_score: float) -> list[Face]:
    """Faces in an image whose border is repeated `padding_px` outwards, in unscaled pixels."""
    edge = ((padding_px, padding_px), (padding_px, padding_px), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(searched), edge, mode="edge"))
    boxes, scores, landmarks = load_detector().detect(padded, landmarks=True)
    if boxes is None:
        return []
    boxes, landmarks = boxes - padding_px, landmarks - padding_px
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < searched.size)).all(axis=1)
    return [
        Face(
            tuple(float(v) for v in box / scale),
            points.astype(np.float64) / scale - 0.5,  # MTCNN's zero is the corner of a pixel
            float(score),
        )
        for box, score, points, kept in zip(boxes, scores, landmarks, inside, strict=True)
        if kept and score >= min_score
    ]


def find_crop_landmarks(crops: np.ndarray, batch_size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of images that are face crops already: one pass of MTCNN's last network.

    MTCNN's own last step is this network on a 48x48 cut-out around a face, which is what a
    FER2013 image is. Searching such an image for faces first would only find its frame again.

    Args:
        crops: (N,H,W,3) RGB uint8.

    Returns:
        Landmarks (N,5,2) in pixels of the crop, and scores (N,) in 0..1.
    """
    height, width = crops.shape[1:3]
    found = [
        _last_network(crops[start : start + batch_size])
        for start in range(0, len(crops), batch_size)
    ]
    landmarks = np.concatenate([landmarks for _, landmarks, _ in found]) * [width, height] - 0.5
    return landmarks, np.concatenate([scores for _, _, scores in found])


def usual_landmarks(width: int, height: int) -> np.ndarray:
    """Where landmarks (5,2) usually lie in a face crop, in its pixels."""
    return FACE_CROP_LANDMARKS * [width, height] - 0.5


def place_crop_landmarks(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `find_crop_landmarks`, with the usual ones where the score is too low."""
    found, scores = find_crop_landmarks(crops)
    is_found = scores >= MIN_LANDMARK_SCORE
    usual = usual_landmarks(crops.shape[2], crops.shape[1])
    return np.where(is_found[:, None, None], found, usual), scores


def _last_network(regions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MTCNN's last network on regions (N,H,W,3) around faces.

    Returns:
        How far the face's box lies from the region's edges (N,4), and the landmarks (N,5,2), both
        in fractions of the region's sides; scores (N,) in 0..1.
    """
    import torch
    import torch.nn.functional as F

    images = torch.tensor(_reduce_regions(regions)).movedim(-1, 1).float()
    images = F.interpolate(images, (ONET_SIDE_PX, ONET_SIDE_PX), mode="area")
    with torch.inference_mode():
        edges, points, scores = load_detector().onet((images - 127.5) / 128)
    points = points.reshape(-1, 2, 5).transpose(1, 2)  # (N, 5 x then 5 y) -> (N, 5, 2)
    return edges.numpy(), points.numpy(), scores[:, 1].numpy()


def _reduce_regions(regions: np.ndarray) -> np.ndarray:
    """Regions (N,H,W,3) uint8, each side averaged down to at most 384 px.

    In float32, a photograph of 50 megapixels would take 600 MB, and more while it is reduced.
    """
    height, width = (min(side, MAX_REGION_SIDE_PX) for side in regions.shape[1:3])
    if (height, width) == regions.shape[1:3]:
        return regions
    images = (Image.fromarray(region) for region in regions)
    return np.stack([np.asarray(i.resize((width, height), Image.Resampling.BOX)) for i in images])


def face_of_crop(image: np.ndarray) -> Face:
    """The face of an image (H,W,3) RGB uint8 that is a face crop already."""
    height, width = image.shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    landmarks, scores = place_crop_landmarks(image[None])
    source = "face-crop" if scores[0] >= MIN_LANDMARK_SCORE else "framed"
    return Face(box, landmarks[0], float(scores[0]), source)


def similarity_transform(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that best maps points (N,2) to points (N,2): a (2,3) matrix.

    Source: Umeyama 1991, least squares, without reflection.

    Raises:
        ValueError: if all source points coincide.
    """
    source_mean, destination_mean = source.mean(axis=0), destination.mean(axis=0)
    s, d = source - source_mean, destination - destination_mean
    spread = _check_spread(source)
    # For 2D points, the best rotation times scale is the complex number sum(conj(s) d) / sum|s|^2.
    cosine = (s * d).sum() / spread
    sine = (s[:, 0] * d[:, 1] - s[:, 1] * d[:, 0]).sum() / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, destination_mean - linear @ source_mean])


def _check_spread(points: np.ndarray) -> float:
    """The sum of the squared distances from points (N,2) to their mean.

    Raises:
        ValueError: if all points coincide.
    """
    spread = ((points - points.mean(axis=0)) ** 2).sum()
    if spread < 1e-6:
        raise ValueError("The landmarks coincide, so they give no alignment; check them.")
    return float(spread)


def align_face(image: np.ndarray, landmarks: np.ndarray, size: int = CROP_SIZE_PX) -> np.ndarray:
    """Rotate, scale and cut a face so that its landmarks lie on the template.

    What lies outside the image repeats its border. Large faces are reduced with anti-aliasing.

    Args:
        image: (H,W,3) RGB uint8.
        landmarks: (5,2) in pixels.
        size: side of the crop in pixels.

    Returns:
        (size,size,3) RGB uint8.

    Raises:
        ValueError: if the landmarks coincide, or lie outside the image by more than its size.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    _check_spread(landmarks)
    template = (TEMPLATE + 0.5) * (size / CROP_SIZE_PX)  # from here on, 0 is the corner of a pixel
    crop_to_image = similarity_transform(template, landmarks + 0.5)
    scale = float(np.hypot(crop_to_image[0, 0], crop_to_image[1, 0]))  # image px per crop px
    height, width = image.shape[:2]

    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    corners = corners @ crop_to_image[:, :2].T + crop_to_image[:, 2]
    margin = 3 * max(scale, 1.0)  # the resampling kernels' reach
    left, top = np.floor(corners.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(corners.max(axis=0) + margin).astype(int)
    if scale < 1e-3 or left > 2 * width or top > 2 * height or right < -width or bottom < -height:
        raise ValueError("The landmarks do not lie on the image; give them in its pixels.")
    columns = np.clip(np.arange(left, right), 0, width - 1)
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    region = Image.fromarray(np.ascontiguousarray(image[rows[:, None], columns]))

    matrix = crop_to_image.copy()
    matrix[:, 2] -= [left, top]
    if scale > 1:
        reduced_size = (
            max(1, round(region.width / scale)),
            max(1, round(region.height / scale)),
        )
        ratio = np.array(reduced_size) / region.size
        region = region.resize(reduced_size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        matrix *= ratio[:, None]
    crop = region.transform(
        (size, size), Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BICUBIC
    )
    return np.asarray(crop)
