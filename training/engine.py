"""The training loop: phases of growing size, EMA, and a state from which any run goes on."""

import csv
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fer_models.calibration import Calibration
from fer_models.checkpoints import load_network, save_checkpoint, write_atomically
from fer_models.networks import NETWORKS
from training.augmentation import augment
from training.calibrate import fit_calibration
from training.datasets.face_set import FaceSet
from training.evaluate import measure_both, predict_logits, stretch
from training.losses import attention_loss, classification_loss
from training.metrics import measure
from training.recipe import Recipe

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 120
HISTORY_COLUMNS = (
    "step",
    "epoch",
    "size",
    "lr",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_balanced_accuracy",
    "minutes",
)
LICENCE = (
    "Weights: CC0. Trained on FER2013 images (arXiv 1307.0414), whose terms allow research and "
    "teaching; no image can be read out of them that we know of."
)


class NotFinished(RuntimeError):
    """The minutes ran out before the schedule did; the state is saved."""


@dataclass(frozen=True)
class Phase:
    """Steps `start` to `stop` run at `size` pixels with the stem's `stride`."""

    start: int
    stop: int
    size: int
    stem_stride: int


def plan_phases(recipe: Recipe, steps_per_epoch: int) -> list[Phase]:
    phases, start = [], 0
    for size, epochs, stride in zip(
        recipe.sizes, recipe.epochs, recipe.stem_strides, strict=True
    ):
        stop = start + max(1, round(epochs * steps_per_epoch))
        phases.append(Phase(start, stop, size, stride))
        start = stop
    return phases


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """Linear warm-up over a share of the steps, then half a cosine to zero."""
    warmup_steps = recipe.warmup * total_steps if recipe.schedule == "one-cycle" else 0
    if step < warmup_steps:
        return recipe.lr * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))


def sampling_weights(faces: FaceSet, balance: float) -> np.ndarray:
    """(N,) probabilities with which faces are drawn: rare expressions oftener with `balance`."""
    prior = faces.targets.mean(axis=0)
    weights = faces.targets @ np.maximum(prior, 1e-6) ** -balance
    return weights / weights.sum()


def epoch_order(weights: np.ndarray, balance: float, seed: int, epoch: int) -> np.ndarray:
    """The faces of one epoch (N,): each once, or drawn with replacement where balanced."""
    generator = np.random.default_rng([seed, epoch])
    if balance == 0:
        return generator.permutation(len(weights))
    return generator.choice(len(weights), size=len(weights), p=weights)


def build_network(recipe: Recipe, expressions: tuple[str, ...]) -> nn.Module:
    """The recipe's network; `init` fills every tensor of it that fits by name and shape.

    Raises:
        ValueError: if `init` shares no tensor with the network.
    """
    torch.manual_seed(recipe.seed)
    network = NETWORKS[recipe.network](num_classes=len(expressions), **recipe.network_arguments)
    if recipe.init:
        own = network.state_dict()
        given = load_network(recipe.init).network.state_dict()
        fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ValueError(f"init {recipe.init!r} shares no weights with {recipe.network}.")
        network.load_state_dict({**own, **fitting})
        logger.info("%d of %d tensors from %s", len(fitting), len(own), recipe.init)
    return network


def set_stem_stride(network: nn.Module, stride: int) -> None:
    """Change a ResNet's stem, whose stride is no parameter; other networks have none."""
    if hasattr(network.trunk, "conv1"):
        network.trunk.conv1.stride = (stride, stride)


class Run:
    """One training run in a folder, from wherever its saved state stands to its end."""

    def __init__(
        self,
        recipe: Recipe,
        train_faces: FaceSet,
        validation_faces: FaceSet,
        folder: Path,
        *,
        resume: bool = False,
        compile_network: bool = False,
    ):
        self.recipe = recipe
        self.train_faces = train_faces
        self.validation_faces = validation_faces.labelled()
        self.folder = folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.expressions = train_faces.expressions
        self.network = build_network(recipe, self.expressions).to(self.device)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.averaged = build_network(recipe, self.expressions).to(self.device)
        self.averaged = self.averaged.to(memory_format=torch.channels_last).requires_grad_(False)
        self.optimizer = self._build_optimizer()
        self.weights = sampling_weights(train_faces, recipe.balance)
        self.steps_per_epoch = max(1, len(train_faces) // recipe.batch_size)
        self.phases = plan_phases(recipe, self.steps_per_epoch)
        self.total_steps = self.phases[-1].stop
        self.step = 0
        self.minutes = 0.0
        self.history: list[dict] = []
        self.running = {"loss": 0.0, "correct": 0, "faces": 0}
        self._loss = self._compute_loss
        if compile_network:
            self._loss = torch.compile(self._compute_loss, dynamic=False)
        folder.mkdir(parents=True, exist_ok=True)
        if self.state_file.is_file():
            if not resume:
                raise ValueError(f"{folder} holds a run already; add --resume or choose another.")
            self._load_state()

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def _build_optimizer(self) -> torch.optim.Optimizer:
        # Normalisation, PReLU slopes and biases are not decayed: they hold scales, not filters.
        filters = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": filters, "weight_decay": self.recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        if self.recipe.optimizer == "adam":
            return torch.optim.AdamW(groups, lr=self.recipe.lr)
        return torch.optim.SGD(
            groups, lr=self.recipe.lr, momentum=self.recipe.momentum, nesterov=True
        )

    def _compute_loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        head = self.network.head
        features = stretch(self.network.trunk(images))
        if not hasattr(head, "attention"):
            logits = head(features)
            return classification_loss(logits, targets, self.recipe.label_smoothing), logits
        attention = head.attention(features)
        logits = head.classify(features, attention)
        loss = classification_loss(logits, targets, self.recipe.label_smoothing)
        if self.recipe.attention_loss_weight:
            loss = loss + self.recipe.attention_loss_weight * attention_loss(attention.float())
        return loss, logits

    def _batch(self, step: int) -> np.ndarray:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != getattr(self, "_epoch", None):
            self._epoch = epoch
            self._order = epoch_order(self.weights, self.recipe.balance, self.recipe.seed, epoch)
        start = position * self.recipe.batch_size
        return self._order[start : start + self.recipe.batch_size]

    def _train_step(self, phase: Phase) -> None:
        indices = self._batch(self.step)
        crops = torch.from_numpy(self.train_faces.crops[indices]).to(self.device)
        targets = torch.from_numpy(self.train_faces.targets[indices]).to(self.device)
        seed = self.recipe.seed * 1_000_003 + self.step
        images = augment(crops, self.recipe.preprocessing, self.recipe, phase.size, seed)
        images = images.contiguous(memory_format=torch.channels_last)
        lr = learning_rate(self.recipe, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.network.train()
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            loss, logits = self._loss(images, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.step += 1
        self._average()
        self.running["loss"] += loss.item() * len(indices)
        self.running["correct"] += (logits.argmax(1) == targets.argmax(1)).sum().item()
        self.running["faces"] += len(indices)

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of weights and statistics, quicker at the start."""
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, current = self.averaged.state_dict(), self.network.state_dict()
        floating = [name for name, value in averaged.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floating],
            [current[name] for name in floating],
            1 - decay,
        )

    def _validate(self, phase: Phase) -> dict:
        set_stem_stride(self.averaged, phase.stem_stride)
        preprocessing = self.recipe.preprocessing
        sized = type(preprocessing)(**{**preprocessing.__dict__, "size": phase.size})
        logits = predict_logits(self.averaged, self.validation_faces, sized, self.device)
        plain = Calibration.none(len(self.expressions))
        metrics = measure(
            plain.probabilities(logits).numpy(), self.validation_faces.labels, self.expressions
        )
        faces = max(1, self.running["faces"])
        row = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "size": phase.size,
            "lr": round(self.optimizer.param_groups[0]["lr"], 6),
            "train_loss": round(self.running["loss"] / faces, 4),
            "train_accuracy": round(self.running["correct"] / faces, 4),
            "validation_loss": round(metrics.log_loss, 4),
            "validation_accuracy": round(metrics.accuracy, 4),
            "validation_balanced_accuracy": round(metrics.balanced_accuracy, 4),
            "minutes": round(self.minutes, 2),
        }
        self.running = {"loss": 0.0, "correct": 0, "faces": 0}
        self.history.append(row)
        self._write_history()
        logger.info("%s", row)
        return row

    def _write_history(self) -> None:
        def write(path: Path) -> None:
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, HISTORY_COLUMNS)
                writer.writeheader()
                writer.writerows(self.history)

        write_atomically(self.folder / "history.csv", write)

    def _save_state(self) -> None:
        state = {
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "history": self.history,
            "running": self.running,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_atomically(self.state_file, lambda path: torch.save(state, path))

    def _load_state(self) -> None:
        state = torch.load(self.state_file, map_location=self.device, weights_only=True)
        if state["recipe"] != self.recipe.to_dict():
            raise ValueError(
                f"{self.state_file} was made by another recipe; resume with that one, or choose "
                "another --out."
            )
        self.step, self.minutes = state["step"], state["minutes"]
        self.history, self.running = state["history"], state["running"]
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._write_history()

    def train(self, minutes: float | None = None) -> None:
        """Go on until the schedule ends.

        Args:
            minutes: stop earlier, after that many, with the state saved.

        Raises:
            NotFinished: if the minutes ran out first.
        """
        began, saved = time.monotonic(), time.monotonic()
        before = self.minutes
        progress = tqdm(total=self.total_steps, initial=self.step, desc=self.recipe.network)
        for phase in self.phases:
            set_stem_stride(self.network, phase.stem_stride)
            while self.step < phase.stop:
                self._train_step(phase)
                now = time.monotonic()
                self.minutes = before + (now - began) / 60
                progress.update()
                progress.set_postfix(
                    loss=round(self.running["loss"] / self.running["faces"], 3), size=phase.size
                )
                if self.step % self.steps_per_epoch == 0 or self.step == phase.stop:
                    self._validate(phase)
                    self._save_state()
                    saved = now
                elif now - saved > SAVE_EVERY_S:
                    self._save_state()
                    saved = now
                if minutes is not None and now - began > 60 * minutes:
                    if self.step < self.total_steps:
                        self._save_state()
                        raise NotFinished(
                            f"{self.step} of {self.total_steps} steps done; --resume goes on."
                        )
        progress.close()

    def export(self, name: str, data: str) -> None:
        """Write the averaged network as a checkpoint, calibrated on the validation faces."""
        recipe = self.recipe
        last = self.phases[-1]
        set_stem_stride(self.averaged, last.stem_stride)
        stored = {k: (v.half().float() if v.is_floating_point() and v.ndim > 1 else v)
                  for k, v in self.averaged.state_dict().items()}
        self.averaged.load_state_dict(stored)  # judge what will be loaded, not what was trained
        logits = predict_logits(
            self.averaged, self.validation_faces, recipe.preprocessing, self.device
        )
        prior = self.weights @ self.train_faces.targets
        calibration = fit_calibration(
            logits, self.validation_faces.labels, self.expressions, prior
        )
        save_checkpoint(
            self.averaged.cpu(),
            self.folder,
            name=name,
            network=recipe.network,
            arguments=recipe.network_arguments,
            labels=self.expressions,
            preprocessing=recipe.preprocessing,
            calibration=calibration,
            training={
                "data": data,
                "images": len(self.train_faces),
                "recipe": recipe.to_dict(),
                "steps": self.step,
                "minutes": round(self.minutes, 1),
                "device": device_name(self.device),
                "torch": torch.__version__,
            },
            licence=LICENCE,
        )
        results = measure_both(logits, self.validation_faces, calibration)
        summary = {k: v.accuracy for k, v in results.items()}
        logger.info("calibration %s, validation accuracy %s", calibration, json.dumps(summary))


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
