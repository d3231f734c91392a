"""Trained checkpoints as teachers of another network (arXiv 1503.02531)."""

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from fer_models.checkpoints import Checkpoint, load_network
from fer_models.engines import build_runner
from training.datasets.face_set import FaceSet
from training.evaluate import head_logits
from training.recipe import Recipe


def load_teachers(
    recipe: Recipe, expressions: tuple[str, ...]
) -> list[tuple[Checkpoint, list[int]]]:
    """A recipe's teachers, each with the columns of its answers that are `expressions`, in order.

    Raises:
        ValueError: if one lacks an expression, or expects colour otherwise than the student.
    """
    teachers = []
    for name in recipe.teacher:
        card = (checkpoint := load_network(name)).card
        missing = [e for e in expressions if e not in card.labels]
        if missing:
            raise ValueError(f"teacher {name!r} does not know {', '.join(missing)}.")
        if card.preprocessing.grey != recipe.grey:
            raise ValueError(f"teacher {name!r} and the recipe differ in `grey`.")
        teachers.append((checkpoint, [card.labels.index(e) for e in expressions]))
    return teachers


@torch.no_grad()
def teach_once(
    recipe: Recipe, faces: FaceSet, expressions: tuple[str, ...], bfloat16: bool = False
) -> Tensor:
    """What a recipe's teachers say about faces as they are, without augmentation.

    They run in the quickest engine that is here; `bfloat16` is for one that compiles for the CPU.

    Returns:
        Mean probabilities (N,K) at the recipe's temperature, on the CPU.

    Raises:
        ValueError: see `load_teachers`.
    """
    answers = []
    for checkpoint, columns in load_teachers(recipe, expressions):
        runner = build_runner(checkpoint, precision="bf16" if bfloat16 else "f32")
        logits, batch = [], runner.batch_faces
        for start in tqdm(range(0, len(faces), batch), desc=f"ask {checkpoint.card.name}"):
            crops = torch.from_numpy(faces.crops[start : start + batch])
            features = runner.trunk(checkpoint.card.preprocessing.enlarge(crops))
            logits.append(runner.head(features)[:, columns].float().cpu())
        answers.append(torch.softmax(torch.cat(logits) / recipe.teacher_temperature, dim=1))
    return torch.stack(answers).mean(dim=0)


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
            ValueError: see `load_teachers`.
        """
        self.bfloat16 = bfloat16
        self.temperature = recipe.teacher_temperature
        self.mean, self.std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (recipe.preprocessing.mean, recipe.preprocessing.std)
        )
        self.members = []
        for checkpoint, columns in load_teachers(recipe, expressions):
            network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
            chosen = torch.tensor(columns, device=device)
            self.members.append((network, checkpoint.card.preprocessing, chosen))

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
