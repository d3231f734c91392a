"""Whether to believe a map: deletion and insertion, randomised weights, and stability.

Every measurement is a generator. It yields a `Progress` after each batch of work, the last one
with the result; a caller who stops iterating cancels the rest, and nothing is left to undo.
`finish` runs one to its end.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fer_models.checkpoints import Checkpoint
from fer_models.explain.cam import Target, attribute
from fer_models.manipulation import (
    COVER_BLUR_PX,
    blur_image,
    change_brightness,
    compress_image,
    shift_image,
)

BATCH_SIZE = 8
STEPS = 7  # of seven cells each, where the map has 49
RANDOM_ORDERS = 10
DRAWS = 3
SAME_MAP_CORRELATION = 0.5
SHIFTS_PX = (1, 2, 4)
BRIGHTNESS_FACTORS = (0.6, 0.8, 1.25, 1.5)
JPEG_QUALITIES = (90, 70, 50, 30)

# N crops (S,S,3) RGB uint8 -> probabilities (N,K).
Predict = Callable[[Sequence[np.ndarray]], np.ndarray]
# N crops (S,S,3) RGB uint8 -> probabilities (N,K), and attributions (N,7,7) to one same expression.
Explain = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress(Generic[Result]):
    """How far a measurement is, in network inputs or maps; the last one has the result."""

    done: int
    total: int
    result: Result | None = None


def finish(steps: Iterator[Progress[Result]]) -> Result:
    """Run a measurement to its end and return its result."""
    *_, last = steps
    return last.result


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, -1..1, of two maps' cells; 0 where a map is the same everywhere."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


@dataclass(frozen=True)
class FaithfulnessCurves:
    """The target's probability while cells of the face are blurred, or come back.

    Attributes:
        target: the expression whose probability is followed, by position.
        shares: (S+1,) the share of the cells that changed so far, 0..1.
        deletion: (S+1,) the cells are blurred, the map's highest first; a good map falls fast.
        insertion: (S+1,) they come back to a blurred face; a good map rises fast.
        centre_deletion: (S+1,) as `deletion`, from the middle outwards: an order that knows where
            a face is, but nothing of the network.
        centre_insertion: (S+1,) the same for insertion.
        random_deletion: (R,S+1) random orders.
    """

    target: int
    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    centre_deletion: np.ndarray
    centre_insertion: np.ndarray
    random_deletion: np.ndarray

    @property
    def random_insertion(self) -> np.ndarray:
        """(R,S+1) the random orders backwards: the same pictures, as random as forwards."""
        return self.random_deletion[:, ::-1]

    @property
    def deletion_area(self) -> float:
        """Under the curve, 0..1; lower is better."""
        return float(self._area(self.deletion))

    @property
    def insertion_area(self) -> float:
        """Under the curve, 0..1; higher is better."""
        return float(self._area(self.insertion))

    @property
    def centre_deletion_area(self) -> float:
        return float(self._area(self.centre_deletion))

    @property
    def centre_insertion_area(self) -> float:
        return float(self._area(self.centre_insertion))

    @property
    def random_area(self) -> float:
        """The random orders' mean area, the same for deletion and insertion."""
        return float(self._area(self.random_deletion).mean())

    @property
    def random_spread(self) -> float:
        """The standard deviation of the random orders' areas."""
        return float(self._area(self.random_deletion).std(ddof=1))

    @property
    def random_below_deletion(self) -> float:
        """The share of the random orders whose deletion area is as low or lower, 0..1."""
        return float((self._area(self.random_deletion) <= self.deletion_area).mean())

    @property
    def random_above_insertion(self) -> float:
        """The share of the random orders whose insertion area is as high or higher, 0..1."""
        return float((self._area(self.random_insertion) >= self.insertion_area).mean())

    @property
    def deletion_beats_random(self) -> bool:
        """Whether no random order is as good; by chance, that is so once in R + 1 times."""
        return self.random_below_deletion == 0

    @property
    def insertion_beats_random(self) -> bool:
        """As `deletion_beats_random`."""
        return self.random_above_insertion == 0

    @property
    def beats_random(self) -> bool:
        return self.deletion_beats_random and self.insertion_beats_random

    @property
    def beats_centre(self) -> bool:
        """Whether both areas are better than those of the order from the middle outwards."""
        return (
            self.deletion_area < self.centre_deletion_area
            and self.insertion_area > self.centre_insertion_area
        )

    def _area(self, curves: np.ndarray) -> np.ndarray:
        return np.trapezoid(curves, self.shares, axis=-1)


def measure_faithfulness(
    predict: Predict,
    crop: np.ndarray,
    attribution: np.ndarray,
    target: int,
    *,
    steps: int = STEPS,
    random_orders: int = RANDOM_ORDERS,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Progress[FaithfulnessCurves]]:
    """Deletion and insertion of a map's cells (RISE, arXiv 1806.07421, section 4.1).

    The map's own cells are the unit: what is drawn between them is interpolated. A deleted cell
    shows the face blurred by 8 px, which hides an expression but, unlike RISE's constant, draws no
    edge that a network could take for a feature.

    Args:
        predict: crops to probabilities.
        crop: (S,S,3) RGB uint8.
        attribution: (h,w), higher where the target's evidence is.
        target: position of the expression that the map explains.
        steps: into how many parts the cells are divided; odd, or a divisor of their number, so
            that an order backwards passes the same pictures.
        random_orders: at least two, for their spread.

    Raises:
        ValueError: if `steps` or `random_orders` do not fit.
    """
    cells = attribution.size
    counts = np.rint(np.linspace(0, cells, steps + 1)).astype(int)
    if steps > cells or not (counts + counts[::-1] == cells).all():
        raise ValueError(f"{steps} steps do not divide {cells} cells evenly; take an odd number.")
    if random_orders < 2:
        raise ValueError(f"{random_orders} random orders have no spread; take two or more.")
    generator = np.random.default_rng(seed)
    by_map = np.argsort(-attribution.ravel(), kind="stable")
    by_centre = np.argsort(_distance_from_centre(attribution.shape).ravel(), kind="stable")
    at_random = [generator.permutation(cells) for _ in range(random_orders)]
    deletions = [_shown_after(order, counts) for order in (by_map, by_centre, *at_random)]
    insertions = [~_shown_after(order, counts) for order in (by_map, by_centre)]
    shown = np.stack(deletions + insertions)  # (curves, S+1, cells)
    # The curves share their ends, so each picture is predicted once.
    pictures, where = np.unique(shown.reshape(-1, cells), axis=0, return_inverse=True)
    blurred = blur_image(crop, COVER_BLUR_PX)
    followed = np.empty(len(pictures))
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size].reshape(-1, *attribution.shape)
        probabilities = predict([show_cells(crop, blurred, cells) for cells in batch])
        followed[start : start + len(batch)] = probabilities[:, target]
        if start + len(batch) < len(pictures):
            yield Progress(start + len(batch), len(pictures))
    curves = followed[where].reshape(shown.shape[:2])  # (curves, S+1)
    result = FaithfulnessCurves(
        target=target,
        shares=counts / cells,
        deletion=curves[0],
        centre_deletion=curves[1],
        random_deletion=curves[2:-2],
        insertion=curves[-2],
        centre_insertion=curves[-1],
    )
    yield Progress(len(pictures), len(pictures), result)


def show_cells(crop: np.ndarray, blurred: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """The crop (S,S,3) in the cells where `shown` (h,w) is True, elsewhere the blurred one."""
    rows, columns = (np.arange(crop.shape[i]) * shown.shape[i] // crop.shape[i] for i in (0, 1))
    return np.where(shown[rows[:, None], columns, None], crop, blurred)


def _shown_after(order: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(S+1,cells) bool: True in the cells that are left when the first `counts` are deleted."""
    rank = np.argsort(order)
    return rank[None] >= counts[:, None]


def _distance_from_centre(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2)


@dataclass(frozen=True)
class Randomisation:
    """Whether a map changes when the network's weights do.

    A map made under a random head is still a weighted sum of the trained trunk's features, so
    some likeness is expected at first. Signs are random too: read the absolute values.

    Attributes:
        levels: what was randomised last, "head" first, then the trunk's stages downwards; each
            level keeps the earlier ones randomised.
        original: (7,7) the map of the trained network.
        maps: (draws,levels,7,7) the maps of the randomised ones.
    """

    levels: tuple[str, ...]
    original: np.ndarray
    maps: np.ndarray

    @property
    def correlations(self) -> np.ndarray:
        """(draws,levels) Spearman's, -1..1, of each map and the original."""
        return np.array(
            [[rank_correlation(self.original, one) for one in draw] for draw in self.maps]
        )

    @property
    def likeness(self) -> np.ndarray:
        """(levels,) mean of the absolute correlations over the draws, 0..1."""
        return np.abs(self.correlations).mean(axis=0)

    @property
    def depends_on_weights(self) -> bool:
        """Whether the likeness is below 0.5 once every weight is random."""
        return bool(self.likeness[-1] < SAME_MAP_CORRELATION)


def measure_randomisation(
    checkpoint: Checkpoint,
    crop: np.ndarray,
    target: Target,
    *,
    method: str = "grad-cam",
    draws: int = DRAWS,
    seed: int = 0,
) -> Iterator[Progress[Randomisation]]:
    """Cascading randomisation of copies of a network (arXiv 1810.03292, section 3).

    Each weight tensor is shuffled, so that its values, and with them its scale, stay. Batch
    normalisation would then divide by the deviations of activations that no longer exist, and the
    signal dies within two stages; so the randomised stages' statistics are measured anew, on the
    crop in its four quarter turns.

    Args:
        checkpoint: its network is left as it is.
        crop: (S,S,3) RGB uint8.
        method: see `explain.cam.METHODS`.
    """
    inputs = {}  # of every module, in the trained network
    with torch.no_grad():
        turns = [np.ascontiguousarray(np.rot90(crop, quarter)) for quarter in range(4)]
        values = checkpoint.card.preprocessing(turns)
        for name, module in _in_order(checkpoint.network).items():
            inputs[name] = values
            values = module(values)
    face = inputs["head"][:1]  # the features of the crop as it is
    original = attribute(checkpoint.network.head, face, [target], method)[0]
    top_down = reversed(_in_order(checkpoint.network).items())
    levels = tuple(name for name, module in top_down if list(module.parameters()))
    maps = np.empty((draws, len(levels), *original.shape), dtype=np.float32)
    generator = torch.Generator().manual_seed(seed)
    total = draws * len(levels)
    for draw in range(draws):
        network = copy.deepcopy(checkpoint.network)
        modules = _in_order(network)
        for depth, level in enumerate(levels):
            _shuffle_weights(modules[level], generator)
            randomised = list(modules.values())[list(modules).index(level) :]
            face = _measure_statistics(randomised, inputs[level])[:1]
            maps[draw, depth] = attribute(network.head, face, [target], method)[0]
            done = draw * len(levels) + depth + 1
            if done < total:
                yield Progress(done, total)
    yield Progress(total, total, Randomisation(levels, original, maps))


def _in_order(network: nn.Module) -> dict[str, nn.Module]:
    """The trunk's stages by name, then the head."""
    return {**dict(network.trunk.named_children()), "head": network.head}


@torch.no_grad()
def _shuffle_weights(module: nn.Module, generator: torch.Generator) -> None:
    for weights in module.parameters():
        order = torch.randperm(weights.numel(), generator=generator)
        weights.copy_(weights.flatten()[order].view_as(weights))


@torch.no_grad()
def _measure_statistics(modules: list[nn.Module], values: Tensor) -> Tensor:
    """Run modules, the last being the head; their batch norms take this batch's statistics.

    Returns:
        The features that reached the head.
    """
    norms = [m for module in modules for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    for module in modules:
        features, values = values, module(values)
    for norm in norms:
        norm.eval()
    return features


@dataclass(frozen=True)
class Perturbed:
    """What a small change of the crop did.

    Attributes:
        kind: "shift_x" or "shift_y" (pixels to the right or down), "brightness" (factor) or
            "jpeg" (quality).
        amount: in the unit of its kind.
        correlation: Spearman's, -1..1, of the map and that of the unchanged crop.
        probability: of the target.
        probability_change: from the unchanged crop's.
        answer: the most probable expression, by position.
    """

    kind: str
    amount: float
    correlation: float
    probability: float
    probability_change: float
    answer: int


@dataclass(frozen=True)
class Stability:
    """How little a network's answer and map change when the crop hardly does.

    Attributes:
        target: the expression that the maps explain, by position.
        probability: the target's, for the unchanged crop.
        answer: the most probable expression for it, by position.
    """

    target: int
    probability: float
    answer: int
    perturbed: tuple[Perturbed, ...]

    @property
    def answers_kept(self) -> float:
        """The share of the changed crops that get the same answer, 0..1."""
        return float(np.mean([p.answer == self.answer for p in self.perturbed]))

    @property
    def largest_change(self) -> Perturbed:
        """The change of the crop that moved the target's probability most, up or down."""
        return max(self.perturbed, key=lambda p: abs(p.probability_change))

    @property
    def lowest_correlation(self) -> Perturbed:
        """The change of the crop after which the map was least like the first."""
        return min(self.perturbed, key=lambda p: p.correlation)

    @property
    def mean_correlation(self) -> float:
        return float(np.mean([p.correlation for p in self.perturbed]))


def perturb(crop: np.ndarray) -> list[tuple[str, float, np.ndarray]]:
    """The changes that `measure_stability` tries: kind, amount, and the changed crop."""
    signed = [sign * px for px in SHIFTS_PX for sign in (-1, 1)]
    return [
        *(("shift_x", px, shift_image(crop, px, 0)) for px in signed),
        *(("shift_y", px, shift_image(crop, 0, px)) for px in signed),
        *(("brightness", f, change_brightness(crop, f)) for f in BRIGHTNESS_FACTORS),
        *(("jpeg", quality, compress_image(crop, quality)) for quality in JPEG_QUALITIES),
    ]


def measure_stability(
    explain: Explain, crop: np.ndarray, target: int, *, batch_size: int = BATCH_SIZE
) -> Iterator[Progress[Stability]]:
    """A face's answer and map under small shifts, other light and JPEG.

    Args:
        explain: crops to probabilities and to the attributions to the target.
        crop: (112,112,3) RGB uint8.
        target: position of the expression that `explain` explains.
    """
    changed = perturb(crop)
    crops = [crop, *(image for _, _, image in changed)]
    probabilities, maps = [], []
    for start in range(0, len(crops), batch_size):
        batch = explain(crops[start : start + batch_size])
        probabilities.extend(batch[0])
        maps.extend(batch[1])
        if len(maps) < len(crops):
            yield Progress(len(maps), len(crops))
    before = float(probabilities[0][target])
    perturbed = tuple(
        Perturbed(
            kind=kind,
            amount=amount,
            correlation=rank_correlation(maps[0], one),
            probability=float(row[target]),
            probability_change=float(row[target]) - before,
            answer=int(np.argmax(row)),
        )
        for (kind, amount, _), row, one in zip(changed, probabilities[1:], maps[1:], strict=True)
    )
    result = Stability(target, before, int(np.argmax(probabilities[0])), perturbed)
    yield Progress(len(crops), len(crops), result)
