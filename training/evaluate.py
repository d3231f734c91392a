"""python -m training.evaluate: a checkpoint's accuracy on a labelled split."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from fer_models.calibration import Calibration
from fer_models.checkpoints import Card, find_checkpoint, load_network, save_card
from fer_models.preprocessing import Preprocessing
from training.calibrate import fit_calibration
from training.datasets import SPLITS, load_faces
from training.datasets.face_set import FaceSet
from training.datasets.source import data_name
from training.distributed import Workers
from training.metrics import Metrics, measure
from training.plots import draw_confusion, save_figure
from training.records import write_json


def map_side(network: nn.Module) -> int | None:
    """Side of the map that a head's convolutions span (7); None where the head pools any map."""
    kernels = [max(m.kernel_size) for m in network.head.modules() if isinstance(m, nn.Conv2d)]
    side = max(kernels, default=1)
    return side if side > 1 else None


@torch.no_grad()
def misfit(network: nn.Module, size: int) -> str:
    """Why a network's head cannot take the map of images of `size` pixels; empty if it can."""
    side, device = map_side(network), next(network.parameters()).device
    found = network.eval().trunk(torch.zeros(1, 3, size, size, device=device)).shape[-1]
    if side in (None, found):
        return ""
    return f"at {size} pixels the map has {found}x{found} cells, but the head spans {side}x{side}"


def stretch(features: Tensor, side: int | None) -> Tensor:
    """(N,C,h,w) -> (N,C,side,side): small training images give small maps, but a head of
    convolutions spans one size. Unchanged where that is None."""
    if side is None or features.shape[-1] == side:
        return features
    return F.interpolate(features, (side, side), mode="bilinear", align_corners=False)


def head_logits(network: nn.Module, features: Tensor) -> Tensor:
    """Logits (N,K) of a trunk's features, stretched to what the head is made for."""
    return network.head(stretch(features, map_side(network)))


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    faces: FaceSet,
    preprocessing: Preprocessing,
    device: torch.device,
    flip: bool = False,
    batch_size: int = 128,
) -> Tensor:
    """Logits (N,K) on the CPU, in float32; with `flip`, the mean of each face and its mirror."""
    network.eval()
    batches = []
    for start in tqdm(range(0, len(faces), batch_size), desc="evaluate", leave=False):
        crops = torch.from_numpy(faces.crops[start : start + batch_size]).to(device)
        images = preprocessing.enlarge(crops).contiguous(memory_format=torch.channels_last)
        logits = head_logits(network, network.trunk(images))
        if flip:
            logits = (logits + head_logits(network, network.trunk(images.flip(3)))) / 2
        batches.append(logits.float().cpu())
    return torch.cat(batches)


def measure_both(logits: Tensor, faces: FaceSet, calibration: Calibration) -> dict[str, Metrics]:
    """Metrics of the plain softmax, "uncorrected", and of the page's answers, "corrected"."""
    plain = Calibration.none(len(faces.expressions))
    return {
        name: measure(chosen.probabilities(logits).numpy(), faces.labels, faces.expressions)
        for name, chosen in (("uncorrected", plain), ("corrected", calibration))
    }


def describe(metrics: Metrics, expressions: tuple[str, ...]) -> str:
    lines = [
        f"n {metrics.n}",
        f"accuracy {metrics.accuracy:.4f}",
        f"balanced accuracy {metrics.balanced_accuracy:.4f}"
        f" (seven basic expressions {metrics.balanced_accuracy_basic:.4f})",
        f"expected calibration error {metrics.expected_calibration_error:.4f}",
        "recall " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.recall.items()),
        "confusion (rows: label, columns: prediction)",
    ]
    width = max(len(name) for name in expressions)
    for name, row in zip(expressions, metrics.confusion, strict=True):
        lines.append(f"  {name:>{width}} " + " ".join(f"{count:5d}" for count in row))
    return "\n".join(lines)


def validation_split(data: str) -> str:
    """The split of "KIND:PATH" that choices are made on; none of an unknown kind."""
    return SPLITS.get(data.partition(":")[0], ("", "", ""))[1]


def check_recalibration(data: str, split: str, flip: bool) -> None:
    """Raise ValueError if a calibration must not be chosen so.

    Faces that are reported on must not choose it, and the page shows no face to a network twice.
    """
    kind = data.partition(":")[0]
    chosen = validation_split(data) or split  # load_faces knows the unknown kinds
    if split != chosen:
        raise ValueError(
            f"--recalibrate chooses on validation faces, which are {kind}'s {chosen}; "
            f"give --split {chosen}, then measure {split} without --recalibrate."
        )
    if flip:
        raise ValueError("--recalibrate is for answers without their mirrors; leave --flip out.")


def write_results(
    arguments: argparse.Namespace, card: Card, results: dict[str, Metrics], key: str
) -> None:
    """Put the numbers where the command line wants them."""
    numbers = {name: asdict(metrics) for name, metrics in results.items()}
    if arguments.json:
        write_json(arguments.json, {key: numbers})
    if arguments.confusion:
        title = f"{card.name}, {key}: {100 * results['corrected'].accuracy:.2f} %"
        figure = draw_confusion(results["corrected"].confusion, card.labels, title)
        save_figure(figure, arguments.confusion)
    if arguments.write_card or arguments.recalibrate:
        metrics = {**card.metrics, key: {"data": data_name(arguments.data), **numbers}}
        file = find_checkpoint(arguments.checkpoint).with_suffix(".json")
        save_card(replace(card, metrics=metrics), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="a shipped name or a .safetensors file")
    parser.add_argument("--data", required=True, help="KIND:PATH, for example ferplus:../fer2013")
    parser.add_argument("--split", help="by default the one for validation (FER2013: PublicTest)")
    parser.add_argument("--flip", action="store_true", help="average each face with its mirror")
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    parser.add_argument("--confusion", type=Path, help="draw the confusion matrix there, as PNG")
    parser.add_argument(
        "--write-card", action="store_true", help="record the numbers in the checkpoint's card"
    )
    parser.add_argument(
        "--recalibrate",
        action="store_true",
        help="first choose the card's prior correction and temperature anew, on the validation "
        "split; numbers of other splits, which no longer hold, leave the card",
    )
    arguments = parser.parse_args()
    device, split = Workers().device, arguments.split or validation_split(arguments.data)
    try:
        if arguments.recalibrate:
            check_recalibration(arguments.data, split, arguments.flip)
        checkpoint = load_network(arguments.checkpoint)
        card = checkpoint.card
        faces = load_faces(arguments.data, split, card.preprocessing).labelled()
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    if faces.expressions != card.labels:
        parser.exit(
            2,
            f"{arguments.checkpoint} answers {', '.join(card.labels)}, but {arguments.data} is "
            f"labelled {', '.join(faces.expressions)}.\n",
        )
    network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
    logits = predict_logits(network, faces, card.preprocessing, device, arguments.flip)
    if arguments.recalibrate:
        fitted = fit_calibration(
            logits, faces.labels, card.labels, np.array(card.calibration.prior)
        )
        card = replace(card, calibration=fitted, metrics={})
        print(f"strength {fitted.strength}, temperature {fitted.temperature}")
    results = measure_both(logits, faces, card.calibration)
    for name, metrics in results.items():
        print(f"--- {name}\n{describe(metrics, faces.expressions)}")
    key = split + (" with flip" if arguments.flip else "")
    try:
        write_results(arguments, card, results, key)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
