"""Class activation maps over a trunk's features: the only import of pytorch_grad_cam.

The trunk has run already. Here the package explains the head alone, a network of one identity layer
(whose output is the features) and the head, so no gradient runs through the trunk and no hook is
ever laid on a shared module.
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
    cam_class = _method_class(method)
    if len(targets) != len(features):
        raise ValueError(f"{len(features)} faces, but {len(targets)} targets.")
    layer = nn.Identity()
    cam = cam_class(nn.Sequential(layer, head), [layer])
    try:
        leaf = features.detach().clone().requires_grad_(True)
        logits = cam.activations_and_grads(leaf)
        total = sum(target(row) for target, row in zip(targets, logits, strict=True))
        gradients = torch.autograd.grad(total, leaf)[0].numpy()
        activations = leaf.detach().numpy()
        values = cam.get_cam_image(leaf, layer, list(targets), activations, gradients, False)
    finally:
        cam.activations_and_grads.release()
    return np.asarray(values, dtype=np.float32)
