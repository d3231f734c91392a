"""Grad-CAM over the head alone equals the package's ordinary use on the whole network."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from fer_models.analysis import PAGE_NETWORKS
from fer_models.explain.cam import METHODS, Target, _method_class, attribute
from fer_models.networks import NETWORKS

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooks_in(network: nn.Module) -> int:
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in HOOKS)


@pytest.mark.parametrize("name", PAGE_NETWORKS)
def test_attribution_equals_the_packages_ordinary_grad_cam(name):
    torch.manual_seed(3)
    network = NETWORKS[name](num_classes=8).eval()
    images = torch.randn(2, 3, 112, 112)
    targets = [1, 5]
    with GradCAM(network, [network.trunk]) as package:
        ordinary = package(images, [ClassifierOutputTarget(t) for t in targets])
    with torch.no_grad():
        features = network.trunk(images)
    ours = attribute(network.head, features, [Target(t) for t in targets])
    assert ours.shape == (2, 7, 7)
    assert ordinary.max() > 0.9  # else equal only because all is dark
    drawn = scale_cam_image(scale_cam_image(np.maximum(ours, 0), (112, 112)))
    np.testing.assert_allclose(drawn, ordinary, atol=1e-4)


def test_a_linear_head_gives_the_map_known_by_hand():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    head[2].weight.data = torch.tensor([[3.0, -1.0], [0.0, 2.0]])
    features = torch.arange(2 * 49, dtype=torch.float32).view(1, 2, 7, 7)
    values = attribute(head, features, [Target(0)])
    # The gradient of logit 0 is its weight / 49 in every cell of a channel.
    expected = (3 * features[0, 0] - features[0, 1]) / 49
    np.testing.assert_allclose(values[0], expected.numpy(), rtol=1e-5)


def test_contrast_is_the_difference_of_the_two_expressions():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    features = torch.randn(1, 4, 7, 7)
    one, other = (attribute(head, features, [Target(i)]) for i in (0, 2))
    contrast = attribute(head, features, [Target(0, minus=2)])
    np.testing.assert_allclose(contrast, one - other, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_no_hook_and_no_gradient_behind(method):
    head = NETWORKS["mfn"](num_classes=8).eval().head
    features = torch.randn(1, 512, 7, 7)
    values = attribute(head, features, [Target(0)], method)
    assert values.shape == (1, 7, 7) and np.isfinite(values).all()
    assert hooks_in(head) == 0 and not features.requires_grad
    assert all(p.grad is None for p in head.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_no_hook_is_left_after_an_error_of_the_package(method, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(_method_class(method), "get_cam_image", fail)
    head = NETWORKS["mfn"](num_classes=8).eval().head
    with pytest.raises(RuntimeError, match="out of memory"):
        attribute(head, torch.randn(1, 512, 7, 7), [Target(0)], method)
    assert hooks_in(head) == 0 and all(p.grad is None for p in head.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_equals_the_packages_own_run_of_it(method):
    torch.manual_seed(5)
    head = NETWORKS["ddamfn"](num_classes=8).eval().head
    features = torch.randn(2, 512, 7, 7).relu()
    layer = nn.Identity()
    with _method_class(method)(nn.Sequential(layer, head), [layer]) as package:
        leaf = features.clone().requires_grad_(True)
        ordinary = package(leaf, [ClassifierOutputTarget(t) for t in (2, 6)])
    ours = attribute(head, features, [Target(2), Target(6)], method)
    assert ordinary.max() > 0.9
    drawn = scale_cam_image(scale_cam_image(np.maximum(ours, 0)))
    np.testing.assert_allclose(drawn, ordinary, atol=1e-4)


def test_unknown_methods_and_wrong_numbers_of_targets_are_refused():
    head = nn.Flatten()
    with pytest.raises(ValueError, match="grad-cam"):
        attribute(head, torch.randn(1, 1, 7, 7), [Target(0)], "saliency")
    with pytest.raises(ValueError, match="1 faces, but 2 targets"):
        attribute(head, torch.randn(1, 1, 7, 7), [Target(0), Target(1)])
