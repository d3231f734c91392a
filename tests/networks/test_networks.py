"""Every network against its paper's table: parameters, shapes, gradients."""

import pytest
import torch

from fer_models.networks import NETWORKS
from fer_models.networks.mfn import MFN, build_mfn_trunk
from fer_models.networks.mobilefacenet import build_mobilefacenet_trunk

PARAMETERS_WITH_7_CLASSES = {
    "ddamfn": 4_105_999,
    "mfn": 4_006_568 + 26_112 + 3_591,
    "mobilefacenet": 940_935,
    "resnet18": 11_180_103,
    "resnet18_44": 11_180_103,
    "resnet50": 23_522_375,
    "spresnet18": 4_188_487,
    "spresnet18_ca": 4_263_223,
}
INPUT_SIZE = {name: 112 for name in NETWORKS} | {
    name: 44 for name in ("resnet18_44", "spresnet18", "spresnet18_ca")
}


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_every_network_is_listed_here():
    assert set(PARAMETERS_WITH_7_CLASSES) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_counted_exactly(name):
    assert count(NETWORKS[name](num_classes=7)) == PARAMETERS_WITH_7_CLASSES[name]


def test_the_mfn_trunk_has_4006568_parameters():
    assert count(build_mfn_trunk()) == 4_006_568


@pytest.mark.parametrize("num_heads", [1, 2, 3, 4])
def test_every_dda_head_adds_34864_parameters(num_heads):
    network = NETWORKS["ddamfn"](num_classes=7, num_heads=num_heads)
    assert count(network) == count(NETWORKS["mfn"](num_classes=7)) + 34_864 * num_heads


def test_ddamfn_without_heads_is_mfn():
    assert type(NETWORKS["ddamfn"](num_classes=8, num_heads=0)) is MFN


@pytest.mark.parametrize("num_heads", [5, -1])
def test_another_number_of_heads_is_an_error(num_heads):
    with pytest.raises(ValueError, match="0 to 4"):
        NETWORKS["ddamfn"](num_heads=num_heads)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_head_of_the_trunk(name):
    torch.manual_seed(0)
    network = NETWORKS[name](num_classes=8).eval()
    x = torch.randn(1, 3, INPUT_SIZE[name], INPUT_SIZE[name])
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (1, 8)
        assert torch.equal(logits, network.head(network.trunk(x)))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, {}) for name in NETWORKS] + [("ddamfn", {"num_heads": n}) for n in range(5)],
)
def test_no_parameter_is_without_gradient(name, arguments):
    torch.manual_seed(0)
    network = NETWORKS[name](num_classes=7, **arguments)
    size = INPUT_SIZE[name]
    network(torch.randn(2, 3, size, size)).square().sum().backward()
    idle = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_mfn_trunk_keeps_to_the_stage_table():
    table = [
        (64, 56),
        (64, 56),
        (64, 28),
        (64, 28),
        (128, 14),
        (128, 14),
        (256, 7),
        (256, 7),
        (512, 7),
    ]
    trunk = build_mfn_trunk().eval()
    repeats = [len(trunk[stage]) for stage in (3, 5, 7)]
    x = torch.zeros(1, 3, 112, 112)
    with torch.no_grad():
        for stage, (channels, side) in zip(trunk, table, strict=True):
            x = stage(x)
            assert x.shape == (1, channels, side, side)
    assert repeats == [9, 16, 6]


def test_the_mobilefacenet_trunk_keeps_to_its_papers_table():
    bottlenecks = [  # expansion, channels, repeats, side: arXiv 1804.07573, Table 1
        (2, 64, 5, 28),
        (4, 128, 1, 14),
        (2, 128, 6, 14),
        (4, 128, 1, 7),
        (2, 128, 2, 7),
    ]
    rows = [(factor, c, side) for factor, c, count, side in bottlenecks for _ in range(count)]
    first, second, *middle, last = build_mobilefacenet_trunk().eval()
    x = torch.zeros(1, 3, 112, 112)
    with torch.no_grad():
        x = first(x)
        assert x.shape == (1, 64, 56, 56)
        x = second(x)
        assert x.shape == (1, 64, 56, 56) and second.conv.groups == 64
        for stage, (factor, channels, side) in zip(middle, rows, strict=True):
            hidden = factor * x.shape[1]
            is_same = x.shape == (1, channels, side, side)
            assert stage.expand.conv.out_channels == stage.depthwise.conv.groups == hidden
            assert stage.is_residual == is_same
            x = stage(x)
            assert x.shape == (1, channels, side, side)
        assert last(x).shape == (1, 512, 7, 7)


@pytest.mark.parametrize("name", ["ddamfn", "mfn", "mobilefacenet", "resnet18", "resnet50"])
def test_a_112_pixel_crop_gives_a_7x7_map(name):
    with torch.no_grad():
        features = NETWORKS[name]().eval().trunk(torch.zeros(1, 3, 112, 112))
    assert features.shape[2:] == (7, 7)


@pytest.mark.parametrize("name", ["resnet18_44", "spresnet18", "spresnet18_ca"])
def test_the_spresnet_stages_have_sides_44_22_11_6(name):
    trunk = NETWORKS[name]().eval().trunk
    sides = []
    x = torch.zeros(1, 3, 44, 44)
    with torch.no_grad():
        for stage_name, stage in trunk.named_children():
            x = stage(x)
            if stage_name.startswith("layer"):
                sides.append(tuple(x.shape[1:]))
    assert sides == [(64, 44, 44), (128, 22, 22), (256, 11, 11), (512, 6, 6)]


def test_resnet50_keeps_the_state_dict_names_that_checkpoints_have():
    names = list(NETWORKS["resnet50"]().state_dict())
    assert names[0] == "trunk.conv1.weight"
    assert "trunk.layer4.2.bn3.running_var" in names
    assert names[-2:] == ["head.fc.weight", "head.fc.bias"]
    assert len(names) == 320
