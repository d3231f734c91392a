"""python -m fer_models bench: this library against the plain way, on this machine, in one run.

The plain way is what a demo usually does: each network in torch, explained by one ordinary call of
the grad-cam package, and MTCNN on the photograph at full size. Both ways take turns, each going
first every other time, and medians are compared. The floor is the three trunks' multiply-adds over
the fastest matrix product measured here: time that no engine of this kind can save.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer, NetworkResult
from fer_models.checkpoints import (
    ASSETS_FOLDER,
    Checkpoint,
    count_multiply_adds,
    load_network,
)
from fer_models.engines import available_cores
from fer_models.faces import align_face, detect_faces, load_detector
from fer_models.images import load_image
from fer_models.live import LiveSession
from fer_models.words import load_words

EXAMPLE = ASSETS_FOLDER / "examples" / "eileen_collins.jpg"
MIN_REPEATS = 20
PHOTO_SIDE_PX = 1920
LIVE_FRAMES = 60
BATCHES = (1, 8, 64)
PICTURES = (1, 50, 200)
START_REPEATS = 5
PRODUCT_SIDE = 2048
FRESH_START = """
from fer_models.analysis import Analyzer
from fer_models.images import load_image
import sys
assert Analyzer().analyze(load_image(sys.argv[1])).faces
"""
FRESH_PICTURES = """
import json, sys, time
from pathlib import Path
from fer_models.bench import peak_memory_mib
from fer_models.analysis import Analyzer
from fer_models.batch import PictureFile, analyze_pictures
file, *counts = sys.argv[1:]
analyzer = Analyzer()
for count in map(int, counts):
    began = time.perf_counter()
    pictures = [PictureFile(f"{number}.jpg", Path(file)) for number in range(count)]
    assert all(result.analysis.faces for result in analyze_pictures(analyzer, pictures))
    seconds = time.perf_counter() - began
    found = {"pictures": count, "pictures_per_second": count / seconds}
    print(json.dumps({**found, "peak_memory_mib": peak_memory_mib()}))
"""


def benchmark(
    repeats: int = MIN_REPEATS,
    *,
    photo_side_px: int = PHOTO_SIDE_PX,
    live_frames: int = LIVE_FRAMES,
    batches: Sequence[int] = BATCHES,
    pictures: Sequence[int] = PICTURES,
    start_repeats: int = START_REPEATS,
) -> dict:
    """Every measurement, as a JSON object; times are medians in milliseconds.

    Args:
        repeats: runs of each way.
        photo_side_px: of the square photograph that is searched.
        live_frames: frames of each live session.
        batches: numbers of faces that are explained at once.
        pictures: numbers of picture files that a fresh process explains, one set after another.
        start_repeats: fresh processes that are started after a first one.

    Raises:
        ValueError: where there is a GPU, which the plain way and the floor would not use.
    """
    if torch.cuda.is_available():
        raise ValueError(
            "the plain way and the floor are the processor's, and do not compare with a GPU; hide "
            "it: CUDA_VISIBLE_DEVICES= python -m fer_models bench"
        )
    photo = Image.fromarray(load_image(EXAMPLE))
    photo = np.asarray(photo.resize((photo_side_px, photo_side_px), Image.Resampling.BICUBIC))
    crop = align_face(photo, detect_faces(photo)[0].landmarks)
    ours = Analyzer(PAGE_NETWORKS)
    plain: list[Checkpoint] = []

    def load_plainly() -> list[str]:
        plain.extend(ordinary(load_network(name)) for name in PAGE_NETWORKS)
        return [checkpoint.card.sha256 for checkpoint in plain]

    stages = {
        "machine": lambda: describe_machine(ours),
        # First of the work, while nothing else has used memory.
        "batch": lambda: [measure_batch(ours, crop, n, repeats) for n in batches],
        "weights_sha256": load_plainly,
        "equality": lambda: compare_answers(ours, plain, crop),
        "floor": lambda: measure_floor(plain, repeats),
        "trunks_ms": lambda: {n: measure_trunk(ours, n, crop, repeats) for n in PAGE_NETWORKS},
        "face": lambda: measure_face(ours, plain, crop, repeats),
        "photo": lambda: measure_photo(ours, plain, photo, repeats),
        "page_ms": lambda: measure_page(ours, photo, repeats),
        "live": lambda: [measure_live(ours, PAGE_NETWORKS[:n], live_frames) for n in (2, 3)],
        "pictures": lambda: measure_pictures(pictures),
        "start": lambda: measure_start(start_repeats),
    }
    return {name: stages[name]() for name in tqdm(stages, unit="stage", disable=None)}


def ordinary(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint as the grad-cam package needs it: with gradients."""
    checkpoint.network.requires_grad_(True)
    return checkpoint


def explain_plainly(checkpoint: Checkpoint, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The package's ordinary call on the whole network, without the head's maps.

    Returns:
        Probabilities (K,), and the heatmap (112,112) in 0..1 of the likeliest class.
    """
    from pytorch_grad_cam import GradCAM

    network, card = checkpoint.network, checkpoint.card
    with GradCAM(network, [network.trunk]) as package:
        heatmap = package(card.preprocessing([crop]), None)[0]
        probabilities = card.calibration.probabilities(package.outputs.detach())[0]
    return probabilities.numpy(), heatmap


def compare_answers(ours: Analyzer, plain: Sequence[Checkpoint], crop: np.ndarray) -> dict:
    """How far the two ways' answers are apart; both explain the likeliest class before calibration.

    Returns:
        The largest difference of a probability, and the smallest correlation of two heatmaps.
    """
    from pytorch_grad_cam.utils.image import scale_cam_image

    differences, correlations = [], []
    for name, checkpoint in zip(ours.networks, plain, strict=True):
        card = checkpoint.card
        probabilities, heatmap = explain_plainly(checkpoint, crop)
        with torch.no_grad():
            logits = checkpoint.network(card.preprocessing([crop]))
        target = card.labels[int(logits.argmax())]
        result = ours.analyze_crops([crop], target=target, networks=[name])[name][0]
        values = np.array(list(result.probabilities.values()))
        differences.append(float(np.abs(values - probabilities).max()))
        drawn = scale_cam_image(np.maximum(result.gradcam.values, 0)[None], heatmap.shape)[0]
        correlations.append(float(np.corrcoef(drawn.ravel(), heatmap.ravel())[0, 1]))
    return {
        "largest_probability_difference": max(differences),
        "smallest_heatmap_correlation": min(correlations),
    }


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each way; every other round goes in the opposite order."""
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            ways[name]()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_floor(plain: Sequence[Checkpoint], repeats: int) -> dict:
    """The trunks' multiply-adds over the fastest of this machine's float32 matrix products."""
    one, other = torch.randn(2, PRODUCT_SIDE, PRODUCT_SIDE)
    fastest = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        torch.mm(one, other)
        fastest = min(fastest, time.perf_counter() - began)
    peak = PRODUCT_SIDE**3 / fastest
    work = sum(
        count_multiply_adds(each.network.trunk, each.card.preprocessing.size) for each in plain
    )
    return {
        "peak_giga_multiply_adds_per_s": peak / 1e9,
        "trunks_giga_multiply_adds": work / 1e9,
        "ms": 1000 * work / peak,
    }


def measure_trunk(ours: Analyzer, name: str, crop: np.ndarray, repeats: int) -> dict[str, float]:
    """One trunk on one face, in torch and in our engine."""
    checkpoint = ours.checkpoint(name)
    images = checkpoint.card.preprocessing([crop])

    def in_torch() -> None:
        with torch.no_grad():
            checkpoint.network.trunk(images)

    return in_turns({"torch": in_torch, "ours": lambda: ours.runner(name).trunk(images)}, repeats)


def measure_face(
    ours: Analyzer, plain: Sequence[Checkpoint], crop: np.ndarray, repeats: int
) -> dict[str, float]:
    """One aligned face, from the plain way to ours, with each step on the way.

    All but the plain way give the heads' maps too.
    """
    in_torch = Analyzer(ours.networks, engine="torch")

    def one_after_another(analyzer: Analyzer) -> None:
        for name in analyzer.networks:
            analyzer.analyze_crops([crop], networks=[name])

    return in_turns(
        {
            "plain": lambda: [explain_plainly(checkpoint, crop) for checkpoint in plain],
            "gradient through the head alone": lambda: one_after_another(in_torch),
            "compiled trunks": lambda: one_after_another(ours),
            "ours": lambda: ours.analyze_crops([crop]),
        },
        repeats,
    )


def measure_photo(
    ours: Analyzer, plain: Sequence[Checkpoint], photo: np.ndarray, repeats: int
) -> dict[str, float]:
    """A photograph with one face: detection alone, and all of it."""

    def detect_plainly() -> np.ndarray:
        return load_detector().detect(Image.fromarray(photo), landmarks=True)[2][0]

    def plainly() -> None:
        crop = align_face(photo, detect_plainly())
        for checkpoint in plain:
            explain_plainly(checkpoint, crop)

    return in_turns(
        {
            "plain detection": detect_plainly,
            "our detection": lambda: detect_faces(photo),
            "plain": plainly,
            "ours": lambda: ours.analyze(photo),
        },
        repeats,
    )


def measure_page(ours: Analyzer, photo: np.ndarray, repeats: int) -> dict[str, float]:
    """Compare's pictures of one face: three heatmaps and the heads' maps, drawn and encoded."""
    from fer_models.ui.compare import Look, Picture, View, draw_cards

    face = ours.analyze(photo).faces[0]
    view, words = View(Picture(photo, [face.face]), face, {}), load_words()
    return in_turns({"pictures": lambda: draw_cards(view, Look(), words)}, repeats)


def measure_live(ours: Analyzer, networks: Sequence[str], num_frames: int) -> dict:
    """A face that moves in 640x480 frames, followed and explained with heatmaps."""
    photo = Image.fromarray(load_image(EXAMPLE)).resize((480, 480))
    frames = []
    for number in range(num_frames + 1):
        frame = Image.new("RGB", (640, 480))
        frame.paste(photo, (80 + round(60 * np.sin(number / 10)), 0))
        frames.append(np.asarray(frame))
    session = LiveSession(ours, list(networks))
    session.process(frames[0])
    answers: list[NetworkResult] = []
    times = []
    for frame in frames[1:]:
        began = time.perf_counter()
        answers += session.process(frame).networks.values()
        times.append(time.perf_counter() - began)
    return {
        "networks": list(networks),
        "frames": num_frames,
        "answers": len(answers),
        "frames_per_second": num_frames / sum(times),
        "median_frame_ms": 1000 * statistics.median(times),
    }


def measure_batch(ours: Analyzer, crop: np.ndarray, count: int, repeats: int) -> dict:
    """Faces explained at once by all networks, and the process's peak memory up to here."""
    crops = [np.roll(crop, number % 8, axis=1) for number in range(count)]
    found = in_turns({"all": lambda: ours.analyze_crops(crops)}, repeats)["all"]
    return {
        "faces": count,
        "ms_per_face": found / count,
        "faces_per_second": 1000 * count / found,
        "peak_memory_mib": peak_memory_mib(),
    }


def peak_memory_mib() -> float:
    """This process's peak so far.

    On Linux from its status: `getrusage` would count the process that started it, too.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure_pictures(counts: Sequence[int]) -> list[dict]:
    """Sets of picture files explained by a fresh process, as Batch does, and its peak so far."""
    command = [sys.executable, "-c", FRESH_PICTURES, str(EXAMPLE), *map(str, counts)]
    done = subprocess.run(command, check=True, env=_environment(), stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure_start(repeats: int) -> dict[str, float]:
    """A fresh process from its start to the end of its first analysis of the example image."""
    imports = "import torch, torchvision, facenet_pytorch, pytorch_grad_cam"
    ways = {
        "first analysis": [sys.executable, "-c", FRESH_START, str(EXAMPLE)],
        "imports alone": [sys.executable, "-c", imports],
    }

    def start(command: list[str]) -> None:
        subprocess.run(command, check=True, env=_environment())

    return in_turns({name: lambda c=c: start(c) for name, c in ways.items()}, repeats)


def _environment() -> dict[str, str]:
    """This process's, in which a fresh one finds the library."""
    path = os.pathsep.join([str(ASSETS_FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def describe_machine(ours: Analyzer) -> dict:
    return {
        "cores": available_cores(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "engines": [ours.runner(name).engine for name in ours.networks],
    }


def describe(result: dict) -> str:
    """The measurements as lines to read."""
    machine, floor, face, photo = (result[key] for key in ("machine", "floor", "face", "photo"))
    equality, start = result["equality"], result["start"]

    lines = [
        f"{machine['cores']} cores, torch {machine['torch']}; trunks run in "
        + ", ".join(machine["engines"]),
        f"same answers: probabilities within {equality['largest_probability_difference']:.1e}, "
        f"heatmaps correlate by {equality['smallest_heatmap_correlation']:.6f} or more",
        "",
        f"floor: {floor['trunks_giga_multiply_adds']:.2f} G multiply-adds / "
        f"{floor['peak_giga_multiply_adds_per_s']:.1f} G a second = {floor['ms']:.1f} ms",
        "trunk of one face, ms (torch, ours):",
    ]
    for name, times in result["trunks_ms"].items():
        lines.append(f"  {DISPLAY_NAMES[name]:34} {times['torch']:8.1f} {times['ours']:8.1f}")
    lines += ["", "one aligned face, three networks, ms (times faster than plain):"]
    lines += [f"  {step:34} {ms:8.1f} {face['plain'] / ms:8.2f}" for step, ms in face.items()]
    lines.append(f"  ours over the floor: {face['ours'] / floor['ms']:.2f}")
    lines += ["", "a photograph to its result, ms:"]
    lines += [f"  {step:34} {ms:8.1f}" for step, ms in photo.items()]
    lines.append(
        f"  times faster: detection {photo['plain detection'] / photo['our detection']:.2f}, "
        f"all {photo['plain'] / photo['ours']:.2f}"
    )
    lines += [
        "",
        f"Compare's pictures of a face, drawn and encoded: {result['page_ms']['pictures']:.1f} ms",
        "",
        "live at 640x480 with heatmaps, frames a second (median frame, ms):",
    ]
    for live in result["live"]:
        names = ", ".join(DISPLAY_NAMES[name] for name in live["networks"])
        lines.append(f"  {names}: {live['frames_per_second']:.1f} ({live['median_frame_ms']:.1f})")
    lines += ["", "faces at once: ms a face, faces a second, peak memory so far in MiB"]
    lines += [
        f"  {batch['faces']:4} {batch['ms_per_face']:8.1f} {batch['faces_per_second']:8.1f} "
        f"{batch['peak_memory_mib']:8.0f}"
        for batch in result["batch"]
    ]
    lines += ["", "picture files: pictures a second, peak memory so far of a fresh process in MiB"]
    lines += [
        f"  {each['pictures']:4} {each['pictures_per_second']:8.1f} {each['peak_memory_mib']:8.0f}"
        for each in result["pictures"]
    ]
    lines += [
        "",
        "a fresh process to the end of its first analysis: "
        f"{start['first analysis'] / 1000:.1f} s; one that imports the same libraries and ends: "
        f"{start['imports alone'] / 1000:.1f} s",
    ]
    return "\n".join(lines)
