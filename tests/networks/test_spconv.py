"""SPConv against a slow one, written as the paper's formulas read."""

import numpy as np
import pytest
import torch

from fer_models.networks.spresnet import SPConv


def convolve_3x3(x, weight, bias, stride):
    """(C,H,W) with (O,C/2,3,3) in two groups and a border of zeros -> (O,H',W')."""
    channels, height, width = x.shape
    out_channels = len(weight)
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = x
    rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
    result = np.zeros((out_channels, rows, columns))
    for o in range(out_channels):
        group = 0 if o < out_channels // 2 else 1
        inputs = padded[group * channels // 2 : (group + 1) * channels // 2]
        for i in range(rows):
            for j in range(columns):
                window = inputs[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
                result[o, i, j] = (window * weight[o]).sum() + bias[o]
    return result


def convolve_1x1(x, weight, bias):
    result = np.zeros((len(weight), *x.shape[1:]))
    for o in range(len(weight)):
        for c in range(len(x)):
            result[o] += weight[o, c, 0, 0] * x[c]
        result[o] += bias[o]
    return result


def average_2x2(x):
    """Averages of 2x2 cells; at an odd border, of the cells that are there."""
    channels, height, width = x.shape
    result = np.zeros((channels, (height + 1) // 2, (width + 1) // 2))
    for i in range(result.shape[1]):
        for j in range(result.shape[2]):
            result[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(1, 2))
    return result


def normalise(x, bn):
    result = np.zeros_like(x)
    for c in range(len(x)):
        scale = bn["weight"][c] / np.sqrt(bn["running_var"][c] + 1e-5)
        result[c] = (x[c] - bn["running_mean"][c]) * scale + bn["bias"][c]
    return result


def slow_spconv(x, layers, stride):
    """One image (C,H,W); `layers` holds each layer's parameters by name."""
    half = len(x) // 2
    first, second = x[:half], x[half:]
    u3 = convolve_3x3(first, layers["conv_3x3"]["weight"], layers["conv_3x3"]["bias"], stride)
    if stride == 2:
        first, second = average_2x2(first), average_2x2(second)
    u3 = u3 + convolve_1x1(first, layers["conv_1x1"]["weight"], layers["conv_1x1"]["bias"])
    redundant = layers["conv_redundant"]
    u1 = convolve_1x1(second, redundant["weight"], redundant["bias"])
    u3, u1 = normalise(u3, layers["bn_representative"]), normalise(u1, layers["bn_redundant"])
    result = np.zeros_like(u3)
    for c in range(len(u3)):
        e3, e1 = np.exp(u3[c].mean()), np.exp(u1[c].mean())
        beta = e3 / (e3 + e1)
        result[c] = beta * u3[c] + (1 - beta) * u1[c]
    return result


def parameters_of(network) -> dict[str, dict[str, np.ndarray]]:
    layers: dict[str, dict[str, np.ndarray]] = {}
    for key, value in network.state_dict().items():
        layer, name = key.split(".")
        layers.setdefault(layer, {})[name] = value.numpy()
    return layers


@pytest.fixture
def random_spconv():
    def build(stride: int) -> SPConv:
        torch.manual_seed(3)
        network = SPConv(8, 12, stride).double().eval()
        with torch.no_grad():
            for key, value in network.state_dict().items():
                if "bn" in key and value.is_floating_point():
                    value.uniform_(0.5, 1.5)
        return network

    return build


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height, width", [(8, 8), (11, 11), (6, 7), (7, 6)])
def test_spconv_equals_the_slow_reference(random_spconv, stride, height, width):
    network = random_spconv(stride)
    x = torch.randn(2, 8, height, width, dtype=torch.float64)
    with torch.no_grad():
        found = network(x).numpy()
    expected = np.stack([slow_spconv(image, parameters_of(network), stride) for image in x.numpy()])
    assert found.shape == (2, 12, -(-height // stride), -(-width // stride))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_two_halves_weights_sum_to_one(random_spconv):
    """With equal maps in both branches the result is that map, whatever their averages."""
    network = random_spconv(1)
    with torch.no_grad():
        network.conv_3x3.weight.zero_()
        network.conv_3x3.bias.zero_()
        network.conv_redundant.load_state_dict(network.conv_1x1.state_dict())
        network.bn_redundant.load_state_dict(network.bn_representative.state_dict())
        half = torch.randn(1, 4, 5, 5, dtype=torch.float64)
        x = torch.cat([half, half], dim=1)
        torch.testing.assert_close(network(x), network.branches(x)[0])
