"""All a Lab picture depends on, in one frozen dataclass that travels as JSON."""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from types import MappingProxyType

from fer_models.lab.actions import ACTIONS, expression_actions, mirror_name
from fer_models.lab.identities import IDENTITIES
from fer_models.words import load_words

BACKGROUNDS = ("plain", "blurred")
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "yaw_deg": (-60.0, 60.0),
        "pitch_deg": (-40.0, 40.0),
        "roll_deg": (-45.0, 45.0),
        "light_azimuth_deg": (-90.0, 90.0),
        "light_elevation_deg": (-30.0, 90.0),
    }
)


class ParametersError(ValueError):
    """Parameters that are none; the message says what is wrong and what to do.

    Args:
        key: the message's entry in the words' section `[lab]`, so that a page can say it in its
            own language.
        values: what fills the message.
    """

    def __init__(self, key: str, **values):
        self.key = f"lab.{key}"
        self.values = values
        super().__init__(load_words()(self.key, **values))


@dataclass(frozen=True)
class FaceParameters:
    """A face of the Lab. Angles in degrees, sides are the subject's unless said otherwise.

    `identity` is an index into IDENTITIES; `actions` maps ARKit names to strengths from 0 to 1
    (zeros are dropped). Positive yaw turns the head to the picture's right, positive pitch raises
    the chin, positive roll tilts the head to the picture's right. The light comes from the
    picture's right at a positive azimuth, from above at a positive elevation.

    Raises:
        ParametersError: if a value has a wrong type or range, or an action's name is unknown.
    """

    identity: int = 0
    actions: Mapping[str, float] = field(default_factory=dict)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    light_azimuth_deg: float = -35.0
    light_elevation_deg: float = 35.0
    background: str = "plain"

    def __post_init__(self) -> None:
        last = len(IDENTITIES) - 1
        whole = isinstance(self.identity, Integral) and not isinstance(self.identity, bool)
        if not whole or not 0 <= self.identity <= last:
            given = reprlib.repr(self.identity)
            raise ParametersError("wrong_identity", value=given, last=last)
        object.__setattr__(self, "identity", int(self.identity))
        for name, (low, high) in RANGES.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high))
        if self.background not in BACKGROUNDS:
            given, known = reprlib.repr(self.background), ", ".join(BACKGROUNDS)
            raise ParametersError("wrong_background", value=given, known=known)
        if not isinstance(self.actions, Mapping):
            raise ParametersError("wrong_actions")
        actions = {}
        for action, strength in self.actions.items():
            if action not in ACTIONS:
                raise ParametersError("unknown_action", value=reprlib.repr(action))
            actions[action] = _number(action, strength, 0.0, 1.0)
        # One order and no zeros, so that equal faces compare equal and render to equal pixels.
        ordered = {a: actions[a] for a in ACTIONS if actions.get(a)}
        object.__setattr__(self, "actions", MappingProxyType(ordered))

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self):
        # The read-only mapping can be neither copied nor pickled; JSON carries everything.
        return FaceParameters.from_json, (self.to_json(),)

    def with_actions(self, **strengths: float) -> "FaceParameters":
        """The same face with some actions set to other strengths."""
        return replace(self, actions={**self.actions, **strengths})

    def with_expression(self, expression: str, intensity: float = 1.0) -> "FaceParameters":
        """The same person and view showing an expression; all other actions are dropped."""
        return replace(self, actions=expression_actions(expression, intensity))

    def mirrored(self) -> "FaceParameters":
        """The mirror image's parameters: left and right actions swapped, yaw, roll, light too."""
        return replace(
            self,
            actions={mirror_name(a): strength for a, strength in self.actions.items()},
            yaw_deg=-self.yaw_deg,
            roll_deg=-self.roll_deg,
            light_azimuth_deg=-self.light_azimuth_deg,
        )

    def symmetric(self, side: str = "Left") -> "FaceParameters":
        """The symmetry lock: both sides get the strengths of the subject's `side`.

        Raises:
            ValueError: if `side` is neither "Left" nor "Right".
        """
        if side not in ("Left", "Right"):
            raise ValueError(f"side is {side!r}; use Left or Right.")
        other = "Right" if side == "Left" else "Left"
        actions = {a: s for a, s in self.actions.items() if not a.endswith(other)}
        actions.update({mirror_name(a): s for a, s in actions.items() if a.endswith(side)})
        return replace(self, actions=actions)

    def to_json(self) -> str:
        """A JSON object with a key for each field; `from_json` gives the same parameters back."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({**values, "actions": dict(self.actions)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "FaceParameters":
        """Parameters from `to_json`'s text; absent keys take their defaults.

        Raises:
            ParametersError: if the text is no JSON object, or has an unknown key or a bad value.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ParametersError("no_json", line=error.lineno, column=error.colno) from None
        except ValueError:  # Python reads no number of more than 4300 digits
            raise ParametersError("long_number") from None
        if not isinstance(values, dict):
            raise ParametersError("no_object")
        names = [f.name for f in fields(cls)]
        for name in values:
            if name not in names:
                known = ", ".join(names)
                raise ParametersError("unknown_parameter", value=reprlib.repr(name), known=known)
        return cls(**values)


def _number(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
        limits = {"low": f"{low:g}", "high": f"{high:g}"}
        raise ParametersError("wrong_number", name=name, value=reprlib.repr(value), **limits)
    return float(value)
