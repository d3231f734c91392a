"""The Lab's people: who each is (shape, for the build) and how each is coloured (for the render).

Nobody is portrayed. Shapes are points of Anny's phenotype space; colours are sRGB, 0 to 1, chosen
by hand to spread over skin tones after the Monk Skin Tone scale (https://skintone.google, 2022).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Color = tuple[float, float, float]


def _frozen(**values: float) -> Mapping[str, float]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class Identity:
    """One person: phenotype and local shape changes (0 to 1, or -1 to 1) and sRGB colours.

    `shape` holds Anny local changes; a name with the prefix "both-" stands for its l- and r- pair.
    `brow_thickness` scales the brow band, `stubble` and `freckles` are strengths from 0 to 1,
    `hair_style` is one of "shaved", "short", "swept", "long"; `hairline_cm` moves the hairline up.
    """

    name: str
    gender: float  # 0 male, 1 female
    age: float  # 1/3 teenager, 2/3 adult, 1 elder
    weight: float
    ancestry: tuple[float, float, float]  # african, asian, caucasian
    skin: Color
    lips: Color
    brows: Color
    iris: Color
    hair: Color
    hair_style: str
    shirt: Color
    shape: Mapping[str, float] = field(default_factory=dict)
    muscle: float = 0.5
    brow_thickness: float = 1.0
    stubble: float = 0.0
    freckles: float = 0.0
    hairline_cm: float = 0.3


IDENTITIES: tuple[Identity, ...] = (
    Identity(
        "Ada",
        1.0,
        0.62,
        0.45,
        (0.0, 0.0, 1.0),
        skin=(0.90, 0.72, 0.62),
        lips=(0.76, 0.40, 0.38),
        brows=(0.33, 0.22, 0.15),
        iris=(0.33, 0.47, 0.56),
        hair=(0.40, 0.26, 0.16),
        hair_style="long",
        shirt=(0.25, 0.38, 0.46),
        brow_thickness=0.85,
        freckles=0.25,
        shape=_frozen(**{"both-eye-scale-incr": 0.2, "mouth-upperlip-volume-incr": 0.3}),
    ),
    Identity(
        "Bo",
        0.0,
        0.66,
        0.5,
        (1.0, 0.0, 0.0),
        skin=(0.42, 0.27, 0.20),
        lips=(0.42, 0.22, 0.20),
        brows=(0.07, 0.05, 0.05),
        iris=(0.22, 0.13, 0.08),
        hair=(0.05, 0.04, 0.04),
        hair_style="shaved",
        shirt=(0.62, 0.60, 0.55),
        stubble=0.5,
        muscle=0.6,
        shape=_frozen(**{"head-scale-horiz-incr": -0.25, "both-cheek-bones-incr": 0.3}),
    ),
    Identity(
        "Chen",
        0.0,
        0.58,
        0.42,
        (0.0, 1.0, 0.0),
        skin=(0.86, 0.68, 0.54),
        lips=(0.70, 0.42, 0.38),
        brows=(0.09, 0.07, 0.06),
        iris=(0.24, 0.15, 0.10),
        hair=(0.06, 0.05, 0.05),
        hair_style="short",
        shirt=(0.30, 0.32, 0.36),
        stubble=0.12,
        shape=_frozen(**{"head-scale-horiz-incr": 0.2}),
    ),
    Identity(
        "Devi",
        1.0,
        0.64,
        0.55,
        (0.25, 0.35, 0.4),
        skin=(0.64, 0.45, 0.33),
        lips=(0.56, 0.28, 0.27),
        brows=(0.08, 0.06, 0.05),
        iris=(0.24, 0.14, 0.08),
        hair=(0.07, 0.05, 0.05),
        hair_style="long",
        shirt=(0.55, 0.24, 0.28),
        brow_thickness=1.05,
        shape=_frozen(**{"both-eye-scale-incr": 0.35, "nose-hump-incr": 0.2}),
    ),
    Identity(
        "Emil",
        0.0,
        0.95,
        0.5,
        (0.0, 0.0, 1.0),
        skin=(0.87, 0.67, 0.58),
        lips=(0.68, 0.42, 0.40),
        brows=(0.58, 0.56, 0.54),
        iris=(0.38, 0.48, 0.50),
        hair=(0.58, 0.57, 0.56),
        hair_style="swept",
        shirt=(0.26, 0.33, 0.27),
        stubble=0.1,
        brow_thickness=1.1,
        hairline_cm=1.3,
        shape=_frozen(**{"head-age-incr": 0.2, "mouth-angles-up": 0.1, "nose-volume-incr": 0.3}),
    ),
    Identity(
        "Fatou",
        1.0,
        0.60,
        0.5,
        (1.0, 0.0, 0.0),
        skin=(0.34, 0.22, 0.17),
        lips=(0.42, 0.21, 0.20),
        brows=(0.06, 0.04, 0.04),
        iris=(0.17, 0.10, 0.06),
        hair=(0.04, 0.03, 0.03),
        hair_style="short",
        shirt=(0.72, 0.56, 0.24),
        brow_thickness=0.85,
        shape=_frozen(**{"head-fat-incr": 0.2, "both-cheek-bones-incr": 0.35}),
    ),
    Identity(
        "Goran",
        0.0,
        0.72,
        0.85,
        (0.0, 0.0, 1.0),
        skin=(0.85, 0.64, 0.53),
        lips=(0.68, 0.38, 0.35),
        brows=(0.20, 0.14, 0.10),
        iris=(0.36, 0.27, 0.14),
        hair=(0.17, 0.12, 0.09),
        hair_style="swept",
        shirt=(0.33, 0.35, 0.45),
        stubble=0.75,
        brow_thickness=1.25,
        shape=_frozen(**{"chin-width-incr": 0.5, "head-fat-incr": 0.3}),
    ),
    Identity(
        "Hana",
        1.0,
        0.48,
        0.4,
        (0.0, 1.0, 0.0),
        skin=(0.93, 0.77, 0.66),
        lips=(0.80, 0.45, 0.44),
        brows=(0.16, 0.11, 0.08),
        iris=(0.27, 0.17, 0.11),
        hair=(0.12, 0.08, 0.06),
        hair_style="long",
        shirt=(0.80, 0.76, 0.72),
        brow_thickness=0.8,
        shape=_frozen(**{"chin-width-incr": -0.4, "both-eye-scale-incr": 0.15}),
    ),
    Identity(
        "Ines",
        1.0,
        0.86,
        0.7,
        (0.2, 0.0, 0.8),
        skin=(0.78, 0.57, 0.45),
        lips=(0.62, 0.33, 0.32),
        brows=(0.38, 0.34, 0.32),
        iris=(0.30, 0.20, 0.10),
        hair=(0.52, 0.50, 0.49),
        hair_style="long",
        shirt=(0.42, 0.28, 0.45),
        brow_thickness=0.8,
        shape=_frozen(**{"head-fat-incr": 0.1, "head-age-incr": 0.2, "chin-width-incr": -0.4}),
    ),
    Identity(
        "Jonas",
        0.0,
        0.50,
        0.35,
        (0.0, 0.0, 1.0),
        skin=(0.93, 0.75, 0.66),
        lips=(0.78, 0.46, 0.43),
        brows=(0.48, 0.31, 0.18),
        iris=(0.30, 0.45, 0.36),
        hair=(0.62, 0.40, 0.22),
        hair_style="short",
        shirt=(0.20, 0.27, 0.36),
        freckles=0.6,
        shape=_frozen(**{"chin-width-incr": -0.5, "head-scale-vert-incr": 0.2}),
    ),
)
