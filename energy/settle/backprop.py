"""Back-propagation by autograd: the reference for accuracy and price."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.component import require
from energy.graph import layers_that_learn
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.settle.settled import Settled, SettledTape
from energy.settle.settler import Settler, require_finite, validate_batch
from energy.state import State
from energy.tape import plain, require_tape


class Backprop(Settler, name="backprop"):
    """One bottom-up pass with autograd's tape, which `contrast` then runs backward. No relaxation, γ = 0.

    Alone among the settlers it learns through the statistics of the batch in a `Module` that normalizes by them; with
    `energy.couplings.normalization.BatchNorm` all do.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        exact = "0: a tape has no feedback; the exact gradient at γ > 0 is settler=implicit"
        require(self.gamma == 0, self, "gamma", exact)

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        require_tape(f"settler={self.name}")
        target, x = validate_batch(network, x, target, objective), plain(x)
        ledger = ledger or Ledger()
        with torch.enable_grad(), network.learning():
            output = network(x)
            network.remember()
            negative_loss = -objective.value(output, target).sum()
        learning = layers_that_learn(network)
        for edge in network.edges:
            ledger.apply("free", edge.multiply_adds, len(x))
            if edge.source in learning:
                ledger.apply("nudged", edge.multiply_adds, len(x))
        require_finite(network, x, State([output.detach()]))
        return SettledTape(x=x, output=output.detach(), ledger=ledger, negative_loss=negative_loss)
