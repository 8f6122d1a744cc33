"""The limit without feedback: one bottom-up pass."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.settle.settler import Settled, SettledDyad, Settler, checked


class Feedforward(Settler, name="feedforward"):
    """γ = 0 and no feedback at all: no difference below the output. Under `contrast` only the output layer learns, by
    the delta rule on random features, which is the floor that every method with feedback must beat; local rules learn
    from the states themselves.
    """

    reaches: ClassVar[bool] = False

    @property
    def alignment(self) -> float:
        return 0.5

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target = checked(network, x, target, objective)
        ledger = ledger or Ledger()
        with network.normalizing():
            free, state, _ = self.free(network, x, ledger)
        top = network.output
        error = -objective.gradient(state[-1], target)
        delta: list[Tensor | None] = [None] * (len(network.layers) - 1)
        delta.append(top.potential.tangent(free.drive(len(network.layers)), error))
        return SettledDyad(
            x=free.x, output=state[-1], ledger=ledger, points=free.points, mean=state, delta=delta, gamma=self.gamma
        )
