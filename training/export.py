"""python -m training.export: a checkpoint as ONNX, for runtimes without torch.

The graph takes `images` (N,3,S,S), normalised as the card's preprocessing says, and gives `logits`
(N,K); the card is in the file's metadata. Needs the packages onnx and onnxscript.
"""

import argparse
import json
from pathlib import Path

import torch

from fer_models.checkpoints import find_checkpoint, load_network, write_atomically

FORMATS = ("onnx",)


def export_onnx(name_or_file: str | Path, file: Path) -> None:
    """Write a checkpoint's network and card as ONNX, in one file.

    Raises:
        ValueError: if the checkpoint is refused, or the packages for it are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise ValueError(f"ONNX needs a package: pip install onnx onnxscript ({error}).") from error
    checkpoint = load_network(name_or_file)
    size = checkpoint.card.preprocessing.size
    program = torch.onnx.export(
        checkpoint.network,
        (torch.zeros(2, 3, size, size),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("faces")},),
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    card = model.metadata_props.add()
    card.key, card.value = "card", json.dumps(checkpoint.card.to_dict())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda path: onnx.save(model, str(path)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a shipped name or a .safetensors file")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="of the file")
    parser.add_argument("--out", type=Path, help="by default beside the weights")
    arguments = parser.parse_args()
    try:
        default = find_checkpoint(arguments.checkpoint).with_suffix(f".{arguments.format}")
        file = arguments.out or default
        export_onnx(arguments.checkpoint, file)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    print(f"{file}, {file.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
