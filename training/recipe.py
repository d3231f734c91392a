"""A recipe: everything that decides a training run, read from a flat TOML file."""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import get_args

from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing

CHOICES = {
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("one-cycle", "cosine", "step", "exponential"),
    "attention_loss": ("code", "paper"),
    "teacher_sees": ("augmented", "plain"),
}
SET_HELP = "another value for a key of the recipe, for example lr=0.01; may be given again"


@dataclass(frozen=True)
class Recipe:
    """A training run. A TOML file lists what differs from these defaults.

    The run is a row of phases: `sizes`, `epochs` and `stem_strides` have one entry a phase. A phase
    at a small size costs little; the last one decides the checkpoint's input size.
    """

    network: str = "ddamfn"
    num_heads: int = 2  # DDAMFN only
    init: str = ""  # a checkpoint (name or file, "official-mfn") whose fitting weights start it

    # Phases
    sizes: list[int] = field(default_factory=lambda: [112])
    epochs: list[float] = field(default_factory=lambda: [40.0])
    stem_strides: list[int] = field(default_factory=lambda: [1])  # ResNets only

    # Optimisation
    batch_size: int = 128
    optimizer: str = "sgd"  # sgd | adam | adamw
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    sam_rho: float = 0.0  # radius of sharpness-aware minimisation around the optimizer; 0 is off
    schedule: str = "one-cycle"  # one-cycle | cosine | step | exponential
    warmup: float = 0.15  # share of the steps, one-cycle only
    gamma: float = 0.1  # factor of step (every `decay_every` epochs) and exponential (every epoch)
    decay_every: float = 10.0  # epochs, step only
    decay_start: float = 0.0  # epochs at the full rate before step's and exponential's decay
    clip_norm: float = 5.0
    ema_decay: float = 0.998
    attention_loss: str = "code"  # code | paper: see `losses.attention_loss`
    attention_loss_weight: float = 0.1
    label_smoothing: float = 0.0
    seed: int = 0

    # Distillation from checkpoints (names or files); their probabilities are averaged
    teacher: list[str] = field(default_factory=list)
    teacher_weight: float = 0.5  # share of the loss
    teacher_temperature: float = 2.0
    # augmented: what the student sees, in every step; plain: each face as it is, once, before them
    teacher_sees: str = "augmented"

    # Data
    fer2013_weight: float = 0.0  # share of FER2013's own label in FER+'s soft labels
    balance: float = 0.0  # faces are drawn with probability ~ 1 / prior**balance
    grey: bool = True
    detail_px: int = 48
    mean: float = 0.52  # of FER+'s grey aligned training crops
    std: float = 0.25

    # Augmentation
    crop: bool = False  # a random window of `sizes` pixels instead of the whole crop, enlarged
    flip: float = 0.5
    rotation_deg: float = 15.0
    scale: float = 0.15
    shift: float = 0.06
    brightness: float = 0.15
    contrast: float = 0.3
    erasing: float = 0.4

    # Measuring
    test_size: int = 0  # the input's side there and in the card; 0: as in the last phase
    test_flip: bool = False  # average each face with its mirror

    def __post_init__(self):
        if self.network not in NETWORKS:
            raise ValueError(f"network is {self.network!r}; use one of {', '.join(NETWORKS)}.")
        if not len(self.sizes) == len(self.epochs) == len(self.stem_strides):
            raise ValueError("sizes, epochs and stem_strides need one entry for each phase.")
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key} is {getattr(self, key)!r}; use {' or '.join(allowed)}.")
        if self.stem_strides[-1] != 1:
            raise ValueError("stem_strides end with 1: a checkpoint's network has that stride.")
        for key, wrong in (
            ("batch_size", self.batch_size < 1),
            ("seed", self.seed < 0),
            ("sizes", min(self.sizes) < 1),
            ("epochs", min(self.epochs) <= 0),
            ("ema_decay", not 0 <= self.ema_decay < 1),
        ):
            if wrong:
                raise ValueError(f"{key} is {getattr(self, key)!r}; see training/recipe.py.")
        if self.crop and self.detail_px and max(self.sizes) > self.detail_px:
            raise ValueError(f"crop takes windows of at most detail_px, {self.detail_px} pixels.")

    @property
    def network_arguments(self) -> dict:
        """What `NETWORKS[network]` takes besides `num_classes`."""
        return {"num_heads": self.num_heads} if self.network == "ddamfn" else {}

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(
            size=self.test_size or self.sizes[-1],
            mean=(self.mean,) * 3,
            std=(self.std,) * 3,
            grey=self.grey,
            detail_px=self.detail_px or None,
        )

    def to_dict(self) -> dict:
        return asdict(self)


def with_defaults(stored: dict) -> dict:
    """What `to_dict` gave once, with the keys that have come since.

    Their defaults leave everything as it was before there were such keys.
    """
    return Recipe().to_dict() | stored


def load_recipe(file: Path, overrides: list[str] = ()) -> Recipe:
    """The recipe in a TOML file, with "key=value" overrides (values in TOML's syntax).

    Raises:
        ValueError: if a key is unknown, or a value has the wrong type.
    """
    try:
        values = tomllib.loads(Path(file).read_text())
    except FileNotFoundError:
        raise ValueError(f"{file}: no such recipe; see training/recipes/.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: not valid TOML ({error}).") from error
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ValueError(f"--set {override}: write it as key=value.")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value.strip()  # a bare word is a string
    known = {f.name: f.type for f in fields(Recipe)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{file}: unknown keys {', '.join(unknown)}; known: {', '.join(known)}.")
    default = Recipe()
    for key, value in values.items():
        wanted = type(getattr(default, key))
        if wanted is float and type(value) is int:
            values[key] = float(value)
        elif type(value) is not wanted:
            raise ValueError(f"{file}: {key} is {value!r}, expected {wanted.__name__}.")
        elif wanted is list:
            values[key] = _check_items(file, key, value, known[key])
    return replace(default, **values)


def _check_items(file: Path, key: str, items: list, known: type) -> list:
    """A list whose items have the type that the recipe's key asks for."""
    (wanted,) = get_args(known)
    items = [float(item) if wanted is float and type(item) is int else item for item in items]
    if any(type(item) is not wanted for item in items):
        raise ValueError(f"{file}: {key} is {items!r}, expected a list of {wanted.__name__}.")
    return items
