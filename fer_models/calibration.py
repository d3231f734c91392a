"""From logits to the probabilities that the page shows: prior correction and temperature."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

# A class that training never saw stays finite.
MIN_PRIOR = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Post-hoc logit adjustment (arXiv 2007.07314) and temperature scaling (arXiv 1706.04599).

    A network trained where one face in two hundred is disgusted hardly ever answers disgust. So
    the log of the training prior, times a strength, is taken off the logits. The temperature
    changes no answer, only how sure it reads. Both were chosen on validation images.

    Attributes:
        prior: each class's share of the training data, in the card's label order.
        strength: 0 leaves the logits alone, 1 removes the prior entirely.
        temperature: what the adjusted logits are divided by.
        chosen_by: how both were chosen, in words; empty where a card does not say.
    """

    prior: tuple[float, ...]
    strength: float = 0.0
    temperature: float = 1.0
    chosen_by: str = ""

    def adjust(self, logits: Tensor) -> Tensor:
        """Logits (...,K) -> adjusted logits (...,K), whose softmax is the probabilities."""
        prior = torch.tensor(self.prior, dtype=logits.dtype, device=logits.device)
        log_prior = torch.log(prior.clamp_min(MIN_PRIOR))
        return (logits - self.strength * log_prior) / self.temperature

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (...,K) -> probabilities (...,K)."""
        return torch.softmax(self.adjust(logits.float()), dim=-1)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def none(cls, num_classes: int) -> "Calibration":
        """The one that changes nothing: plain softmax."""
        return cls(prior=(1 / num_classes,) * num_classes)

    @classmethod
    def from_dict(cls, values: dict) -> "Calibration":
        return cls(
            tuple(values["prior"]),
            values["strength"],
            values["temperature"],
            values.get("chosen_by", ""),
        )
