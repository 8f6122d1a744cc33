"""The limit without feedback: one bottom-up pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.relax.top_down import final_layers
from energy.settle.settled import SettledDyad, freeing
from energy.settle.settler import Settler, validate_batch


@dataclass(kw_only=True)
class SettledFree(SettledDyad):
    """The result of a free phase alone, from which local rules learn: a dyad without a difference below the output.

    Attributes:
        drives: the drive of every layer, from the bottom up; none once the result is one to be read once, since the
            contrast of the output layer needs none, and a local rule takes them from `settle_free`.
        target: (B, …).
    """

    drives: list[Tensor]
    target: Tensor

    def read_once(self) -> Self:
        self.final = freeing([*self.layers()][::-1])
        self.drives = []
        return self


class Feedforward(Settler, name="feedforward"):
    """γ = 0 and no feedback at all: no difference below the output.

    Under `contrast` only the output layer learns, by the delta rule on random features: the floor that every method
    with feedback must beat. Local rules learn from the states themselves.
    """

    reaches: ClassVar[bool] = False

    @property
    def alignment(self) -> float:
        return 0.5

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> SettledFree:
        target = validate_batch(network, x, target, objective)
        with network.normalizing():
            settled = settle_free(self, network, x, target, ledger)
        error = -objective.gradient(settled.output, target)
        top, *below = settled.layers()
        delta = network.output.potential.tangent(settled.drives[-1], error)
        settled.final = (top._replace(delta=delta), *below)
        return settled


@torch.no_grad()
def settle_free(
    settler: Settler, network: Network, x: Tensor, target: Tensor, ledger: Ledger | None = None
) -> SettledFree:
    """Run the free phase of any settler, without a nudge.

    Args:
        settler: its relaxation and γ find the equilibrium.
        network: the network, or its part up to the highest layer that learns.
        x: (B, *network.input_shape), floating point.
        target: (B, …), passed on to rules that read it.
        ledger: where to count; a new one unless given.

    Returns:
        The equilibrium with every layer's drive, and a difference in no layer.

    Raises:
        ValueError: for an `x` of the wrong shape.
    """
    ledger = ledger or Ledger()
    network.validate_batch(x)
    problem, state, solution = settler.free(network, x, ledger)
    return SettledFree(
        x=problem.x,
        output=state[-1],
        ledger=ledger,
        solutions={} if solution is None else {"free": solution},
        final=tuple(final_layers(network, problem.messages.linear, state, [None] * problem.depth)),
        gamma=settler.gamma,
        drives=[problem.drive(layer) for layer in range(1, problem.depth + 1)],
        target=target,
    )
