"""A dense coupling into a layer that also hears itself, one step late.

    I[t] = W x_below[t] + b + V x[t−1]

W and b are those of `energy.couplings.Dense`, and are all that the coupling is outside time: A(m) = Wm + b. V, its
parameter `lateral.weight`, acts where a network runs through time (`energy.spiking`); there it learns too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from energy.couplings import Dense, Gradients


class Recurrent(Dense):
    """W of shape (size, fan-in), V of shape (size, size), without a mask: a unit may hear itself.

    Args:
        fan_in: units below.
        size: units of the layer.
        bias: whether a current flows at every step.
    """

    def __init__(self, fan_in: int, size: int, *, bias: bool = True) -> None:
        super().__init__(fan_in, size, bias=bias)
        self.lateral = Dense(size, size, bias=False)

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        """∂θ⟨post, A(pre)⟩; zero for V, which takes no part in A."""
        return (*super().hebbian(pre, post, point), torch.zeros_like(self.lateral.weight))

    def hebbian_tangent(self, direction: Tensor, post: Tensor, point: Any) -> Gradients:
        """⟨post, W direction⟩ has the product of (direction, post), and neither bias nor V."""
        weight, *others = self.hebbian(direction, post, point)
        return (weight, *map(torch.zeros_like, others))
