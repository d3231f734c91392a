"""A triangle rasteriser in numpy: which triangle covers each pixel, and where in it.

Every triangle is cut into horizontal spans and every span into pixels, each step one `np.repeat`,
so no candidate pixel is tested and thrown away (scan conversion: Foley et al., Computer Graphics,
2nd edition, section 3.5).
"""

import numpy as np


def _spans(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of each triangle: (triangle, row, first column, end column), (S,) each.

    `corners` is (F, 3, 2), x then y, px; a pixel is covered if its centre lies inside.
    """
    y = corners[:, :, 1]
    first_row = np.maximum(np.ceil(y.min(1) - 0.5), 0).astype(np.int64)
    end_row = np.minimum(np.ceil(y.max(1) - 0.5), size).astype(np.int64)
    rows = np.maximum(end_row - first_row, 0)
    triangle = np.repeat(np.arange(len(corners)), rows)
    start = np.cumsum(rows) - rows
    row = np.arange(len(triangle)) - start[triangle] + first_row[triangle]
    center_y = (row + 0.5).astype(np.float32)
    left = np.full(len(triangle), np.inf, np.float32)
    right = np.full(len(triangle), -np.inf, np.float32)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        ya, yb = y[:, a][triangle], y[:, b][triangle]
        xa, xb = corners[:, a, 0][triangle], corners[:, b, 0][triangle]
        crossed = (np.minimum(ya, yb) <= center_y) & (center_y < np.maximum(ya, yb))
        rise = np.where(crossed, yb - ya, 1)
        x = xa + (center_y - ya) / rise * (xb - xa)
        left = np.where(crossed, np.minimum(left, x), left)
        right = np.where(crossed, np.maximum(right, x), right)
    left = np.clip(np.ceil(left - 0.5), 0, size)
    right = np.clip(np.ceil(right - 0.5), 0, size)
    keep = right > left
    return triangle[keep], row[keep], left[keep].astype(np.int64), right[keep].astype(np.int64)


def rasterize(
    points_px: np.ndarray, depth: np.ndarray, faces: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest front-facing triangle at every pixel centre.

    Args:
        points_px: (V, 2) image positions, x right and y down, px.
        depth: (V,) positive distances from the camera; smaller is nearer.
        faces: (F, 3) vertex indices, counter-clockwise in the image when seen from the front.
        size: the image's width and height, px.

    Returns:
        pixels (P,) flat indices of the covered pixels in ascending order, triangle (P,) indices
        into `faces`, barycentric (3, P) perspective-correct weights of the triangle's corners.
    """
    corners = points_px[faces].astype(np.float32)
    edge1 = corners[:, 1] - corners[:, 0]
    edge2 = corners[:, 2] - corners[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    front = np.flatnonzero(area < -1e-6)  # y points down, so counter-clockwise is negative
    corners, edge1, edge2, area = corners[front], edge1[front], edge2[front], area[front]
    inverse_depth = (1 / depth[faces[front]]).astype(np.float32)

    span_triangle, row, left, right = _spans(corners, size)
    lengths = right - left
    span = np.repeat(np.arange(len(lengths)), lengths)
    offsets = np.cumsum(lengths) - lengths
    column = np.arange(len(span)) - offsets[span] + left[span]
    triangle = span_triangle[span]
    pixel = row[span] * size + column

    # 1/depth is linear in the image, so it is evaluated as a plane a + b x + c y.
    d1 = inverse_depth[:, 1] - inverse_depth[:, 0]
    d2 = inverse_depth[:, 2] - inverse_depth[:, 0]
    slope_x = (d1 * edge2[:, 1] - d2 * edge1[:, 1]) / area
    slope_y = (d2 * edge1[:, 0] - d1 * edge2[:, 0]) / area
    origin = inverse_depth[:, 0] - slope_x * corners[:, 0, 0] - slope_y * corners[:, 0, 1]
    center_y = row.astype(np.float32) + np.float32(0.5)
    center_x = column.astype(np.float32) + np.float32(0.5)
    span_origin = origin[span_triangle] + slope_y[span_triangle] * center_y
    near = span_origin[span] + slope_x[triangle] * center_x

    nearest = np.zeros(size * size, np.float32)
    np.maximum.at(nearest, pixel, near)
    winner = np.full(size * size, -1, np.int64)
    visible = near >= nearest[pixel]
    winner[pixel[visible]] = triangle[visible]

    pixels = np.flatnonzero(winner >= 0)
    triangle = winner[pixels]
    x = (pixels % size).astype(np.float32) + np.float32(0.5) - corners[triangle, 0, 0]
    y = (pixels // size).astype(np.float32) + np.float32(0.5) - corners[triangle, 0, 1]
    e1, e2, a = edge1[triangle], edge2[triangle], area[triangle]
    w1 = (x * e2[:, 1] - y * e2[:, 0]) / a
    w2 = (y * e1[:, 0] - x * e1[:, 1]) / a
    weights = np.stack([1 - w1 - w2, w1, w2]) * inverse_depth.T[:, triangle]
    return pixels, front[triangle], weights / (weights[0] + weights[1] + weights[2])
