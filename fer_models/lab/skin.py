"""Skin as functions of the template's coordinates: colour, brows, lips, stubble and wrinkles.

Marks are evaluated at each pixel, not read from a picture, so they stay crisp at any pose. Side
conventions: positive x is the subject's left, cm throughout.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from fer_models.lab.hair import hairline_distance
from fer_models.lab.identities import Identity

NOISE_PX = 512
NOISE_PX_PER_CM = 20.0


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between."""
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def bell(x: np.ndarray, center: float, width: float) -> np.ndarray:
    """A Gaussian bump of height 1."""
    scaled = (x - center) * (1 / width)
    return np.exp(-scaled * scaled)


@lru_cache(maxsize=48)
def noise_tile(sigma_u_px: float, sigma_v_px: float, seed: int) -> np.ndarray:
    """A (512, 512) tile of smooth noise, mean 0, standard deviation 1; it repeats seamlessly."""
    white = np.random.default_rng(seed).random((NOISE_PX, NOISE_PX)) - 0.5
    v = np.fft.fftfreq(NOISE_PX)[:, None] * sigma_v_px
    u = np.fft.rfftfreq(NOISE_PX)[None] * sigma_u_px
    spectrum = np.fft.rfft2(white) * np.exp(-2 * np.pi**2 * (u * u + v * v))
    smooth = np.fft.irfft2(spectrum, s=white.shape)
    smooth -= smooth.mean()
    tile = (smooth / smooth.std()).astype(np.float32)
    tile.flags.writeable = False
    return tile


def noise(
    u: np.ndarray, v: np.ndarray, sigma_px: float, seed: int = 7, stretch: float = 1.0
) -> np.ndarray:
    """Smooth noise at (u, v), cm; `stretch` times longer along v: strands."""
    row = (v * NOISE_PX_PER_CM).astype(np.int32) & (NOISE_PX - 1)
    column = (u * NOISE_PX_PER_CM).astype(np.int32) & (NOISE_PX - 1)
    return noise_tile(sigma_px, sigma_px * stretch, seed)[row, column]


def brow_cover(x: np.ndarray, y: np.ndarray, thickness: float) -> np.ndarray:
    """How much brow hair covers the skin at template (x, y), cm: 0 to 1."""
    side = np.abs(x)
    along = np.clip((side - 1.0) / 4.4, 0, 1)  # 0 at the inner end, 1 at the tail
    center = 1.5 + 1.25 * along - 1.15 * along**2.2
    half = thickness * (0.17 + 0.25 * np.sqrt(np.clip(1 - along, 0, 1)))
    across = (y - center) / half
    band = smoothstep(1.25, 0.35, np.abs(across))
    ends = smoothstep(0.7, 1.5, side) * smoothstep(5.7, 4.5, side)
    # Hairs lean outwards: noise stretched along that direction reads as strokes.
    lean = 0.6
    forward = side * np.cos(lean) + y * np.sin(lean)
    sideways = y * np.cos(lean) - side * np.sin(lean)
    strokes = noise(sideways * 0.95, forward, 0.9, stretch=6.0)
    return np.clip(band * ends * (0.88 + 0.15 * strokes), 0, 1)


def wrinkle_strengths(actions: Mapping[str, float], age: float) -> dict[str, float]:
    """How deep each set of wrinkles is, 0 to 1, under facial actions and with age.

    Which muscle folds which skin: Ekman, Friesen and Hager, "FACS" (2002), appearance changes of
    AU1+2 (forehead), AU4 (between the brows), AU6 (crow's feet), AU9 (nose root), AU12 and AU10
    (nasolabial fold), AU17 (chin).
    """

    def get(name: str) -> float:
        return actions.get(name, 0.0)

    old = 0.55 * float(np.clip((age - 0.7) / 0.3, 0, 1))
    strengths = {
        "forehead": get("browInnerUp"),
        "glabella": max(get("browDownLeft"), get("browDownRight")),
        "nose": max(get("noseSneerLeft"), get("noseSneerRight")),
        "chin": get("mouthShrugLower"),
    }
    for side in ("Left", "Right"):
        strengths[f"forehead{side}"] = get(f"browOuterUp{side}")
        strengths[f"crow{side}"] = max(
            get(f"cheekSquint{side}"), 0.5 * get(f"mouthSmile{side}"), 0.4 * get(f"eyeBlink{side}")
        )
        strengths[f"fold{side}"] = max(
            0.9 * get(f"mouthSmile{side}"),
            0.8 * get(f"noseSneer{side}"),
            0.8 * get(f"mouthUpperUp{side}"),
            0.6 * get(f"mouthDimple{side}"),
            0.5 * get(f"mouthStretch{side}"),
        )
    aged = {"forehead": 0.7, "foreheadLeft": 0.6, "foreheadRight": 0.6, "glabella": 0.3}
    aged.update({"crowLeft": 0.8, "crowRight": 0.8, "foldLeft": 0.6, "foldRight": 0.6})
    return {
        name: min(value * (1 - 0.3 * old) + old * aged.get(name, 0.0), 1.0)
        for name, value in strengths.items()
    }


class _Furrows:
    """Collects furrows: their slopes along x and y, and how dark their valleys are."""

    def __init__(self, x: np.ndarray) -> None:
        self.slope_x, self.slope_y, self.valley = (np.zeros_like(x) for _ in range(3))

    def add(
        self,
        distance: np.ndarray,
        width: float,
        depth: np.ndarray,
        along_x: float | np.ndarray,
        along_y: float,
    ) -> None:
        """One furrow with a Gaussian profile, at signed `distance` cm from its course."""
        s = distance / width
        profile = np.exp(-s * s) * depth
        slope = 1.4 * s * profile
        self.slope_x += along_x * slope
        self.slope_y += along_y * slope
        np.maximum(self.valley, profile, out=self.valley)


def _forehead(furrows: _Furrows, x: np.ndarray, y: np.ndarray, depth: np.ndarray) -> None:
    side = np.abs(x)
    wave = 0.14 * np.cos(side * 1.1) + 0.06 * noise(x * 0.7, y * 0.2, 12.0)
    for height, share in ((3.55, 0.7), (4.3, 1.0), (5.05, 0.85)):
        window = share * depth * smoothstep(5.2, 3.6, side)
        furrows.add(y - height - wave, 0.13, window, 0.0, 0.62)


def _eye_corners(furrows: _Furrows, x: np.ndarray, y: np.ndarray, depth: np.ndarray) -> None:
    """Crow's feet, and the fold that a raised cheek makes under the eye."""
    side = np.abs(x)
    away_x, away_y = side - 4.6, y + 0.1
    radius = np.hypot(away_x, away_y) + 1e-6
    angle = np.arctan2(away_y, away_x)
    window = 0.7 * depth * smoothstep(0.35, 0.8, radius) * smoothstep(2.0, 1.1, radius)
    for direction in (-0.55, -0.1, 0.38):
        turned = angle - direction
        furrows.add(turned * radius, 0.12, window * (np.abs(turned) < 0.6), 0.0, 0.45)
    under = 0.6 * depth * smoothstep(2.0, 2.8, side) * smoothstep(5.0, 4.2, side)
    furrows.add(y + 1.75 - 0.05 * (side - 3.4) ** 2, 0.16, under, 0.0, 0.5)


def wrinkles(
    x: np.ndarray, y: np.ndarray, strengths: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wrinkles' slopes along x and y, and how dark their valleys are (0 to 1), per point."""
    furrows = _Furrows(x)
    side, outward = np.abs(x), np.sign(x)
    left = x > 0

    def sided(name: str) -> np.ndarray:
        return np.where(left, strengths[f"{name}Left"], strengths[f"{name}Right"]).astype(
            np.float32
        )

    forehead = strengths["forehead"] * bell(side, 0, 2.6)
    forehead = np.clip(forehead + sided("forehead") * bell(side, 3.3, 1.8), 0, 1)
    if forehead.max(initial=0) > 0.02:
        _forehead(furrows, x, y, forehead)
    if strengths["glabella"] > 0.02:
        window = strengths["glabella"] * smoothstep(0.9, 1.6, y) * smoothstep(3.6, 2.5, y)
        furrows.add(side - 0.55 - 0.1 * (y - 2), 0.17, window, 0.85 * outward, 0.0)
    if strengths["nose"] > 0.02:
        window = strengths["nose"] * smoothstep(1.35, 0.7, side)
        for height in (-0.15, 0.35, 0.85):
            furrows.add(y - height + 0.25 * side, 0.12, window, 0.0, 0.6)
    crow = sided("crow")
    if crow.max(initial=0) > 0.02:
        _eye_corners(furrows, x, y, crow)
    fold = sided("fold")
    if fold.max(initial=0) > 0.02:
        course = 1.75 + 0.42 * np.clip(-3.1 - y, -1, 4)
        window = 0.9 * fold * smoothstep(-6.9, -5.6, y) * smoothstep(-2.4, -3.3, y)
        furrows.add(side - course, 0.2, window, 0.6 * outward, 0.0)
    if strengths["chin"] > 0.02:
        window = strengths["chin"] * bell(side, 0, 1.3) * bell(y, -9.2, 0.8)
        furrows.slope_x += 0.16 * window * noise(x, y, 4.0, seed=11)
        furrows.slope_y += 0.16 * window * noise(y, x, 4.0, seed=11)
        furrows.add(y + 8.15, 0.2, 0.7 * strengths["chin"] * bell(side, 0, 1.2), 0.0, 0.5)
    return furrows.slope_x, furrows.slope_y, furrows.valley


def linear_rgb(color: tuple[float, float, float]) -> np.ndarray:
    """sRGB 0 to 1 as a linear (3, 1) column; the curve is a plain square (gamma 2)."""
    return np.array(color, np.float32)[:, None] ** 2


def _complexion(
    identity: Identity, rest: np.ndarray, ears: np.ndarray, valley: np.ndarray
) -> np.ndarray:
    """(3, P) bare skin: tone, blood under it, thin lids and the shade in wrinkles."""
    x, y, z = rest
    side = np.abs(x)
    u, v = _surface_coordinates(rest)
    facing = smoothstep(-4.0, -1.0, z)
    base = linear_rgb(identity.skin)
    shade = 1 + 0.035 * noise(u, v, 14.0) + 0.018 * noise(u, v, 3.0, seed=3)
    # The lids' rims carry the lashes' roots.
    rim = bell(np.hypot((side - 2.98) / 1.62, (y - 0.08) / 0.62), 1.0, 0.16) * (z > 0.2)
    shade *= (1 - 0.45 * rim * smoothstep(-0.5, 0.4, y)) * (1 - 0.3 * valley)
    # Blood shows at the cheeks, the nose's tip, the ears and the chin; less so in darker skin.
    blood = 0.8 * bell(side, 3.7, 1.7) * bell(y, -3.4, 1.7)
    blood += 0.55 * bell(side, 0, 1.1) * bell(y, -3.9, 1.0)
    blood += 0.25 * bell(side, 0, 1.6) * bell(y, -9.2, 1.0)
    blood = blood * facing + 0.7 * ears
    blood *= 0.24 * float(np.clip(base.mean() / 0.45, 0.25, 1))
    # Thin skin round the eye: darker under it and on the lid.
    thin = 0.16 * bell(side, 2.7, 1.3) * bell(y, -1.55, 0.55)
    thin += 0.13 * bell(side, 3.0, 1.5) * bell(y, 0.75, 0.45)
    thin *= facing
    color = base * shade
    color[0] *= 1 - 0.7 * thin
    color[1] *= (1 - blood) * (1 - thin)
    color[2] *= (1 - 0.85 * blood) * (1 - 0.9 * thin)
    if identity.freckles:
        spots = smoothstep(1.3, 2.4, noise(u, v, 1.5, seed=5))
        where = bell(y, -2.2, 1.9) * smoothstep(6.5, 3, side) * facing
        color *= 1 - (0.4 * identity.freckles * spots * where) * linear_rgb((0.77, 0.95, 1.0))
    return color


def _surface_coordinates(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates for noise, cm, that do not stretch where the face turns to its side."""
    x, y, z = rest
    return x + np.copysign(0.6 * (3 - z), x), y


def _stubble_cover(rest: np.ndarray, lips: np.ndarray) -> np.ndarray:
    x, y, z = rest
    u, v = _surface_coordinates(rest)
    jaw = smoothstep(-3.6, -6.0, y - 0.32 * np.clip(np.abs(x) - 2.2, 0, 4))
    jaw *= smoothstep(-13.5, -11.0, y + 0.25 * np.clip(z, -8, 0))
    jaw *= smoothstep(-7.0, -5.0, z) * (1 - np.clip(1.5 * lips, 0, 1))
    return jaw * np.clip(0.7 + 0.22 * noise(u * 1.6, v * 1.6, 0.8, seed=9), 0, 1)


def _hair_cover(identity: Identity, rest: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(P,) how much scalp hair covers each pixel, 0 to 1, with strands at the hairline."""
    _, lips, mouth, ears, certain, _ = masks
    hair = np.zeros_like(lips)
    rows = np.flatnonzero((certain > 0) | (rest[1] > -9))
    u, v = _surface_coordinates(rest[:, rows])
    growth = hairline_distance(rest[:, rows].T) - identity.hairline_cm
    growth += 0.2 * noise(u * 2.3, v, 1.0, seed=17, stretch=9.0)
    grown = smoothstep(-0.6, 1.2, growth) * (1 - np.clip(2.5 * ears[rows], 0, 1))
    grown *= (mouth[rows] < 0.3) & (lips[rows] < 0.1)
    hair[rows] = np.maximum(grown, certain[rows])
    return 0.72 * hair if identity.hair_style == "shaved" else hair


def skin_colors(
    identity: Identity, rest: np.ndarray, masks: np.ndarray, valley: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Linear colour (3, P), gloss (P,), lip cover (P,) and hair cover (P,) of skin pixels.

    `rest` is (3, P), `masks` (6, P) as in Scene, `valley` (P,) from `wrinkles`. Hair is left to
    the caller to draw.
    """
    x, y, z = rest
    side = np.abs(x)
    lips, mouth, ears = masks[1], masks[2], masks[3]
    color = _complexion(identity, rest, ears, valley)
    if identity.stubble:
        stubble = linear_rgb(identity.brows) * 0.8 + linear_rgb(identity.skin) * 0.12
        color += (0.55 * identity.stubble * _stubble_cover(rest, lips)) * (stubble - color)

    lip_cover = smoothstep(0.25, 0.75, lips)
    rows = np.flatnonzero(lip_cover > 0)
    crease = 1 + 0.08 * noise(x[rows] * 1.5, y[rows], 1.0, seed=13, stretch=4.0)
    seam = 1 - 0.35 * bell(y[rows], -6.47, 0.18) * (z[rows] > 0.5)
    color[:, rows] += lip_cover[rows] * (
        linear_rgb(identity.lips) * (crease * seam) - color[:, rows]
    )
    rows = np.flatnonzero(mouth > 0.4)
    inner = linear_rgb((0.46, 0.18, 0.16))
    color[:, rows] += smoothstep(0.4, 0.9, mouth[rows]) * (inner - color[:, rows])
    rows = np.flatnonzero((z > -2.5) & (y > 0.4) & (y < 3.6) & (side < 6.2))
    brows = brow_cover(x[rows], y[rows], identity.brow_thickness)
    color[:, rows] += 0.88 * brows * (linear_rgb(identity.brows) - color[:, rows])

    hair = _hair_cover(identity, rest, masks)
    u, v = _surface_coordinates(rest)
    gloss = 0.55 + 0.3 * bell(y, 4.0, 2.2) * bell(side, 0, 4) + 0.12 * noise(u, v, 1.0, seed=19)
    gloss += 0.5 * bell(side, 0, 1.5) * smoothstep(-5, -3, y)
    gloss = np.where(lip_cover > 0.5, np.float32(1.5), gloss) * (1 - 0.8 * hair)
    gloss[rows] *= 1 - 0.7 * brows
    return color, np.maximum(gloss, 0), lip_cover, hair
