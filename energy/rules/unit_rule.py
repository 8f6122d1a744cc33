"""The interface of a rule for the units of one layer, for the loop over layers and for diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from torch import Tensor

from energy.couplings import UnitInputs
from energy.settle.settler import Settled

Update = tuple[Tensor, Tensor | None]  # of weight and bias


class UnitRule(Protocol):
    """A rule by which every unit of a layer learns; `Plasticity` is one.

    Attributes:
        name: selects it on the command line.
        memory: the buffers of a unit by name, and their initial values.
        p: the exponent of the norm ‖w_k‖_p.
        target_norm: R, the norm that the weights of a unit tend to.

    `rates` returns the units' learning rates (K,); `competition_logits` the numbers that they compete with, (B,
    places…, groups, K/groups); `winner_share` the winner's share of these, (…, K) → (…), or None for a rule without
    shares; `weight_update` Δw and Δb, summed over samples and places; `scaled_update` minus the steps; `remember` takes
    the logits of a batch into the memory, in place.
    """

    name: ClassVar[str]
    memory: ClassVar[Mapping[str, float]]

    @property
    def p(self) -> float: ...
    @property
    def target_norm(self) -> float: ...
    def rates(self, weight: Tensor) -> Tensor: ...
    def competition_logits(self, inputs: UnitInputs) -> Tensor: ...
    def winner_share(self, logits: Tensor) -> Tensor | None: ...
    def weight_update(self, inputs: UnitInputs, settled: Settled) -> Update: ...
    def scaled_update(self, inputs: UnitInputs, settled: Settled) -> Update: ...
    def remember(self, drive: Tensor, memory: Mapping[str, Tensor]) -> None: ...
