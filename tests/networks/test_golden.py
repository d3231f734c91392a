"""Our networks with the authors' weights answer what the authors' module answers.

The published keys are renamed here one by one, without the importer, so that a mistake in one of
the two shows.
"""

import re

import numpy as np
import pytest
import torch

from fer_models.networks import NETWORKS

NEVER_RUN = re.compile(r"conv_dw\.(bn|prelu)\.|CoordAtt\.Linear\.|^bn\.")
RENAMINGS = [
    (r"^features\.(\d)\.", r"trunk.\1."),
    (r"\.model\.", "."),
    (r"\.conv\.prelu\.", ".expand.act."),
    (r"\.conv\.(conv|bn)\.", r".expand.\1."),
    (r"\.conv_dw\.mixed_depthwise_conv\.", ".mixconv.convs."),
    (r"\.CA\.", ".attention.gates."),
    (r"^(trunk\.[018])\.prelu\.", r"\1.act."),
    (r"^cat_head(\d)\.CoordAtt\.Linear_h\.", r"head.dda_heads.\1.pool_column."),
    (r"^cat_head(\d)\.CoordAtt\.Linear_w\.", r"head.dda_heads.\1.pool_row."),
    (r"^cat_head(\d)\.CoordAtt\.", r"head.dda_heads.\1.gates."),
    (r"\.gates\.conv1\.", ".gates.squeeze."),
    (r"\.gates\.bn1\.", ".gates.bn."),
    (r"\.gates\.conv2\.", ".gates.expand_column."),
    (r"\.gates\.conv3\.", ".gates.expand_row."),
    (r"^Linear\.", "head.classifier.gdconv."),
    (r"^fc\.", "head.classifier.fc."),
]


def rename(key: str) -> str:
    for pattern, replacement in RENAMINGS:
        key = re.sub(pattern, replacement, key)
    return key


@pytest.fixture(scope="module")
def published(golden_folder) -> dict:
    file = golden_folder / "ddamfn_published_format.pth"
    return torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"]


@pytest.fixture(scope="module")
def expected(golden_folder) -> dict[str, torch.Tensor]:
    with np.load(golden_folder / "expected.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]).float() for key in arrays}


@pytest.fixture(scope="module")
def network(published):
    network = NETWORKS["ddamfn"](num_classes=7, num_heads=2).eval()
    kept = {rename(key): value for key, value in published.items() if not NEVER_RUN.search(key)}
    network.load_state_dict(kept)
    return network


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_exactly_81422_published_parameters_never_run(published):
    sizes = {
        key: value.numel()
        for key, value in published.items()
        if not re.search(r"running_|num_batches", key)
    }
    assert sum(sizes.values()) == 4_187_421
    assert sum(size for key, size in sizes.items() if NEVER_RUN.search(key)) == 81_422


def test_logits_agree_to_1e_4(network, expected):
    with torch.no_grad():
        assert relative_error(network(expected["x"]), expected["logits"]) < 1e-4


def test_features_agree_to_1e_4(network, expected):
    with torch.no_grad():
        features = network.trunk(expected["x"])[:, ::8]
    assert relative_error(features, expected["features"]) < 1e-4


def test_both_heads_maps_agree_to_1e_4(network, expected):
    with torch.no_grad():
        attention = network.head.attention(network.trunk(expected["x"]))[:, :, ::8]
    for head in (0, 1):
        difference = (attention[:, head] - expected[f"head{head}"]).abs().max()
        assert difference < 1e-4
    # The check can tell the heads, and a map from its transpose.
    assert (attention[:, 0] - expected["head1"]).abs().max() > 1e-2
    assert (attention[:, 0].transpose(2, 3) - expected["head0"]).abs().max() > 1e-2
