"""Rules without competition: Hebb's, and those of Oja and Sanger, which find principal components.

    Hebb     Δw_k = u_k x                              descends −½‖u‖², without bound
    Oja      Δw_k = u_k (x − u_k w_k)                  descends −½u_k² on the sphere: all find the first component
    Sanger   Δw_k = u_k (x − Σ_{j≤k} u_j w_j)          neuron k finds the k-th; the gradient of no energy

Reference:
    Oja, J. Math. Biol. 15 (1982) 267; Sanger, Neural Networks 2 (1989) 459.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.couplings import UnitInputs
from energy.rules.joined import groups
from energy.rules.plasticity import Plasticity
from energy.rules.unit_rule import Update
from energy.settle.settled import Settled


class LinearHebbian(Plasticity):
    """Plasticity with the postsynaptic factor y = u."""

    scaled: bool = False

    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return drive

    def energy(self, drive: Tensor) -> Tensor:
        return -drive.square().sum(-1) / 2


class Hebb(LinearHebbian, name="hebb"):
    """Δw_k = Σ u_k x. Norms grow without bound: use it for few steps, or with an optimizer that decays weights."""

    decayed: ClassVar[bool] = False


class Oja(LinearHebbian, name="oja"):
    """Δw_k = Σ u_k (x − u_k w_k): every unit finds the first principal component.

    Reference:
        Oja, J. Math. Biol. 15 (1982) 267.
    """


class Sanger(LinearHebbian, name="sanger"):
    """Δw_k = Σ u_k (R² x − Σ_{j≤k} u_j w_j), the generalized Hebbian algorithm: unit k finds the k-th component.

    Not for units in groups, which have different inputs: ConfigurationError.

    Reference:
        Sanger, Neural Networks 2 (1989) 459.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.p == 2, self, "p", "2")

    def energy(self, drive: Tensor) -> Tensor:
        return Plasticity.energy(self, drive)

    def weight_update(self, inputs: UnitInputs, settled: Settled) -> Update:
        if groups(inputs.filters) > 1:
            raise ConfigurationError(f"rule={self.name}: not for the {groups(inputs.filters)} groups of this layer")
        return super().weight_update(inputs, settled)

    def decay(self, inputs: UnitInputs, product: Tensor, y: Tensor) -> Tensor:
        weight = inputs.filters.weight
        flat = y.movedim(1, -1).flatten(0, -2).to(weight.dtype)
        mixed = torch.tril(flat.T @ flat) @ weight.flatten(1)
        return product * self.target_norm**2 - mixed.view_as(weight)
