"""Where hair grows, and the meshes of the hair styles: a cap on the scalp, a curtain if long."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fer_models.lab.head import load_head, vertex_normals

# The hairline's height over the eyes, cm, along the head from the nape (z < 0) to the forehead.
HAIRLINE_Z_CM = (-19.0, -14.0, -11.5, -9.8, -8.2, -6.4, -5.6, -4.4, -2.6, -0.8, 1.0, 4.0)
HAIRLINE_Y_CM = (-8.0, -8.0, -6.5, -1.5, 1.6, 1.6, -1.0, 0.2, 3.8, 5.9, 6.5, 6.6)
# Cap thickness in cm: everywhere, and added towards the top of the head.
THICKNESS_CM = {"short": (0.5, 0.7), "swept": (0.6, 1.3), "long": (0.7, 0.7)}
CURTAIN_TOP_CM, CURTAIN_BOTTOM_CM = 6.5, -15.0


@dataclass(frozen=True)
class HairMesh:
    """A hair style on one identity, empty for "shaved"; rows as in Scene, cm."""

    vertices: np.ndarray
    rest: np.ndarray
    occlusion: np.ndarray
    cover: np.ndarray  # 1 where it is hair for sure, 0 where the hairline decides
    turn: np.ndarray
    faces: np.ndarray


def hairline_distance(rest: np.ndarray) -> np.ndarray:
    """Height above the hairline, cm, of template points (..., 3); hair grows where it is > 0."""
    return rest[..., 1] - np.interp(rest[..., 2], HAIRLINE_Z_CM, HAIRLINE_Y_CM).astype(np.float32)


def _smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _cap(identity: int, style: str, hairline_cm: float) -> HairMesh:
    """The scalp's triangles, lifted off the skin; thin at the hairline."""
    head = load_head()
    vertices = head.shape(identity, {})
    skin = head.faces_of("skin")
    normals = vertex_normals(vertices, skin)
    distance = hairline_distance(head.vertices) - hairline_cm
    on_scalp = (distance > -0.6) & (head.ears < 0.3) & (head.inside_mouth < 0.5)
    faces = skin[on_scalp[skin].all(1)]
    used, faces = np.unique(faces, return_inverse=True)
    base, top = THICKNESS_CM[style]
    height = _smoothstep(2, 10, head.vertices[used, 1])
    lift = (base + top * height) * _smoothstep(-0.2, 2.2, distance[used]) + 0.03
    return HairMesh(
        vertices=(vertices[used] + lift[:, None] * normals[used]).astype(np.float32),
        rest=head.vertices[used],
        occlusion=np.maximum(head.occlusion[used], 0.7),
        cover=np.zeros(len(used), np.float32),
        turn=head.turn[used],
        faces=faces.reshape(-1, 3),
    )


def _curtain(identity: int) -> HairMesh:
    """Hair to the shoulders: a bent sheet round the back of the head, with a darker inner side."""
    head = load_head()
    scalp = head.shape(identity, {})[(hairline_distance(head.vertices) > 0) & (head.ears < 0.1)]
    half_width = np.abs(scalp[:, 0]).max() + 1.4
    axis_z = -6.0
    half_depth = axis_z - scalp[:, 2].min() + 0.6
    columns, rows = 41, 15
    angle = np.radians(np.linspace(-122, 122, columns))
    t = np.linspace(0, 1, rows)[:, None]
    bottom = CURTAIN_BOTTOM_CM + 0.7 * np.cos(angle * 9) * np.cos(angle * 4)
    y = CURTAIN_TOP_CM + t * (bottom - CURTAIN_TOP_CM)
    bulge = np.where(y > 0, np.sqrt(np.clip(1 - (y / 13) ** 2, 0.1, 1)), 1 + 0.10 * np.sin(-y / 5))
    waves = 1 + 0.02 * np.sin(angle * 14 + 3 * t) * t
    x = np.sin(angle) * half_width * bulge * waves
    z = axis_z - np.cos(angle) * half_depth * bulge * waves * (1 - 0.22 * t)
    vertices = np.stack([x, np.broadcast_to(y, x.shape), z], -1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    outer = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + columns], 1),
            np.stack([corner + 1, corner + columns + 1, corner + columns], 1),
        ]
    )
    inner = outer[:, ::-1] + len(vertices)
    return HairMesh(
        vertices=np.concatenate([vertices, vertices]),
        rest=np.concatenate([vertices, vertices]),
        occlusion=np.repeat(np.array([0.85, 0.2], np.float32), len(vertices)),
        cover=np.ones(2 * len(vertices), np.float32),
        turn=np.tile(0.5 + 0.5 * _smoothstep(-14, -6, vertices[:, 1]), 2).astype(np.float32),
        faces=np.concatenate([outer, inner]),
    )


@lru_cache(maxsize=32)
def hair_mesh(identity: int, style: str, hairline_cm: float) -> HairMesh:
    """The hair of one identity; facial actions do not move it.

    Raises:
        ValueError: if there is no such style.
    """
    if style == "shaved":
        nothing = np.zeros(0, np.float32)
        return HairMesh(
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.float32),
            nothing,
            nothing,
            nothing,
            np.zeros((0, 3), np.int64),
        )
    if style not in THICKNESS_CM:
        raise ValueError(f"{style!r} is no hair style; use shaved, {', '.join(THICKNESS_CM)}.")
    cap = _cap(identity, style, hairline_cm)
    if style != "long":
        return cap
    curtain = _curtain(identity)
    joined = {
        name: np.concatenate([getattr(cap, name), getattr(curtain, name)])
        for name in ("vertices", "rest", "occlusion", "cover", "turn")
    }
    return HairMesh(**joined, faces=np.concatenate([cap.faces, curtain.faces + len(cap.vertices)]))
