"""Draws a Lab face: `render_face(parameters) -> (512, 512, 3)`, and the command line.

python -m fer_models.lab.render --identity 2 --expression happiness --intensity 0.8 --out FILE
"""

import argparse
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from fer_models.lab.actions import expression_actions
from fer_models.lab.command import Options, run_command
from fer_models.lab.identities import IDENTITIES, Identity
from fer_models.lab.materials import (
    eye_colors,
    hair_strands,
    shirt_cover,
    teeth_colors,
    tongue_colors,
    unit,
)
from fer_models.lab.parameters import BACKGROUNDS, FaceParameters
from fer_models.lab.rasterizer import rasterize
from fer_models.lab.scene import CAMERA_DISTANCE_CM, SIZE_PX, Scene, build_scene, project
from fer_models.lab.skin import (
    linear_rgb,
    noise_tile,
    skin_colors,
    smoothstep,
    wrinkle_strengths,
    wrinkles,
)

EXPOSURE = 0.92
KEY_COLOR = np.array([1.0, 0.97, 0.92], np.float32)[:, None] * 1.25
SKY_COLOR = np.array([0.50, 0.53, 0.58], np.float32)[:, None]
GROUND_COLOR = np.array([0.30, 0.26, 0.24], np.float32)[:, None]
RIM_COLOR = np.array([0.55, 0.60, 0.68], np.float32)[:, None]
# Light wraps round skin, red furthest, as it scatters under the surface: a cheap stand-in for
# subsurface scattering (Green, "Real-time approximations to subsurface scattering", GPU Gems 16).
SKIN_WRAP = np.array([0.38, 0.26, 0.21], np.float32)[:, None]


@dataclass
class _Pixels:
    """The visible surface, one column per covered pixel: numpy is fastest along long axes."""

    index: np.ndarray  # (P,) flat image index
    part: np.ndarray  # (P,)
    position: np.ndarray  # (3, P) cm
    normal: np.ndarray  # (3, P) unit
    rest: np.ndarray  # (3, P) template coordinates, cm
    masks: np.ndarray  # (6, P)

    def of(self, *parts: int) -> np.ndarray:
        """Columns of the given parts."""
        return np.flatnonzero(np.isin(self.part, parts))


def _visible(scene: Scene, faces: np.ndarray, part_of_face: np.ndarray) -> _Pixels:
    """Rasterises `faces` and interpolates what the shading needs."""
    points, depth = project(scene.vertices)
    index, triangle, weights = rasterize(points, depth, faces, SIZE_PX)
    rows = np.concatenate([scene.vertices, scene.normals, scene.rest, scene.masks], 1).T.copy()
    corners = faces.T[:, triangle]
    values = np.take(rows, corners[0], 1) * weights[0]
    values += np.take(rows, corners[1], 1) * weights[1]
    values += np.take(rows, corners[2], 1) * weights[2]
    return _Pixels(
        index, part_of_face[triangle], values[:3], unit(values[3:6]), values[6:9], values[9:]
    )


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _light_direction(parameters: FaceParameters) -> np.ndarray:
    azimuth, elevation = np.radians([parameters.light_azimuth_deg, parameters.light_elevation_deg])
    return np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ],
        np.float32,
    )


def _shadow(
    scene: Scene, faces: np.ndarray, position: np.ndarray, toward_light: np.ndarray
) -> np.ndarray:
    """(P,) share of key light that reaches each point: a variance shadow map.

    Donnelly and Lauritzen, "Variance shadow maps", I3D 2006: the blurred mean and variance of
    depth bound the share of light, which gives soft edges at one look-up a pixel.
    """
    size, half_width_cm, far = 224, 18.0, 60.0
    right = np.cross(np.array([0.0, 1.0, 0.0], np.float32), toward_light)
    right = right / (np.linalg.norm(right) + 1e-6)
    up = np.cross(toward_light, right)
    frame = np.stack([right, up, toward_light], 1).astype(np.float32)
    center = np.array([0.0, -1.0, -6.0], np.float32)
    scale = np.float32(size / 2 / half_width_cm)
    local = (scene.vertices - center) @ frame
    points = local[:, :2] * np.array([scale, -scale], np.float32) + size / 2
    depth = far - local[:, 2]
    index, triangle, weights = rasterize(points, depth, faces, size)
    nearest = np.full(size * size, far, np.float32)
    nearest[index] = _dot(depth[faces.T[:, triangle]], weights)
    nearest = nearest.reshape(size, size)
    nearest[:4], nearest[-4:], nearest[:, :4], nearest[:, -4:] = far, far, far, far
    mean = _box_blur(nearest, 3)
    variance = _box_blur(nearest**2, 3) - mean * mean
    variance = np.maximum(variance, 0.12)

    local = frame.T @ (position - center[:, None])
    x = np.clip(local[0] * scale + (size / 2 - 0.5), 0, size - 1.01)
    y = np.clip(local[1] * -scale + (size / 2 - 0.5), 0, size - 1.01)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - column, y - row
    corner = row * size + column
    weights = ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)
    moments = []
    for plane in (mean.ravel(), variance.ravel()):
        corners = (plane[corner], plane[corner + 1], plane[corner + size], plane[corner + size + 1])
        moments.append(sum(w * value for w, value in zip(weights, corners, strict=True)))
    behind = np.maximum(far - local[2] - 0.25 - moments[0], 0)
    lit = moments[1] / (moments[1] + behind * behind)
    # The bound lets light bleed where occluders overlap; the usual cut removes it.
    return np.clip((lit - 0.15) / 0.85, 0, 1)


def _box_blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Mean over a (2 radius + 1) square, edges repeated, applied along each axis."""
    width = 2 * radius + 1
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(image, padding, mode="edge"), axis=axis, dtype=np.float64)
        high = np.take(total, np.arange(width, total.shape[axis]), axis)
        low = np.take(total, np.arange(total.shape[axis] - width), axis)
        image = ((high - low) / width).astype(np.float32)
    return image


@dataclass
class _Surface:
    """What light meets at each pixel; filled part by part."""

    albedo: np.ndarray  # (3, P) linear
    gloss: np.ndarray  # (P,)
    tightness: np.ndarray  # (P,) exponent of the highlight
    wrap: np.ndarray  # (3, P)
    occlusion: np.ndarray  # (P,) 1 open, 0 hidden
    normal: np.ndarray  # (3, P)


def _skin_surface(
    surface: _Surface, scene: Scene, pixels: _Pixels, parameters: FaceParameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fills in skin, hair and shirt; returns hair pixels, their cover and strand directions."""
    identity = IDENTITIES[parameters.identity]
    skin_part, hair_part = (scene.part_names.index(p) for p in ("skin", "hair"))
    skin = pixels.of(skin_part, hair_part)
    rest, masks = pixels.rest[:, skin], pixels.masks[:, skin]
    valley = np.zeros(len(skin), np.float32)
    face = np.flatnonzero((rest[2] > -3.5) & (rest[1] < 6.5) & (rest[1] > -11) & (masks[2] < 0.3))
    strengths = wrinkle_strengths(parameters.actions, identity.age)
    slope_x, slope_y, valley[face] = wrinkles(rest[0, face], rest[1, face], strengths)
    bump = scene.rotation[:, :2] @ np.stack([slope_x, slope_y])
    surface.normal[:, skin[face]] = unit(surface.normal[:, skin[face]] - bump)

    color, gloss, lips, hair = skin_colors(identity, rest, masks, valley)
    hairy = np.flatnonzero(hair > 0.02)
    strands, direction = hair_strands(rest[:, hairy], identity.hair_style)
    tint = linear_rgb(identity.hair) * np.clip(strands, 0.35, 2)
    color[:, hairy] += hair[hairy] * (tint - color[:, hairy])
    shirt = shirt_cover(rest) * (pixels.part[skin] == skin_part)
    color += shirt * (linear_rgb(identity.shirt) - color)
    inside = masks[2]
    surface.albedo[:, skin] = color
    surface.gloss[skin] = 0.16 * gloss * (1 - shirt) * (1 - inside)
    surface.tightness[skin] = np.where(lips > 0.5, 40.0, 20.0)
    surface.wrap[:, skin] = SKIN_WRAP * ((1 - hair) * (1 - shirt))
    surface.occlusion[skin] *= 1 - 0.55 * inside
    return skin[hairy], hair[hairy] * np.clip(strands, 0, 2), direction


def _surface(
    scene: Scene, pixels: _Pixels, parameters: FaceParameters
) -> tuple[_Surface, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The materials of all pixels, and `_skin_surface`'s hair."""
    identity = IDENTITIES[parameters.identity]
    count = len(pixels.index)
    surface = _Surface(
        albedo=np.zeros((3, count), np.float32),
        gloss=np.zeros(count, np.float32),
        tightness=np.full(count, 20, np.float32),
        wrap=np.full((3, count), 0.3, np.float32),
        occlusion=pixels.masks[0].copy(),
        normal=pixels.normal,
    )
    opening = _opening_shade(pixels, scene)
    hair = _skin_surface(surface, scene, pixels, parameters)
    for side, part in enumerate(("eye_left", "eye_right")):
        rows = pixels.of(scene.part_names.index(part))
        gaze = pixels.rest[:, rows] - scene.rest_eye_centers[side][:, None]
        surface.albedo[:, rows], cornea = eye_colors(identity, unit(gaze))
        outward = unit(pixels.position[:, rows] - scene.eye_centers[side][:, None])
        # The cornea bulges: its radius is about half the eyeball's, so its normals fan out faster.
        axis = scene.eye_axes[side][:, None]
        fan = outward - _dot(outward, axis) * axis
        surface.normal[:, rows] = unit(outward + 0.9 * cornea * fan)
        surface.gloss[rows] = 0.3 + 1.9 * cornea
        surface.tightness[rows] = 90.0
        surface.occlusion[rows] = opening[rows]
    for part in ("upper_teeth", "lower_teeth"):
        rows = pixels.of(scene.part_names.index(part))
        surface.albedo[:, rows] = teeth_colors(pixels.rest[:, rows], part == "upper_teeth")
        surface.gloss[rows], surface.tightness[rows] = 0.25, 60.0
        surface.wrap[:, rows] = 1.0  # enamel lets light through
        surface.occlusion[rows] = opening[rows] ** 1.4
    rows = pixels.of(scene.part_names.index("tongue"))
    surface.albedo[:, rows] = tongue_colors(pixels.rest[:, rows])
    surface.gloss[rows] = 0.2
    surface.occlusion[rows] = 0.65 * opening[rows] ** 2
    return surface, hair


def _shade(
    scene: Scene, pixels: _Pixels, parameters: FaceParameters, shadow: np.ndarray
) -> np.ndarray:
    """Linear colours (3, P) of the visible surface under key, sky and rim light."""
    surface, (hair_rows, hair_cover, hair_direction) = _surface(scene, pixels, parameters)
    normal, occlusion = surface.normal, surface.occlusion
    light = _light_direction(parameters)
    view = np.array([[0], [0], [CAMERA_DISTANCE_CM]], np.float32) - pixels.position
    view = unit(view)
    half = unit(view + light[:, None])
    facing_light = _dot(normal, light)
    n_half = np.clip(_dot(normal, half), 0, 1)
    grazing = 1 - np.clip(_dot(normal, view), 0, 1)
    grazing2 = grazing * grazing

    key = np.maximum((facing_light + surface.wrap) / (1 + surface.wrap), 0)
    # Shadows stay reddish on skin for the same reason as the wrapped light.
    key *= 1 - (1 - shadow) * (0.85 - 0.35 * surface.wrap)
    key *= 0.3 + 0.7 * occlusion
    up = 0.5 + 0.5 * normal[1]
    ambient = GROUND_COLOR + up * (SKY_COLOR - GROUND_COLOR)
    ambient *= occlusion * (0.7 + 0.3 * occlusion)
    color = surface.albedo * (KEY_COLOR * key + ambient)

    fresnel = 0.35 + 0.65 * grazing2 * grazing2
    lit = np.clip(facing_light * 4, 0, 1) * (0.3 + 0.7 * shadow) * np.maximum(occlusion, 0.5)
    shiny = np.flatnonzero((surface.gloss > 0) & (n_half > 0.7))
    highlight = surface.gloss[shiny] * n_half[shiny] ** surface.tightness[shiny]
    color[:, shiny] += (2 * highlight * (lit * fresnel)[shiny]) * KEY_COLOR
    rim = grazing2 * grazing * np.clip(0.3 - np.sign(light[0]) * normal[0], 0, 1) * occlusion
    edge = np.flatnonzero(rim > 0.02)
    color[:, edge] += (0.22 * rim[edge]) * RIM_COLOR * np.sqrt(surface.albedo[:, edge])
    # Kajiya and Kay, "Rendering fur with three dimensional textures", SIGGRAPH 1989.
    along = _dot(scene.rotation @ hair_direction, half[:, hair_rows])
    sheen = np.clip(1 - along * along, 0, 1) ** 14 * (shadow * occlusion)[hair_rows]
    sheen *= np.clip(facing_light[hair_rows] + 0.35, 0, 1) * hair_cover
    tint = linear_rgb(IDENTITIES[parameters.identity].hair)
    color[:, hair_rows] += (0.5 * sheen) * (0.05 + 0.4 * tint)
    return color


@lru_cache(maxsize=4)
def _background(name: str) -> np.ndarray:
    """Linear (3, 512 * 512): a plain studio wall or an out-of-focus room."""
    y, x = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float32) / SIZE_PX - 0.5
    distance = np.hypot(x, y + 0.1)
    wall = np.array([0.52, 0.55, 0.58], np.float32) ** 2
    image = wall * (1.1 - 0.75 * distance[..., None] ** 1.5)
    if name == "blurred":
        spots = [noise_tile(34.0, 34.0, seed)[..., None] for seed in (41, 42, 43)]
        warm = np.array([0.20, 0.11, 0.03], np.float32)
        cool = np.array([0.00, 0.06, 0.12], np.float32)
        image = image * np.clip(0.75 + 0.25 * spots[0], 0.2, 2)
        image += np.clip(spots[1], 0, 2) * warm + np.clip(spots[2], 0, 2) * cool
    image = np.clip(image, 0, 1).reshape(-1, 3).T.copy()
    image.flags.writeable = False
    return image


def _soften_edges(image: np.ndarray, depth: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Anti-aliasing: where depth or part jumps, a pixel becomes its 3x3 binomial mean.

    After Reshetov, "Morphological antialiasing", HPG 2009, without the shape analysis.
    """
    edge = np.zeros((SIZE_PX, SIZE_PX), bool)
    near = np.minimum(depth, 1e3).reshape(SIZE_PX, SIZE_PX)
    part = part.reshape(SIZE_PX, SIZE_PX)
    rows = (np.abs(near[1:] - near[:-1]) > 0.7) | (part[1:] != part[:-1])
    columns = (np.abs(near[:, 1:] - near[:, :-1]) > 0.7) | (part[:, 1:] != part[:, :-1])
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    r, c = np.nonzero(edge[1:-1, 1:-1])
    r, c = r + 1, c + 1
    mean = np.zeros((len(r), 3), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            mean += image[r + dy, c + dx] * ((2 - abs(dy)) * (2 - abs(dx)) / 16)
    result = image.copy()
    result[r, c] = mean
    return result


def _opening_shade(pixels: _Pixels, scene: Scene) -> np.ndarray:
    """(P,) light that reaches eyes, teeth and tongue between lids and lips, 0 to 1.

    What lies close under an upper edge is darker: the share of open pixels in the column above
    and below, nearest counted most.
    """
    light = np.ones(len(pixels.index), np.float32)
    openings = {
        ("eye_left", "eye_right"): {-9: 0.5, -7: 0.8, -5: 1.1, -3: 1.4, -1: 1.6, 2: 0.6, 4: 0.4},
        ("upper_teeth", "lower_teeth", "tongue"): {-9: 1, -6: 1, -4: 1, -2: 1, 2: 1, 4: 1, 7: 1},
    }
    for parts, weights in openings.items():
        inside = np.isin(pixels.part, [scene.part_names.index(p) for p in parts])
        if "tongue" in parts:
            inside |= pixels.masks[2] > 0.9
        rows = pixels.index[inside]
        is_open = np.zeros(SIZE_PX * SIZE_PX, np.float32)
        is_open[rows] = 1
        total = np.zeros(len(rows), np.float32)
        for shift, weight in weights.items():
            total += weight * is_open[np.clip(rows + shift * SIZE_PX, 0, len(is_open) - 1)]
        light[inside] = 0.30 + 0.70 * total / sum(weights.values())
    return light


def _draw_lashes(image: np.ndarray, depth: np.ndarray, scene: Scene, identity: Identity) -> None:
    """Blends the lashes over the (3, 512 * 512) picture, thinner towards their tips."""
    lash_part = scene.part_names.index("lashes")
    faces = scene.faces[scene.part_of_face == lash_part]
    faces = np.concatenate([faces, faces[:, ::-1]])  # lashes are seen from both sides
    pixels = _visible(scene, faces, np.full(len(faces), lash_part))
    near = CAMERA_DISTANCE_CM - pixels.position[2] < depth[pixels.index] + 0.35
    strength = 0.85 if identity.gender > 0.5 else 0.6
    upper = np.where(pixels.rest[1] > -0.2, 1.0, 0.35)
    alpha = strength * upper * smoothstep(1.0, 0.3, pixels.masks[5]) * near
    color = linear_rgb(identity.brows) * 0.25
    image[:, pixels.index] += alpha * (color - image[:, pixels.index])


@dataclass(frozen=True)
class VisibleSurface:
    """What each covered pixel shows: flat index (P,), part (P,), template coordinates (3, P) cm."""

    index: np.ndarray
    part: np.ndarray
    hair_part: int
    rest: np.ndarray
    inside_mouth: np.ndarray  # (P,) bool, teeth and tongue included


def visible_surface(parameters: FaceParameters) -> VisibleSurface:
    """The points of the template that a face's picture shows, without drawing it."""
    scene = build_scene(parameters)
    opaque = scene.part_of_face != scene.part_names.index("lashes")
    pixels = _visible(scene, scene.faces[opaque], scene.part_of_face[opaque])
    names = [scene.part_names.index(p) for p in ("upper_teeth", "lower_teeth", "tongue")]
    inside = np.isin(pixels.part, names) | (pixels.masks[2] > 0.5)
    hair_part = scene.part_names.index("hair")
    return VisibleSurface(pixels.index, pixels.part, hair_part, pixels.rest, inside)


def render_face(parameters: FaceParameters | None = None, **changes) -> np.ndarray:
    """Draws a face.

    Args:
        parameters: the face; the default is identity 0, neutral.
        changes: fields of FaceParameters to set differently, such as `yaw_deg=20`.

    Returns:
        (512, 512, 3) uint8 RGB; equal parameters give equal pixels.

    Raises:
        ValueError: if a change is no valid parameter.
    """
    try:
        parameters = replace(parameters or FaceParameters(), **changes)
    except TypeError as error:
        raise ValueError(f"{error}; see FaceParameters for the names.") from error
    scene = build_scene(parameters)
    opaque = scene.part_of_face != scene.part_names.index("lashes")
    faces, part_of_face = scene.faces[opaque], scene.part_of_face[opaque]
    pixels = _visible(scene, faces, part_of_face)
    depth = np.full(SIZE_PX * SIZE_PX, np.inf, np.float32)
    depth[pixels.index] = CAMERA_DISTANCE_CM - pixels.position[2]
    shadow = _shadow(scene, faces, pixels.position, _light_direction(parameters))
    color = _shade(scene, pixels, parameters, shadow)
    image = _background(parameters.background).copy()
    image[:, pixels.index] = color
    _draw_lashes(image, depth, scene, IDENTITIES[parameters.identity])
    part = np.full(SIZE_PX * SIZE_PX, -1, np.int8)
    part[pixels.index] = pixels.part
    image *= np.float32(EXPOSURE)
    image = np.sqrt(image / (1 + 0.2 * image))  # a soft shoulder, then gamma 2
    levels = (np.clip(image, 0, 1) * 255 + 0.5).T.reshape(SIZE_PX, SIZE_PX, 3)
    return _soften_edges(levels, depth, part).astype(np.uint8)


def _action_argument(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise ValueError(
            f"--action {text!r} is not NAME=VALUE; write it as in --action jawOpen=0.5."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = Options(
        prog="python -m fer_models.lab.render",
        description="Draws a Lab face, 512x512, as a PNG file.",
    )
    parser.add_argument("--identity", type=int, help=f"0 to {len(IDENTITIES) - 1}")
    parser.add_argument("--expression", help="neutral, happiness, sadness, ...")
    parser.add_argument("--intensity", type=float, default=1.0, help="0 to 1, default 1")
    parser.add_argument(
        "--action",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="sets one facial action, 0 to 1; may be repeated",
    )
    parser.add_argument("--yaw", type=float, help="degrees, positive to the picture's right")
    parser.add_argument("--pitch", type=float, help="degrees, positive up")
    parser.add_argument("--roll", type=float, help="degrees, positive to the picture's right")
    parser.add_argument(
        "--light",
        type=float,
        nargs=2,
        metavar=("AZIMUTH", "ELEVATION"),
        help="where the light comes from, degrees: positive from the picture's right, above",
    )
    parser.add_argument("--background", help=" or ".join(BACKGROUNDS))
    parser.add_argument("--from-json", type=Path, help="start from parameters saved with --json")
    parser.add_argument("--json", type=Path, help="also write the parameters to this file")
    parser.add_argument("--out", type=Path, required=True, help="the PNG file to write")
    return parser


def _parameters(options: argparse.Namespace) -> FaceParameters:
    start = FaceParameters()
    if options.from_json:
        start = FaceParameters.from_json(options.from_json.read_text(encoding="utf-8"))
    changes = {
        "identity": options.identity,
        "yaw_deg": options.yaw,
        "pitch_deg": options.pitch,
        "roll_deg": options.roll,
        "background": options.background,
    }
    if options.light:
        changes["light_azimuth_deg"], changes["light_elevation_deg"] = options.light
    actions = dict(start.actions)
    if options.expression is not None:
        actions = expression_actions(options.expression, options.intensity)
    elif options.intensity != 1.0:
        raise ValueError("--intensity needs an --expression.")
    actions.update(_action_argument(text) for text in options.action)
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(start, actions=actions, **given)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    from PIL import Image

    def draw() -> None:
        options = _parser().parse_args(arguments)
        parameters = _parameters(options)
        Image.fromarray(render_face(parameters)).save(options.out, optimize=True)
        if options.json:
            options.json.write_text(parameters.to_json() + "\n", encoding="utf-8")

    return run_command(draw)


if __name__ == "__main__":
    sys.exit(main())
