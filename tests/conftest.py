"""Fixtures: the example photograph, and folders beside the repository that may be absent."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_models.analysis import PAGE_NETWORKS, Analyzer
from fer_models.calibration import Calibration
from fer_models.checkpoints import save_checkpoint, shipped_checkpoints
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import align_face, detect_faces
from fer_models.images import load_image
from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing
from tests.service.page_process import ROOT, running_page

EXAMPLE = ROOT / "assets" / "examples" / "eileen_collins.jpg"
# The page's networks whose weights are shipped; one without any has a column that says so.
SHIPPED = tuple(name for name in PAGE_NETWORKS if name in shipped_checkpoints())
SHARED = ROOT.parent / "shared"
# "all" where nothing may be missing: a test that lacks the shared material or a package then fails.
TESTS_VARIABLE = "FER_MODELS_TESTS"


def give_up(why: str) -> None:
    """Skip this test, or this file; fail it where nothing may be missing."""
    if os.environ.get(TESTS_VARIABLE) == "all":
        pytest.fail(why)
    pytest.skip(why, allow_module_level=True)


def require_packages(*names: str) -> None:
    """Give up where a package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            give_up(f"{name} is not installed")


def _folder_or_skip(folder: Path, content: str) -> Path:
    if not folder.is_dir():
        give_up(f"{content} not found: no folder {'/'.join(folder.parts[-3:])}")
    return folder


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    return _folder_or_skip(SHARED, "the material shared beside the repository is")


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Random weights in the authors' two file forms, and what their own module answers."""
    return _folder_or_skip(SHARED / "golden", "golden files are")


@pytest.fixture(scope="session")
def fer2013_folder() -> Path:
    """FER2013 with the FER+ votes, as Parquet."""
    return _folder_or_skip(SHARED / "data" / "fer2013", "FER2013 is")


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """The public-domain portrait (512,512,3) of Eileen Collins, smiling."""
    image = load_image(EXAMPLE)
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def photograph_crop(photograph) -> np.ndarray:
    """Her face, aligned (112,112,3)."""
    return align_face(photograph, detect_faces(photograph)[0].landmarks)


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """The page's three networks with the shipped weights, loaded once for all tests."""
    return Analyzer()


@pytest.fixture(scope="session")
def saved_mfn(tmp_path_factory) -> tuple[Path, torch.nn.Module]:
    """An MFN of random weights that answers contempt whatever it sees: its file, and itself."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    network = NETWORKS["mfn"](num_classes=8)
    with torch.no_grad():
        network.head.fc.bias[EXPRESSIONS.index("contempt")] += 1000
    save_checkpoint(
        network,
        folder,
        name="contemptuous",
        network="mfn",
        arguments={},
        labels=EXPRESSIONS,
        preprocessing=Preprocessing(),
        calibration=Calibration.none(8),
    )
    return folder / "contemptuous.safetensors", network


@pytest.fixture(scope="session")
def seven_expressions(tmp_path_factory) -> Path:
    """Random weights of an MFN that was trained on the seven basic expressions."""
    folder = tmp_path_factory.mktemp("seven")
    save_checkpoint(
        NETWORKS["mfn"](num_classes=7),
        folder,
        name="seven",
        network="mfn",
        arguments={},
        labels=EXPRESSIONS[:7],
        preprocessing=Preprocessing(),
        calibration=Calibration.none(7),
    )
    return folder / "seven.safetensors"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """`python app.py` as a user starts it, on a free port."""
    with running_page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture(scope="session")
def page_url(server) -> str:
    return server.url
