"""python -m training.benchmark: images per second of this training against the plain way.

The plain way is that of the published scripts: files read with PIL, torchvision's transforms on one
image after another in a DataLoader, float32, one optimizer step a batch. Ours holds the faces in
memory as bytes, augments whole batches on the device, keeps the memory that it frees, and computes
with channels last, in bfloat16 on a GPU that has it, elsewhere where --bfloat16 says so. Both train
the same network on the same drawn faces, in the same run.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from fer_models.expressions import EXPRESSIONS
from fer_models.networks import NETWORKS
from training.datasets.face_set import FaceSet
from training.distributed import Workers
from training.engine import Run, device_name
from training.evaluate import misfit
from training.memory import keep_freed_memory
from training.recipe import Recipe

SIDE_PX = 48


@dataclass
class Stopwatch:
    """Seconds by part of the work; a part ends when the device has done it."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._wait()
        began = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] += time.perf_counter() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Measurement:
    """What one way took for a number of images."""

    name: str
    precision: str
    images: int
    seconds: float
    parts: dict[str, float]

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


def draw_faces(count: int) -> FaceSet:
    """Noise in the form of FER2013; speed does not depend on what is in the pictures."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, len(EXPRESSIONS), count)
    return FaceSet(
        generator.integers(0, 256, (count, SIDE_PX, SIDE_PX), dtype=np.uint8),
        np.eye(len(EXPRESSIONS), dtype=np.float32)[labels],
        labels,
        EXPRESSIONS,
        tuple(f"face{i:05d}" for i in range(count)),
    )


def write_image_folder(faces: FaceSet, folder: Path) -> None:
    """The faces as `EXPRESSION/NAME.jpg`, as the published scripts read them."""
    for expression in EXPRESSIONS:
        (folder / expression).mkdir()
    for crop, label, name in zip(faces.crops, faces.labels, faces.names, strict=True):
        Image.fromarray(crop).save(folder / EXPRESSIONS[label] / f"{name}.jpg", quality=95)


def plain_loader(folder: Path, size: int, batch_size: int, workers: int):
    """The published code's augmentation, image by image."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    rotate_and_crop = [transforms.RandomRotation(5), transforms.RandomCrop(size, padding=8)]
    steps = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply(rotate_and_crop, p=0.2),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        transforms.RandomErasing(scale=(0.02, 0.25)),
    ]
    return torch.utils.data.DataLoader(
        ImageFolder(str(folder), transforms.Compose(steps)),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        drop_last=True,
    )


def measure_plain(
    recipe: Recipe, folder: Path, steps: int, loader_workers: int, device: torch.device
) -> Measurement:
    """Train `steps` batches the plain way, after two to warm up; then time its parts apart."""
    network = NETWORKS[recipe.network](num_classes=len(EXPRESSIONS), **recipe.network_arguments)
    network = network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = plain_loader(folder, recipe.sizes[-1], recipe.batch_size, loader_workers)

    def batches() -> Iterator[tuple]:
        while True:
            yield from loader

    source = batches()

    def train(steps: int, part: Callable) -> None:
        for _ in range(steps):
            with part("reading and augmenting"):
                images, labels = (tensor.to(device) for tensor in next(source))
            with part("forward and backward"):
                loss = F.cross_entropy(network(images), labels)
                optimizer.zero_grad()
                loss.backward()
            with part("optimizer"):
                optimizer.step()

    whole, watch = Stopwatch(device), Stopwatch(device)
    train(2, nullcontext)
    with whole.part("all"):
        train(steps, nullcontext)
    train(max(1, steps // 4), watch.part)
    seconds = whole.seconds["all"]
    return Measurement("plain", "float32", steps * recipe.batch_size, seconds, dict(watch.seconds))


def measure_ours(
    recipe: Recipe, faces: FaceSet, steps: int, compiled: bool, bfloat16: bool = False
) -> Measurement:
    """Train `steps` batches with the engine, after two to warm up; then time its parts apart."""
    device = Workers().device
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, faces, faces, Path(folder), compile_network=compiled, bfloat16=bfloat16)
        phase = run.phases[-1]
        whole, watch = Stopwatch(device), Stopwatch(device)
        for _ in range(2):
            run.train_step(phase)
        with whole.part("all"):
            for _ in range(steps):
                run.train_step(phase)
        for _ in range(max(1, steps // 4)):
            with watch.part("reading and augmenting"):
                images, targets = run.images_and_targets(phase.size)
            with watch.part("forward and backward"):
                run.backward(images, targets, None)
            with watch.part("optimizer"):
                run.optimizer.step()
            with watch.part("weight averaging"):
                run.update_average()
    precision = "bfloat16" if run.bfloat16 else "float32"
    seconds = whole.seconds["all"]
    return Measurement("ours", precision, steps * recipe.batch_size, seconds, dict(watch.seconds))


def describe(measurement: Measurement) -> str:
    total = sum(measurement.parts.values())
    shares = ", ".join(
        f"{name} {100 * seconds / total:.0f} %" for name, seconds in measurement.parts.items()
    )
    speed = f"{measurement.images_per_second:.1f} images/s in {measurement.precision}"
    return f"{measurement.name}: {speed} ({shares})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="ddamfn", choices=NETWORKS, help="what is trained")
    parser.add_argument("--size", type=int, default=112, help="of the images, in pixels")
    parser.add_argument("--batch", type=int, default=128, help="images a batch")
    parser.add_argument("--steps", type=int, default=20, help="batches timed each way")
    parser.add_argument("--workers", type=int, default=4, help="the plain way's processes")
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile")
    parser.add_argument(
        "--bfloat16", action="store_true", help="ours in mixed precision on a CPU too"
    )
    arguments = parser.parse_args()
    recipe = Recipe(
        network=arguments.network, sizes=[arguments.size], batch_size=arguments.batch, lr=0.01
    )
    network = NETWORKS[recipe.network](num_classes=len(EXPRESSIONS), **recipe.network_arguments)
    if why := misfit(network, arguments.size):
        parser.error(f"--size {arguments.size}: {why}; 112 fits.")
    faces, device = draw_faces((arguments.steps + 2) * arguments.batch), Workers().device
    print(
        f"{arguments.network}, {arguments.size} px, batches of {arguments.batch}, "
        f"{device_name(Workers())}, {arguments.workers} loader processes"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_image_folder(faces, Path(folder))
        plain = measure_plain(recipe, Path(folder), arguments.steps, arguments.workers, device)
    print(describe(plain))
    keep_freed_memory()  # as the training commands do, and the published scripts do not
    ours = measure_ours(recipe, faces, arguments.steps, arguments.compile, arguments.bfloat16)
    print(describe(ours))
    print(f"ratio {ours.images_per_second / plain.images_per_second:.2f}")


if __name__ == "__main__":
    main()
