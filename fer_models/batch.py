"""Many pictures at once: a table with a row a face, and the mean heatmaps of every answer.

Pictures come one after another from files, folders and zip files, so memory does not grow with
their number. A zip is a stranger's file: what its list of contents claims is bounded before any of
it is unpacked, what is unpacked is read one picture at a time, and no name in it becomes a path.
"""

import csv
import errno
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from matplotlib.figure import Figure

from fer_models.analysis import (
    DISPLAY_NAMES,
    MAX_FACES,
    Analysis,
    Analyzer,
    FaceResult,
    NetworkResult,
)
from fer_models.checkpoints import Card, CheckpointError
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import CROP_SIZE_PX, Face, align_face, detect_faces, face_of_crop
from fer_models.figures import overlay_heatmap, scale_heatmap, set_typeface
from fer_models.images import MAX_BYTES, ImageError, load_image
from fer_models.words import Words, load_words

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
# Pictures hardly shrink in a zip; a file that shrank this much is there to fill the memory.
MAX_RATIO = 200
# A zip's list of contents is read whole; this much is about twenty thousand names.
MAX_ZIP_LIST_BYTES = 2_000_000
MAP_SIDE = 7
# Faces wait at most this long for others that fill a GPU's batch with them.
READ_AHEAD_S = 1.0
MAP_DIGITS = 6
# What a spreadsheet takes for a formula at the beginning of a cell, full-width forms included.
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class Limits:
    """How much one batch may be; None is no limit."""

    pictures: int | None = 500
    megabytes: int | None = 1000  # of pictures, unpacked


UNLIMITED = Limits(None, None)


@dataclass(frozen=True)
class Problem:
    """Why a file gives no rows: an entry of the words, and what fills it besides {file}."""

    name: str
    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def text(self, words: Words) -> str:
        """One line, without what a name could do to a terminal."""
        name = "".join(c if c.isprintable() else "?" for c in self.name)
        return words(self.key, **{**self.values, "file": name})


class BatchError(ValueError):
    """A batch that cannot be begun; `problem` says why in every language."""

    def __init__(self, problem: Problem):
        self.problem = problem
        super().__init__(problem.text(load_words()))


@dataclass(frozen=True)
class PictureFile:
    """A picture to be read: what the table calls it, the file, and its place if that is a zip."""

    name: str
    file: Path
    entry: zipfile.ZipInfo | None = None


@dataclass(frozen=True)
class Listing:
    """What a batch will read, and what was passed over."""

    pictures: tuple[PictureFile, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class PictureResult:
    """One picture's outcome: its analysis, or the problem with it."""

    name: str
    analysis: Analysis | None = None
    problem: Problem | None = None


def list_pictures(
    sources: Sequence[str | Path],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    name_encodings: Sequence[str] = ("utf-8",),
    names: Sequence[str] | None = None,
) -> Listing:
    """The pictures in files, folders and zip files, in order, without opening any of them.

    Hidden files and the second copies that macOS puts into a zip are left out without a word.

    Args:
        sources: names in a folder or a zip are relative to it.
        name_encodings: tried in order on a zip's names that do not say what they are written in.
        names: what the table calls each source that is a picture; its own name if None.

    Raises:
        BatchError: if there are more pictures or bytes than the limits allow, or a source is
            missing. Nothing has been decoded then.
    """
    pictures, problems, total = [], [], 0
    files = [Path(source) for source in sources]
    for source, name in zip(files, names or [file.name for file in files], strict=True):
        for found, size in _list_source(source, name, name_encodings):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            pictures.append(found)
            total += size
            if limits.pictures is not None and len(pictures) > limits.pictures:
                raise BatchError(Problem(source.name, "batch.too_many", {"limit": limits.pictures}))
            if limits.megabytes is not None and total > limits.megabytes * 10**6:
                raise BatchError(
                    Problem(source.name, "batch.too_large", {"limit": limits.megabytes})
                )
    return Listing(tuple(pictures), tuple(problems))


def _list_source(
    source: Path, name: str, name_encodings: Sequence[str]
) -> Iterator[tuple[PictureFile | Problem, int]]:
    """Every file of a source with its size in bytes, unpacked."""
    if source.is_dir():
        for file in sorted(source.rglob("*")):
            parts = file.relative_to(source).parts
            if file.is_file() and not _is_hidden(parts):
                yield _judge("/".join(parts), file), file.stat().st_size
    elif source.suffix.lower() == ".zip":
        yield from _list_zip(source, name_encodings)
    elif source.is_file():
        if name == source.name or not _is_hidden(PurePosixPath(name).parts):
            yield _judge(name, source), source.stat().st_size
    else:
        raise BatchError(Problem(source.name, "images.missing_file"))


def _judge(name: str, file: Path) -> PictureFile | Problem:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        return Problem(name, "batch.nested_zip" if suffix == ".zip" else "batch.no_picture")
    return PictureFile(name, file)


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") and part != ".." or part == "__MACOSX" for part in parts)


def _list_zip(
    file: Path, name_encodings: Sequence[str]
) -> Iterator[tuple[PictureFile | Problem, int]]:
    with _open_zip(file) as archive:
        entries = archive.infolist()
    for entry in entries:
        name = _entry_name(entry, name_encodings)
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if entry.is_dir() or _is_hidden(parts):
            continue
        yield _judge_entry(name, parts, entry, file), entry.file_size


def _judge_entry(
    name: str, parts: tuple[str, ...], entry: zipfile.ZipInfo, file: Path
) -> PictureFile | Problem:
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0]:
        return Problem(name, "batch.unsafe_name")
    judged = _judge(name, file)
    if isinstance(judged, Problem):
        return judged
    if entry.flag_bits & 1:
        return Problem(name, "batch.encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The other methods' headers may ask for gigabytes before a byte is unpacked.
        return Problem(name, "batch.unknown_packing")
    if entry.file_size > MAX_BYTES:
        return Problem(name, "images.too_many_bytes", {"limit": MAX_BYTES // 10**6})
    if entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        return Problem(name, "batch.bomb", {"limit": MAX_RATIO})
    return PictureFile(name, file, entry)


def _entry_name(entry: zipfile.ZipInfo, encodings: Sequence[str]) -> str:
    """An entry's name; one that is not marked as UTF-8 was read as code page 437, as zips say."""
    if entry.flag_bits & 0x800 or entry.filename.isascii():
        return entry.filename
    raw = entry.filename.encode("cp437")
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return entry.filename


@contextmanager
def _open_zip(file: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose list of contents is not too long to be read.

    Raises:
        BatchError: if it is, or the file is missing or no zip.
    """
    try:
        with file.open("rb") as stream:
            # The very figures that ZipFile will go by, before it reads as much as they say.
            ending = zipfile._EndRecData(stream)
            if ending and ending[zipfile._ECD_SIZE] > MAX_ZIP_LIST_BYTES:
                raise BatchError(Problem(file.name, "batch.long_list"))
            archive = zipfile.ZipFile(stream)
            yield archive
    except FileNotFoundError:
        raise BatchError(Problem(file.name, "images.missing_file")) from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
        raise BatchError(Problem(file.name, "batch.bad_zip")) from error


def read_pictures(
    pictures: Iterable[PictureFile],
) -> Iterator[tuple[PictureFile, np.ndarray | Problem]]:
    """The pictures (H,W,3) RGB uint8 one after another, or why one cannot be read."""
    with tempfile.TemporaryDirectory(prefix="fer_batch_") as folder:
        unpacked = Path(folder) / "picture"
        for (file, zipped), group in groupby(pictures, lambda p: (p.file, p.entry is not None)):
            if not zipped:
                for picture in group:
                    yield picture, _read(picture.name, file)
                continue
            with zipfile.ZipFile(file) as archive:
                for picture in group:
                    try:
                        with archive.open(picture.entry) as packed, unpacked.open("wb") as stream:
                            shutil.copyfileobj(packed, stream)
                    except (
                        zipfile.BadZipFile,
                        zlib.error,
                        OSError,
                        EOFError,
                        RuntimeError,
                    ) as error:
                        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                            raise  # the disk is full; the picture may be whole
                        yield picture, Problem(picture.name, "batch.damaged_entry")
                        continue
                    yield picture, _read(picture.name, unpacked)


def _read(name: str, file: Path) -> np.ndarray | Problem:
    try:
        return load_image(file)
    except ImageError as error:
        return Problem(name, error.key, error.values)


def usable_networks(
    analyzer: Analyzer, networks: Sequence[str] | None = None
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The networks that load, with their expressions in order, and why the others do not.

    Raises:
        CheckpointError: if none does.
    """
    labels, unavailable = {}, {}
    for name in analyzer.networks if networks is None else networks:
        try:
            labels[name] = in_order(analyzer.checkpoint(name).card.labels)
        except CheckpointError as error:
            unavailable[name] = str(error)
    if not labels:
        raise CheckpointError("; ".join(unavailable.values()) or "No network was named.")
    return labels, unavailable


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Expressions in the page's order; names that it does not know come last."""
    return tuple(sorted(labels, key=(*EXPRESSIONS, *labels).index))


def analyze_pictures(
    analyzer: Analyzer,
    pictures: Iterable[PictureFile],
    *,
    networks: Sequence[str] | None = None,
    face_crop: bool = False,
    method: str = "grad-cam",
) -> Iterator[PictureResult]:
    """Every picture's faces, explained for each network's own answer; arguments as `analyze`.

    Where networks run on a GPU, pictures are read ahead until their faces fill its batch.
    """

    def explain(crops: list[np.ndarray]) -> dict[str, list[NetworkResult]]:
        return analyzer.analyze_crops(crops, method=method, networks=networks)

    waiting, most, since = [], None, 0.0
    for picture, image in read_pictures(pictures):
        since = since if waiting else time.monotonic()
        waiting.append(_find_faces(picture.name, image, face_crop))
        faces = sum(len(found.faces) for found in waiting)
        # The first picture does not wait: with it, the networks are loaded.
        if most is None or faces >= most or time.monotonic() - since > READ_AHEAD_S:
            yield from _explain_faces(waiting, explain)
            waiting = []
            most = faces_at_once(analyzer, networks) if most is None else most
    yield from _explain_faces(waiting, explain)


def faces_at_once(analyzer: Analyzer, networks: Sequence[str] | None = None) -> int:
    """How many faces to collect before they are explained: a GPU's batch, and 0 on a CPU.

    On a CPU, a face among many takes as long as a face alone, so waiting would only hold back what
    is shown.
    """
    most = 0
    for name in analyzer.networks if networks is None else networks:
        try:
            runner = analyzer.runner(name)
        except CheckpointError:
            continue
        if runner.device.type != "cpu":
            most = max(most, runner.batch_faces)
    return most


@dataclass(frozen=True)
class _Found:
    """A picture's faces with their crops (112,112,3) RGB uint8, or the problem with it."""

    name: str
    faces: Sequence[Face] = ()
    crops: Sequence[np.ndarray] = ()
    left_out: int = 0
    problem: Problem | None = None


def _find_faces(name: str, image: np.ndarray | Problem, face_crop: bool) -> _Found:
    if isinstance(image, Problem):
        return _Found(name, problem=image)
    try:
        faces = [face_of_crop(image)] if face_crop else detect_faces(image)
        kept = faces[:MAX_FACES]
        crops = [align_face(image, face.landmarks) for face in kept]
    except ValueError as error:
        return _Found(name, problem=Problem(name, "batch.failed", {"error": str(error)}))
    return _Found(name, kept, crops, len(faces) - len(kept))


def _explain_faces(
    pictures: Sequence[_Found],
    explain: Callable[[list[np.ndarray]], dict[str, list[NetworkResult]]],
) -> Iterator[PictureResult]:
    """The pictures' results in order, from one run over all their faces."""
    crops = [crop for found in pictures for crop in found.crops]
    failed = None
    try:
        answers = explain(crops) if crops else {}
    except ValueError as error:
        failed = {"error": str(error)}
    place = 0
    for found in pictures:
        problem = found.problem
        if failed and found.crops:
            problem = Problem(found.name, "batch.failed", failed)
        if problem:
            yield PictureResult(found.name, problem=problem)
            continue
        results = []
        for index, (face, crop) in enumerate(zip(found.faces, found.crops, strict=True), place):
            networks = {name: answers[name][index] for name in answers}
            results.append(FaceResult(face, crop, networks))
        place += len(results)
        yield PictureResult(found.name, Analysis(results, left_out=found.left_out))


class FaceTable:
    """A CSV with a row a face; see `open_table`.

    Args:
        labels: the networks and the expressions that each knows.
    """

    def __init__(self, stream: TextIO, labels: Mapping[str, Sequence[str]]):
        self._labels = dict(labels)
        # Text is quoted always: a spreadsheet that splits at semicolons then keeps a name whole.
        self._writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        header = ["file", "face", "left", "top", "right", "bottom", "score", "source"]
        for name, expressions in self._labels.items():
            header += [f"{name}_{part}" for part in ("answer", "probability", "margin")]
            header += [f"{name}_p_{expression}" for expression in expressions]
        self._writer.writerow(header)

    def add(self, result: PictureResult) -> None:
        """A row for every face of the picture; boxes in pixels of the upright picture."""
        for number, found in enumerate(result.analysis.faces if result.analysis else [], start=1):
            face = found.face
            row = [plain_cell(result.name), number]
            row += [round(v, 2) for v in face.box_xyxy]
            row += [round(face.score, 4), face.source]
            for name, expressions in self._labels.items():
                answer = found.networks.get(name)
                if answer is None:  # an upload that was deleted meanwhile
                    row += [""] * (3 + len(expressions))
                    continue
                row += [answer.expression, round(answer.probability, 6), round(answer.margin, 6)]
                row += [round(answer.probabilities[expression], 6) for expression in expressions]
            self._writer.writerow(row)


def plain_cell(name: str) -> str:
    """A file's name that no spreadsheet takes for a formula, and that is the same path still."""
    return f"./{name}" if name.lstrip(" ").startswith(FORMULA_STARTS) else name


@contextmanager
def open_table(file: Path, labels: Mapping[str, Sequence[str]]) -> Iterator[FaceTable]:
    """A table that is put in place whole at the end, and not at all after an error.

    It is UTF-8 with the byte order mark: without it, Excel garbles every name that is not English;
    Python reads it as "utf-8-sig", pandas and R as it is.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open(
            "w", encoding="utf-8-sig", errors="backslashreplace", newline=""
        ) as stream:
            yield FaceTable(stream, labels)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


class Tally:
    """What a batch has shown so far: counts and sums, whose size does not grow with the pictures.

    Attributes:
        pictures: read without a problem.
        faces: in them; `faceless` pictures had none.
        left_out: faces beyond the largest 32 of their picture.
        disagreements: faces on which the networks do not all answer the same.
        problems: the files that gave nothing, and why.
        answers: network -> expression -> number of faces.
        unsure: network -> number of faces.
    """

    def __init__(
        self, labels: Mapping[str, Sequence[str]], problems: Sequence[Problem] = ()
    ) -> None:
        self.pictures = self.faces = self.faceless = self.left_out = self.disagreements = 0
        self.problems = list(problems)
        self.answers = {name: dict.fromkeys(labels[name], 0) for name in labels}
        self.unsure = dict.fromkeys(labels, 0)
        self._maps: dict[tuple[str, str], np.ndarray] = {}
        self._crops: dict[tuple[str, str], np.ndarray] = {}

    def add(self, result: PictureResult) -> None:
        if result.problem:
            self.problems.append(result.problem)
            return
        self.pictures += 1
        self.left_out += result.analysis.left_out
        self.faceless += not result.analysis.faces
        for face in result.analysis.faces:
            self.faces += 1
            self.disagreements += len({r.expression for r in face.networks.values()}) > 1
            for name, answer in face.networks.items():
                cell = (name, answer.expression)
                self.answers[name][answer.expression] += 1
                self.unsure[name] += answer.unsure
                self._maps.setdefault(cell, np.zeros((MAP_SIDE, MAP_SIDE)))
                self._maps[cell] += scale_heatmap(answer.gradcam.values)
                self._crops.setdefault(cell, np.zeros((CROP_SIZE_PX, CROP_SIZE_PX, 3)))
                self._crops[cell] += face.crop

    def mean_map(self, network: str, expression: str) -> np.ndarray | None:
        """The mean (7,7), 0..1, of the answer's heatmaps, each over its own maximum; None if none.

        A cell of 1 was the brightest in every one of the faces.
        """
        count = self.answers[network][expression]
        return self._maps[network, expression] / count if count else None

    def mean_face(self, network: str, expression: str) -> np.ndarray | None:
        """The mean (112,112,3) uint8 of the aligned faces that got the answer; None if none."""
        count = self.answers[network][expression]
        return np.rint(self._crops[network, expression] / count).astype(np.uint8) if count else None


def batch_report(
    tally: Tally, cards: Mapping[str, Card], words: Words | None = None
) -> dict[str, object]:
    """The counts, the mean heatmaps and the files passed over, as plain data for JSON.

    Args:
        cards: of the tally's networks.
        words: for the reasons, English if None.
    """
    words = words or load_words()
    networks = {}
    for name, answers in tally.answers.items():
        networks[name] = {
            "checkpoint": {"name": cards[name].name, "sha256": cards[name].sha256},
            "unsure": tally.unsure[name],
            "answers": {
                expression: {
                    "faces": count,
                    "mean_heatmap": _rounded(tally.mean_map(name, expression)),
                }
                for expression, count in answers.items()
            },
        }
    return {
        "pictures": tally.pictures,
        "faces": tally.faces,
        "pictures_without_a_face": tally.faceless,
        "faces_left_out": tally.left_out,
        "disagreements": tally.disagreements,
        "scale": "each heatmap cut off below 0 and divided by its own maximum, then their mean",
        "networks": networks,
        "passed_over": [
            {"file": problem.name, "reason": problem.text(words)} for problem in tally.problems
        ],
    }


def _rounded(values: np.ndarray | None) -> list[list[float]] | None:
    return None if values is None else np.round(values, MAP_DIGITS).tolist()


def draw_mean(
    tally: Tally, network: str, expression: str, strength: float = 0.5
) -> np.ndarray | None:
    """A mean heatmap over its mean face (112,112,3) uint8, on the scale 0 to 1; None if none."""
    values = tally.mean_map(network, expression)
    if values is None:
        return None
    return overlay_heatmap(
        tally.mean_face(network, expression), values, strength=strength, maximum=1.0
    )


def draw_mean_heatmaps(tally: Tally, words: Words | None = None) -> Figure:
    """Every network's mean heatmaps, a row a network, a column an expression, with their n.

    Args:
        words: English if None; see `drawable_words`.
    """
    words = words or load_words()
    networks = list(tally.answers)
    expressions = in_order({e for answers in tally.answers.values() for e in answers})
    figure = Figure(
        figsize=(1.5 * len(expressions) + 1, 1.75 * len(networks) + 0.8),
        dpi=150,
        layout="constrained",
    )
    grid = figure.subplots(len(networks), len(expressions), squeeze=False)
    for network, axes in zip(networks, grid, strict=True):
        for expression, axis in zip(expressions, axes, strict=True):
            drawn = (
                draw_mean(tally, network, expression)
                if expression in tally.answers[network]
                else None
            )
            if drawn is not None:
                axis.imshow(drawn)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_box_aspect(1)
            axis.set_xlabel(f"n = {tally.answers[network].get(expression, 0)}", fontsize=8)
            axis.spines[:].set_color("lightgrey" if drawn is None else "none")
        axes[0].set_ylabel(DISPLAY_NAMES.get(network, network), fontsize=10, parse_math=False)
    for expression, axis in zip(expressions, grid[0], strict=True):
        axis.set_title(words.expression(expression), fontsize=10)
    figure.supxlabel(words("batch.figure_about"), fontsize=7.5)
    set_typeface(figure, words)
    return figure
