"""Geometry of one picture: the posed head with its hair, seen by a perspective camera."""

from dataclasses import dataclass

import numpy as np

from fer_models.lab.hair import hair_mesh
from fer_models.lab.head import Head, load_head, vertex_normals
from fer_models.lab.identities import IDENTITIES
from fer_models.lab.parameters import FaceParameters

SIZE_PX = 512
CAMERA_DISTANCE_CM = 95.0
FOCAL_PX = 1560.0
# Where the camera looks, in head coordinates: a little under the eyes, so that hair fits above.
CAMERA_CENTER_CM = np.array([0.0, -1.9, 0.0], np.float32)
# The head turns about the top of the neck, between the ears.
PIVOT_CM = np.array([0.0, -7.0, -8.0], np.float32)


@dataclass(frozen=True)
class Scene:
    """Everything the rasteriser and the shading need; one row per vertex, cm.

    `rest` are the template's coordinates: skin marks such as brows are painted there, so they
    move with the skin and sit alike on every identity.
    """

    vertices: np.ndarray  # (V, 3) posed, relative to CAMERA_CENTER_CM
    normals: np.ndarray  # (V, 3)
    rest: np.ndarray  # (V, 3)
    masks: np.ndarray  # (V, 6): occlusion, lips, inside_mouth, ears, hair_cover, lash_tip
    faces: np.ndarray  # (F, 3)
    part_of_face: np.ndarray  # (F,)
    part_names: tuple[str, ...]
    rotation: np.ndarray  # (3, 3) of the head
    eye_centers: np.ndarray  # (2, 3) posed, left then right
    eye_axes: np.ndarray  # (2, 3) unit, through the pupils
    rest_eye_centers: np.ndarray  # (2, 3) in template coordinates


def rotation_matrix(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """(3, 3) turn of the head: roll first, then pitch, then yaw (signs as in FaceParameters)."""
    y, p, r = np.radians([yaw_deg, -pitch_deg, -roll_deg])
    yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (yaw @ pitch @ roll).astype(np.float32)


def project(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image positions (V, 2), px, and distances from the camera (V,), cm."""
    depth = CAMERA_DISTANCE_CM - vertices[:, 2]
    x = vertices[:, 0] / depth * FOCAL_PX + SIZE_PX / 2
    y = -vertices[:, 1] / depth * FOCAL_PX + SIZE_PX / 2
    return np.stack([x, y], 1), depth


def build_scene(parameters: FaceParameters) -> Scene:
    """The posed geometry of a face."""
    head = load_head()
    identity = IDENTITIES[parameters.identity]
    vertices = head.shape(parameters.identity, parameters.actions)
    masks = np.stack(
        [
            head.occlusion,
            head.lips,
            head.inside_mouth,
            head.ears,
            np.zeros_like(head.occlusion),
            head.lash_tip,
        ],
        1,
    )
    hair = hair_mesh(parameters.identity, identity.hair_style, identity.hairline_cm)
    rest = np.concatenate([head.vertices, hair.rest])
    turn = np.concatenate([head.turn, hair.turn])
    vertices = np.concatenate([vertices, hair.vertices])
    hair_masks = np.zeros((len(hair.rest), masks.shape[1]), np.float32)
    hair_masks[:, 0] = hair.occlusion
    hair_masks[:, 4] = hair.cover
    faces = np.concatenate([head.faces, hair.faces + len(head.vertices)])
    part_of_face = np.concatenate(
        [head.part_of_face, np.full(len(hair.faces), len(head.part_names))]
    )

    rotation = rotation_matrix(parameters.yaw_deg, parameters.pitch_deg, parameters.roll_deg)
    turned = (vertices - PIVOT_CM) @ rotation.T + PIVOT_CM
    vertices = vertices + turn[:, None] * (turned - vertices) - CAMERA_CENTER_CM
    eye_centers, eye_axes = _eyes(head, vertices)
    return Scene(
        vertices=vertices.astype(np.float32),
        normals=vertex_normals(vertices, faces).astype(np.float32),
        rest=rest,
        masks=np.concatenate([masks, hair_masks]),
        faces=faces,
        part_of_face=part_of_face,
        part_names=(*head.part_names, "hair"),
        rotation=rotation,
        eye_centers=eye_centers,
        eye_axes=eye_axes,
        rest_eye_centers=_eyes(head, head.vertices)[0],
    )


def _eyes(head: Head, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (2, 3) and unit axes (2, 3) of the posed eyeballs, left then right."""
    centers, axes = [], []
    for part in ("eye_left", "eye_right"):
        used = np.unique(head.faces_of(part))
        front = used[head.vertices[used, 2].argmax()]
        center = vertices[used].mean(0)
        axis = vertices[front] - center
        centers.append(center)
        axes.append(axis / np.linalg.norm(axis))
    return np.stack(centers), np.stack(axes)
