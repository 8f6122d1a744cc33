"""The limit without feedback: one bottom-up pass."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.relax.top_down import FinalLayer
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import Settler, checked


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
        free, state, _ = self.free(network, x, ledger)
        error = -objective.gradient(state[-1], target)
        top = network.output.potential.tangent(free.drive(free.depth), error)
        linear = free.messages.linear
        final = tuple(
            FinalLayer(
                k,
                state[k - 1],
                top if k == free.depth else None,
                {edge.index: linear[edge.index] for edge in network.completed_by(k)},
            )
            for k in reversed(range(1, free.depth + 1))
        )
        return SettledDyad(x=free.x, output=state[-1], ledger=ledger, final=final, gamma=self.gamma)
