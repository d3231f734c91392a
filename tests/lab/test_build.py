"""The build's own computations; the build itself needs anny and minutes."""

import numpy as np
import pytest

from fer_models.lab.build import _triangles, ambient_occlusion

# A cube from -1 to 1; each quad is seen anticlockwise from outside.
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
QUADS = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
MIDDLE = np.array([0.0, -7.0, -6.0])  # of what the occlusion looks at


def test_a_quad_becomes_two_triangles_that_turn_the_same_way_round():
    triangles = _triangles(np.array([[0, 1, 2, 3], [4, 5, 6, 7]]))
    assert sorted(triangles.tolist()) == [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]


def test_the_triangles_of_a_cube_close_it_and_face_outwards():
    a, b, c = (CORNERS[_triangles(QUADS)[:, corner]] for corner in range(3))
    areas = np.cross(b - a, c - a) / 2
    assert np.linalg.norm(areas, axis=1).sum() == pytest.approx(24)
    assert ((a + b + c) * areas).sum(axis=1).min() > 0


def test_nothing_hides_the_sky_from_a_solid_without_hollows():
    open_to_the_sky = ambient_occlusion(CORNERS * 8 + MIDDLE, _triangles(QUADS), 32)
    np.testing.assert_allclose(open_to_the_sky, 1, atol=0.02)


def plate(half_cm: float, height_cm: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A level square that faces up: (V, 3) vertices, count along each side, and triangles."""
    steps = np.linspace(-half_cm, half_cm, count)
    z, x = np.meshgrid(steps, steps, indexing="ij")
    vertices = np.stack([x.ravel(), np.full(x.size, height_cm), z.ravel()], 1)
    row, column = np.mgrid[: count - 1, : count - 1].reshape(2, -1)
    first = row * count + column
    quads = np.stack([first, first + count, first + count + 1, first + 1], 1)
    return vertices, _triangles(quads)


def test_a_roof_hides_the_sky_from_what_lies_under_it():
    floor, faces = plate(12, 0, 9)
    roof, roof_faces = plate(6, 2, 2)
    free = ambient_occlusion(floor + MIDDLE, faces, 32)
    both = np.concatenate([floor, roof]) + MIDDLE
    # A roof has an underside, too.
    covered = [faces, roof_faces + len(floor), roof_faces[:, ::-1] + len(floor)]
    seen = ambient_occlusion(both, np.concatenate(covered), 32)[: len(floor)]
    assert free.min() > 0.9  # less than 1 only from directions that graze the floor
    assert seen[40] < 0.3  # the middle
    assert seen[0] > 0.8  # a corner, far from the roof
