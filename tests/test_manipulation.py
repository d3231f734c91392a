import math

import numpy as np
import pytest

from fer_models.faces import TEMPLATE
from fer_models.manipulation import (
    COVER_GREY,
    Changes,
    apply_changes,
    blur_image,
    compress_image,
    shift_image,
)

NOISE = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
SMOOTH = (
    np.repeat(
        np.rint(100 + 60 * np.sin(np.arange(112) / 15)[:, None] * np.cos(np.arange(112) / 11)), 3
    )
    .reshape(112, 112, 3)
    .astype(np.uint8)
)


def dot_at(x: int, y: int) -> np.ndarray:
    image = np.zeros((112, 112, 3), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def centre_of_light(image: np.ndarray) -> np.ndarray:
    light = image[..., 0].astype(float)
    rows, columns = np.indices(light.shape)
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


@pytest.mark.parametrize("mask", [None, np.zeros((112, 112), bool)])
@pytest.mark.parametrize("cover", ["grey", "blur"])
def test_no_change_returns_the_same_pixels(cover, mask):
    assert np.array_equal(apply_changes(NOISE, Changes(cover=cover), mask), NOISE)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(brightness=0.5),
        Changes(contrast=1.5),
        Changes(blur_px=2),
        Changes(rotation_deg=10),
        Changes(mirror=True),
    ],
)
def test_every_change_leaves_the_image_given_as_it_was(changes):
    given = NOISE.copy()
    changed = apply_changes(given, changes)
    assert changed.shape == given.shape and changed.dtype == np.uint8
    assert np.array_equal(given, NOISE) and not np.array_equal(changed, NOISE)


def test_brightness_is_a_factor_that_is_cut_off_at_white():
    image = np.full((8, 8, 3), 100, np.uint8)
    assert (apply_changes(image, Changes(brightness=1.5)) == 150).all()
    assert (apply_changes(image, Changes(brightness=4)) == 255).all()
    assert (apply_changes(image, Changes(brightness=0)) == 0).all()


def test_contrast_stretches_about_the_mean():
    image = np.full((8, 8, 3), 80, np.uint8)
    image[:4] = 120  # mean 100
    changed = apply_changes(image, Changes(contrast=2))
    assert (changed[:4] == 140).all() and (changed[4:] == 60).all()


def test_blur_has_the_standard_deviation_asked_for_at_every_size():
    for size in (112, 336):
        line = np.zeros((size, size, 3), np.uint8)
        line[:, size // 2 :] = 255  # a blurred step is a Gaussian's integral
        step = np.diff(blur_image(line, 4)[size // 2, :, 0].astype(float))
        positions = np.arange(len(step))
        mean = (positions * step).sum() / step.sum()
        deviation = math.sqrt(((positions - mean) ** 2 * step).sum() / step.sum())
        assert deviation == pytest.approx(4 * size / 112, rel=0.05)


def test_covers_change_the_masked_pixels_alone():
    mask = np.zeros((112, 112), bool)
    mask[30:50, 20:90] = True
    grey = apply_changes(NOISE, Changes(cover="grey"), mask)
    blurred = apply_changes(NOISE, Changes(cover="blur"), mask)
    assert (grey[mask] == COVER_GREY).all()
    assert blurred[mask].std() < 0.2 * NOISE[mask].std()
    for covered in (grey, blurred):
        assert np.array_equal(covered[~mask], NOISE[~mask])


def test_a_grey_cover_stays_grey_in_any_light_and_moves_with_the_mirrored_face():
    mask = np.zeros((112, 112), bool)
    mask[:, :30] = True
    changed = apply_changes(NOISE, Changes(brightness=2, mirror=True), mask)
    assert (changed[:, -30:] == COVER_GREY).all() and changed[:, :82].std() > 10


def test_mirroring_twice_gives_the_same_pixels():
    once = apply_changes(NOISE, Changes(mirror=True))
    assert np.array_equal(once, NOISE[:, ::-1])
    assert np.array_equal(apply_changes(once, Changes(mirror=True)), NOISE)


def test_a_face_turns_counter_clockwise_about_the_middle_of_its_landmarks():
    middle = TEMPLATE.mean(axis=0)  # (x, y), and y points down
    right_of_it = np.rint(middle + [30, 0]).astype(int)
    turned = centre_of_light(apply_changes(dot_at(*right_of_it), Changes(rotation_deg=90)))
    np.testing.assert_allclose(turned, middle + [0, -30], atol=1)


def test_turning_forth_and_back_returns_the_middle_of_the_face():
    turned = apply_changes(SMOOTH, Changes(rotation_deg=20))
    back = apply_changes(turned, Changes(rotation_deg=-20))
    middle = np.s_[40:90, 30:80]
    assert np.abs(back[middle].astype(int) - SMOOTH[middle]).max() <= 3
    assert np.abs(turned[middle].astype(int) - SMOOTH[middle]).max() > 10


def test_shifts_move_by_whole_pixels_and_repeat_the_border():
    moved = shift_image(NOISE, 3, -2)
    assert np.array_equal(moved[:-2, 3:], NOISE[2:, :-3])
    assert np.array_equal(moved[:-2, 0], NOISE[2:, 0])
    assert np.array_equal(moved[-1, 3:], NOISE[-1, :-3])


def test_a_lower_jpeg_quality_loses_more():
    losses = [
        np.abs(compress_image(NOISE, quality).astype(int) - NOISE).mean()
        for quality in (90, 50, 30)
    ]
    assert 0 < losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness": -0.1},
        {"contrast": 5},
        {"blur_px": 21},
        {"rotation_deg": 181},
        {"rotation_deg": math.nan},
        {"cover": "paint"},
    ],
)
def test_values_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Changes(**wrong)


def test_masks_of_another_size_and_crops_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="mask"):
        apply_changes(NOISE, Changes(), np.zeros((56, 56), bool))
    with pytest.raises(ValueError, match="square"):
        apply_changes(NOISE[:50], Changes())
