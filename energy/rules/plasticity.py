"""The rule of one population of units.

    Δw_k = Σ_{samples, places} y_k (R^p x − u_k w_k) = R^p·yx_k − yu_k·w_k        u_k = ⟨sign(w_k)|w_k|^(p−1), x⟩ + b_k

A rule is one function u → y, the postsynaptic factor. One product per layer makes yx; since u is linear in x,
yu_k = ⟨sign(w_k)|w_k|^(p−1), yx_k⟩ + b_k Σ y_k needs no second pass over the activities.

`update` is Δw as above. `apply` writes minus the step w ← w + η_k Δw_k / max|Δw|, the maximum over the layer and
η_k = η (|‖w_k‖_p/R − 1| + 1e-10)^q, into `.grad`: plain SGD at learning rate 1 takes it as it is, and a schedule on
that rate is the decay over time.

Reference:
    Krotov & Hopfield, PNAS 116 (2019) 7723 (scaled update, p, R); Journé et al., ICLR 2023 (rate by norm).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from energy import exchange, ranks
from energy.component import require
from energy.couplings import UnitInputs
from energy.errors import UsageTypeError
from energy.network import Network
from energy.rules.joined import groups
from energy.rules.local import Local
from energy.rules.memory import shaped
from energy.rules.step import (
    along,
    constants,
    dual,
    hebbian_update,
    learning_rates,
    over_places,
    scaled_by_peak,
    scaled_step,
)
from energy.rules.unit_rule import Update
from energy.settle.settler import Settled


class Plasticity(Local):
    """One rule for the weights of a population. A bare one is that of every hidden layer.

    Attributes:
        rate: η.
        exponent: q; 0 for one rate for all units.
        scaled: divide by the largest change of the layer, else by the batch size.
        p: exponent of the norm ‖w_k‖_p.
        target_norm: R, the norm that the decay leads to.
    """

    rate: float = 0.01
    exponent: float = 0.0
    scaled: bool = True
    p: float = 2.0
    target_norm: float = 1.0

    decayed: ClassVar[bool] = True
    memory: ClassVar[Mapping[str, float]] = {}  # the buffers of a unit by name, and their initial values

    def __post_init__(self) -> None:
        require(0 <= self.rate < math.inf, self, "rate", "at least 0 and finite")
        require(0 <= self.exponent < math.inf, self, "exponent", "at least 0 and finite")
        require(1 < self.p < math.inf, self, "p", "above 1 and finite")
        require(0 < self.target_norm < math.inf, self, "target_norm", "above 0 and finite")

    def unit_rules(self) -> list[Plasticity]:
        return [self]

    def rule_for(self, network: Network, layer: int) -> Plasticity | None:
        return self if layer < len(network.layers) else None

    def energy(self, drive: Tensor) -> Tensor:
        """Return E*(u), (…, K) → (…), which this rule descends on {‖w_k‖_p = R}: its negative gradient is y.

        Raises:
            TypeError: for a rule whose y is the gradient of no function.
        """
        raise UsageTypeError(f"rule={self.name} descends no energy of the drives")

    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        """Return y of drives (…, K); the units compete on the last axis.

        Args:
            drive: u, (…, K).
            target: of the batch, (B, …), for rules that read it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define postsynaptic_factor(drive, target)")

    def recalled(self, drive: Tensor, target: Tensor | None, memory: Mapping[str, Tensor]) -> Tensor:
        """Return `postsynaptic_factor`, for a rule with a memory.

        Args:
            drive: u, (…, groups, K/groups).
            target: of the batch, (B, …), for rules that read it.
            memory: the buffers by name, (groups, K/groups).
        """
        return self.postsynaptic_factor(drive, target)

    def remember(self, drive: Tensor, memory: Mapping[str, Tensor]) -> None:
        """Take the drives (…, K) of a batch into `memory`, in place; `learn` calls it once the step is written."""

    def winner_share(self, logits: Tensor) -> Tensor | None:
        """Return the winner's share of each competition, (…, K) → (…); None for a rule without shares."""

    def bias_update(self, drive: Tensor, bias: Tensor) -> Tensor:
        """Return Δb of biases (K,) at drives (…, groups, K/groups): zero unless defined."""
        return torch.zeros_like(bias)

    @property
    def unit(self) -> float:
        """The unit that a bias is measured in."""
        return 1.0

    def competition_logits(self, inputs: UnitInputs) -> Tensor:
        """Return the numbers that units compete with, (B, places…, groups, K/groups): their drives unless defined."""
        return inputs.drive.movedim(1, -1).unflatten(-1, (groups(inputs.filters), -1))

    def weight_update(self, inputs: UnitInputs, settled: Settled) -> Update:
        """Return Δw and Δb, summed over samples and places."""
        filters = inputs.filters
        logits, y = self._factor(inputs, settled)
        update = filters.product(inputs.presynaptic, y).to(filters.weight.dtype)
        if self.decayed:
            update = self.decay(inputs, update, y)
        return update, None if filters.bias is None else self.bias_update(logits, filters.bias)

    def decay(self, inputs: UnitInputs, product: Tensor, y: Tensor) -> Tensor:
        """Return Δw = R^p·yx − yu·w; yu from yx if u is linear in the input, else from the activities.

        Args:
            inputs: of the layer.
            product: yx, of the shape of the weight.
            y: the postsynaptic factor, (B, K, …).
        """
        weight, bias = inputs.filters.weight, inputs.filters.bias
        if inputs.linear:
            overlap = (dual(weight, self.p) * product).flatten(1).sum(1)
            overlap = overlap if bias is None else overlap + bias * over_places(y).to(bias.dtype)
        else:
            overlap = over_places(y.to(weight.dtype) * inputs.drive.to(weight.dtype))
        return hebbian_update(weight, product, overlap, self.target_norm**self.p)

    def rates(self, weight: Tensor) -> Tensor:
        """Return η_k = η (|‖w_k‖_p/R − 1| + 1e-10)^q: (K,)."""
        norms = torch.linalg.vector_norm(weight.flatten(1), self.p, dim=1)
        return learning_rates(norms, self.rate, self.exponent, self.target_norm)

    def scaled_update(self, inputs: UnitInputs, settled: Settled) -> Update:
        """Return minus the steps of weight and bias."""
        filters = inputs.filters
        if self._fits(inputs):
            product = filters.product(inputs.presynaptic, self._factor(inputs, settled)[1])
            if ranks.here().several:
                product = exchange.sum_of_all([product.to(filters.weight.dtype)])[0]
            numbers = constants((self.rate, self.exponent, self.target_norm), filters.weight)
            return scaled_step(filters.weight.detach(), product, numbers), None
        update, bias = self.weight_update(inputs, settled)
        exchange.sum_of_all([update] if bias is None else [update, bias])
        count = exchange.count_of_all(len(settled.x))
        rates, sets = self.rates(filters.weight), groups(filters) if self.scaled else 0
        step = _step(update, rates, sets, count)
        return step, None if bias is None else _step(bias, rates * self.unit, sets, count)

    def _fits(self, inputs: UnitInputs) -> bool:
        """True for the plain case that the fused step is written for."""
        plain = self.scaled and self.decayed and self.p == 2 and inputs.linear and inputs.filters.bias is None
        hooks = ("weight_update", "decay", "rates")  # a rule that defines one of them takes the general path
        common = all(getattr(type(self), hook) is getattr(Plasticity, hook) for hook in hooks)
        return plain and common and groups(inputs.filters) == 1

    def _factor(self, inputs: UnitInputs, settled: Settled) -> tuple[Tensor, Tensor]:
        """The logits, and y with units on axis 1."""
        logits = self.competition_logits(inputs)
        y = self.recalled(logits, getattr(settled, "target", None), shaped(inputs.memory, logits))
        return logits, y.to(logits.dtype).flatten(-2).movedim(-1, 1)


def _step(update: Tensor, rates: Tensor, sets: int, count: int) -> Tensor:
    """−η_k Δw_k over the largest change of each of `sets` groups, or with none of them over the number of samples."""
    return scaled_by_peak(update, rates, sets) if sets else update * along(rates, update) / -count
