"""Detection on a real photograph, and the alignment's geometry against hand-made pictures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fer_models import faces as faces_module
from fer_models.faces import (
    MAX_DETECTION_SIDE_PX,
    MAX_REGION_SIDE_PX,
    TEMPLATE,
    align_face,
    detect_faces,
    face_of_crop,
    find_crop_landmarks,
    similarity_transform,
    track_face,
)
from fer_models.images import load_image
from tests.conftest import EXAMPLE


def dots(points: np.ndarray, side: int, radius: int = 3) -> np.ndarray:
    """White dots on black at (x, y) points."""
    y, x = np.mgrid[:side, :side]
    image = np.zeros((side, side), np.uint8)
    for px, py in points:
        image[(x - px) ** 2 + (y - py) ** 2 <= radius**2] = 255
    return np.repeat(image[..., None], 3, axis=-1)


def test_similarity_recovers_a_known_rotation_scale_and_shift():
    angle = np.deg2rad(30)
    linear = 2.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE @ linear.T + [7, -3]
    found = similarity_transform(TEMPLATE, moved)
    np.testing.assert_allclose(found, np.column_stack([linear, [7, -3]]), atol=1e-9)


@pytest.mark.parametrize(("angle_deg", "scale"), [(0, 1), (25, 0.6), (-40, 1.7), (10, 4.0)])
def test_alignment_brings_landmarks_onto_the_template(angle_deg, scale):
    angle = np.deg2rad(angle_deg)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = TEMPLATE.mean(axis=0)
    landmarks = (TEMPLATE - centre) @ linear.T + 300
    crop = align_face(dots(landmarks, 600, radius=round(3 * scale) + 1), landmarks)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    for x, y in TEMPLATE:
        window = crop[round(y) - 8 : round(y) + 9, round(x) - 8 : round(x) + 9, 0].astype(float)
        offsets = np.mgrid[-8:9, -8:9]
        found_y, found_x = (offsets * window).sum(axis=(1, 2)) / window.sum()
        assert abs(found_x + round(x) - x) < 0.6 and abs(found_y + round(y) - y) < 0.6


@pytest.mark.parametrize("scale", [0.5, 1.8, 3.0])
def test_alignment_samples_a_wave_where_the_template_says(scale):
    def wave(x: np.ndarray) -> np.ndarray:
        return 128 + 100 * np.sin(x / 15)

    image = np.repeat(wave(np.arange(460)).astype(np.uint8)[None], 460, axis=0)
    crop = align_face(np.repeat(image[..., None], 3, axis=-1), TEMPLATE * scale + [40.3, 25.7])
    found = crop[30:80, 5:-5, 0].mean(axis=0) + 0.75  # the bytes' cut-off fractions, on average
    x = np.arange(112)[5:-5] * scale + 40.3  # where each column of the crop lies in the image
    shifts = np.arange(-1, 1, 0.02)
    errors = [np.abs(found - wave(x + shift)).mean() for shift in shifts]
    # Taking pixels' corners for their centres would shift this by half of |scale - 1|.
    assert abs(shifts[np.argmin(errors)]) < 0.15


def test_outside_the_image_its_border_is_repeated():
    image = np.full((60, 60, 3), 77, np.uint8)
    crop = align_face(image, TEMPLATE - [60, 0])
    assert (crop == 77).all()


def test_landmarks_that_give_no_alignment_are_refused():
    image = np.zeros((50, 50, 3), np.uint8)
    for point in ([1, 1], [25, 25], [10_000, 0]):
        with pytest.raises(ValueError, match="coincide"):
            align_face(image, np.tile(point, (5, 1)))
    with pytest.raises(ValueError, match="coincide"):
        similarity_transform(np.ones((5, 2)), TEMPLATE)
    with pytest.raises(ValueError, match="do not lie on the image"):
        align_face(image, TEMPLATE + 10_000)


def test_the_example_photograph_has_one_sure_face(photograph):
    faces = detect_faces(photograph)
    assert len(faces) == 1
    assert faces[0].score > 0.99
    left_eye, right_eye, nose, left_mouth, right_mouth = faces[0].landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    left, top, right, bottom = faces[0].box_xyxy
    assert 160 < left < right < 290 and 40 < top < bottom < 190


def test_a_large_photograph_gives_the_same_face_in_its_own_pixels(photograph):
    small = detect_faces(photograph)[0]
    large_image = np.asarray(Image.fromarray(photograph).resize((2048, 2048)))
    large = detect_faces(large_image)[0]
    np.testing.assert_allclose(np.array(large.box_xyxy) / 4, small.box_xyxy, atol=6)
    np.testing.assert_allclose(large.landmarks / 4, small.landmarks, atol=3)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3000, 4000, 3), (640, 480)), ((7000, 400, 3), (37, 640)), ((500, 300, 3), (300, 500))],
)
def test_only_a_small_copy_is_searched_however_large_the_picture(shape, size, monkeypatch):
    searched = []

    def search(image, *_):
        searched.append(image.size)
        return []

    monkeypatch.setattr(faces_module, "_search", search)
    assert detect_faces(np.zeros(shape, np.uint8)) == []
    assert set(searched) == {size} and max(size) <= MAX_DETECTION_SIDE_PX


def test_a_small_face_of_a_large_photograph_has_landmarks_as_fine_as_the_photograph(photograph):
    canvas = np.full((1440, 1920, 3), 128, np.uint8)
    canvas[200:712, 900:1412] = photograph
    canvas_face, face = detect_faces(canvas)[0], detect_faces(photograph)[0]
    eye_distance = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    error = np.linalg.norm(canvas_face.landmarks - [900, 200] - face.landmarks, axis=1).mean()
    assert error < 0.05 * eye_distance


@pytest.mark.parametrize("shift", [(0, 0), (12, 0), (-9, 10), (0, -14)])
def test_a_face_that_moved_is_found_again_without_a_search(photograph, shift):
    before = detect_faces(photograph)[0]
    moved = np.roll(photograph, (shift[1], shift[0]), axis=(0, 1))
    after = track_face(moved, before)
    eye_distance = np.linalg.norm(before.landmarks[1] - before.landmarks[0])
    error = np.linalg.norm(after.landmarks - shift - before.landmarks, axis=1).mean()
    assert error < 0.08 * eye_distance
    expected = np.array(before.box_xyxy) + [*shift, *shift]
    np.testing.assert_allclose(after.box_xyxy, expected, atol=0.1 * before.side_px)


def test_a_face_that_is_gone_is_not_found_again(photograph):
    face = detect_faces(photograph)[0]
    assert track_face(np.full_like(photograph, 128), face) is None
    outside = replace(face, box_xyxy=(900.0, 900.0, 1000.0, 1000.0))
    assert track_face(photograph, outside) is None


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.25, 0.0, 0.0),
        (0.2, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.08),
        (0.1, 0.1, 0.1, 0.1),
    ],
)
def test_a_face_that_touches_the_border_keeps_its_landmarks(photograph, left, top, right, bottom):
    whole = detect_faces(photograph)[0]
    x0, y0, x1, y1 = whole.box_xyxy
    width, height = x1 - x0, y1 - y0
    x0, x1 = round(x0 + left * width), round(x1 - right * width)
    y0, y1 = round(y0 + top * height), round(y1 - bottom * height)
    cut = Image.fromarray(photograph[y0:y1, x0:x1])
    large = np.asarray(cut.resize((cut.width * 3, cut.height * 3), Image.Resampling.BICUBIC))
    found = detect_faces(large)[0].landmarks / 3 + [x0, y0]
    eye_distance = np.linalg.norm(whole.landmarks[1] - whole.landmarks[0])
    error = np.linalg.norm(found - whole.landmarks, axis=1).mean() / eye_distance
    assert error < 0.08


def test_the_largest_face_comes_first(photograph):
    half = np.asarray(Image.fromarray(photograph).resize((256, 256)))
    canvas = np.full((512, 768, 3), 128, np.uint8)
    canvas[:256, :256] = half
    canvas[:, 256:] = photograph
    faces = detect_faces(canvas)
    assert len(faces) == 2
    assert faces[0].side_px > faces[1].side_px and faces[0].box_xyxy[0] > 256


@pytest.mark.parametrize("shape", [(1, 1, 3), (12, 300, 3), (200, 200, 3)])
def test_no_face_gives_an_empty_list(shape):
    assert detect_faces(np.full(shape, 90, np.uint8)) == []


def test_a_face_crop_gives_the_landmarks_that_detection_gives(photograph):
    face = detect_faces(photograph)[0]
    left, top, right, bottom = (round(v) for v in face.box_xyxy)
    side = max(right - left, bottom - top)
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    crop = photograph[top : top + side, left : left + side]
    found = face_of_crop(crop)
    assert found.source == "face-crop"
    np.testing.assert_allclose(found.landmarks + [left, top], face.landmarks, atol=0.05 * side)


@pytest.mark.parametrize("example", ["eileen_collins.jpg", "fear.png", "happiness.png"])
def test_a_large_face_is_reduced_before_it_is_numbers_and_keeps_its_landmarks(example, monkeypatch):
    image = load_image(EXAMPLE.with_name(example))
    face = detect_faces(image)[0]
    left, top, right, bottom = (max(0, round(v)) for v in face.box_xyxy)
    cut = Image.fromarray(image[top:bottom, left:right]).resize((1237, 1501))
    crop = np.asarray(cut)
    passed, reduce = [], faces_module._reduce_regions

    def remember(regions):
        passed.append(reduce(regions))
        return passed[-1]

    monkeypatch.setattr(faces_module, "_reduce_regions", remember)
    reduced, tracked = face_of_crop(crop), track_face(crop, face_of_crop(crop))
    assert [p.shape for p in passed] == [(1, MAX_REGION_SIDE_PX, MAX_REGION_SIDE_PX, 3)] * 3
    monkeypatch.setattr(faces_module, "_reduce_regions", lambda regions: regions)
    whole = face_of_crop(crop)
    assert reduced.source == whole.source == "face-crop"
    np.testing.assert_allclose(reduced.landmarks, whole.landmarks, atol=2)
    np.testing.assert_allclose(tracked.landmarks, track_face(crop, whole).landmarks, atol=2)
    assert reduced.score == pytest.approx(whole.score, abs=1e-3)


def test_regions_that_are_not_large_stay_as_they_are():
    regions = np.zeros((2, MAX_REGION_SIDE_PX, 48, 3), np.uint8)
    assert faces_module._reduce_regions(regions) is regions


def test_a_crop_without_a_face_is_framed_as_usual():
    face = face_of_crop(np.full((48, 48, 3), 128, np.uint8))
    assert face.source == "framed"
    assert align_face(np.full((48, 48, 3), 128, np.uint8), face.landmarks).shape == (112, 112, 3)


def test_landmarks_of_real_fer2013_crops_are_where_the_data_readme_says(fer2013_folder):
    from training.datasets.fer2013 import read_records

    images = read_records(str(fer2013_folder), "PublicTest").images[:200]
    landmarks, scores = find_crop_landmarks(np.repeat(images[..., None], 3, axis=-1))
    assert (scores >= 0.7).mean() > 0.9
    expected = [[15.3, 19.0], [33.4, 18.6], [24.4, 29.4], [16.9, 38.3], [32.1, 38.1]]
    np.testing.assert_allclose(np.median(landmarks, axis=0) + 0.5, expected, atol=1.2)
