"""An exported network answers as the checkpoint does."""

import json
import sys

import numpy as np
import pytest
import torch
import toy

from fer_models.calibration import Calibration
from fer_models.checkpoints import load_network, save_checkpoint
from fer_models.networks import NETWORKS
from fer_models.preprocessing import Preprocessing
from tests.conftest import require_packages
from training import export
from training.export import export_onnx


def save(folder, name: str, size: int) -> str:
    save_checkpoint(
        NETWORKS[name](num_classes=4),
        folder,
        name=name,
        network=name,
        arguments={},
        labels=toy.EXPRESSIONS,
        preprocessing=Preprocessing(size=size),
        calibration=Calibration.none(4),
    )
    return str(folder / f"{name}.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name, size", [("toy", 12), ("ddamfn", 112), ("spresnet18_ca", 44)])
def test_onnxruntime_gives_the_logits_that_torch_gives(tmp_path, name, size):
    require_packages("onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    checkpoint = save(tmp_path, name, size)
    export_onnx(checkpoint, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    for count in (1, 3):
        images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))
        (found,) = session.run(["logits"], {"images": images.numpy()})
        with torch.no_grad():
            expected = load_network(checkpoint).network(images).numpy()
        assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    assert card["labels"] == list(toy.EXPRESSIONS)


def test_a_missing_package_is_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match="pip install onnx"):
        export_onnx(save(tmp_path, "toy", 12), tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_the_command_writes_beside_the_weights_and_refuses_an_unknown_name(
    tmp_path, monkeypatch, capsys
):
    require_packages("onnx", "onnxscript")
    checkpoint = save(tmp_path, "toy", 12)
    monkeypatch.setattr(sys, "argv", ["export", "--checkpoint", checkpoint, "--format", "onnx"])
    export.main()
    file = tmp_path / "toy.onnx"
    assert capsys.readouterr().out.startswith(f"{file}, ") and file.stat().st_size > 0
    monkeypatch.setattr(sys, "argv", ["export", "--checkpoint", "nobody"])
    with pytest.raises(SystemExit, match="2"):
        export.main()
    assert "No checkpoint 'nobody'" in capsys.readouterr().err
