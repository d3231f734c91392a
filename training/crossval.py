"""python -m training.crossval: stratified k-fold cross-validation, resumable per fold.

The folds part the training split's labelled faces; the test split stays unseen. Faces without an
agreed label train in every fold and are measured in none.
"""

import argparse
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fer_models.calibration import Calibration
from fer_models.checkpoints import load_network
from training.datasets import SPLITS, load_faces
from training.datasets.face_set import NO_LABEL, FaceSet
from training.datasets.source import data_name
from training.distributed import Workers, refuse_several_processes
from training.engine import BFLOAT16_HELP, NotFinished, Run, deadline_in, minutes_until
from training.evaluate import predict_logits
from training.memory import keep_freed_memory
from training.metrics import Metrics, measure
from training.recipe import SET_HELP, Recipe, load_recipe
from training.records import BFLOAT16, read_record, write_json


def stratified_folds(labels: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Fold numbers (N,) of labels (N,); -1 where there is no label.

    Every expression is dealt out evenly, each going on where the one before it ended, so that the
    folds' sizes differ by one face at most.
    """
    generator = np.random.default_rng(seed)
    numbers = np.full(len(labels), NO_LABEL)
    dealt = np.concatenate(
        [generator.permutation(np.flatnonzero(labels == k)) for k in range(labels.max() + 1)]
    )
    numbers[dealt] = np.arange(len(dealt)) % folds
    return numbers


def measure_checkpoint(file: Path, faces: FaceSet, flip: bool) -> Metrics:
    """Uncorrected metrics of a checkpoint on labelled faces."""
    checkpoint, device = load_network(file), Workers().device
    network = checkpoint.network.to(device)
    logits = predict_logits(network, faces, checkpoint.card.preprocessing, device, flip)
    plain = Calibration.none(len(faces.expressions)).probabilities(logits).numpy()
    return measure(plain, faces.labels, faces.expressions)


def run_fold(
    recipe: Recipe,
    faces: FaceSet,
    numbers: np.ndarray,
    fold: int,
    out: Path,
    kind: str,
    deadline: float | None,
    bfloat16: bool = False,
) -> Metrics:
    """Train on all folds but one and measure on that one, uncorrected; kept in `out`'s folder.

    Args:
        deadline: when training must stop, as `time.monotonic` counts.

    Raises:
        NotFinished: if the minutes ran out; the next call goes on.
        ValueError: if the folder holds a fold of another recipe, data set, number of folds or
            precision, or the training diverges.
    """
    folder = out / f"fold-{fold + 1:02d}"
    file = folder / "metrics.json"
    origin = {
        "recipe": recipe.to_dict(),
        "data": kind,
        "number of images": len(faces),
        "number of folds": int(numbers.max()) + 1,
        BFLOAT16: bfloat16,
    }
    record = read_record(file, origin)
    if record and record["metrics"]:
        return Metrics(**record["metrics"])
    held_out = faces.subset(numbers == fold)
    train_faces = faces.subset(numbers != fold)
    run = Run(recipe, train_faces, held_out, folder, resume=True, bfloat16=bfloat16)
    write_json(file, {**origin, "metrics": None})  # a fold that is broken off says whose it is
    run.train(minutes_until(deadline))
    run.export("checkpoint", kind)
    metrics = measure_checkpoint(folder / "checkpoint.safetensors", held_out, recipe.test_flip)
    write_json(file, {**origin, "metrics": asdict(metrics)})
    return metrics


def describe(results: list[Metrics]) -> str:
    lines = [
        f"fold {number}: n {metrics.n}, accuracy {metrics.accuracy:.4f}, "
        f"balanced accuracy {metrics.balanced_accuracy:.4f}"
        for number, metrics in enumerate(results, start=1)
    ]
    accuracies = [metrics.accuracy for metrics in results]
    spread = np.std(accuracies, ddof=1) if len(results) > 1 else 0.0
    lines.append(f"mean accuracy {np.mean(accuracies):.4f}, standard deviation {spread:.4f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="for example training/recipes/ddamfn.toml")
    parser.add_argument("--data", required=True, help="KIND:PATH, for example ferplus:../fer2013")
    parser.add_argument("--out", type=Path, required=True, help="one folder a fold goes there")
    parser.add_argument("--folds", type=int, default=10, help="how many (10)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=SET_HELP)
    parser.add_argument("--minutes", type=float, help="stop after that many; call again to go on")
    parser.add_argument("--bfloat16", action="store_true", help=BFLOAT16_HELP)
    arguments = parser.parse_args()
    deadline = deadline_in(arguments.minutes)
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    name = data_name(arguments.data)
    if arguments.folds < 2:
        parser.error("--folds: at least 2.")
    try:
        refuse_several_processes()
        recipe = load_recipe(arguments.recipe, arguments.set)
        split = SPLITS.get(arguments.data.partition(":")[0], ("",))[0]
        faces = load_faces(arguments.data, split, recipe.preprocessing, recipe.fer2013_weight)
        numbers = stratified_folds(faces.labels, arguments.folds)
        out, bfloat16 = arguments.out, arguments.bfloat16
        results = [
            run_fold(recipe, faces, numbers, fold, out, name, deadline, bfloat16)
            for fold in range(arguments.folds)
        ]
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    except NotFinished as stopped:
        parser.exit(0, f"{stopped} Give the same command again.\n")
    print(describe(results))


if __name__ == "__main__":
    main()
