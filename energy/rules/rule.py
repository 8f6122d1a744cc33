"""The interface of a learning rule: from settled states to parameter gradients."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from energy import exchange, foreach, ranks
from energy.cautions import strict as strictly
from energy.component import Component
from energy.feedback import mirrored_parameters
from energy.health import health
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.rules.unit_rule import UnitRule
from energy.settle.settled import Settled
from energy.settle.settler import Settler


class Rule(Component):
    """A local learning rule. Subclasses define `update`; any `torch.optim` optimizer takes the gradients of `apply`."""

    group: ClassVar[str] = "rule"
    descends: ClassVar[bool] = True  # its steps descend an objective
    exact: ClassVar[bool] = False  # `gradients` are those of the objective if the settler is exact
    supports_greedy: ClassVar[bool] = False  # a layer can learn without those above it

    def learns(self, network: Network) -> list[str]:
        """Return the names of the layers that this rule can train, frozen or not, bottom first: all unless defined."""
        return [layer.name for layer in network.layers]

    def scores_output(self, network: Network, learning: Collection[str]) -> bool:
        """Return True if a step yields the network's own output, and an objective of it to measure.

        A rule that settles only a part of the network below the output returns False; a run then needs a fitted
        read-out.

        Args:
            network: the network.
            learning: the names of the layers that learn in the step.
        """
        return True

    def rule_for(self, network: Network, layer: int) -> UnitRule | None:
        """Return the rule by which the units of `layer`, counted from 1, learn by themselves; None if they do not.

        Diagnostics of units measure the layers that have one.
        """
        return None

    def unit_rules(self) -> Sequence[UnitRule]:
        """Return the rules of single populations that this one consists of: none unless defined."""
        return ()

    def attach(self, network: Network) -> None:
        """Add this rule's memory from batch to batch to `network`, as buffers, once; `Run.network` does it for every
        run. No effect unless defined.
        """

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """Return the direction in which each of `network.parameters()` moves, summed over the batch; new tensors.

        Of a training on several ranks it is the sum over this one's share; `apply` adds up the shares.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(network, settled)")

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        """Return minus the update: the gradient of the objective's sum over the batch, if the rule descends one."""
        return self._times(network, settled, -1.0)

    def _times(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        update = self.update(network, settled)
        foreach.multiply_(update, scale)
        return update

    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the mean update over the batch, the shares of all ranks together, into `.grad` in place of its
        content; None for a frozen parameter.

        Raises:
            NonFiniteError: for a gradient that is not finite, before any is written (on the CPU, whose check is free;
                elsewhere `learn` checks now and then).
        """
        update = self._times(network, settled, -1 / exchange.count_of_all(len(settled.x)))
        self.write(network, exchange.sum_of_all(update))

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
        """Take one batch from its inputs to `.grad`: `settler.settle_once`, then `apply`.

        A result that looks wrong is reported once, as a `Caution` (`energy.health`).

        Args:
            network: its parameters receive the gradients.
            settler: finds the states.
            x, target, objective, ledger: as for `settler.settle`.
            accumulate: add to `.grad`, as `Tensor.backward` does, in place of replacing it.
            strict: raise every caution.

        Returns:
            The settled states, which are consumed: a rule may learn from each layer as soon as it is final, and free
            it.

        Raises:
            NonFiniteError: as for `apply`.
            Caution: with `strict`.
            TypeError: for a network inside `DistributedDataParallel`, which would not hear of its gradients.
            ValueError: in a process group of several that was not joined (`energy.ranks`).
        """
        ranks.require_heard(network)
        watch, held = health(network), []
        with strictly() if strict else nullcontext():
            watch.calls += 1
            if accumulate:
                mirrored = [feedback_weight for _, feedback_weight in mirrored_parameters(network)]
                held = [(tensor, tensor.grad) for tensor in (*network.parameters(), *mirrored)]
            else:
                watch.fresh(network, x)
            settled = self.batch(network, settler, x, target, objective, ledger or Ledger())
            _add_up(held)
            value = settler.value(objective, settled, target) if self.descends and watch.due(x) else None
            watch.look(network, settler, settled, x, value)
        return settled

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        """Settle and apply, as `learn` does without its checks; for a rule that has a shorter way to override.

        Args:
            network, settler, x, target, objective, ledger: as for `learn`.
        """
        network.zero_grad()  # the memory of the last gradients serves this batch
        settled = settler.settle_once(network, x, target, objective, ledger)
        health(network).solved(network, settler, settled)
        self.apply(network, settled)
        return settled

    def write(self, network: Network, gradients: Sequence[Tensor | None]) -> None:
        """Write gradients into `.grad`, each with the memory layout of its parameter, as autograd's have.

        Args:
            network: frozen parameters get None; feedback weights that follow a weight get a copy of its gradient.
            gradients: in the order of `network.parameters()`.
        """
        health(network).check(network, gradients)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = _alike(gradient, parameter) if parameter.requires_grad else None
        for weight, feedback_weight in mirrored_parameters(network):
            # a copy, since an optimizer may write to either
            feedback_weight.grad = None if weight.grad is None else weight.grad.clone()


def _add_up(held: list[tuple[Any, Tensor | None]]) -> None:
    """Add the gradients that `.grad` held before to those that it holds now, for pairs (parameter, gradient before)."""
    for parameter, before in held:
        if before is not None:
            parameter.grad = before if parameter.grad is None else parameter.grad.add_(before)


def _alike(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """The gradient with the strides of its parameter: fused optimizers walk both in the order of memory."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)
