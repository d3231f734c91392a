import numpy as np
import pytest

from fer_models.lab.rasterizer import rasterize


def square(x0, y0, x1, y1):
    """A square's corners and two front-facing triangles (y points down)."""
    points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    return points, np.array([[0, 2, 1], [0, 3, 2]])


def test_a_square_covers_exactly_its_pixels():
    points, faces = square(2, 3, 6, 5)
    pixels, _, weights = rasterize(points, np.ones(4), faces, 10)
    expected = [y * 10 + x for y in (3, 4) for x in (2, 3, 4, 5)]
    assert pixels.tolist() == expected
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)


def test_back_faces_are_not_drawn():
    points, faces = square(2, 3, 6, 5)
    pixels, _, _ = rasterize(points, np.ones(4), faces[:, ::-1], 10)
    assert len(pixels) == 0


@pytest.mark.parametrize("near_first", [True, False])
def test_the_nearer_triangle_wins_in_any_order(near_first):
    points, faces = square(0, 0, 8, 8)
    depths = (1.0, 5.0) if near_first else (5.0, 1.0)
    depth = np.repeat(depths, 4)
    both = np.concatenate([faces, faces + 4])
    _, triangle, _ = rasterize(np.concatenate([points, points]), depth, both, 8)
    assert len(triangle) == 64
    assert set((triangle // 2).tolist()) == {0 if near_first else 1}


def test_weights_are_perspective_correct():
    # A floor from depth 1 to depth 3: at the picture's middle 1/depth is the mean of 1 and 1/3,
    # so depth is 1.5, not 2.
    points, faces = square(0, 0, 9, 9)
    depth = np.array([3.0, 3.0, 1.0, 1.0])
    pixels, triangle, weights = rasterize(points, depth, faces, 9)
    found = (depth[faces[triangle]].T * weights).sum(0)
    assert found[pixels == 4 * 9 + 4] == pytest.approx(1.5, abs=1e-5)


def test_triangles_outside_the_picture_are_cut_off():
    points, faces = square(-5, -5, 3, 3)
    pixels, _, _ = rasterize(points, np.ones(4), faces, 10)
    assert sorted(pixels.tolist()) == [y * 10 + x for y in range(3) for x in range(3)]
