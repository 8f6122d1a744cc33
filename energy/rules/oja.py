"""Rules without competition: Hebb's, and those of Oja and Sanger, which find principal components.

    Hebb     Δw_k = u_k x                              descends −½‖u‖², without bound
    Oja      Δw_k = u_k (x − u_k w_k)                  descends −½u_k² on the sphere: all find the first component
    Sanger   Δw_k = u_k (x − Σ_{j≤k} u_j w_j)          neuron k finds the k-th; the gradient of no energy

Source: Oja, J. Math. Biol. 15 (1982) 267; Sanger, Neural Networks 2 (1989) 459."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.couplings import Filtered
from energy.rules.joined import groups
from energy.rules.local import Plasticity
from energy.settle.settled import Settled


class Linear(Plasticity):
    """y = u."""

    scaled: bool = False

    def plastic(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return drive

    def energy(self, drive: Tensor) -> Tensor:
        return -drive.square().sum(-1) / 2


class Hebb(Linear, name="hebb"):
    """Δw_k = Σ u_k x. Nothing holds the norms: use it for few steps, or with an optimiser that decays weights."""

    decayed: ClassVar[bool] = False


class Oja(Linear, name="oja"):
    """Δw_k = Σ u_k (x − u_k w_k)."""


class Sanger(Linear, name="sanger"):
    """Δw_k = Σ u_k (R² x − Σ_{j≤k} u_j w_j), the generalised Hebbian algorithm. Not for neurons in groups, which see
    different inputs: ConfigurationError."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.norm == 2, self, "norm", "2")

    def energy(self, drive: Tensor) -> Tensor:
        return Plasticity.energy(self, drive)

    def decay(self, weight: Tensor, product: Tensor, y: Tensor, u: Tensor | None, bias: Tensor | None) -> Tensor:
        flat = y.movedim(1, -1).flatten(0, -2).to(weight.dtype)
        mixed = torch.tril(flat.T @ flat) @ weight.flatten(1)
        return product * self.radius**2 - mixed.view_as(weight)

    def change(self, opened: Filtered, settled: Settled) -> tuple[Tensor, Tensor | None]:
        if groups(opened.filters) > 1:
            raise ConfigurationError(f"rule={self.label}: not for the {groups(opened.filters)} groups of this layer")
        return super().change(opened, settled)
