"""A visitor's own choice of checkpoints: another installed one, or one that was uploaded.

A choice is plain data, {network: checkpoint}, so it can live in one visitor's session and changes
nobody else's page. An uploaded card is a stranger's text whose numbers decide how much is built
and computed: they are bounded before anything is built from them.
"""

import math
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from fer_models.analysis import PAGE_NETWORKS, Analyzer
from fer_models.checkpoints import (
    DOWNLOADED_FOLDER,
    SHIPPED_FOLDER,
    Card,
    Checkpoint,
    CheckpointError,
    count_parameters,
    load_card,
    load_network,
    shipped_checkpoints,
)
from fer_models.engines import Runner, build_runner
from fer_models.expressions import EXPRESSIONS
from fer_models.words import load_words

MAX_CARD_BYTES = 1_000_000
MAX_ARGUMENT = 8  # heads, strides: no network of ours takes more
MAX_SIDE_PX = 256
MAP_SIDE = 7
MAX_MESSAGE = 300
# Of all uploads in memory together: a ResNet-50 and a DDAMFN of any number of heads. With the
# shipped three that is less than two sets of weights.
LOADED_PARAMETERS = 27_900_000
UPLOAD_NAME = "uploaded"


class UploadError(CheckpointError):
    """An upload that cannot be used.

    Args:
        key: the message's entry in the words' section `[models]`.
        values: what fills the message.
    """

    def __init__(self, key: str, **values):
        self.key = f"models.{key}"
        self.values = values
        super().__init__(load_words()(self.key, **values))


def installed_checkpoints(network: str) -> list[str]:
    """The names of a network's shipped and downloaded checkpoints that know expressions."""
    names = []
    for folder in (SHIPPED_FOLDER, DOWNLOADED_FOLDER):
        for name in shipped_checkpoints(folder):
            try:
                card = load_card(name)
            except CheckpointError:
                continue  # a card without weights, or a damaged one, is nothing to choose
            if card.network == network and card.labels and name not in names:
                names.append(name)
    return names


def is_upload(checkpoint: str) -> bool:
    """Whether a choice is an uploaded file's path, not an installed checkpoint's name."""
    return Path(checkpoint).is_absolute()


def accept_upload(files: Sequence[str | Path]) -> tuple[str, Card]:
    """Check an uploaded pair of weights and card; nothing of it stays in memory.

    Args:
        files: a .safetensors file and its .json card, in any order and folders.

    Returns:
        The weights' new path, in a folder of their own (see `remove_upload`), and the card.

    Raises:
        UploadError: if they are no such pair, or not one that this page can run.
    """
    folder = Path(tempfile.mkdtemp(prefix="fer_checkpoint_"))
    try:
        return _check_upload(files, folder)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _check_upload(files: Sequence[str | Path], folder: Path) -> tuple[str, Card]:
    try:
        weights = _put_together(files, folder)
        card = load_card(weights)
        check_card(card)
        check_network(load_network(weights))
    except UploadError:
        raise
    except (CheckpointError, RecursionError, RuntimeError) as error:
        # The folder's name means nothing to the visitor, and a list of a thousand tensors neither.
        message = str(error).replace(f"{folder}{os.sep}", "")
        short = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " ..."
        raise UploadError("upload_refused", error=short) from error
    return str(weights), card


def remove_upload(checkpoint: str) -> None:
    """Delete the folder that `accept_upload` made; nothing happens where there is none."""
    folder = Path(checkpoint).parent
    if is_upload(checkpoint) and folder.name.startswith("fer_checkpoint_"):
        shutil.rmtree(folder, ignore_errors=True)


def _put_together(files: Sequence[str | Path], folder: Path) -> Path:
    """The pair side by side, as links, so that the files are gone when the upload is deleted."""
    by_suffix = {Path(file).suffix.lower(): Path(file) for file in files}
    if len(files) != 2 or set(by_suffix) != {".safetensors", ".json"}:
        raise UploadError("upload_pair")
    if by_suffix[".json"].stat().st_size > MAX_CARD_BYTES:
        raise UploadError("upload_large_card")
    for suffix, file in by_suffix.items():
        target = folder / f"{UPLOAD_NAME}{suffix}"
        try:
            target.symlink_to(file.resolve())
        except OSError:  # Windows asks for a privilege
            shutil.copyfile(file, target)
    return folder / f"{UPLOAD_NAME}.safetensors"


def check_card(card: Card) -> None:
    """Refuse a card of no use here, or whose numbers would build or compute too much.

    Raises:
        UploadError: naming the field.
    """
    if card.network not in PAGE_NETWORKS:
        raise UploadError("upload_network", network=str(card.network)[:40])
    preprocessing, calibration = card.preprocessing, card.calibration
    fields = {
        "name": isinstance(card.name, str) and 0 < len(card.name) <= 100,
        "licence": isinstance(card.licence, str),
        "labels": 2 <= len(card.labels) == sum(name in card.labels for name in EXPRESSIONS),
        "arguments": isinstance(card.arguments, dict)
        and all(_whole(value, 0, MAX_ARGUMENT) for value in card.arguments.values()),
        "preprocessing.size": _whole(preprocessing.size, 32, MAX_SIDE_PX),
        "preprocessing.detail_px": preprocessing.detail_px is None
        or _whole(preprocessing.detail_px, 8, MAX_SIDE_PX),
        "preprocessing.mean": _numbers(preprocessing.mean, 3, -10, 10),
        "preprocessing.std": _numbers(preprocessing.std, 3, 1e-3, 1e3),
        "calibration.prior": _numbers(calibration.prior, len(card.labels), 0, 1),
        "calibration.strength": _numbers((calibration.strength,), 1, 0, 10),
        "calibration.temperature": _numbers((calibration.temperature,), 1, 1e-3, 1e3),
        "training": isinstance(card.training, dict),
        "metrics": isinstance(card.metrics, dict),
    }
    wrong = next((name for name, fine in fields.items() if not fine), None)
    if wrong:
        raise UploadError("upload_field", field=wrong)


def _whole(value, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most


def _numbers(values: tuple, count: int, least: float, most: float) -> bool:
    return len(values) == count and all(
        isinstance(v, int | float) and math.isfinite(v) and least <= v <= most for v in values
    )


def check_network(checkpoint: Checkpoint) -> None:
    """Run the network once on a grey picture.

    Raises:
        UploadError: if its parameters are not as many as the card says, its map is not 7x7, or an
            answer is not finite.
    """
    network, card = checkpoint.network, checkpoint.card
    parameters = count_parameters(network)
    if parameters != card.parameters:
        raise UploadError("upload_parameters", counted=parameters, stated=str(card.parameters)[:40])
    with torch.no_grad():
        features = network.trunk(torch.zeros(1, 3, *[card.preprocessing.size] * 2))
        if features.shape[2:] != (MAP_SIDE, MAP_SIDE):
            raise UploadError("upload_map", side=features.shape[-1])
        if not network.head(features).isfinite().all():
            raise UploadError("upload_not_finite")


class Choices:
    """Hands every visitor an analyzer with the checkpoints that they chose.

    Installed checkpoints are few and stay loaded in the shared analyzer. Of the uploaded ones, the
    last used stay in memory, as many as have no more than `LOADED_PARAMETERS` together. Safe to
    share between threads.
    """

    def __init__(self, analyzer: Analyzer):
        self.shared = analyzer
        self._uploads: OrderedDict[str, tuple[Checkpoint, Runner]] = OrderedDict()
        self._lock = threading.Lock()

    def analyzer(self, choice: Mapping[str, str]) -> Analyzer:
        """An analyzer whose results have the usual names, of the chosen checkpoints.

        Args:
            choice: network -> name of an installed checkpoint, or an accepted upload's path; a
                network that is not in it keeps its own.
        """
        return _ChosenAnalyzer(self, dict(choice)) if choice else self.shared

    def upload(self, file: str) -> tuple[Checkpoint, Runner]:
        """An accepted upload, loaded.

        It runs in torch: compiling takes seconds, and its result would be kept on disk for ever.

        Raises:
            UploadError: if it was deleted meanwhile.
        """
        with self._lock:
            self._forget_deleted()
            if not Path(file).is_file():
                raise UploadError("upload_gone")
            if file not in self._uploads:
                self._make_room(load_card(file).parameters)
                checkpoint = load_network(file)
                self._uploads[file] = checkpoint, build_runner(checkpoint, "torch")
            self._uploads.move_to_end(file)
            loaded = self._uploads[file]
            self._forget_deleted()  # who deleted some meanwhile did not wait
            return loaded

    def _make_room(self, parameters: int) -> None:
        """Free uploads before another with so many is loaded: the smallest one that is enough, else
        the longest unused. A visitor's three networks take turns, and whoever was used longest ago
        would always be the next one needed."""
        sizes = {file: loaded.card.parameters for file, (loaded, _) in self._uploads.items()}
        while sizes and (excess := sum(sizes.values()) + parameters - LOADED_PARAMETERS) > 0:
            enough = [file for file in sizes if sizes[file] >= excess]
            file = min(enough, key=sizes.get) if enough else next(iter(sizes))
            del sizes[file], self._uploads[file]

    def forget_deleted(self) -> None:
        """Free the weights whose files are gone, because their visitor is or they grew old.

        It never waits: who is loading weights does it afterwards.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._forget_deleted()
            finally:
                self._lock.release()

    def _forget_deleted(self) -> None:
        for file in [file for file in self._uploads if not Path(file).is_file()]:
            del self._uploads[file]


class _ChosenAnalyzer(Analyzer):
    """The shared analyzer, its engine and threads included, with other checkpoints."""

    def __init__(self, choices: Choices, choice: dict[str, str]):
        vars(self).update(vars(choices.shared))  # made for every event, so it makes nothing anew
        self._choices, self._choice = choices, choice

    def loaded(self, name: str) -> tuple[Card, Runner]:
        chosen = self._choice.get(name, name)
        if is_upload(chosen):
            checkpoint, runner = self._choices.upload(chosen)
            return checkpoint.card, runner
        return self._choices.shared.loaded(chosen)

    def checkpoint(self, name: str) -> Checkpoint:
        chosen = self._choice.get(name, name)
        if is_upload(chosen):
            return self._choices.upload(chosen)[0]
        return self._choices.shared.checkpoint(chosen)

    def runner(self, name: str) -> Runner:
        return self.loaded(name)[1]
