"""The authors' published weights, imported without running anything of theirs.

Two file forms are known, both made by `torch.save`: a dict with `model_state_dict` (DDAMFN), and a
whole pickled module (`MFN_msceleb.pth`, MFN trained to recognise faces). A pickle can name any
function to be called while it is read; torch's weights-only reader takes nothing but tensors and
the harmless classes that it is given, here empty stand-ins for torch.nn's and the authors' modules.
"""

import hashlib
import inspect
import logging
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fer_models.calibration import Calibration
from fer_models.checkpoints import Card, CheckpointError, save_checkpoint
from fer_models.expressions import LABEL_ORDERS
from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

REPOSITORY = "https://github.com/SainingZhang/DDAMFN"
COMMIT = "cebfe5c"
BASE_URL = f"{REPOSITORY}/raw/{COMMIT}"
TIMEOUT_S = 60
LICENCE = "The authors' repository states no licence: for your own use, not for passing on."


@dataclass(frozen=True)
class PublishedFile:
    """A weights file in the authors' repository at `COMMIT`."""

    path: str
    git_blob_id: str
    trained_on: str

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]


PUBLISHED = {
    "official-rafdb": PublishedFile(
        "DDAMFN++/checkpoints_ver2.0/rafdb_epoch20_acc0.9204_bacc0.8617.pth",
        "3adfea01f296a4ef56ccd98578ab45a43e73f2eb",
        "RAF-DB, 7 expressions",
    ),
    "official-affectnet7": PublishedFile(
        "DDAMFN++/checkpoints_ver2.0/affecnet7_epoch19_acc0.671.pth",
        "a2399a1346f184f12725b37b3969bcc41529cdec",
        "AffectNet, 7 expressions",
    ),
    "official-affectnet8": PublishedFile(
        "DDAMFN++/checkpoints_ver2.0/affecnet8_epoch25_acc0.6469.pth",
        "b8dce63bfc249c270cd09f5adc34cf7948954b1f",
        "AffectNet, 8 expressions",
    ),
    "official-mfn": PublishedFile(
        "pretrained/MFN_msceleb.pth",
        "f3562570a235b7798d4ae02c51ffc12fa1e57880",
        "MS-Celeb-1M, to recognise people",
    ),
}

# The authors' classes in MFN_msceleb.pth.
_MFN_CLASSES = (
    "CoordAtt",
    "Conv_block",
    "Flatten",
    "Linear_block",
    "MDConv",
    "MixedFeatureNet",
    "Mix_Depth_Wise",
    "Mix_Residual",
    "h_sigmoid",
    "h_swish",
)
_BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_GDCONV = ("conv.weight", *(f"bn.{key}" for key in _BN))

# Our names -> DDAMFN's published ones, one after another.
_RENAMINGS = (
    (r"^trunk\.([357])\.", r"features.\1.model."),
    (r"^trunk\.", "features."),
    (r"\.act\.", ".prelu."),
    (r"\.expand\.", ".conv."),
    (r"\.mixconv\.convs\.", ".conv_dw.mixed_depthwise_conv."),
    (r"\.gates\.squeeze\.", ".gates.conv1."),
    (r"\.gates\.bn\.", ".gates.bn1."),
    (r"\.gates\.expand_column\.", ".gates.conv2."),
    (r"\.gates\.expand_row\.", ".gates.conv3."),
    (r"\.attention\.gates\.", ".CA."),
    (r"^head\.dda_heads\.(\d)\.", r"cat_head\1.CoordAtt."),
    (r"\.CoordAtt\.pool_column\.", ".CoordAtt.Linear_h."),
    (r"\.CoordAtt\.pool_row\.", ".CoordAtt.Linear_w."),
    (r"\.CoordAtt\.gates\.", ".CoordAtt."),
    (r"^head\.classifier\.gdconv\.", "Linear."),
    (r"^head\.classifier\.fc\.", "fc."),
)
# The pickled MFN calls the nine stages, and its linear GDConv, by these names.
_MFN_STAGES = (
    "conv1",
    "conv2_dw",
    "conv_23",
    "conv_3",
    "conv_34",
    "conv_4",
    "conv_45",
    "conv_5",
    "conv_6_sep",
)


class _InertModule:
    """Stands for a pickled module: it holds the attributes and can do nothing."""

    _parameters: dict
    _buffers: dict
    _modules: dict


def _stand_ins() -> list[tuple[type, str]]:
    modules = [c for c in vars(nn).values() if inspect.isclass(c) and issubclass(c, nn.Module)]
    names = [f"{c.__module__}.{c.__name__}" for c in modules]
    names += [f"networks.MixedFeatureNet.{name}" for name in _MFN_CLASSES]
    return [(_InertModule, name) for name in names]


def read_published(file: Path) -> dict | _InertModule:
    """What a `torch.save` file holds, with modules as inert stand-ins; nothing of it is run.

    Raises:
        CheckpointError: if the file asks for anything that is not known to be harmless, or is no
            such file; the message names what it asks for.
    """
    try:
        with torch.serialization.safe_globals(_stand_ins()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file.") from None
    except Exception as error:  # a damaged or hostile file may make the reader fail in any way
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        if asked_for:
            raise CheckpointError(
                f"{file}: refused. Reading it would need {asked_for[1]}, which is not on the list "
                "of harmless classes; nothing of it was run. Use the authors' own file."
            ) from error
        summary = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{file}: not a weights file of the authors' ({summary})") from error


def module_state(module: _InertModule, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """A stand-in's state dict: names and tensors of its parameters, buffers and submodules."""
    for key, value in {**module._parameters, **module._buffers}.items():
        if value is not None:
            yield prefix + key, value
    for key, child in module._modules.items():
        yield from module_state(child, f"{prefix}{key}.")


def published_name(name: str) -> str:
    """Our state-dict name of a DDAMFN tensor -> the authors' one."""
    for pattern, replacement in _RENAMINGS:
        name = re.sub(pattern, replacement, name)
    return name


def never_run_names(published_names: list[str]) -> list[str]:
    """The tensors that a published DDAMFN carries but never uses: 81,422 parameters of 7 classes.

    They are a BN and a PReLU in every MixConv, a 7x7 GDConv in every head and a BN after the FC.
    """
    mixconvs = _prefixes(published_names, r"^(.*\.conv_dw)\.mixed_depthwise_conv\.")
    heads = _prefixes(published_names, r"^(cat_head\d\.CoordAtt)\.")
    return [
        *(f"{mixconv}.bn.{key}" for mixconv in mixconvs for key in _BN),
        *(f"{mixconv}.prelu.weight" for mixconv in mixconvs),
        *(f"{head}.Linear.{key}" for head in heads for key in _GDCONV),
        *(f"bn.{key}" for key in _BN),
    ]


def _prefixes(names: list[str], pattern: str) -> list[str]:
    return sorted({found[1] for name in names if (found := re.match(pattern, name))})


def _mfn_name(name: str) -> str:
    """Our state-dict name of an MFN tensor -> the one in the pickled module."""
    if name.startswith("head.gdconv."):
        return name.replace("head.gdconv.", "conv_6_dw.")
    stage, rest = re.match(r"features\.(\d)\.(.*)", published_name(name)).groups()
    return f"{_MFN_STAGES[int(stage)]}.{rest}"


def _fill(
    network: nn.Module,
    state: dict[str, Tensor],
    names: dict[str, str],
    dropped: list[str],
    file: Path,
) -> None:
    """Load `state` under `names` (ours -> theirs); all its other tensors must be the dropped ones.

    Raises:
        CheckpointError: naming the tensors that are missing, left over or of another shape.
    """
    wanted = {*names.values(), *dropped}
    differences = {"missing": wanted - set(state), "unknown": set(state) - wanted}
    problems = [f"{what}: {_listed(keys)}" for what, keys in differences.items() if keys]
    if problems:
        raise CheckpointError(f"{file}: not the published tensors; {'; '.join(problems)}.")
    try:
        network.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})
    except (RuntimeError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file}: the tensors do not fit: {error}") from error


def _listed(keys: set[str], most: int = 8) -> str:
    shown = ", ".join(sorted(keys)[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"


def _import_ddamfn(state: dict[str, Tensor], file: Path) -> tuple[nn.Module, dict]:
    """DDAMFN with the published weights, and its card's fields."""
    order = LABEL_ORDERS["ddamfn_official"]
    num_classes = len(state["fc.bias"]) if isinstance(state.get("fc.bias"), Tensor) else 0
    if num_classes not in (7, 8):
        raise CheckpointError(f"{file}: fc.bias is not of 7 or 8 classes; no DDAMFN is known so.")
    num_heads = len(_prefixes(list(state), r"^(cat_head\d+)\."))
    if num_heads not in range(1, 5):
        raise CheckpointError(f"{file}: {num_heads} attention heads (cat_headN), expected 1 to 4.")
    network = NETWORKS["ddamfn"](num_classes=num_classes, num_heads=num_heads)
    names = {ours: published_name(ours) for ours in network.state_dict()}
    _fill(network, state, names, never_run_names(list(names.values())), file)
    return network, {
        "network": "ddamfn",
        "arguments": {"num_heads": num_heads},
        "labels": order[:num_classes],
        "calibration": Calibration.none(num_classes),
    }


def _import_mfn(state: dict[str, Tensor], file: Path) -> tuple[nn.Module, dict]:
    """MFN up to its pooled features, without an answer: it was trained to recognise people."""
    network = NETWORKS["mfn"](num_classes=0)
    names = {ours: _mfn_name(ours) for ours in network.state_dict()}
    embedding = ["linear.weight", *(f"bn.{key}" for key in _BN)]
    mixconv_remains = never_run_names(list(names.values()))
    _fill(network, state, names, [*mixconv_remains, *embedding], file)
    return network, {
        "network": "mfn",
        "arguments": {},
        "labels": (),
        "calibration": Calibration(prior=()),
    }


def import_official(file: Path, out_folder: Path, name: str | None = None) -> Card:
    """Turn one of the authors' files into `out_folder/NAME.safetensors` (float32) and its card.

    `MFN_msceleb.pth` becomes an MFN without classes: no expression network, but a trunk from which
    training can start (`init` in a recipe).

    Args:
        name: the checkpoint's name; by default the published one, else the file's own.

    Raises:
        CheckpointError: if the file is refused, its tensors are not exactly the published ones, or
            the folder takes no file.
    """
    file, out_folder = Path(file), Path(out_folder)
    content = read_published(file)
    if isinstance(content, _InertModule):
        network, fields = _import_mfn(_state_of(content, file), file)
    elif isinstance(content, dict) and isinstance(content.get("model_state_dict"), dict):
        network, fields = _import_ddamfn(content["model_state_dict"], file)
    else:
        raise CheckpointError(
            f"{file}: neither a dict with model_state_dict nor a pickled MixedFeatureNet; "
            f"the published files are {', '.join(p.path for p in PUBLISHED.values())}."
        )
    blob_id = git_blob_id(file)
    known = {published.git_blob_id: key for key, published in PUBLISHED.items()}.get(blob_id)
    try:
        return save_checkpoint(
            network.eval(),
            out_folder,
            half=False,
            name=name or known or file.stem,
            preprocessing=Preprocessing(),
            training=_provenance(
                file, blob_id, known, is_expression_network=bool(fields["labels"])
            ),
            licence=LICENCE,
            **fields,
        )
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{out_folder}: cannot be written ({error}).") from error


def _state_of(module: _InertModule, file: Path) -> dict[str, Tensor]:
    try:
        return dict(module_state(module))
    except (AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{file}: not a whole pickled module ({error}).") from error


def _provenance(file: Path, blob_id: str, known: str | None, is_expression_network: bool) -> dict:
    """The card's `training`: whose work the weights are."""
    if known:
        source = f"{REPOSITORY} at {COMMIT}, {PUBLISHED[known].path}"
        data = PUBLISHED[known].trained_on
    else:
        source, data = file.name, "unknown: not one of the published files, though in their form"
    training = {
        "by": "the authors of DDAMFN",
        "source": source,
        "git_blob_id": blob_id,
        "data": data,
    }
    if not is_expression_network:
        training["use"] = (
            "No expression network: it has no classes. Its trunk is for `init` in a recipe."
        )
    return training


def git_blob_id(file: Path) -> str:
    """The SHA-1 by which git names a file's content."""
    digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download_official(name: str, out_folder: Path, base_url: str = BASE_URL) -> Card:
    """Fetch a file of `PUBLISHED` from the authors' repository, check it, and import it.

    Only the imported checkpoint is kept; whatever goes wrong, no half file stays.

    Raises:
        CheckpointError: if the name is unknown, the file cannot be fetched whole, or its git blob
            id is not the published one.
    """
    if name not in PUBLISHED:
        raise CheckpointError(f"No published file {name!r}; there are {', '.join(PUBLISHED)}.")
    published = PUBLISHED[name]
    url = f"{base_url.rstrip('/')}/{urllib.parse.quote(published.path)}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / published.file_name
        logger.info("fetching %s", url)
        _fetch(url, file)
        found = git_blob_id(file)
        if found != published.git_blob_id:
            raise CheckpointError(
                f"{url}: its git blob id is {found}, expected {published.git_blob_id}; "
                "it is not the file that the authors published, or came damaged. Not imported."
            )
        return import_official(file, out_folder, name)


def _fetch(url: str, file: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, file.open("wb") as stream:
            shutil.copyfileobj(response, stream)
            expected = int(response.headers.get("Content-Length") or file.stat().st_size)
    except (OSError, HTTPException, urllib.error.URLError) as error:
        raise CheckpointError(f"{url}: could not be fetched ({error}); try again.") from error
    size = file.stat().st_size
    if size != expected:
        raise CheckpointError(f"{url}: cut off after {size} of {expected} bytes; try again.")
