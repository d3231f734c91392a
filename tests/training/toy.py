"""A network and faces so small that a training run takes a second; not a test file itself."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer_models.networks import NETWORKS
from training import engine
from training.datasets.face_set import FaceSet
from training.distributed import join_workers, leave_workers
from training.recipe import Recipe

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise")
CHANNELS = 8


class ToyHead(nn.Module):
    """Two attention maps, as a DDA head has them, over features of any size."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.maps = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1)
        self.fc = nn.Linear(CHANNELS, num_classes)

    def attention(self, features: Tensor) -> Tensor:
        n, c, h, w = features.shape
        return torch.sigmoid(self.maps(features)).view(n, 2, c, h, w)

    def classify(self, features: Tensor, attention: Tensor) -> Tensor:
        return self.fc((features * attention.amax(dim=1)).amax(dim=(2, 3)))

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features, self.attention(features))


class ToyNetwork(nn.Module):
    def __init__(self, num_classes: int, normalised: bool = True):
        super().__init__()
        # Few steps must do for the running statistics.
        norm = nn.BatchNorm2d(CHANNELS, momentum=0.5) if normalised else nn.Identity()
        self.trunk = nn.Sequential(nn.Conv2d(3, CHANNELS, 5, 2, 2), norm, nn.ReLU())
        self.head = ToyHead(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


BUILDERS = {
    "toy": ToyNetwork,
    "toy-unnormalised": lambda num_classes: ToyNetwork(num_classes, normalised=False),
}


def make_faces(count: int = 96, seed: int = 0) -> FaceSet:
    """Noise (count,12,12) with a pattern for each expression, so it can be learned.

    The patterns are their own mirror images: a flip must not change the expression.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(EXPRESSIONS), count)
    y, x = np.mgrid[:12, :12]
    rows, columns = y % 4 < 2, x % 4 < 2
    patterns = np.stack([rows, columns, rows ^ columns, 0 * rows]) * 120
    crops = patterns[labels] + generator.integers(40, 100, (count, 12, 12))
    return FaceSet(
        crops.astype(np.uint8),
        np.eye(len(EXPRESSIONS), dtype=np.float32)[labels],
        labels,
        EXPRESSIONS,
        tuple(f"face{i}" for i in range(count)),
    )


def make_recipe(**changes) -> Recipe:
    NETWORKS.update(BUILDERS)
    values = {
        "network": "toy",
        "sizes": [12],
        "epochs": [4.0],
        "stem_strides": [1],
        "batch_size": 16,
        "lr": 0.1,
        "ema_decay": 0.9,
        "detail_px": 12,
        "rotation_deg": 5.0,
    }
    return Recipe(**{**values, **changes})


def train(folder: Path, resume: bool = False, minutes: float | None = None, **changes):
    """A whole toy run, or what fits into `minutes`; the state is saved after every step."""
    torch.set_num_threads(1)
    engine.SAVE_EVERY_S = 0
    recipe, workers = make_recipe(**changes), join_workers()
    run = engine.Run(
        recipe, make_faces(), make_faces(40, 1), folder, resume=resume, workers=workers
    )
    run.train(minutes)
    if workers.is_first:
        run.export("toy", "toy")
    leave_workers()
    return run


def train_as_worker(environment: dict[str, str], folder: Path, **changes) -> None:
    os.environ.update(environment)
    train(folder, **changes)


if __name__ == "__main__":  # for torchrun
    train(Path(sys.argv[1]), network="toy-unnormalised")
