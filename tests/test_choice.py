"""A visitor's own checkpoints: which uploads are accepted, and whose page they change."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_models.analysis import Analyzer
from fer_models.checkpoints import load_card, save_checkpoint
from fer_models.choice import (
    Choices,
    UploadError,
    accept_upload,
    installed_checkpoints,
    remove_upload,
)
from fer_models.expressions import EXPRESSIONS
from tests.conftest import SHIPPED


@pytest.fixture
def saved(saved_mfn) -> Path:
    return saved_mfn[0]


@pytest.fixture
def upload(saved, tmp_path):
    """The pair as gradio stores it: each file in a folder of its own; the card may be changed."""

    def make(**changes) -> list[Path]:
        weights, card = tmp_path / "a" / "w.safetensors", tmp_path / "b" / "c.json"
        for file in (weights, card):
            file.parent.mkdir(exist_ok=True)
        weights.write_bytes(saved.read_bytes())
        fields = json.loads(saved.with_suffix(".json").read_text())
        for key, value in changes.items():
            outer, _, inner = key.partition("__")
            if inner:
                fields[outer][inner] = value
            else:
                fields[outer] = value
        card.write_text(json.dumps(fields))
        return [weights, card]

    return make


def test_an_upload_answers_in_its_networks_column_for_its_visitor_alone(upload, photograph_crop):
    path, card = accept_upload(upload())
    assert card.name == "contemptuous"
    shared = Analyzer(SHIPPED)
    choices = Choices(shared)
    mine = choices.analyzer({"mfn": path}).analyze_crops([photograph_crop])
    others = choices.analyzer({}).analyze_crops([photograph_crop])
    assert list(mine) == list(others) == list(SHIPPED)
    assert mine["mfn"][0].expression == "contempt"
    assert others["mfn"][0].expression == "happiness"
    assert mine["ddamfn"][0].probabilities == others["ddamfn"][0].probabilities
    assert choices.analyzer({}) is shared
    remove_upload(path)
    assert not Path(path).parent.exists()


def test_only_the_last_uploads_stay_in_memory(saved, upload, monkeypatch):
    monkeypatch.setattr("fer_models.choice.LOADED_PARAMETERS", 2 * load_card(saved).parameters)
    choices = Choices(Analyzer(()))
    paths = [accept_upload(upload())[0] for _ in range(3)]
    first, second = choices.upload(paths[0]), choices.upload(paths[1])
    assert choices.upload(paths[0]) is first  # and is now the last used
    choices.upload(paths[2])
    assert choices.upload(paths[0]) is first
    assert choices.upload(paths[1]) is not second  # it was put out and is loaded anew
    for path in paths:
        remove_upload(path)


def test_a_deleted_upload_says_so(upload):
    files = upload()
    path, _ = accept_upload(files)
    choices = Choices(Analyzer(()))
    choices.upload(path)
    files[0].unlink()  # as gradio does after an hour
    with pytest.raises(UploadError, match="upload it again"):
        choices.upload(path)
    remove_upload(path)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "spresnet18_ca"}, "spresnet18_ca; this page has places for"),
        ({"network": ["mfn"]}, "not a valid card .its network is no text"),
        ({"labels": []}, "labels"),
        ({"labels": ["joy", *EXPRESSIONS[1:]]}, "labels"),
        ({"labels": [["neutral"], *EXPRESSIONS[1:]]}, "labels"),
        ({"labels": [*EXPRESSIONS[:7], "neutral"]}, "labels"),
        ({"arguments": {"num_heads": 10**9}}, "arguments"),
        ({"arguments": []}, "arguments"),
        ({"arguments": {"num_heads": 2}}, "do not fit mfn"),
        ({"preprocessing__size": 100_000}, "preprocessing.size"),
        ({"preprocessing__size": 96}, "6x6"),
        ({"preprocessing__detail_px": 10**6}, "preprocessing.detail_px"),
        ({"preprocessing__std": [0, 1, 1]}, "preprocessing.std"),
        ({"preprocessing": 3}, "not a valid card"),
        ({"preprocessing__alignment": "eyes-96"}, "unknown alignment"),
        ({"calibration__temperature": 0}, "calibration.temperature"),
        ({"calibration__prior": [1]}, "calibration.prior"),
        ({"training": "secret"}, "training"),
        ({"parameters": 1}, "4,036,784|4036784"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"sha256": 5}, "its sha256 is no text"),
        ({"sha256": None}, "its sha256 is no text"),
        ({"extra": 1}, "not a valid card"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_in_plain_words(upload, changes, message, monkeypatch):
    made = []
    monkeypatch.setattr("tempfile.mkdtemp", remember(made))
    with pytest.raises(UploadError, match=message) as refused:
        accept_upload(upload(**changes))
    assert "/" not in str(refused.value).replace("ddamfn, mfn", "")  # no path of the server's
    assert made and not Path(made[0]).exists()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RuntimeError("non-positive stride"), UploadError), (TypeError("no such thing"), TypeError)],
    ids=["foreseen", "unforeseen"],
)
def test_a_network_that_cannot_run_leaves_no_folder(upload, monkeypatch, error, raised):
    def fail(file):
        raise error

    made = []
    monkeypatch.setattr("tempfile.mkdtemp", remember(made))
    monkeypatch.setattr("fer_models.choice.load_network", fail)
    with pytest.raises(raised, match=str(error)):
        accept_upload(upload())
    assert made and not Path(made[0]).exists()


def remember(made: list):
    import tempfile

    real = tempfile.mkdtemp

    def make(**settings):
        made.append(real(**settings))
        return made[-1]

    return make


@pytest.mark.parametrize("suffixes", [(), (".json",), (".safetensors",) * 2, (".pth", ".json")])
def test_anything_but_the_pair_is_refused(tmp_path, suffixes):
    files = [tmp_path / f"{number}{suffix}" for number, suffix in enumerate(suffixes)]
    for file in files:
        file.write_text("{}")
    with pytest.raises(UploadError, match="two files together"):
        accept_upload(files)


@pytest.mark.hostile
def test_a_huge_or_deep_card_is_refused(upload):
    files = upload()
    files[1].write_text("[" * 200_000)
    with pytest.raises(UploadError, match="refused"):
        accept_upload(files)
    files[1].write_text(" " * 1_000_001)
    with pytest.raises(UploadError, match="1 MB"):
        accept_upload(files)


def test_weights_without_numbers_are_refused(saved, tmp_path):
    from fer_models.checkpoints import load_network

    network = load_network(saved).network
    network.head.fc.bias.fill_(float("nan"))
    card = load_card(saved)
    fields = {k: v for k, v in card.__dict__.items() if k in SAVED_FIELDS}
    save_checkpoint(network, tmp_path, **fields)
    with pytest.raises(UploadError, match="no number"):
        accept_upload([tmp_path / f"{card.name}{end}" for end in (".safetensors", ".json")])


SAVED_FIELDS = ("name", "network", "arguments", "labels", "preprocessing", "calibration")


def test_the_installed_checkpoints_of_a_network_are_found(monkeypatch, tmp_path, saved):
    assert "mfn" in installed_checkpoints("mfn") and "ddamfn" not in installed_checkpoints("mfn")
    for suffix in (".safetensors", ".json"):
        (tmp_path / f"another{suffix}").write_bytes(saved.with_suffix(suffix).read_bytes())
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.setattr("fer_models.choice.DOWNLOADED_FOLDER", tmp_path)
    monkeypatch.setattr("fer_models.checkpoints.DOWNLOADED_FOLDER", tmp_path)
    assert installed_checkpoints("mfn") == ["mfn", "another"]


def test_an_answer_does_not_depend_on_which_analyzer_runs_an_installed_checkpoint(photograph_crop):
    shared = Analyzer(("ddamfn", "mfn"))
    swapped = Choices(shared).analyzer({"ddamfn": "mfn"})
    assert np.array_equal(
        swapped.probabilities("ddamfn", [photograph_crop]),
        shared.probabilities("mfn", [photograph_crop]),
    )
    assert swapped.checkpoint("ddamfn").card == load_card("mfn")


def test_a_visitors_analyzer_has_the_shared_ones_engine_and_threads(monkeypatch, photograph_crop):
    shared = Analyzer(("ddamfn", "mfn"), engine="torch")
    for maker in ("ThreadPoolExecutor", "choose_engine"):
        monkeypatch.setattr(f"fer_models.analysis.{maker}", lambda *_, **__: pytest.fail("anew"))
    swapped = Choices(shared).analyzer({"ddamfn": "mfn"})
    answers = swapped.analyze_crops([photograph_crop])
    assert list(answers) == ["ddamfn", "mfn"] and swapped.engine == "torch"
    assert answers["ddamfn"][0].probabilities == answers["mfn"][0].probabilities
