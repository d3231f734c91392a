"""Trained checkpoints as teachers of another network (arXiv 1503.02531)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_models.checkpoints import load_network
from training.evaluate import head_logits
from training.recipe import Recipe


class Teachers:
    """What a recipe's teachers say about the augmented images that the student sees."""

    def __init__(
        self,
        recipe: Recipe,
        expressions: tuple[str, ...],
        device: torch.device,
        bfloat16: bool = False,
    ):
        """Load the teachers, which answer in the student's precision.

        Raises:
            ValueError: if one lacks an expression, or expects colour otherwise than the student.
        """
        self.bfloat16 = bfloat16
        self.temperature = recipe.teacher_temperature
        self.mean, self.std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (recipe.preprocessing.mean, recipe.preprocessing.std)
        )
        self.members = []
        for name in recipe.teacher:
            network, card = (checkpoint := load_network(name)).network, checkpoint.card
            missing = [e for e in expressions if e not in card.labels]
            if missing:
                raise ValueError(f"teacher {name!r} does not know {', '.join(missing)}.")
            if card.preprocessing.grey != recipe.grey:
                raise ValueError(f"teacher {name!r} and the recipe differ in `grey`.")
            columns = torch.tensor([card.labels.index(e) for e in expressions], device=device)
            network = network.to(device).to(memory_format=torch.channels_last)
            self.members.append((network, card.preprocessing, columns))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """The student's images (N,3,S,S) -> mean probabilities (N,K) at the temperature."""
        plain = images * self.std + self.mean
        answers = []
        for network, preprocessing, columns in self.members:
            size = (preprocessing.size,) * 2
            resized = F.interpolate(plain, size, mode="bilinear", antialias=True)
            resized = preprocessing.normalise(resized).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
                logits = head_logits(network, network.trunk(resized))[:, columns]
            answers.append(torch.softmax(logits.float() / self.temperature, dim=1))
        return torch.stack(answers).mean(dim=0)
