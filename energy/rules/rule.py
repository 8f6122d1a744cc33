"""From settled states to parameter gradients."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import ClassVar

import torch
from torch import Tensor

from energy import foreach
from energy.cautions import strict as strictly
from energy.component import Component
from energy.feedback import mirrored_parameters
from energy.health import add_up, health
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.rules.unit_rule import UnitRule
from energy.settle.settled import Settled
from energy.settle.settler import Settler


class Rule(Component):
    """A local learning rule. Subclasses define `update`; any `torch.optim` optimiser descends what `apply` writes."""

    group: ClassVar[str] = "rule"
    descends: ClassVar[bool] = True  # whether an objective is what its steps descend
    exact: ClassVar[bool] = False  # whether `gradients` are those of the objective wherever the settler is exact
    supports_greedy: ClassVar[bool] = False  # whether a layer can learn without those above it

    def learns(self, network: Network) -> list[str]:
        """The names of the layers that this rule can train, frozen or not, from the bottom up: all unless defined."""
        return [layer.name for layer in network.layers]

    def scores_output(self, network: Network, learning: Collection[str]) -> bool:
        """Tell whether a step in which the layers named in `learning` learn leaves the network's own output and an
        objective of it to measure. A rule that settles a part of the network only answers False where that ends below
        the output; a run then needs a fitted read-out.
        """
        return True

    def rule_for(self, network: Network, layer: int) -> UnitRule | None:
        """The rule by which the units of `layer`, counted from 1, learn by themselves; None if they do not. Diagnostics
        of units measure the layers that have one.
        """
        return None

    def unit_rules(self) -> Sequence[UnitRule]:
        """The rules of single populations that this one is made of: none unless defined."""
        return ()

    def attach(self, network: Network) -> None:
        """Lay what this rule remembers from batch to batch in `network`, as buffers, once; `Run.network` does it for
        every run. Nothing unless defined.
        """

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """The direction in which each of `network.parameters()` should move, summed over the batch; new tensors."""
        raise NotImplementedError(f"{type(self).__name__} must define update(network, settled)")

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        """Minus the update: where the rule descends an objective, the gradient of its sum over the batch."""
        return self._times(network, settled, -1.0)

    def _times(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        update = self.update(network, settled)
        foreach.multiply_(update, scale)
        return update

    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the mean update over the batch into `.grad`, replacing what was there; None for a frozen one.

        Raises:
            NonFiniteError: for a gradient that is not finite, before any is written (on the CPU, where looking is free;
                elsewhere `learn` looks now and then)."""
        self.write(network, self._times(network, settled, -1 / len(settled.x)))

    def learn(
        self,
        network: Network,
        settler: Settler,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger | None = None,
        *,
        accumulate: bool = False,
        strict: bool = False,
    ) -> Settled:
        """One batch from its inputs to `.grad`: `settler.settle_once`, then `apply`. In what is returned the states are
        consumed: a rule may learn from each layer as soon as it is final, and free it.

        What looks wrong is said once, as a `Caution` (`energy.health`).

        Args:
            x, target, objective, ledger: as for `settler.settle`.
            accumulate: add to `.grad`, as `Tensor.backward` does, in place of replacing it.
            strict: raise every caution.

        Raises:
            NonFiniteError: as `apply`.
            Caution: within `strict`."""
        watch, held = health(network), []
        with strictly() if strict else nullcontext():
            watch.calls += 1
            if accumulate:
                held = [(tensor, tensor.grad) for tensor in (*network.parameters(), *_led(network))]
            else:
                watch.fresh(network, x)
            settled = self.batch(network, settler, x, target, objective, ledger or Ledger())
            add_up(held)
            value = settler.value(objective, settled, target) if self.descends and watch.due(x) else None
            watch.look(network, settler, settled, x, value)
        return settled

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        """What `learn` does, without a look at how it goes; for a rule that can do better than settle and apply."""
        network.zero_grad()  # the memory of the last gradients serves this batch
        settled = settler.settle_once(network, x, target, objective, ledger)
        health(network).solved(network, settler, settled)
        self.apply(network, settled)
        return settled

    def write(self, network: Network, gradients: Sequence[Tensor | None]) -> None:
        """Put gradients into `.grad`, in the order of `network.parameters()`, each lying in memory as its parameter
        does, as autograd's do; None for a frozen parameter. Wires that follow a weight get a copy of its own.
        """
        health(network).check(network, gradients)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = _alike(gradient, parameter) if parameter.requires_grad else None
        for weight, feedback_weight in mirrored_parameters(network):
            feedback_weight.grad = (
                None if weight.grad is None else weight.grad.clone()
            )  # an optimiser may write to either


def _alike(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """The gradient with the strides of its parameter: fused optimisers walk both in the order of memory."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def _led(network: Network) -> list[Tensor]:
    return [feedback_weight for _, feedback_weight in mirrored_parameters(network)]
