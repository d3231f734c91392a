"""The whole pipeline: an image to faces, predictions, heatmaps and attention maps."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from fer_models.checkpoints import Card, Checkpoint, CheckpointError, load_network
from fer_models.engines import Runner, build_runner, choose_engine, limit_torch_threads
from fer_models.explain.attention import Attention, has_attention, summarise_factors
from fer_models.explain.cam import METHODS, Target, attribute_logits
from fer_models.expressions import canonical_expression
from fer_models.faces import CROP_SIZE_PX, Face, align_face, detect_faces, face_of_crop

PAGE_NETWORKS = ("ddamfn", "mfn", "resnet50")
DISPLAY_NAMES = {"ddamfn": "DDAMFN", "mfn": "MFN", "resnet50": "ResNet-50"}
UNSURE_PROBABILITY = 0.5
UNSURE_MARGIN = 0.15
# Bounds on one picture's work: a photograph of a crowd is explained in part, and says so.
MAX_FACES = 32
# Two cores' idle moments in one network are filled by another; more at once only need more memory.
NETWORKS_AT_ONCE = 3


@dataclass(frozen=True)
class GradCam:
    """Which expression is explained, and the signed, unscaled attribution (7,7) to the features.

    With `minus`, what is explained is how far the target's logit leads that expression's.
    """

    target: str
    values: np.ndarray
    method: str = "grad-cam"
    minus: str | None = None

    @property
    def max(self) -> float:
        return float(self.values.max())


@dataclass(frozen=True)
class NetworkResult:
    """One network's answer on one face; `probabilities` are corrected and calibrated.

    `seconds` is this face's share of the run, whose cores the networks running at once share.
    """

    expression: str
    probabilities: dict[str, float]
    gradcam: GradCam
    attention: Attention | None
    seconds: float

    @property
    def probability(self) -> float:
        return self.probabilities[self.expression]

    @property
    def margin(self) -> float:
        """The lead over the second."""
        first, second = sorted(self.probabilities.values(), reverse=True)[:2]
        return first - second

    @property
    def unsure(self) -> bool:
        return self.probability < UNSURE_PROBABILITY or self.margin < UNSURE_MARGIN


@dataclass(frozen=True)
class FaceResult:
    """One face: where it is, its aligned crop (112,112,3) RGB uint8, and every network's answer."""

    face: Face
    crop: np.ndarray
    networks: dict[str, NetworkResult]


@dataclass(frozen=True)
class Analysis:
    """The faces of an image, the largest first.

    Attributes:
        unavailable: the networks that could not be loaded, or were not trained on an expression
            asked for, and why.
        left_out: how many faces beyond the largest 32 were not explained.
    """

    faces: list[FaceResult]
    unavailable: dict[str, str] = field(default_factory=dict)
    left_out: int = 0


class UnknownExpressionError(ValueError):
    """A network that was not trained on an expression that it is asked to explain."""


class Analyzer:
    """Loads each network once, when it is first asked for; safe to share between threads.

    Args:
        networks: checkpoint names or files, in the order of the results.
        engine: what runs the trunks, see `engines.choose_engine`.

    Raises:
        ValueError: if the engine is unknown or not installed.
    """

    def __init__(self, networks: Sequence[str] = PAGE_NETWORKS, engine: str | None = None):
        self.networks = tuple(networks)
        self.engine = choose_engine(engine)
        limit_torch_threads()
        self._checkpoints: dict[str, Checkpoint] = {}
        self._runners: dict[str, Runner] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(NETWORKS_AT_ONCE, thread_name_prefix="network")

    def _lock(self, name: str) -> threading.RLock:
        """A lock for each network, so that they load at the same time."""
        with self._guard:
            return self._locks.setdefault(name, threading.RLock())

    def checkpoint(self, name: str) -> Checkpoint:
        """The loaded network and its card.

        Raises:
            CheckpointError: if the files are missing or damaged.
        """
        with self._lock(name):
            if name not in self._checkpoints:
                loaded = load_network(name)
                if not loaded.card.labels:
                    raise CheckpointError(f"{name} is no expression network: it has no classes.")
                self._checkpoints[name] = loaded
            return self._checkpoints[name]

    def runner(self, name: str) -> Runner:
        """How the network's trunk and head run.

        Raises:
            CheckpointError: if the files are missing or damaged.
        """
        with self._lock(name):
            if name not in self._runners:
                self._runners[name] = build_runner(self.checkpoint(name), self.engine)
            return self._runners[name]

    def loaded(self, name: str) -> tuple[Card, Runner]:
        """A network's card and its runner; raises as `checkpoint` does."""
        return self.checkpoint(name).card, self.runner(name)

    def warm_up(self) -> None:
        """Load everything, so that the next analysis need not: libraries, detector, networks."""
        self.analyze(np.full((CROP_SIZE_PX, CROP_SIZE_PX, 3), 128, np.uint8), face_crop=True)

    def analyze(
        self,
        image: np.ndarray,
        *,
        target: str | None = None,
        minus: str | None = None,
        face_crop: bool = False,
        method: str = "grad-cam",
        networks: Sequence[str] | None = None,
    ) -> Analysis:
        """Find every face and explain each; no face gives an empty list.

        Args:
            image: (H,W,3) RGB uint8.
            target: the expression to explain for all networks; each one's own answer if None.
            minus: explain how far the target's logit leads this expression's instead.
            face_crop: the image is a face crop already, so none is searched for.
            method: see `explain.cam.METHODS`.
            networks: those to run; the analyzer's by default.

        Raises:
            ValueError: if the image is none, the target, minus or method does not do, or no
                network was trained on what is asked for.
        """
        check_image(image)
        faces = [face_of_crop(image)] if face_crop else detect_faces(image)
        return self.analyze_faces(
            image, faces, target=target, minus=minus, method=method, networks=networks
        )

    def analyze_faces(
        self,
        image: np.ndarray,
        faces: Sequence[Face],
        *,
        target: str | None = None,
        minus: str | None = None,
        method: str = "grad-cam",
        networks: Sequence[str] | None = None,
    ) -> Analysis:
        """As `analyze`, for faces that were found before."""
        left_out = max(0, len(faces) - MAX_FACES)
        faces = list(faces)[:MAX_FACES]
        crops = [align_face(image, face.landmarks) for face in faces]
        results, unavailable = self._explain(crops, target, minus, method, networks)
        found = [
            FaceResult(face, crop, {name: results[name][index] for name in results})
            for index, (face, crop) in enumerate(zip(faces, crops, strict=True))
        ]
        return Analysis(found, unavailable, left_out)

    def analyze_crops(
        self,
        crops: Sequence[np.ndarray],
        *,
        target: str | None = None,
        minus: str | None = None,
        method: str = "grad-cam",
        networks: Sequence[str] | None = None,
    ) -> dict[str, list[NetworkResult]]:
        """Every network's answers on faces that are aligned already, in the crops' order.

        A network that cannot answer is left out; `analyze` says why. Otherwise as `analyze`.

        Args:
            crops: any number of (112,112,3) RGB uint8, as `align_face` makes them.
        """
        for crop in crops:
            check_image(crop)
        return self._explain(crops, target, minus, method, networks)[0]

    def probabilities(self, name: str, crops: Sequence[np.ndarray]) -> np.ndarray:
        """One network's corrected and calibrated probabilities, without any explanation.

        Args:
            crops: any number of (112,112,3) RGB uint8, as `align_face` makes them.

        Returns:
            (N,K) float32 in the order of the card's labels.

        Raises:
            CheckpointError: if the network's files are missing or damaged.
        """
        card, runner = self.loaded(name)
        answers = [np.empty((0, len(card.labels)), np.float32)]
        for batch in _batches(crops, runner.batch_faces):
            with torch.no_grad():
                logits = runner.head(runner.trunk(card.preprocessing(batch)))
            answers.append(card.calibration.probabilities(logits).cpu().numpy())
        return np.concatenate(answers)

    def _explain(
        self,
        crops: Sequence[np.ndarray],
        target: str | None,
        minus: str | None,
        method: str,
        networks: Sequence[str] | None,
    ) -> tuple[dict[str, list[NetworkResult]], dict[str, str]]:
        """Each network's results, all networks at once, and why the others have none."""
        target, minus = check_contrast(target, minus)
        if method not in METHODS:
            raise ValueError(f"Unknown method {method!r}; use one of {', '.join(METHODS)}.")

        def explain(name: str) -> list[NetworkResult]:
            card, runner = self.loaded(name)
            for expression in filter(None, (target, minus)):
                _position(card, expression)  # whether or not there is a face
            return [
                result
                for batch in _batches(crops, runner.batch_faces)
                for result in explain_crops(runner, card, batch, target, minus, method)
            ]

        names = dict.fromkeys(self.networks if networks is None else networks)
        running = {name: self._pool.submit(explain, name) for name in names}
        results, unavailable, untrained = {}, {}, False
        for name, run in running.items():
            try:
                results[name] = run.result()
            except (CheckpointError, UnknownExpressionError) as error:
                unavailable[name] = str(error)
                untrained |= isinstance(error, UnknownExpressionError)
        if untrained and not results:
            raise UnknownExpressionError(" ".join(unavailable.values()))
        return results, unavailable


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless the image is (H,W,3) uint8 with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"The image is {image.dtype} {image.shape}; give (height, width, 3) RGB uint8."
        )


def check_contrast(target: str | None, minus: str | None) -> tuple[str | None, str | None]:
    """The two expressions by their canonical names.

    Raises:
        ValueError: if one is unknown, both are the same, or `minus` stands alone.
    """
    target = None if target is None else canonical_expression(target)
    minus = None if minus is None else canonical_expression(minus)
    if minus is not None and target is None:
        raise ValueError(f"minus={minus!r} is taken from a target; give the target too.")
    if minus is not None and target == minus:
        raise ValueError(f"{target} minus itself is nothing; give two different expressions.")
    return target, minus


def _batches(crops: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(crops), size):
        yield list(crops[start : start + size])


def explain_crops(
    runner: Runner,
    card: Card,
    crops: list[np.ndarray],
    target: str | None,
    minus: str | None,
    method: str,
) -> list[NetworkResult]:
    """One run over a batch: answers, attributions and attention come from the same features."""
    began = time.perf_counter()
    features = runner.trunk(card.preprocessing(crops)).requires_grad_(True)  # (N, C, 7, 7)
    attention = [None] * len(crops)
    if has_attention(runner.head):
        columns, rows = runner.head.factors(features)
        logits = runner.head.classify(features, columns * rows)  # (N, K)
        attention = summarise_factors(columns, rows)
    else:
        logits = runner.head(features)
    probabilities = card.calibration.probabilities(logits.detach()).cpu().numpy()  # (N, K)
    answers = probabilities.argmax(axis=1)
    explained = (
        [int(a) for a in answers] if target is None else [_position(card, target)] * len(crops)
    )
    taken_off = None if minus is None else _position(card, minus)
    targets = [Target(expression, taken_off) for expression in explained]
    attributions = attribute_logits(features, logits, targets, method)
    seconds = (time.perf_counter() - began) / len(crops)
    return [
        NetworkResult(
            expression=card.labels[answers[n]],
            probabilities=dict(zip(card.labels, probabilities[n].tolist(), strict=True)),
            gradcam=GradCam(card.labels[explained[n]], attributions[n], method, minus),
            attention=attention[n],
            seconds=seconds,
        )
        for n in range(len(crops))
    ]


def _position(card: Card, expression: str) -> int:
    if expression not in card.labels:
        raise UnknownExpressionError(
            f"{card.name} was not trained on {expression}; it knows {', '.join(card.labels)}."
        )
    return card.labels.index(expression)
