"""Activations of PyTorch and the potentials whose responses they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import nn

from energy.potentials import ClippedReLU, HardSigmoid, LeakyReLU, Potential, ReLU, Sigmoid, Softmax, Softplus, Tanh

POTENTIALS: Final[dict[type[nn.Module], Callable[[Any], Potential | str]]] = {
    nn.ReLU: lambda module: ReLU(),
    nn.ReLU6: lambda module: ClippedReLU(),
    nn.Tanh: lambda module: Tanh(),
    nn.Sigmoid: lambda module: Sigmoid(),
    nn.LeakyReLU: lambda module: (
        LeakyReLU(slope=module.negative_slope)
        if 0 < module.negative_slope <= 1
        else f"negative_slope={module.negative_slope}: must be above 0 and at most 1"
    ),
    nn.Hardtanh: lambda module: (
        HardSigmoid()
        if (module.min_val, module.max_val) == (0, 1)
        else ClippedReLU()
        if (module.min_val, module.max_val) == (0, 6)
        else f"min_val={module.min_val}, max_val={module.max_val}: must be 0 and 1, or 0 and 6"
    ),
    nn.Softplus: lambda module: (
        Softplus() if (module.beta, module.threshold) == (1, 20) else f"beta={module.beta}: must be 1, threshold 20"
    ),
    nn.Softmax: lambda module: Softmax() if module.dim == 1 else f"dim={module.dim}: must be 1",
}
INSTEAD: Final = {
    "Hardsigmoid": "Hardtanh(0, 1)",
    "GELU": "ReLU or Softplus",
    "SiLU": "ReLU or Softplus",
    "Mish": "ReLU or Softplus",
    "ELU": "LeakyReLU or Softplus",
    "SELU": "LeakyReLU or Softplus",
    "CELU": "LeakyReLU or Softplus",
    "PReLU": "LeakyReLU",
    "RReLU": "LeakyReLU",
    "Dropout": "weight decay, or noise in the data: every mask has an energy of its own",
    "Dropout1d": "weight decay, or noise in the data: every mask has an energy of its own",
    "Dropout2d": "weight decay, or noise in the data: every mask has an energy of its own",
    "InstanceNorm2d": "GroupNorm with as many groups as channels",
    "SyncBatchNorm": "BatchNorm2d, inside energy.ranks.joined()",
    "LogSoftmax": "no module: cross_entropy reads logits",
    "LazyLinear": "Linear, or one pass before",
    "LazyConv2d": "Conv2d, or one pass before",
}


def is_activation(module: nn.Module) -> bool:
    """Return True if the module is an activation that has a potential."""
    return type(module) in POTENTIALS


def potential_of(module: nn.Module) -> Potential | str:
    """Return the potential of an activation, or the field that must be another."""
    if getattr(module, "inplace", False):
        return "inplace=True: must be False, since the drive that it overwrites is read again"
    return POTENTIALS[type(module)](module)
