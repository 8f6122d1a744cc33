"""From settled states to parameter gradients."""

from __future__ import annotations

import copy
from typing import ClassVar

from torch import Tensor

from energy import foreach
from energy.component import Component
from energy.feedback import followers
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.settle.settler import Settled, Settler


class Rule(Component):
    """A local learning rule. Subclasses define `update`; any `torch.optim` optimiser descends what `apply` writes."""

    group: ClassVar[str] = "rule"

    def attach(self, network: Network) -> None:
        """Lay what this rule remembers from batch to batch in `network`, as buffers, once; `Run.network` does it for
        every run. Nothing unless defined.
        """

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """The direction in which each of `network.parameters()` should move, summed over the batch; new tensors."""
        raise NotImplementedError(f"{type(self).__name__} must define update(network, settled)")

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        """Minus the update: where the rule descends an objective, the gradient of its sum over the batch."""
        return self.spend(network, copy.copy(settled), -1.0)

    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        """`scale` times the update. A rule may free the states of `settled` as it goes and take the factor in early."""
        update = self.update(network, settled)
        foreach.multiply_(update, scale)
        return update

    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the mean update over the batch into `.grad`, replacing what was there; None for a frozen one.

        Like `Tensor.backward` this may use up what it reads: the states in `settled` are then no longer there. `update`
        and `gradients` leave them."""
        self.write(network, self.spend(network, settled, -1 / len(settled.x)))

    def learn(
        self,
        network: Network,
        settler: Settler,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger | None = None,
    ) -> Settled:
        """`settler.settle`, then `apply`: one batch from its inputs to `.grad`. A rule may learn from each layer as it
        comes to rest, and free it: in what is returned the states are used up.
        """
        network.zero_grad()  # the memory of the last gradients serves this batch
        settled = settler.settle(network, x, target, objective, ledger)
        self.apply(network, settled)
        return settled

    def write(self, network: Network, gradients: list[Tensor]) -> None:
        """Put gradients into `.grad`, in the order of `network.parameters()`; None for a frozen parameter. Wires that
        follow a weight get a copy of its own.
        """
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient if parameter.requires_grad else None
        for weight, wires in followers(network):
            wires.grad = None if weight.grad is None else weight.grad.clone()  # an optimiser may write to either
