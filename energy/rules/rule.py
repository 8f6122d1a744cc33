"""From settled states to parameter gradients."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from energy import foreach
from energy.component import Component
from energy.network import Network
from energy.settle.settler import Settled


class Rule(Component):
    """A local learning rule. Subclasses define `update`; any `torch.optim` optimiser descends what `apply` writes."""

    group: ClassVar[str] = "rule"

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """The direction in which each of `network.parameters()` should move, summed over the batch; new tensors."""
        raise NotImplementedError(f"{type(self).__name__} must define update(network, settled)")

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        """Minus the update: where the rule descends an objective, the gradient of its sum over the batch."""
        gradients = self.update(network, settled)
        foreach.multiply_(gradients, -1)
        return gradients

    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the mean update over the batch into `.grad`, replacing what was there; None for a frozen one."""
        gradients = self.update(network, settled)
        foreach.multiply_(gradients, -1 / len(settled.x))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient if parameter.requires_grad else None
