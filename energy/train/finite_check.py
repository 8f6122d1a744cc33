"""The check for non-finite numbers: made on the device at every step, read by the host at the scheduled checks only.

A step whose objective or gradient is not finite, and every step after it, leaves weights and optimizer as they were:
the fused optimizers of torch take a flag on the device (`found_inf`, made for mixed precision) that turns their update
off. So the run can stop long after the accident and still hold the weights that caused it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from energy import foreach
from energy.errors import EnergyError
from energy.network import Network
from energy.parameters import layer_of


class NonFinite(EnergyError, RuntimeError):
    """The end of a training before an update that would have been infinite or NaN."""


@dataclass(frozen=True)
class NonFiniteReport:
    """The first non-finite numbers of a run: their step and their layers.

    Attributes:
        step: number of the step, counted from the start of the run, whose update was not made.
        objective: whether the objective was one of the culprits.
        layers: layers with a non-finite gradient.
        weights: layers whose weights were not finite.
    """

    step: int
    objective: bool
    layers: list[str]
    weights: list[str]

    def __str__(self) -> str:
        parts = [f"step {self.step}"]
        if self.weights:
            parts.append(f"weights of {', '.join(self.weights)} are not finite")
        if self.layers:
            parts.append(f"gradient of {', '.join(self.layers)} is not finite")
        if self.objective:
            parts.append("the objective is not finite")
        return ": ".join([parts[0], "; ".join(parts[1:])])


class FiniteCheck:
    """A check of one network that turns its optimizer off at the first non-finite number.

    Attributes:
        immediate: true if the optimizer has no `found_inf`; then the host must look before each step.
    """

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        named = dict(network.named_parameters())
        owners = layer_of(network)
        self.owners = [owners[name] for name in named]
        self.parameters = list(named.values())
        device = self.parameters[0].device
        self.immediate = not getattr(optimizer, "_step_supports_amp_scaling", False)
        self._nothing = torch.zeros(1, dtype=torch.float32, device=device)  # the gradient of what does not learn
        self._found = torch.zeros((), dtype=torch.float32, device=device)
        self._step = torch.full((), -1, dtype=torch.int64, device=device)
        self._sound = torch.ones(1 + len(named), dtype=torch.bool, device=device)
        if not self.immediate:
            optimizer.found_inf = self._found  # type: ignore[attr-defined]

    @torch.no_grad()
    def update(self, objective: Tensor | None, step: int) -> None:
        """Check the objective of the batch and every gradient; nothing is read back.

        Args:
            objective: of each sample (B,); None if the output layer does not learn.
            step: number of the step, from 0.
        """
        gradients = [self._nothing if parameter.grad is None else parameter.grad for parameter in self.parameters]
        objectives = self._nothing if objective is None else objective
        self.note(foreach.all_finite([objectives, *gradients]), step)

    @torch.no_grad()
    def note(self, sound: Tensor, step: int) -> None:
        """Take over the check of a step; nothing is read back.

        Args:
            sound: true for the objective and for each gradient that is finite, (1 + parameters,).
            step: number of the step, from 0.
        """
        first = (self._found == 0) & ~sound.all()
        self._sound = torch.where(first, sound, self._sound)
        self._step = torch.where(first, step, self._step)
        self._found.add_(first)

    @property
    def found(self) -> Tensor:
        """Above 0 after a non-finite number, (), on the device."""
        return self._found

    @property
    def tripped(self) -> bool:
        """True after a non-finite number; reads the device."""
        return bool(self._found)

    @torch.no_grad()
    def report(self, step: int) -> NonFiniteReport | None:
        """Report the first non-finite numbers, of the weights as they are too; reads the device.

        Args:
            step: number of the next step, which is named if only the weights are not finite.

        Returns:
            None if everything was finite.
        """
        weights = foreach.all_finite(self.parameters).tolist()
        sound = self._sound.tolist()
        if all(weights) and all(sound):
            return None
        seen = int(self._step)
        return NonFiniteReport(
            seen if seen >= 0 else step, not sound[0], self._layers(sound[1:]), self._layers(weights)
        )

    def _layers(self, sound: list[bool]) -> list[str]:
        return list(dict.fromkeys(owner for owner, good in zip(self.owners, sound, strict=True) if not good))
