"""The architectures. Every one of them is `logits = head(trunk(x))`."""

from collections.abc import Callable

from torch import nn

from fer_models.networks.ddamfn import build_ddamfn
from fer_models.networks.mfn import build_mfn
from fer_models.networks.mobilefacenet import build_mobilefacenet
from fer_models.networks.resnet import build_resnet18, build_resnet18_44, build_resnet50
from fer_models.networks.spresnet import build_spresnet18, build_spresnet18_ca

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "ddamfn": build_ddamfn,
    "mfn": build_mfn,
    "mobilefacenet": build_mobilefacenet,
    "resnet18": build_resnet18,
    "resnet18_44": build_resnet18_44,
    "resnet50": build_resnet50,
    "spresnet18": build_spresnet18,
    "spresnet18_ca": build_spresnet18_ca,
}
