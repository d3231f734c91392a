"""python -m fer_models bench --engines: each trunk in every engine that is installed, in one run.

Why trunks are compiled by OpenVINO: docs/performance.md has what this prints.
"""

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fer_models.analysis import PAGE_NETWORKS
from fer_models.bench import EXAMPLE, in_turns
from fer_models.checkpoints import Checkpoint, load_network
from fer_models.engines import available_cores, openvino_runner
from fer_models.faces import align_face, detect_faces
from fer_models.images import load_image

Trunk = Callable[[Tensor], Tensor]
NEEDS = {
    "torch": (),
    "torch.compile": (),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
}


def compare_engines(repeats: int) -> dict:
    """Each shipped trunk on one aligned face, the engines taking turns.

    Returns:
        A JSON object by network: `ms` (median), `prepare_s` and `largest_difference` (of a feature
        from torch's, relative to torch's largest), each by engine; and `missing`, the packages that
        an engine was left out for.
    """
    photo = load_image(EXAMPLE)
    crop = align_face(photo, detect_faces(photo)[0].landmarks)
    missing = {engine: missing_packages(engine) for engine in NEEDS}
    engines = [engine for engine in NEEDS if not missing[engine]]
    result: dict = {"cores": available_cores(), "missing": {k: v for k, v in missing.items() if v}}
    with tempfile.TemporaryDirectory() as folder:
        result["trunks"] = {
            name: compare_trunks(load_network(name), crop, engines, Path(folder), repeats)
            for name in tqdm(PAGE_NETWORKS, unit="network", disable=None)
        }
    return result


def missing_packages(engine: str) -> list[str]:
    return [name for name in NEEDS[engine] if importlib.util.find_spec(name) is None]


def compare_trunks(
    checkpoint: Checkpoint, crop: np.ndarray, engines: list[str], folder: Path, repeats: int
) -> dict[str, dict[str, float]]:
    """One trunk in each of the engines; see `compare_engines`."""
    images = checkpoint.card.preprocessing([crop])
    ways: dict[str, Trunk] = {}
    prepare_s, features = {}, {}
    for engine in engines:
        began = time.perf_counter()
        ways[engine] = build_trunk(engine, checkpoint, images, folder)
        with torch.no_grad():
            features[engine] = ways[engine](images)
        prepare_s[engine] = time.perf_counter() - began
    largest = features["torch"].abs().max()
    with torch.no_grad():
        ms = in_turns({name: lambda way=way: way(images) for name, way in ways.items()}, repeats)
    return {
        "ms": ms,
        "prepare_s": prepare_s,
        "largest_difference": {
            name: float((found - features["torch"]).abs().max() / largest)
            for name, found in features.items()
        },
    }


def build_trunk(engine: str, checkpoint: Checkpoint, images: Tensor, folder: Path) -> Trunk:
    """A trunk in one of `NEEDS`' engines, made anew: no cache is read.

    Args:
        images: (1,3,S,S), the shape it is made for.
        folder: for its files.
    """
    trunk = checkpoint.network.trunk
    if engine == "torch.compile":
        torch.compiler.reset()
        return torch.compile(trunk, dynamic=False)
    if engine == "onnxruntime":
        return onnxruntime_trunk(trunk, images, folder / f"{checkpoint.card.name}.onnx")
    if engine == "openvino":
        return openvino_runner(checkpoint, folder).trunk
    return trunk


def onnxruntime_trunk(trunk: nn.Module, images: Tensor, file: Path) -> Trunk:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about its own parts
        torch.onnx.export(
            trunk, (images,), file, input_names=["images"], dynamo=True, verbose=False
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def describe_engines(result: dict) -> str:
    """The measurements as lines to read."""
    lines = [
        f"{result['cores']} cores; one aligned face, the trunk alone",
        f"{'':12}{'engine':16}{'ms':>8}{'times faster':>14}{'difference':>12}{'to prepare, s':>15}",
    ]
    for name, trunk in result["trunks"].items():
        for engine, ms in trunk["ms"].items():
            lines.append(
                f"{name:12}{engine:16}{ms:8.1f}{trunk['ms']['torch'] / ms:14.2f}"
                f"{trunk['largest_difference'][engine]:12.1e}{trunk['prepare_s'][engine]:15.1f}"
            )
    lines += [
        f"{engine} is left out; it needs: pip install {' '.join(packages)}"
        for engine, packages in result["missing"].items()
    ]
    return "\n".join(lines)
