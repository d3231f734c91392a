"""The training loop: phases of growing size, EMA, and a state from which any run goes on."""

import csv
import logging
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from tqdm import tqdm

from fer_models.calibration import Calibration
from fer_models.checkpoints import (
    Card,
    CheckpointError,
    load_card,
    load_network,
    save_checkpoint,
    write_atomically,
)
from fer_models.networks import NETWORKS
from fer_models.official import LICENCE as OFFICIAL_LICENCE
from fer_models.preprocessing import Preprocessing
from training.augmentation import augment
from training.calibrate import fit_calibration
from training.datasets.face_set import FaceSet
from training.datasets.source import SUBSET
from training.distillation import Teachers, teach_once
from training.distributed import Workers
from training.evaluate import measure_both, misfit, predict_logits
from training.losses import Objective
from training.metrics import measure
from training.optimization import build_optimizer, learning_rate, worst_nearby_weights
from training.plots import draw_confusion, draw_curves, save_figure
from training.recipe import Recipe, with_defaults

logger = logging.getLogger(__name__)

BFLOAT16_HELP = (
    "mixed precision on a CPU too, for those with AVX-512 BF16; a GPU that computes in bfloat16 "
    "itself always has it"
)
SAVE_EVERY_S = 120
SHOW_EVERY_STEPS = 20  # reading the loss waits for the GPU
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
LICENCES = {
    kind: "Weights: CC0. Trained on FER2013 images (arXiv 1307.0414), whose terms allow research "
    "and teaching; no image can be read out of them that we know of."
    for kind in ("ferplus", "fer2013")
}
OTHER_LICENCE = "Weights: whatever the terms of the training data allow."


def deadline_in(minutes: float | None) -> float | None:
    """When so many minutes are over, as `time.monotonic` counts; None if there is no limit."""
    return None if minutes is None else time.monotonic() + 60 * minutes


def minutes_until(deadline: float | None) -> float | None:
    """What is left, 0 if nothing; None if there is no limit."""
    return None if deadline is None else max(0.0, deadline - time.monotonic()) / 60


class NotFinished(RuntimeError):
    """The minutes ran out before the schedule did; the state is saved."""


class NotWritten(ValueError):
    """A file of the run could not be written; what was saved before is whole."""


class Diverged(ValueError):
    """A loss, a logit or a weight is no finite number any more; the state before that is saved."""


@dataclass(frozen=True)
class Phase:
    """Steps `start` to `stop` run at `size` pixels with the stem's `stride`."""

    start: int
    stop: int
    size: int
    stem_stride: int


def plan_phases(recipe: Recipe, steps_per_epoch: int) -> list[Phase]:
    phases, start = [], 0
    for size, epochs, stride in zip(recipe.sizes, recipe.epochs, recipe.stem_strides, strict=True):
        stop = start + max(1, round(epochs * steps_per_epoch))
        phases.append(Phase(start, stop, size, stride))
        start = stop
    return phases


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
        ValueError: if `init` is not there, or shares no tensor with the network.
    """
    torch.manual_seed(recipe.seed)
    network = NETWORKS[recipe.network](num_classes=len(expressions), **recipe.network_arguments)
    if recipe.init:
        own = network.state_dict()
        given = _load_init(recipe.init).state_dict()
        fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ValueError(f"init {recipe.init!r} shares no weights with {recipe.network}.")
        network.load_state_dict({**own, **fitting})
        logger.info("%d of %d tensors from %s", len(fitting), len(own), recipe.init)
    return network


def _load_init(name: str) -> nn.Module:
    try:
        return load_network(name).network
    except CheckpointError as error:
        if not name.startswith("official-"):
            raise
        raise ValueError(
            f"{error} The authors' comes with: python -m fer_models checkpoints --download {name}"
        ) from error


def find_origins(recipe: Recipe) -> dict:
    """What a card says of the checkpoints that a run starts and learns from.

    `before`, the training of `init`, is there where that was trained here too: of the authors'
    published weights only the hash is known.
    """
    sources = [name for name in (recipe.init, *recipe.teacher) if name]
    origins = {"sources_sha256": {name: load_card(name).sha256 for name in sources}}
    before = load_card(recipe.init).training if recipe.init else {}
    return {**origins, "before": before} if "recipe" in before else origins


def find_licence(recipe: Recipe) -> str:
    """The licence of the weights that a run starts or learns from, where it binds the run's too.

    Weights made from the authors' are for one's own use as theirs are; else it is empty.
    """
    names = [name for name in (recipe.init, *recipe.teacher) if name]
    bound = any(load_card(name).licence == OFFICIAL_LICENCE for name in names)
    return OFFICIAL_LICENCE if bound else ""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16 itself; older ones (T4, V100, P100) only emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def emulates_bfloat16(device: torch.device) -> bool:
    """Whether a CPU has no instructions for bfloat16: convolutions then take many times as long."""
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and not any(capabilities[k] for k in capabilities if "bf16" in k)


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
        bfloat16: bool = False,
        workers: Workers | None = None,
    ):
        self.recipe = recipe
        self.train_faces = train_faces
        self.validation_faces = validation_faces.labelled()
        self.folder = folder
        self.workers = workers or Workers()
        self.device = self.workers.device
        self.bfloat16 = bfloat16 or has_bfloat16(self.device)
        if self.bfloat16 and emulates_bfloat16(self.device):
            logger.warning(
                "--bfloat16: this CPU has no instructions for it and emulates them, many times "
                "slower than float32; leave it out of a new run."
            )
        self._check_batch_size()
        self.expressions = train_faces.expressions
        self.network = self.workers.synchronise_normalisation(self._build_network())
        self.averaged = self._build_network().requires_grad_(False)
        self._check_input_size()
        self.teachers = None
        asks_once = bool(recipe.teacher) and recipe.teacher_sees == "plain"
        if recipe.teacher and not asks_once:
            self.teachers = Teachers(recipe, self.expressions, self.device, self.bfloat16)
        self.origins = find_origins(recipe)  # now: a later checkpoint may take the name
        self.licence = find_licence(recipe)
        self.optimizer = build_optimizer(recipe, self.network)
        self.weights = sampling_weights(train_faces, recipe.balance)
        self.faces_hash = train_faces.hash()
        self.steps_per_epoch = max(1, len(train_faces) // recipe.batch_size)
        self.phases = plan_phases(recipe, self.steps_per_epoch)
        self.total_steps = self.phases[-1].stop
        self.step = 0
        self.minutes = 0.0
        self.history: list[dict] = []
        self.taught: Tensor | None = None  # (N,K), what teachers that are asked once have said
        # Sums of losses, of right answers and of faces since the last row of the history; on the
        # device, because reading them waits for it.
        self.running = torch.zeros(3, dtype=torch.float64, device=self.device)
        self._epoch, self._order = None, None
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
        if self.state_file.is_file():
            if not resume:
                raise ValueError(f"{folder} holds a run already; add --resume or choose another.")
            self._load_state()
        self._require_same_step()
        if asks_once and self.taught is None:
            self._ask_teachers()
        objective = Objective(self.network, recipe, self.workers)
        if compile_network:
            objective = torch.compile(objective, dynamic=False)
        self.objective = self.workers.parallel(objective)
        torch.backends.cudnn.benchmark = True  # shapes change only with the phase

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    @property
    def is_finished(self) -> bool:
        return self.step >= self.total_steps

    def _check_batch_size(self) -> None:
        batch, size = self.recipe.batch_size, self.workers.size
        if batch % size or (size > 1 and batch > len(self.train_faces)):
            raise ValueError(
                f"batch_size {batch} is the whole batch of all processes; make it a multiple of "
                f"their number, {size}, and no larger than the {len(self.train_faces)} faces."
            )

    def _check_input_size(self) -> None:
        """A checkpoint whose head does not fit its map would be found out hours later."""
        if why := misfit(self.averaged, self.recipe.preprocessing.size):
            raise ValueError(
                f"{self.recipe.network}: {why}; end with a larger size, or set test_size (112)."
            )

    def _build_network(self) -> nn.Module:
        network = build_network(self.recipe, self.expressions)
        return network.to(self.device).to(memory_format=torch.channels_last)

    def _batch(self, step: int) -> np.ndarray:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = epoch_order(self.weights, self.recipe.balance, self.recipe.seed, epoch)
        start = position * self.recipe.batch_size
        return self._order[start : start + self.recipe.batch_size]

    def images_and_targets(self, size: int) -> tuple[Tensor, Tensor]:
        """This process's share of the step's batch, augmented."""
        batch = self._batch(self.step)
        rows = self.workers.rows(len(batch))
        indices = batch[rows]
        crops, targets = (
            torch.from_numpy(values[indices]).to(self.device, non_blocking=True)
            for values in (self.train_faces.crops, self.train_faces.targets)
        )
        seed = self.recipe.seed * 1_000_003 + self.step
        preprocessing = self.recipe.preprocessing
        images = augment(crops, preprocessing, self.recipe, size, seed, (rows.start, len(batch)))
        return images.contiguous(memory_format=torch.channels_last), targets

    def _require_same_step(self) -> None:
        """All processes go on from one state: on several machines the folder has to be shared.

        What teachers said before the first step is part of it.
        """
        steps = torch.zeros(self.workers.size, device=self.device)
        steps[self.workers.rank] = 2 * self.step + (self.taught is not None)
        self.workers.sum_in_place(steps)
        if steps.min() != steps.max():
            raise ValueError(
                f"{self.folder}: the processes found states of different steps; give an --out that "
                "all machines share."
            )

    def _ask_teachers(self) -> None:
        """Each process asks about its share of the faces, once; all know all answers."""
        began = time.monotonic()
        rows = self.workers.rows(len(self.train_faces))
        share = self.train_faces.subset(np.r_[rows])
        answers = teach_once(self.recipe, share, self.expressions, self.bfloat16)
        taught = torch.zeros(self.train_faces.targets.shape, device=self.device)
        taught[rows] = answers.to(self.device)
        self.workers.sum_in_place(taught)
        self.taught = taught.cpu()
        self.minutes += (time.monotonic() - began) / 60
        self._save_if_first()  # on a CPU they take minutes

    def _lesson(self, images: Tensor) -> Tensor | None:
        """What the teachers say of the step's images (n,K); None without teachers."""
        if self.taught is None:
            return self.teachers(images) if self.teachers else None
        batch = self._batch(self.step)
        return self.taught[batch[self.workers.rows(len(batch))]].to(self.device)

    def backward(
        self, images: Tensor, targets: Tensor, taught: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Put the gradients of a batch's loss in place; the loss and the logits (n,K)."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss, logits = self.objective(images, targets, taught)
        loss.backward()
        return loss.detach(), logits.detach()

    def train_step(self, phase: Phase) -> None:
        """One batch: augment, find the gradients, step, average."""
        images, targets = self.images_and_targets(phase.size)
        lr = learning_rate(self.recipe, self.step, self.total_steps, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.network.train()
        taught = self._lesson(images)
        loss, logits = self.backward(images, targets, taught)
        if self.recipe.sam_rho:
            with worst_nearby_weights(self.network, self.recipe.sam_rho):
                self.backward(images, targets, taught)
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        correct = (logits.argmax(1) == targets.argmax(1)).sum()
        count = torch.full_like(loss, len(images), dtype=torch.float64)
        sums = torch.stack([loss.double() * len(images), correct.double(), count])
        self.workers.sum_in_place(sums)
        self.running += sums

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of weights and statistics, anew and quicker in each phase.

        Images of another size give other statistics, which must not linger in the average.
        """
        # After the last phase for a benchmark alone, which steps on.
        phase = next((p for p in self.phases if self.step <= p.stop), self.phases[-1])
        done = self.step - phase.start
        decay = min(self.recipe.ema_decay, (1 + done) / (10 + done))
        averaged, current = self.averaged.state_dict(), self.network.state_dict()
        floating = [name for name, value in averaged.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floating],
            [current[name] for name in floating],
            1 - decay,
        )

    def _predict(self, faces: FaceSet, preprocessing: Preprocessing, stem_stride: int) -> Tensor:
        """The averaged network's logits (N,K) on the CPU, all finite."""
        set_stem_stride(self.averaged, stem_stride)
        flip = self.recipe.test_flip
        logits = predict_logits(self.averaged, faces, preprocessing, self.device, flip)
        self._require_finite(logits)
        return logits

    def _require_finite(self, values: Tensor) -> None:
        if not values.isfinite().all():
            raise Diverged(
                f"{self.folder}: training diverged by step {self.step}, with an lr of "
                f"{self.recipe.lr:g} and a clip_norm of {self.recipe.clip_norm:g}: its numbers are "
                "no longer finite. Start anew in another folder with a lower lr (--set "
                f"lr={self.recipe.lr / 10:g}) or with clipped gradients (--set clip_norm=1)."
            )

    def _validate(self, phase: Phase) -> None:
        size = self.recipe.test_size or phase.size
        preprocessing = replace(self.recipe.preprocessing, size=size)
        logits = self._predict(self.validation_faces, preprocessing, phase.stem_stride)
        plain = Calibration.none(len(self.expressions))
        metrics = measure(
            plain.probabilities(logits).numpy(), self.validation_faces.labels, self.expressions
        )
        loss, correct, faces = self.running.tolist()
        row = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "size": phase.size,
            "lr": round(self.optimizer.param_groups[0]["lr"], 6),
            "train_loss": round(loss / max(1, faces), 4),
            "train_accuracy": round(correct / max(1, faces), 4),
            "validation_loss": round(metrics.log_loss, 4),
            "validation_accuracy": round(metrics.accuracy, 4),
            "validation_balanced_accuracy": round(metrics.balanced_accuracy, 4),
            "minutes": round(self.minutes, 2),
        }
        self.history.append(row)
        self._write_history()
        logger.info("%s", row)

    def _write_history(self) -> None:
        def write(path: Path) -> None:
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, HISTORY_COLUMNS)
                writer.writeheader()
                writer.writerows(self.history)

        with self._writing():
            write_atomically(self.folder / "history.csv", write)

    def _save_state(self) -> None:
        self._require_finite(self.running)
        averaged = self.averaged.state_dict()  # keeps whatever was not finite in the network's
        floating = [value for value in averaged.values() if value.is_floating_point()]
        self._require_finite(torch.stack(torch._foreach_norm(floating)))
        state = {
            "recipe": self.recipe.to_dict(),
            "bfloat16": self.bfloat16,
            "faces": self.faces_hash,
            "origins": self.origins,
            "licence": self.licence,
            "step": self.step,
            "minutes": self.minutes,
            "history": self.history,
            "running": self.running,
            "taught": self.taught,
            "network": self.network.state_dict(),
            "averaged": averaged,
            "optimizer": self.optimizer.state_dict(),
        }

        def write(path: Path) -> None:
            try:
                torch.save(state, path)
            except RuntimeError as error:  # torch's own, which names no reason
                reason = str(error).partition("\n")[0]
                raise OSError(f"{self.state_file.name} is not whole: {reason}") from error

        with self._writing():
            write_atomically(self.state_file, write)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            raise NotWritten(
                f"{self.folder}: cannot be written ({error}). What was saved before is whole; "
                "once there is room and leave to write, --resume goes on from it."
            ) from error

    def _load_state(self) -> None:
        try:
            # On the CPU, where Adam's step counters belong; the rest is copied to the device.
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{self.state_file}: not a whole state ({error}); delete it to start anew."
            ) from error
        if with_defaults(state["recipe"]) != self.recipe.to_dict():
            raise ValueError(
                f"{self.state_file} was made by another recipe; resume with that one, or choose "
                "another --out."
            )
        # States did not always say these; a GPU's were in bfloat16 even so.
        if state.get("faces", self.faces_hash) != self.faces_hash:
            raise ValueError(
                f"{self.state_file} was made from other training faces; resume with those, or "
                "choose another --out."
            )
        bfloat16 = state.get("bfloat16", self.device.type == "cuda")
        if bfloat16 != self.bfloat16:
            made_in, fix = (
                ("bfloat16", "add --bfloat16")
                if bfloat16
                else ("float32", "leave --bfloat16 out, on a CPU or a GPU without it")
            )
            raise ValueError(
                f"{self.state_file} was made in {made_in}; to resume, {fix}, or choose another "
                "--out."
            )
        self._require_same_teachers(state.get("origins", self.origins))
        self.origins = state.get("origins", self.origins)
        self.licence = state.get("licence", self.licence)
        self.step, self.minutes = state["step"], state["minutes"]
        self.history, self.running = state["history"], state["running"].to(self.device)
        self.taught = state.get("taught")  # states of before teachers could be asked once
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _require_same_teachers(self, origins: dict) -> None:
        """What the run is still to be taught must be what its card will name."""
        now, then = (found["sources_sha256"] for found in (self.origins, origins))
        if self.teachers and (others := [n for n in self.recipe.teacher if now[n] != then.get(n)]):
            raise ValueError(
                f"{self.state_file} was taught by other weights of {', '.join(others)}; put those "
                "back, or choose another --out."
            )

    def train(self, minutes: float | None = None) -> None:
        """Go on until the schedule ends.

        Args:
            minutes: stop earlier, after that many, with the state saved.

        Raises:
            NotFinished: if the minutes ran out first.
            Diverged: if the loss or the answers are no longer finite.
            NotWritten: if the folder takes no file, as on a full disk.
        """
        before, began = self.minutes, time.monotonic()
        saved = began
        with tqdm(
            total=self.total_steps,
            initial=self.step,
            desc=self.recipe.network,
            disable=not self.workers.is_first,
        ) as progress:
            for phase in self.phases:
                set_stem_stride(self.network, phase.stem_stride)
                while self.step < phase.stop:
                    self.train_step(phase)
                    now = time.monotonic()
                    self.minutes = before + (now - began) / 60
                    self._show(progress)
                    is_row = self.step % self.steps_per_epoch == 0 or self.step == phase.stop
                    if is_row:
                        self._end_row(phase)
                    if is_row or now - saved > SAVE_EVERY_S:
                        self._save_if_first()
                        saved = time.monotonic()
                    is_late = minutes is not None and self.workers.agree(
                        time.monotonic() - began > 60 * minutes
                    )
                    if is_late and not self.is_finished:
                        self._save_if_first()
                        raise NotFinished(
                            f"{self.step} of {self.total_steps} steps done; --resume goes on."
                        )

    def _show(self, progress: tqdm) -> None:
        progress.update()
        if self.step % SHOW_EVERY_STEPS == 0 and self.workers.is_first:
            loss, _, faces = self.running.tolist()
            progress.set_postfix(loss=round(loss / faces, 3))

    def _end_row(self, phase: Phase) -> None:
        self._require_finite(self.running)  # the same sums in all processes, so all stop here
        if self.workers.is_first:
            self._validate(phase)
        self.running.zero_()

    def _save_if_first(self) -> None:
        if self.workers.is_first:
            self._save_state()

    def export(self, name: str, kind: str, note: str = "") -> Card:
        """Write the averaged network as a checkpoint, calibrated on the validation faces.

        `curves.png` and `confusion.png` (of the validation faces, uncorrected) lie beside it.

        Args:
            name: the checkpoint's.
            kind: of the data, for example "ferplus" or "rafdb#subset".
            note: for the card, in words; for example what was cut short.

        Raises:
            Diverged: if the answers are not finite.
            NotWritten: if the folder takes no file, as on a full disk.
        """
        recipe = self.recipe
        stored = {
            k: (v.half().float() if v.is_floating_point() and v.ndim > 1 else v)
            for k, v in self.averaged.state_dict().items()
        }
        self.averaged.load_state_dict(stored)  # judge what will be loaded, not what was trained
        logits = self._predict(
            self.validation_faces, recipe.preprocessing, self.phases[-1].stem_stride
        )
        prior = self.weights @ self.train_faces.targets
        calibration = fit_calibration(logits, self.validation_faces.labels, self.expressions, prior)
        results = measure_both(logits, self.validation_faces, calibration)
        logger.info("validation %s", {k: round(v.accuracy, 4) for k, v in results.items()})
        accuracy = results["uncorrected"].accuracy
        title = f"{name}: {100 * accuracy:.2f} % of {len(self.validation_faces)} validation faces"
        confusion = draw_confusion(results["uncorrected"].confusion, self.expressions, title)
        with self._writing():
            save_figure(confusion, self.folder / "confusion.png")
            save_figure(draw_curves(self.history, name), self.folder / "curves.png")
            return save_checkpoint(
                self.averaged.cpu(),
                self.folder,
                name=name,
                network=recipe.network,
                arguments=recipe.network_arguments,
                labels=self.expressions,
                preprocessing=recipe.preprocessing,
                calibration=calibration,
                training=self._training_record(kind, note),
                licence=self.licence or LICENCES.get(kind.removesuffix(SUBSET), OTHER_LICENCE),
            )

    def _training_record(self, kind: str, note: str) -> dict:
        record = {
            "data": kind,
            "images": len(self.train_faces),
            "recipe": self.recipe.to_dict(),
            "steps": self.step,
            "minutes": round(self.minutes, 1),
            "device": device_name(self.workers),
            "precision": "bfloat16 where autocast has it" if self.bfloat16 else "float32",
            "torch": torch.__version__,
            **self.origins,
        }
        return {**record, "note": note} if note else record


def device_name(workers: Workers) -> str:
    if workers.device.type == "cuda":
        name = torch.cuda.get_device_name(workers.device)
        return name if workers.size == 1 else f"{workers.size} x {name}"
    count = torch.get_num_threads()
    threads = f"CPU, {count} thread{'s' if count > 1 else ''}"
    return threads if workers.size == 1 else f"{workers.size} x {threads}"
