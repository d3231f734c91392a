"""Class activation maps over a trunk's features, by the pytorch_grad_cam package.

The trunk has run already, and the gradient runs through the head alone, back to the features. The
package is given that gradient and the features, and weighs them by its method: it runs no network
and lays no hook.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

METHODS = ("grad-cam", "grad-cam++", "hirescam", "layer-cam", "eigen-cam")


@dataclass(frozen=True)
class Target:
    """What an attribution explains: the logit of `expression`, or its lead over `minus`'s.

    Both are positions in the logits.
    """

    expression: int
    minus: int | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        if self.minus is None:
            return logits[..., self.expression]
        return logits[..., self.expression] - logits[..., self.minus]


def _method_class(method: str):
    import pytorch_grad_cam

    classes = {
        "grad-cam": pytorch_grad_cam.GradCAM,
        "grad-cam++": pytorch_grad_cam.GradCAMPlusPlus,
        "hirescam": pytorch_grad_cam.HiResCAM,
        "layer-cam": pytorch_grad_cam.LayerCAM,
        "eigen-cam": pytorch_grad_cam.EigenCAM,
    }
    if method not in classes:
        raise ValueError(f"Unknown method {method!r}; use one of {', '.join(METHODS)}.")
    return classes[method]


def attribute(
    head: nn.Module, features: Tensor, targets: Sequence[Target], method: str = "grad-cam"
) -> np.ndarray:
    """Signed, unscaled attributions of a head's logits to the cells of the features.

    Args:
        head: from features to logits; left as it was.
        features: (N,C,7,7) from the trunk.
        targets: one for each face.
        method: one of `METHODS`.

    Returns:
        (N,7,7) float32. The package's own heatmap is this, cut off below zero and scaled to 0..1.

    Raises:
        ValueError: if the method is unknown, or targets and features differ in number.
    """
    leaf = features.detach().requires_grad_(True)
    return attribute_logits(leaf, head(leaf), targets, method)


def attribute_logits(
    features: Tensor, logits: Tensor, targets: Sequence[Target], method: str = "grad-cam"
) -> np.ndarray:
    """As `attribute`, where the head has run already.

    Args:
        features: (N,C,7,7), a leaf that requires a gradient.
        logits: (N,K) that were computed from it.
    """
    cam_class = _method_class(method)
    if len(targets) != len(features):
        raise ValueError(f"{len(features)} faces, but {len(targets)} targets.")
    total = sum(target(row) for target, row in zip(targets, logits, strict=True))
    gradients = torch.autograd.grad(total, features)[0].cpu().numpy()
    activations = features.detach().cpu().numpy()
    # The package looks up the device of its model's parameters and does nothing else with it here.
    cam = cam_class(nn.PReLU(), target_layers=[])
    values = cam.get_cam_image(features, None, list(targets), activations, gradients, False)
    return np.asarray(values, dtype=np.float32)
