"""What augmentation does to a batch, against preprocessing and against hand-made cases."""

import pytest
import torch
import toy
from torch.utils._python_dispatch import TorchDispatchMode

from fer_models.preprocessing import Preprocessing
from training.augmentation import Draws, affine_matrices, augment, erase

STILL = {
    "flip": 0.0,
    "rotation_deg": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erasing": 0.0,
}
PREPROCESSING = Preprocessing(size=12, mean=(0.5,) * 3, std=(0.25,) * 3, detail_px=12)


@pytest.fixture
def crops():
    return torch.from_numpy(toy.make_faces(8).crops)


def draws(count: int) -> Draws:
    return Draws(0, slice(0, count), count, "cpu")


def recipe(**changes):
    return toy.make_recipe(**{**STILL, **changes})


@pytest.mark.parametrize("size", [12, 16, 28])
@pytest.mark.parametrize("colour", [False, True])
def test_augmentation_with_every_range_at_zero_is_what_the_page_does(crops, size, colour):
    if colour:
        crops = torch.stack([crops, crops.flip(1), 255 - crops], dim=-1)
    preprocessing = Preprocessing(size=size, grey=not colour, detail_px=12)
    augmented = augment(crops, preprocessing, recipe(), size, seed=1)
    assert augmented.shape == (8, 3, size, size)
    assert torch.allclose(augmented, preprocessing.enlarge(crops), atol=1e-5)


def test_the_same_seed_gives_the_same_faces_and_another_gives_others(crops):
    lively = toy.make_recipe()
    first, again, other = (augment(crops, PREPROCESSING, lively, 12, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_a_certain_flip_mirrors_every_face(crops):
    flipped = augment(crops, PREPROCESSING, recipe(flip=1.0), 12, seed=0)
    assert torch.allclose(flipped, PREPROCESSING.enlarge(crops).flip(3), atol=1e-5)


def test_half_a_chance_flips_about_half_of_the_faces():
    matrices = affine_matrices(draws(2000), recipe(flip=0.5), 12, 12)
    mirrored = (matrices[:, 0, 0] < 0).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.04)


def test_rotation_stays_within_its_range_and_keeps_lengths():
    matrices = affine_matrices(draws(500), recipe(rotation_deg=20.0), 12, 12)
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert angles.abs().max() <= 20
    assert angles.abs().max() > 18
    assert torch.allclose(matrices[:, :, :2].det(), torch.ones(500), atol=1e-5)


def test_erasing_paints_one_rectangle_of_at_most_a_quarter():
    images = torch.ones(300, 3, 48, 48)
    erased = erase(images, recipe(erasing=1.0), draws(300)) == 0.5
    assert erased.any(dim=(1, 2, 3)).all()
    areas = erased[:, 0].float().mean(dim=(1, 2))
    assert areas.max() < 0.30
    for mask in erased[:20, 0]:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])


def test_no_erasing_leaves_the_images_alone():
    images = torch.ones(10, 3, 8, 8)
    assert torch.equal(erase(images, recipe(), draws(10)), images)


def test_light_keeps_within_what_a_camera_gives(crops):
    bright = recipe(brightness=0.9, contrast=0.9)
    plain = Preprocessing(size=12, mean=(0.0,) * 3, std=(1.0,) * 3)
    images = augment(crops, plain, bright, 12, seed=2)
    assert images.min() >= 0 and images.max() <= 1
    assert not torch.allclose(images, plain.enlarge(crops), atol=0.05)


def test_a_share_of_a_batch_is_augmented_as_it_is_within_the_whole(crops):
    lively = toy.make_recipe(crop=True, sizes=[10])
    whole = augment(crops, PREPROCESSING, lively, 10, seed=7)
    parts = [
        augment(crops[first : first + 4], PREPROCESSING, lively, 10, 7, (first, 8))
        for first in (0, 4)
    ]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_a_random_crop_is_a_window_of_the_pixels_as_they_are(crops):
    plain = Preprocessing(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
    windows = augment(crops, plain, recipe(crop=True, sizes=[8]), 8, seed=1)
    corners = set()
    for window, crop in zip(windows[:, 0], crops.float() / 255, strict=True):
        fits = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.allclose(window, crop[top : top + 8, left : left + 8], atol=1e-4)
        ]
        assert len(fits) == 1
        corners.add(fits[0])
    assert len(corners) > 3


def test_a_window_as_large_as_the_crop_is_the_crop(crops):
    cropped = augment(crops, PREPROCESSING, recipe(crop=True), 12, seed=1)
    assert torch.allclose(cropped, PREPROCESSING.enlarge(crops), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "row", "column", "widest"),
    [
        ({"scale": 0.1}, 0, 0, 0.1),
        ({"shift": 0.05}, 0, 2, 0.1),  # of a grid that is 2 wide
        ({"shift": 0.05}, 1, 2, 0.1),
    ],
)
def test_shifts_and_scales_fill_their_range_and_no_more(changes, row, column, widest):
    found = affine_matrices(draws(2000), recipe(**changes), 12, 12)[:, row, column]
    found = found - float(row == column)
    assert 0.95 * widest < found.max() <= widest + 1e-6
    assert -widest - 1e-6 <= found.min() < -0.95 * widest


@pytest.mark.parametrize("key", ["brightness", "contrast"])
def test_brightness_and_contrast_change_what_they_are_named_after(key):
    crops = torch.full((500, 12, 12), 128, dtype=torch.uint8)
    crops[:, 6:] = 118
    lit = augment(crops, PREPROCESSING, recipe(**{key: 0.2}), 12, 0) * 0.25 + 0.5
    means, widths = lit.mean(dim=(1, 2, 3)), lit.amax(dim=(1, 2, 3)) - lit.amin(dim=(1, 2, 3))
    moved = {"brightness": means - 123 / 255, "contrast": widths / (10 / 255) - 1}
    for name, change in moved.items():
        widest = 0.2 if name == key else 0.0
        assert change.abs().max() <= widest + 1e-4
        assert change.max() >= 0.9 * widest and change.min() <= -0.9 * widest


class Copies(TorchDispatchMode):
    """Counts what is copied from the CPU to another device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if operation is torch.ops.aten._to_copy.default and args[0].is_cpu and not made.is_cpu:
            self.count += 1
        return made


def test_a_device_waits_for_two_copies_a_batch_not_for_one_a_number(crops):
    crops = crops.to("meta")
    with Copies() as copies:
        made = augment(crops, PREPROCESSING, toy.make_recipe(crop=True), 10, 1)
    assert made.device.type == "meta" and made.shape == (8, 3, 10, 10)
    assert copies.count == 2  # all random numbers, and the mean beside the deviation
