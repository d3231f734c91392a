"""Runs a trunk: in torch, compiled for the CPU by OpenVINO, or on a GPU in half precision.

A trunk is nearly all of a network's arithmetic, so it alone is compiled. The head stays in torch,
where the gradient of Grad-CAM and the attention maps come from. What an engine gains is measured by
`python -m fer_models bench` and listed in docs/performance.md.
"""

import copy
import functools
import hashlib
import importlib.util
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer_models.checkpoints import Card, Checkpoint, write_atomically

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")
ENGINE_VARIABLE = "FER_MODELS_ENGINE"
CPU_BATCH_FACES = 8
GPU_BATCH_FACES = 128
# Converting patches torch.jit's tracer while it runs, so only one conversion runs at a time.
_conversion = threading.Lock()


@dataclass(frozen=True)
class Runner:
    """How a network runs: `head(trunk(images))` are its logits, on `device`.

    Attributes:
        trunk: (N,3,S,S) float32 images on the CPU -> (N,C,7,7) float32 features on `device`, for
            any N from 1; threads may call it at the same time.
        head: on `device`, float32, without gradients of its own.
        engine: "torch" or "openvino".
        batch_faces: how many faces a call should be given at most.
    """

    trunk: Callable[[Tensor], Tensor]
    head: nn.Module
    engine: str
    device: torch.device
    batch_faces: int


def available_cores(control_group: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may use: its affinity, cut down to its control group's share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores, _group_cores(control_group)))


def _group_cores(folder: Path) -> float:
    """Cores' worth of time that Linux control groups allow, version 2 or 1; infinity if any."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except OSError:
        try:
            quota = (folder / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return float("inf")
    unlimited = quota in {"max", "-1"}
    return float("inf") if unlimited else round(int(quota) / int(period))


def limit_torch_threads() -> None:
    """Keep torch from starting more threads than there are cores for them."""
    if torch.get_num_threads() > available_cores():
        torch.set_num_threads(available_cores())


def cache_folder() -> Path:
    """Where compiled models are kept; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fer-models"


def choose_engine(engine: str | None = None) -> str:
    """The engine that "auto" stands for here, or the one asked for.

    Args:
        engine: one of `ENGINES`; the environment's FER_MODELS_ENGINE, or "auto", if None.

    Raises:
        ValueError: if it is unknown or not installed.
    """
    engine = _asked(engine)
    if engine not in ENGINES:
        raise ValueError(f"Unknown engine {engine!r}; use one of {', '.join(ENGINES)}.")
    installed = _is_installed("openvino")
    if engine == "openvino" and not installed:
        raise ValueError("The openvino engine is not installed; run: pip install openvino")
    if engine == "auto":
        return "openvino" if installed and not torch.cuda.is_available() else "torch"
    return engine


def _asked(engine: str | None) -> str:
    return engine or os.environ.get(ENGINE_VARIABLE) or "auto"


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def build_runner(
    checkpoint: Checkpoint, engine: str | None = None, precision: str = "f32"
) -> Runner:
    """A checkpoint's network, ready to run; what cannot be compiled runs in torch.

    Args:
        precision: of a compiled trunk's arithmetic, "f32" or "bf16".

    Raises:
        ValueError: see `choose_engine`.
    """
    compiled = functools.partial(openvino_runner, precision=precision)
    ways = {"openvino": compiled} if choose_engine(engine) == "openvino" else {}
    if torch.cuda.is_available():
        ways["gpu"] = gpu_runner
        if _asked(engine) == "auto" and _is_installed("openvino"):
            ways["openvino"] = compiled
    for way, make in ways.items():
        try:
            return make(checkpoint)
        except Exception as error:  # whatever it meets, torch on the CPU has the same answer
            name = checkpoint.card.name
            logger.warning("%s: %s failed, so another runs it: %s", name, way, error)
    return torch_runner(checkpoint)


def gpu_runner(checkpoint: Checkpoint) -> Runner:
    """The trunk on the GPU in half precision.

    Raises:
        RuntimeError: if one face does not run there: no room, or no kernels for that GPU.
    """
    runner = torch_runner(checkpoint, torch.device("cuda"), torch.half, GPU_BATCH_FACES)
    runner.head(runner.trunk(torch.zeros(1, 3, *[checkpoint.card.preprocessing.size] * 2)))
    return runner


def torch_runner(
    checkpoint: Checkpoint,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    batch_faces: int = CPU_BATCH_FACES,
) -> Runner:
    """The trunk in torch, on a device and in a precision; the checkpoint's own is left alone."""
    device = torch.device(device)
    if (device.type, dtype) == ("cpu", torch.float32):
        trunk, head = checkpoint.network.trunk, checkpoint.head
    else:
        trunk = copy.deepcopy(checkpoint.stored.trunk)
        trunk = trunk.to(device, dtype, memory_format=torch.channels_last)
        head = copy.deepcopy(checkpoint.head).to(device)

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return trunk(images.to(device, dtype)).float()

    return Runner(run, head, "torch", device, batch_faces)


def openvino_runner(
    checkpoint: Checkpoint, folder: Path | None = None, precision: str = "f32"
) -> Runner:
    """The trunk compiled for this CPU.

    Args:
        folder: of compiled models; `cache_folder()` if None.
        precision: of its arithmetic, "f32" or "bf16".

    Raises:
        ImportError: if OpenVINO is not installed. RuntimeError: if it cannot compile the trunk.
    """
    trunk = CompiledTrunk(checkpoint, folder or cache_folder(), precision)
    return Runner(trunk, checkpoint.head, "openvino", torch.device("cpu"), CPU_BATCH_FACES)


@functools.cache
def _networks_hash() -> str:
    """Of the networks' code: weights mean something else once it changes."""
    files = sorted(Path(__file__).with_name("networks").glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class CompiledTrunk:
    """A trunk that OpenVINO compiled: batch normalisation folded, answers in float32.

    The first run on a machine converts and compiles, which takes seconds, and keeps the result in
    the cache folder; later ones map that file into memory, and need no torch trunk.

    One model for one face does it all: on a CPU, a face among eight takes as long as a face alone,
    and a second model for batches would need its own copy of the weights.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, precision: str = "f32"):
        import openvino

        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": available_cores(),
            "ENABLE_CPU_PINNING": False,  # two pinned models would wait for the same core
        }
        file = folder / self._cache_name(checkpoint.card)
        found = self._read(file)
        self._model = self._compile(checkpoint, file) if found is None else found

    def __call__(self, images: Tensor) -> Tensor:
        """(N,3,S,S) float32 -> (N,C,7,7) float32; each call has a request of its own."""
        request = self._model.create_infer_request()
        features = []
        for face in np.ascontiguousarray(images.numpy()):
            request.infer([face[None]], share_inputs=True)
            features.append(request.get_output_tensor().data.copy())
        return torch.from_numpy(np.concatenate(features))

    def _cache_name(self, card: Card) -> str:
        """The file's name says all that the model was made from."""
        import openvino

        made_from = [card.sha256, card.network, card.arguments, card.preprocessing.size]
        made_from += [_networks_hash(), self._settings["INFERENCE_PRECISION_HINT"]]
        made_by = [openvino.__version__, self._core.get_property("CPU", "FULL_DEVICE_NAME")]
        key = hashlib.sha256(json.dumps(made_from + made_by).encode()).hexdigest()
        return f"{card.network}-{key[:32]}.blob"

    def _read(self, file: Path):
        """The model in the cache, or None if it is not there or not readable."""
        import openvino

        try:
            # Copy on write: the engine asks for memory that it may write to.
            self._mapped = np.memmap(file, dtype=np.uint8, mode="c")
            stored = openvino.Tensor(self._mapped, shared_memory=True)
            return self._core.import_model(stored, "CPU", self._settings)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RuntimeError) as error:
            logger.warning("%s is not readable and is made anew: %s", file, error)
            return None

    def _compile(self, checkpoint: Checkpoint, file: Path):
        """The model made anew, and kept in the cache if that is writable."""
        import openvino

        logger.info("Compiling the trunk of %s for this CPU, once.", checkpoint.card.name)
        face = torch.zeros(1, 3, *[checkpoint.card.preprocessing.size] * 2)
        with _conversion, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer is deprecated, and traces no branch here
            trunk = copy.deepcopy(checkpoint.stored.trunk).float()  # needed here alone
            model = openvino.convert_model(trunk, example_input=face)
        model.reshape(list(face.shape))
        compiled = self._core.compile_model(model, "CPU", self._settings)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            content = compiled.export_model().getvalue()
            write_atomically(file, lambda path: path.write_bytes(content))
        except OSError as error:
            logger.info("The compiled model is not kept: %s", error)
        return compiled
