"""A dense coupling into a layer that also receives its own activity, one step late.

    I[t] = W x_below[t] + b + V x[t−1]

W and b are those of `Dense`, and are all that the coupling is outside time: A(m) = Wm + b. V, its parameter
`lateral.weight`, acts where a network runs through time (`energy.spiking`); there it learns too."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.couplings.dense import Dense, DenseLinearization
from energy.couplings.linearization import Gradients, Shape


class RecurrentLinearization(DenseLinearization):
    """`Recurrent` linearized, for presynaptic states of one shape; V, not a part of A, has a gradient of zero."""

    def __init__(self, coupling: Recurrent, weight: Tensor, pre: Shape) -> None:
        super().__init__(coupling, weight, pre)
        self.lateral = coupling.lateral.weight

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return (*super().weight_gradient(pre, post), torch.zeros_like(self.lateral))

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        """∂θ⟨post, W direction⟩: the product of (direction, post), zero for bias and V."""
        weight, *others = self.weight_gradient(direction, post)
        return (weight, *map(torch.zeros_like, others))


class Recurrent(Dense):
    """I[t] = W x_below[t] + b + V x[t−1], W of shape (size, fan-in) and V of shape (size, size).

    V has no mask: a unit may receive its own activity.

    Args:
        fan_in: units below.
        size: units of the layer.
        bias: a constant current at every step if true.
    """

    def __init__(self, fan_in: int, size: int, *, bias: bool = True) -> None:
        super().__init__(fan_in, size, bias=bias)
        self.lateral = Dense(size, size, bias=False)

    def linearize(self, pre: Tensor) -> tuple[Tensor, RecurrentLinearization]:
        drive, linear = super().linearize(pre)
        return drive, RecurrentLinearization(self, linear.weight, linear.pre)
