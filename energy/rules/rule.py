"""From settled states to parameter gradients."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component
from energy.network import Network
from energy.settle.settler import Settled


class Rule(Component):
    """A local learning rule. Subclasses define `gradients`; any `torch.optim` optimiser descends what `apply` writes."""

    group: ClassVar[str] = "rule"

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        """One tensor for each of `network.parameters()`, summed over the batch; the direction to be subtracted."""
        raise NotImplementedError(f"{type(self).__name__} must define gradients(network, settled)")

    def apply(self, network: Network, settled: Settled) -> None:
        """Write the mean over the batch into `.grad`, replacing what was there."""
        gradients = self.gradients(network, settled)
        torch._foreach_div_(gradients, len(settled.x))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
