"""Two coupled replicas as a mean and a normalised difference: the problem that every dyadic method settles.

With m = α s⁺ + (1 − α) s⁻ and δ = (s⁺ − s⁻)/β the replicas respond to

    a_k = J(m)_k        = A_k m_{k−1} + γ A_{k+1}ᵀ m_{k+1}
    h_k = (J′(m)ᵀ δ)_k  = A_{k+1}ᵀ δ_{k+1} + γ A_k δ_{k−1}
    s⁺ = f(a + r₊βh),   s⁻ = f(a − r₋βh)

the stationary point of F = (1/β)[G(s⁺) − G(s⁻)] − ⟨δ, J(m)⟩ + αC(s⁺_L) + (1 − α)C(s⁻_L) for the saddle split (r₊, r₋) =
(α, 1 − α). The adjoint split (1 − α, α) lets feedback reach the mean only at O(β²). β = 0 is the limit: δ is then the
exact adjoint. Other wires than A_{k+1}ᵀ may carry δ down (`energy.feedback`); then none of this is stationary.

Source: Høier, Staudt & Zach, ICML 2023 (γ = 0, saddle); Høier & Zach, ICML 2024 (adjoint); Scellier & Bengio 2017 (γ =
1, α = ½)."""

from __future__ import annotations

import enum
from typing import Any

from torch import Tensor

from energy.component import ConfigurationError
from energy.feedback import Wiring
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.objectives import Objective
from energy.relax.problem import Problem, _total
from energy.state import State


class Form(enum.Enum):
    """How the nudge is shared between the replicas."""

    ADJOINT = "(r₊, r₋) = (1 − α, α): stationary for the Lagrangian; feedback reaches the mean at O(β²)"
    SADDLE = "(r₊, r₋) = (α, 1 − α): stationary for F; feedback reaches the mean at O(β) unless α = ½"

    def plus(self, alpha: float) -> float:
        """r₊."""
        return alpha if self is Form.SADDLE else 1 - alpha


class Dyad(Problem):
    """States are (m_1 … m_L, δ_1 … δ_L). Both replicas share one linearisation of every coupling, that at m."""

    def __init__(
        self,
        network: Network,
        x: Tensor,
        gamma: float,
        ledger: Ledger,
        phase: str = "nudged",
        *,
        objective: Objective,
        target: Tensor,
        beta: float,
        alpha: float = 0.5,
        form: Form = Form.ADJOINT,
        frozen: Tensor | None = None,
        wiring: Wiring | None = None,
    ) -> None:
        super().__init__(network, x, gamma, ledger, phase)
        self.wiring, self.top = wiring, x.new_empty(0)
        self.objective, self.target, self.frozen = objective, target, frozen
        self.beta, self.alpha, self.plus = beta, alpha, form.plus(alpha)
        self.delta_below: list[Tensor | None] = [None] * len(network.edges)
        self.delta_above: list[Tensor | None] = [None] * len(network.edges)
        self.spreads: dict[int, Any] = {}  # the differences that closing edges have just said down

    def start(self, mean: State, free: Problem) -> State:
        """A dyad closed on a settled or bottom-up mean, with what `free` has heard."""
        self.points, self.below, self.above = list(free.points), list(free.below), list(free.above)
        self.fresh = free.fresh
        return State((*mean, *map(_nothing, mean)))

    def delta(self, state: State, layer: int) -> Tensor:
        return state[self.depth + layer - 1]

    def error_drive(self, layer: int) -> Tensor | None:
        """h of a layer from the cached drives; None where nothing speaks to its difference."""
        parts = [
            *(self.delta_below[e.index] for e in self.network.into(layer)),
            *(self.delta_above[e.index] for e in self.network.out_of(layer)),
        ]
        return _total(parts) if any(part is not None for part in parts) else None

    def said_down(self) -> list[list[Tensor | None]]:
        return [self.above, self.delta_above]

    def forget(self, layer: int) -> None:
        super().forget(layer)
        for edge in self.network.into(layer):
            self.delta_below[edge.index] = None
        for edge in self.network.out_of(layer):
            self.delta_above[edge.index] = None

    def respond(self, state: State, layer: int) -> dict[int, Tensor]:
        drive, h = self.drive(layer), self.error_drive(layer)
        if layer == self.depth:
            return self._pair(layer, *self.output(drive, h))
        if h is None:  # nothing is said to its difference, which may have been let go of
            mean = self.network.layers[layer - 1].potential.response(drive)
            return self._pair(layer, mean, _nothing(mean))
        return self._pair(layer, *self.settle_pair(layer, drive, h))

    def output(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """(m, δ) of the output layer: an ordinary pair once the nudge is in its drives."""
        return self.settle_pair(self.depth, *self.nudged(drive, h))

    def nudged(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """(a, h) of the output layer with the nudge in them."""
        potential = self.network.output.potential
        h = drive.new_zeros(()) if h is None else h
        plus, minus = self.plus * self.beta, (1 - self.plus) * self.beta
        return self.objective.nudged(potential, drive, h, self.target, self.frozen, plus, minus)

    def settle_pair(self, layer: int, drive: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """(m, δ) of a layer that hears a and h."""
        return self.network.layers[layer - 1].potential.pair(drive, h, self.beta, self.plus, self.alpha)

    def _pair(self, layer: int, mean: Tensor, delta: Tensor) -> dict[int, Tensor]:
        return {layer - 1: mean, self.depth + layer - 1: delta}

    def _say_up(self, state: State, edge: Edge) -> None:
        super()._say_up(state, edge)
        self._say_difference_up(state, edge)

    def _say_difference_up(self, state: State, edge: Edge) -> None:
        if gain := self.gains[edge.index]:
            said = edge.coupling.tangent(self.delta(state, edge.source), self.points[edge.index])
            self.delta_below[edge.index] = said if gain == 1 else said * gain
            self.count(edge)

    def _say_down(self, state: State, edge: Edge) -> None:
        super()._say_down(state, edge)
        self._say_difference_down(state, edge)

    def _say_difference_down(self, state: State, edge: Edge) -> None:
        point = self.point(state, edge)
        delta = self.delta(state, edge.target)
        if self.closing and self.rest is not None:
            delta = self.spreads[edge.index] = edge.coupling.spread(delta, point)
        said = self._pulled(state, edge, delta, point)
        if gain := self.gains[edge.index]:
            bent = edge.coupling.curvature(self.delta(state, edge.source), self.mean(state, edge.target), point)
            said = said if bent is None else _total([said, gain * bent])
        self.delta_above[edge.index] = said

    def _pulled(self, state: State, edge: Edge, delta: Any, point: Any) -> Tensor | None:
        """A′(m)ᵀδ, by the weight or by the wires that stand in for it."""
        if self.wiring is None:
            self.count(edge)
            return edge.coupling.adjoint(delta, point)
        top = self.delta(state, self.depth)
        self.top = top if top.numel() else self.top  # a closing step has let go of it
        self.ledger.apply(self.phase, self.wiring.multiply_adds(edge), len(self.x))
        return self.wiring.adjoint(edge, delta, self.top, point)


class HeldDyad(Dyad):
    """The dyad about a mean that stands still, with its drives and switches: δ alone is settled, at half the price.

    The mean is then the free equilibrium itself, which the joint one differs from by O(β²) (adjoint form, or α = ½); as
    β → 0 both give the exact gradient."""

    def start(self, mean: State, free: Problem) -> State:
        """Needs a mean that has just climbed, so that its drives are those it responded to."""
        state = super().start(mean, free)
        self.drives = [self.drive(k) for k in range(1, self.depth + 1)]
        return state

    def said_down(self) -> list[list[Tensor | None]]:
        return [self.delta_above]

    def blank(self, state: State) -> None:
        """Nothing: the means stay."""

    def respond(self, state: State, layer: int) -> dict[int, Tensor]:
        drive, h = self.drives[layer - 1], self.error_drive(layer)
        if layer == self.depth:
            drive, h = self.nudged(drive, h)
        if h is None:
            return {self.depth + layer - 1: _nothing(drive)}
        delta = self.network.layers[layer - 1].potential.secant(drive, h, self.beta, self.plus)
        return {self.depth + layer - 1: delta}

    def _say_up(self, state: State, edge: Edge) -> None:
        self._say_difference_up(state, edge)

    def _say_down(self, state: State, edge: Edge) -> None:
        self._say_difference_down(state, edge)


class ClampedDyad(Dyad):
    """The output's upper replica held at the target, the lower one free: s⁺ = y, s⁻ = f(a − ½βh). At γ = 1, α = ½ and β
    = 1 this is contrastive Hebbian learning (Movellan 1991), which descends E(clamped) − E(free).
    """

    def output(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.network.readout(self.depth):
            raise ConfigurationError("an output outside the dynamics (feedback=False) cannot be clamped")
        minus = (1 - self.plus) * self.beta
        low = self.network.output.potential.response(drive if h is None else drive - minus * h)
        return self.alpha * self.target + (1 - self.alpha) * low, (self.target - low) / self.beta


def _nothing(like: Tensor) -> Tensor:
    """A difference of zero, without memory of its own."""
    return like.new_zeros(()).expand_as(like)
