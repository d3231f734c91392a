"""The authors' files: imported exactly, refused when hostile, downloaded only when asked."""

import builtins
import http.server
import io
import os
import pickle
import threading
import urllib.request
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest
import torch

from fer_models import __main__, checkpoints, official
from fer_models.checkpoints import CheckpointError, load_card, load_network
from fer_models.expressions import EXPRESSIONS
from fer_models.networks import NETWORKS
from fer_models.official import PUBLISHED, PublishedFile, download_official, import_official


def published_state(num_classes: int = 7, num_heads: int = 2) -> dict[str, torch.Tensor]:
    """A state dict in the published form, with the tensors that never run."""
    torch.manual_seed(0)
    network = NETWORKS["ddamfn"](num_classes=num_classes, num_heads=num_heads)
    state = {official.published_name(k): v for k, v in network.state_dict().items()}
    return state | {key: torch.zeros(3) for key in official.never_run_names(list(state))}


@pytest.fixture
def save(tmp_path):
    def save_state(state: dict, name: str = "file.pth", **options):
        file = tmp_path / name
        torch.save({"iter": 3, "model_state_dict": state}, file, **options)
        return file

    return save_state


@pytest.fixture(scope="module")
def expected(golden_folder) -> dict[str, torch.Tensor]:
    with np.load(golden_folder / "expected.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]).float() for key in arrays}


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


# --- what is imported ---


def test_the_golden_ddamfn_imports_and_answers_as_the_authors_module(
    golden_folder, expected, tmp_path
):
    card = import_official(golden_folder / "ddamfn_published_format.pth", tmp_path)
    assert (card.network, card.arguments, card.parameters) == (
        "ddamfn",
        {"num_heads": 2},
        4_105_999,
    )
    network = load_network(tmp_path / "ddamfn_published_format.safetensors").network
    with torch.no_grad():
        features = network.trunk(expected["x"])
        attention = network.head.attention(features)[:, :, ::8]
        logits = network.head(features)
    assert relative_error(logits, expected["logits"]) < 1e-4
    assert relative_error(features[:, ::8], expected["features"]) < 1e-4
    assert (attention[:, 0] - expected["head0"]).abs().max() < 1e-4
    assert (attention[:, 1] - expected["head1"]).abs().max() < 1e-4


def test_the_command_imports_a_file_and_refuses_another_in_one_line(
    save, tmp_path, monkeypatch, capsys
):
    good = save(published_state())
    command = ["fer_models", "import-official", str(good), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", command)
    assert __main__.main() == 0
    assert good.stem in capsys.readouterr().out
    assert load_card(tmp_path / "out" / f"{good.stem}.safetensors").network == "ddamfn"
    (tmp_path / "other.pth").write_bytes(b"no torch file")
    monkeypatch.setattr("sys.argv", [*command[:2], str(tmp_path / "other.pth"), *command[3:]])
    assert __main__.main() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "other.pth" in said.err
    assert not list((tmp_path / "out").glob("other*"))


def test_the_golden_mfn_module_imports_as_a_trunk(golden_folder, expected, tmp_path):
    card = import_official(golden_folder / "mfn_published_format.pth", tmp_path, "official-mfn")
    network = load_network(tmp_path / "official-mfn.safetensors").network
    with torch.no_grad():
        features = network.trunk(expected["x"])
    assert relative_error(features[:, ::8], expected["mfn_features"]) < 1e-4
    assert card.labels == ()
    assert "No expression network" in card.training["use"]
    NETWORKS["ddamfn"]().trunk.load_state_dict(network.trunk.state_dict())


def test_the_card_says_all_that_using_the_weights_needs(save, tmp_path):
    card = import_official(save(published_state()), tmp_path / "out", "mine")
    assert card.name == "mine"
    assert card.labels == EXPRESSIONS[:7]
    assert (card.preprocessing.size, card.preprocessing.grey) == (112, False)
    assert card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert card.preprocessing.detail_px is None
    assert card.calibration.strength == 0 and card.calibration.temperature == 1
    assert "no licence" in card.licence
    assert "not one of the published files" in card.training["data"]
    assert load_network(tmp_path / "out" / "mine.safetensors").card == card


def test_weights_stay_in_float32_bit_for_bit(save, tmp_path):
    state = published_state()
    import_official(save(state), tmp_path, "exact")
    network = load_network(tmp_path / "exact.safetensors").network
    assert torch.equal(network.trunk[0].conv.weight, state["features.0.conv.weight"])


def test_eight_classes_have_contempt_last(save, tmp_path):
    card = import_official(save(published_state(num_classes=8)), tmp_path)
    assert card.labels == EXPRESSIONS


def test_the_number_of_heads_is_read_from_the_file(save, tmp_path):
    card = import_official(save(published_state(num_heads=4)), tmp_path)
    assert card.arguments == {"num_heads": 4}


def test_a_legacy_torch_file_imports_too(save, tmp_path):
    file = save(published_state(), _use_new_zipfile_serialization=False)
    assert import_official(file, tmp_path).parameters == 4_105_999


# --- what is not exactly the published form ---


@pytest.mark.parametrize(
    "key", ["features.4.project.conv.weight", "cat_head1.CoordAtt.bn1.bias", "Linear.conv.weight"]
)
def test_a_missing_tensor_is_named(save, tmp_path, key):
    state = published_state()
    del state[key]
    with pytest.raises(CheckpointError, match=f"missing: {key}"):
        import_official(save(state), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_never_run_tensor_is_named(save, tmp_path):
    state = published_state()
    del state["features.2.conv_dw.prelu.weight"]
    with pytest.raises(CheckpointError, match=r"missing: features\.2\.conv_dw\.prelu\.weight"):
        import_official(save(state), tmp_path)


def test_an_extra_tensor_is_named(save, tmp_path):
    state = published_state() | {"features.9.conv.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"unknown: features\.9\.conv\.weight"):
        import_official(save(state), tmp_path)


def test_a_tensor_of_another_shape_is_named(save, tmp_path):
    state = published_state() | {"features.0.conv.weight": torch.zeros(64, 1, 3, 3)}
    with pytest.raises(CheckpointError, match=r"trunk\.0\.conv\.weight"):
        import_official(save(state), tmp_path)


def test_another_number_of_classes_is_an_error(save, tmp_path):
    with pytest.raises(CheckpointError, match="7 or 8 classes"):
        import_official(save(published_state(num_classes=6)), tmp_path)


def test_a_file_in_another_form_says_which_are_known(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="neither a dict with model_state_dict"):
        import_official(tmp_path / "list.pth", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_torch_file_is_an_error(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="broken.pth: not a weights file"):
        import_official(tmp_path / "broken.pth", tmp_path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        import_official(tmp_path / "absent.pth", tmp_path)


# --- what is hostile ---


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Unknown:
    """A class of its own, harmless but on no list."""


def marker_code(marker) -> str:
    return f"open({str(marker)!r}, 'w').close()"


HOSTILE = {
    "os.system": lambda marker: Calls(os.system, f"touch '{marker}'"),
    "eval": lambda marker: Calls(builtins.eval, marker_code(marker)),
    "exec": lambda marker: Calls(builtins.exec, marker_code(marker)),
    "getattr": lambda marker: Calls(builtins.getattr, "text", "upper"),
    "open": lambda marker: Calls(io.open, str(marker), "w"),
    "torch.load": lambda marker: Calls(torch.load, str(marker)),
    "Fraction": lambda marker: Fraction(1, 2),
    "a class": lambda marker: Unknown(),
}


@pytest.mark.hostile
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path, payload, zipped):
    marker = tmp_path / "it-ran"
    file = tmp_path / "hostile.pth"
    content = {
        "model_state_dict": OrderedDict(weight=torch.zeros(2)),
        "x": HOSTILE[payload](marker),
    }
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="refused. Reading it would need .*harmless"):
        import_official(file, tmp_path / "out")
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def test_the_refusal_names_what_the_file_asks_for(tmp_path):
    torch.save({"x": Fraction(1, 2)}, tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match=r"fractions\.Fraction"):
        import_official(tmp_path / "f.pth", tmp_path)


@pytest.mark.hostile
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bare_pickle_is_not_run_either(tmp_path, protocol):
    marker = tmp_path / "it-ran"
    file = tmp_path / "bare.pth"
    file.write_bytes(pickle.dumps(HOSTILE["os.system"](marker), protocol=protocol))
    with pytest.raises(CheckpointError):
        import_official(file, tmp_path)
    assert not marker.exists()


@pytest.mark.hostile
def test_the_payloads_would_run_in_an_ordinary_unpickler(tmp_path):
    """Otherwise the tests above could not fail."""
    marker = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(HOSTILE["os.system"](marker)))
    assert marker.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_file_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pth")
    with pytest.raises(CheckpointError, match="TorchScript"):
        import_official(tmp_path / "script.pth", tmp_path)


def test_a_module_becomes_an_inert_stand_in(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "linear.pth")
    content = official.read_published(tmp_path / "linear.pth")
    assert not isinstance(content, torch.nn.Module)
    assert not callable(content)
    assert {k: v.shape for k, v in official.module_state(content)} == {
        "weight": (3, 2),
        "bias": (3,),
    }
    with pytest.raises(CheckpointError, match="missing: .*conv1"):
        import_official(tmp_path / "linear.pth", tmp_path / "out")


# --- downloads ---


def test_the_published_files_are_those_of_the_pinned_commit():
    assert set(PUBLISHED) == {
        "official-rafdb",
        "official-affectnet7",
        "official-affectnet8",
        "official-mfn",
    }
    assert PUBLISHED["official-mfn"].path == "pretrained/MFN_msceleb.pth"
    assert all(len(published.git_blob_id) == 40 for published in PUBLISHED.values())
    assert official.COMMIT in official.BASE_URL


def test_a_git_blob_id_is_gits_own(tmp_path):
    file = tmp_path / "hello"
    file.write_bytes(b"hello\n")  # `git hash-object` gives this for it
    assert official.git_blob_id(file) == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path/served`; `server.cut_after` bytes, where set, end every answer early."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=folder, **kwargs)

        def copyfile(self, source, output):
            output.write(source.read(running.cut_after))

        def log_message(self, *args):
            running.requests.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.folder, running.cut_after, running.requests = folder, -1, []
    running.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def published_file(server, monkeypatch):
    """A file in the published form at its place on the server, known by its blob id."""
    path = "DDAMFN++/checkpoints/rafdb.pth"
    file = server.folder / path
    file.parent.mkdir(parents=True)
    torch.save({"model_state_dict": published_state()}, file)
    published = PublishedFile(path, official.git_blob_id(file), "RAF-DB, 7 expressions")
    monkeypatch.setitem(PUBLISHED, "official-rafdb", published)
    return file


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch):
    """Where temporary files go during a test, so that leftovers show."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_download_is_checked_and_imported(server, published_file, tmp_path, temporary_folder):
    card = download_official("official-rafdb", tmp_path / "out", server.url)
    assert card.name == "official-rafdb"
    assert card.training["data"] == "RAF-DB, 7 expressions"
    assert load_network(tmp_path / "out" / "official-rafdb.safetensors").card == card
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["official-rafdb.json", "official-rafdb.safetensors"]
    assert list(temporary_folder.iterdir()) == []


def test_a_file_of_another_hash_is_refused_unread(
    server, published_file, tmp_path, monkeypatch, temporary_folder
):
    content = bytearray(published_file.read_bytes())
    content[-2000] ^= 1
    published_file.write_bytes(content)
    monkeypatch.setattr(official, "import_official", lambda *_: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match="git blob id"):
        download_official("official-rafdb", tmp_path / "out", server.url)
    assert not (tmp_path / "out").exists()
    assert list(temporary_folder.iterdir()) == []


def test_a_connection_cut_mid_file_leaves_nothing(
    server, published_file, tmp_path, temporary_folder
):
    server.cut_after = 100_000
    with pytest.raises(CheckpointError, match=r"cut off after 100000 of \d+ bytes; try again"):
        download_official("official-rafdb", tmp_path / "out", server.url)
    assert not (tmp_path / "out").exists()
    assert list(temporary_folder.iterdir()) == []


def test_a_file_that_the_server_lacks_is_an_error(server, tmp_path):
    with pytest.raises(CheckpointError, match="could not be fetched .*404"):
        download_official("official-affectnet7", tmp_path / "out", server.url)


def test_no_server_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="could not be fetched"):
        download_official("official-mfn", tmp_path, "http://127.0.0.1:9")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(CheckpointError, match="official-rafdb"):
        download_official("official-fer", tmp_path)


def test_the_listing_says_what_is_here_and_what_can_be_fetched_from_where(
    save, tmp_path, monkeypatch, capsys
):
    for module in (__main__, checkpoints):
        monkeypatch.setattr(module, "DOWNLOADED_FOLDER", tmp_path)
    import_official(save(published_state()), tmp_path, "official-rafdb")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("a download"))
    monkeypatch.setattr("sys.argv", ["fer_models", "checkpoints"])
    __main__.main()
    listed = capsys.readouterr().out.splitlines()
    here = [line.partition(":")[0] for line in listed if " parameters" in line]
    assert here == [*checkpoints.shipped_checkpoints(), "official-rafdb"]
    away = [line for line in listed if "not here" in line]
    assert len(away) == len(PUBLISHED) - 1
    for name, published in PUBLISHED.items():
        url = f"https://github.com/SainingZhang/DDAMFN/raw/{official.COMMIT}/{published.path}"
        line = f"{name}: not here; --download {name} fetches {url}"
        assert (line in away) == (name != "official-rafdb")


def test_importing_a_file_downloads_nothing(save, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("a download"))
    import_official(save(published_state()), tmp_path)
    with pytest.raises(CheckpointError, match="No checkpoint"):
        load_network("official-rafdb-absent")
