"""A checkpoint: a weights file (safetensors) and beside it its card (JSON).

The card says everything that using the weights needs; nothing of it is typed anywhere else.
"""

import copy
import functools
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fer_models.calibration import Calibration
from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing

ASSETS_FOLDER = Path(__file__).resolve().parent.parent / "assets"
SHIPPED_FOLDER = ASSETS_FOLDER / "checkpoints"
DOWNLOADED_FOLDER = ASSETS_FOLDER / "downloaded"  # ignored by git; searched after the shipped ones


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or not what its card says.

    The message may reach a page's visitor, so it names this repository's files from its root on.
    """

    def __init__(self, message: str):
        super().__init__(message.replace(f"{ASSETS_FOLDER.parent}{os.sep}", ""))


@dataclass(frozen=True)
class Card:
    """Everything about a checkpoint.

    Attributes:
        name: the checkpoint's name, which is also its files' name.
        network: key in `NETWORKS`.
        arguments: what the builder takes besides `num_classes`.
        labels: the expressions in the logits' order.
        preprocessing: how a crop becomes the input.
        calibration: how logits become probabilities.
        parameters: number of trainable parameters.
        multiply_adds: of one face's convolutions and matrix products.
        sha256: of the weights file.
        training: data, recipe, minutes, device, and what was cut short.
        metrics: split -> numbers, with the number of images.
        licence: of the weights.
    """

    name: str
    network: str
    arguments: dict
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: Calibration
    parameters: int
    multiply_adds: int
    sha256: str
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    licence: str = ""

    def to_dict(self) -> dict:
        return {
            **self.__dict__,
            "labels": list(self.labels),
            "preprocessing": self.preprocessing.to_dict(),
            "calibration": self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict) -> "Card":
        """From a card's JSON object.

        Raises:
            KeyError, TypeError, ValueError: if it is not what `to_dict` writes.
        """
        for key in ("network", "sha256"):
            if not isinstance(values[key], str):
                raise ValueError(f"its {key} is no text")
        return cls(
            **{
                **values,
                "labels": tuple(values["labels"]),
                "preprocessing": Preprocessing.from_dict(values["preprocessing"]),
                "calibration": Calibration.from_dict(values["calibration"]),
            }
        )


@dataclass(frozen=True)
class Checkpoint:
    """A network with its weights, in evaluation mode, and its card.

    Attributes:
        stored: the network with the weights as the file has them, in half precision for the most
            part, mapped into memory and not copied: it is there to be copied from, not to be run.
            While it is in use, the file may be replaced or deleted, but not written into.
    """

    stored: nn.Module
    card: Card

    @functools.cached_property
    def network(self) -> nn.Module:
        """The network in float32; made when first asked for, as a compiled trunk needs none."""
        return copy.deepcopy(self.stored).float()

    @functools.cached_property
    def head(self) -> nn.Module:
        """The head alone in float32."""
        return copy.deepcopy(self.stored.head).float()


def count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def count_multiply_adds(network: nn.Module, size: int) -> int:
    """Multiply-adds of the convolutions and matrix products for one (3,size,size) image."""
    from torch.utils.flop_counter import FlopCounterMode

    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shipped_checkpoints(folder: Path = SHIPPED_FOLDER) -> list[str]:
    """Names of the checkpoints in a folder."""
    return sorted(card.stem for card in folder.glob("*.json"))


def find_checkpoint(name_or_file: str | Path) -> Path:
    """The weights file of a shipped name, or of a path to a weights file or card.

    Raises:
        CheckpointError: if there is none; the message lists the shipped ones, or says which file
            is missing beside its card.
    """
    candidates = [
        folder / f"{name_or_file}.safetensors" for folder in (SHIPPED_FOLDER, DOWNLOADED_FOLDER)
    ]
    if Path(name_or_file).suffix in {".safetensors", ".json"}:
        candidates.append(Path(name_or_file).with_suffix(".safetensors"))
    for file in candidates:
        if file.is_file():
            return file
    for file in candidates:
        if file.with_suffix(".json").is_file():
            raise CheckpointError(
                f"{file}: these weights are missing beside their card; restore them."
            )
    raise CheckpointError(
        f"No checkpoint {str(name_or_file)!r}. Shipped: "
        f"{', '.join(shipped_checkpoints()) or 'none'}. "
        "Or give the path of a .safetensors file with its .json card beside it."
    )


def load_card(name_or_file: str | Path) -> Card:
    """The card of a checkpoint.

    Raises:
        CheckpointError: if the card is missing, not readable, or not one of this version's.
    """
    file = find_checkpoint(name_or_file).with_suffix(".json")
    try:
        return Card.from_dict(json.loads(file.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: the weights' card is missing; restore it.") from None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: not a valid card ({error}); restore it.") from error


def load_network(name_or_file: str | Path) -> Checkpoint:
    """Build the card's network and give it the weights, which must be the card's own.

    Raises:
        CheckpointError: if a file is missing or damaged, the weights' sha256 is not the card's, or
            a tensor is missing, left over, or of another shape or kind.
    """
    file = find_checkpoint(name_or_file)
    card = load_card(file)
    if card.network not in NETWORKS:
        raise CheckpointError(
            f"{file.with_suffix('.json')}: unknown network {card.network!r}; "
            f"this version has {', '.join(NETWORKS)}."
        )
    found = sha256_of(file)
    if found != card.sha256:
        raise CheckpointError(
            f"{file}: its sha256 is {found[:12]}..., but its card says {card.sha256[:12]}...; "
            "the file is damaged or belongs to another card. Fetch it anew."
        )
    if len(card.calibration.prior) != len(card.labels):
        raise CheckpointError(
            f"{file.with_suffix('.json')}: {len(card.labels)} labels, but a prior of "
            f"{len(card.calibration.prior)}; restore the card."
        )
    try:
        network = NETWORKS[card.network](num_classes=len(card.labels), **card.arguments)
        state = load_file(file)
        check_kinds(network, state)
        network.load_state_dict(state, assign=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{file.with_suffix('.json')}: arguments {card.arguments} do not fit {card.network} "
            f"({error}); restore the card."
        ) from error
    except SafetensorError as error:
        raise CheckpointError(f"{file}: not a safetensors file ({error}).") from error
    except RuntimeError as error:
        raise CheckpointError(f"{file}: the weights do not fit {card.network}: {error}") from error
    return Checkpoint(network.eval().requires_grad_(False), card)


def check_kinds(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Raise RuntimeError if whole numbers stand where real ones belong, or the other way round."""
    for name, tensor in network.state_dict().items():
        if name in state and state[name].is_floating_point() != tensor.is_floating_point():
            raise RuntimeError(f"{name} is {state[name].dtype}, which cannot be {tensor.dtype}.")


def half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: filters and matrices in float16, the few vectors as they are."""
    return {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in state.items()
    }


def write_atomically(file: Path, write) -> None:
    """Let `write(temporary_path)` make a file, then put it in place whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def save_card(card: Card, file: Path) -> None:
    text = json.dumps(card.to_dict(), indent=2) + "\n"
    write_atomically(file, lambda path: path.write_text(text))


def save_checkpoint(
    network: nn.Module, folder: Path, /, *, half: bool = True, **card_fields
) -> Card:
    """Write `folder/NAME.safetensors` and its card, with everything recounted.

    Args:
        half: store filters and matrices in half precision.
        card_fields: the card's fields but `parameters`, `multiply_adds` and `sha256`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights_file = folder / f"{card_fields['name']}.safetensors"
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if half:
        state = half_precision(state)
    write_atomically(weights_file, lambda path: save_file(state, path))
    card = Card(
        **card_fields,
        parameters=count_parameters(network),
        multiply_adds=count_multiply_adds(network, card_fields["preprocessing"].size),
        sha256=sha256_of(weights_file),
    )
    save_card(card, weights_file.with_suffix(".json"))
    return card
