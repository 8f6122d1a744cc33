"""Two coupled replicas as a mean and a normalized difference: the problem that every dyadic method settles.

With m = α s⁺ + (1 − α) s⁻ and δ = (s⁺ − s⁻)/β the replicas respond to

    a_k = J(m)_k        = A_k m_{k−1} + γ A_{k+1}ᵀ m_{k+1}
    h_k = (J′(m)ᵀ δ)_k  = A_{k+1}ᵀ δ_{k+1} + γ A_k δ_{k−1}
    s⁺ = f(a + r₊βh),   s⁻ = f(a − r₋βh)

the stationary point of F = (1/β)[G(s⁺) − G(s⁻)] − ⟨δ, J(m)⟩ + αC(s⁺_L) + (1 − α)C(s⁻_L) for the saddle split (r₊, r₋) =
(α, 1 − α). The adjoint split (1 − α, α) lets feedback reach the mean only at O(β²). β = 0 is the limit: δ is then the
exact adjoint. Feedback weights may carry δ down in place of A_{k+1}ᵀ (`energy.feedback`); then none of this is
stationary.

Reference:
    Høier, Staudt & Zach, ICML 2023 (γ = 0, saddle); Høier & Zach, ICML 2024 (adjoint); Scellier & Bengio 2017 (γ = 1,
    α = ½).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from torch import Tensor

from energy.component import ConfigurationError
from energy.feedback import TIED, Transport
from energy.graph import Gain, scaled, total
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.objectives import Objective
from energy.relax.layered import Layered, Tensors
from energy.relax.single_phase import SinglePhase
from energy.state import State


class NudgeForm(enum.Enum):
    """The split of the nudge between the replicas."""

    ADJOINT = "(r₊, r₋) = (1 − α, α): stationary for the Lagrangian; feedback reaches the mean at O(β²)"
    SADDLE = "(r₊, r₋) = (α, 1 − α): stationary for F; feedback reaches the mean at O(β) unless α = ½"

    def r_plus(self, alpha: float) -> float:
        """Return r₊, the share of s⁺, for the weight `alpha` of s⁺ in the mean."""
        return alpha if self is NudgeForm.SADDLE else 1 - alpha


@dataclass(frozen=True)
class Nudging:
    """The nudge that drives the two replicas of a dyad apart.

    Attributes:
        objective: C.
        target: y, (B, *output shape).
        beta: β, the total nudge per sample.
        alpha: α, the weight of s⁺ in the mean.
        form: the split of the nudge between the replicas.
        frozen: ∇C at the free output, if the nudge is linearized there.
        feedback: the path of the difference down.
    """

    objective: Objective
    target: Tensor
    beta: float
    alpha: float = 0.5
    form: NudgeForm = NudgeForm.ADJOINT
    frozen: Tensor | None = None
    feedback: Transport = TIED

    @property
    def r_plus(self) -> float:
        """r₊, the share of the nudge of s⁺."""
        return self.form.r_plus(self.alpha)


class Dyad(Layered):
    """A dyad as a problem, with states (m_1 … m_L, δ_1 … δ_L).

    Both replicas share one linearization per coupling, that at m.

    Attributes:
        at_zero: no downward half has ended since δ = 0 below the output: nothing is curved along it.
    """

    def __init__(
        self, network: Network, x: Tensor, gamma: Gain, ledger: Ledger, nudging: Nudging, phase: str = "nudged"
    ) -> None:
        super().__init__(network, x, gamma, ledger, phase)
        self.nudging, self.at_zero = nudging, False

    def initial_state(self, mean: State, free: SinglePhase) -> State:
        """Return a dyad with δ = 0 about a settled or bottom-up mean, and take over the messages of `free`."""
        state, self.at_zero = State((*mean, *map(_nothing, mean))), True
        self.messages = free.messages.copy()
        self.messages.sent_by = state if free.messages.sent_by is mean else None
        return state

    def response(self, state: State) -> State:
        self.at_zero = False
        return super().response(state)

    def update_layers(self, state: State, layers: list[int]) -> State:
        self.at_zero = False
        return super().update_layers(state, layers)

    def top_down(self, state: State) -> State:
        state = super().top_down(state)
        self.at_zero = False
        return state

    def delta(self, state: Tensors, layer: int) -> Tensor:
        """Return δ of a layer."""
        return state[self.depth + layer - 1]

    def learned(self, state: Tensors, layer: int) -> Tensor:
        """Return the difference of a settled layer that the products of its edges read."""
        return self.delta(state, layer)

    def domain(self, index: int) -> tuple[float, float]:
        """Return the interval that a mean lies in; all numbers for a difference."""
        if index >= self.depth:
            return -math.inf, math.inf
        potential = self.network.layers[index].potential
        return potential.lower, potential.upper

    def read_going_down(self, state: State) -> dict[int, Tensor]:
        """Return the tensors, by position, that a last downward half-sweep reads before it has set them."""
        if all(gain is None for gain in self.gains):
            return {}
        return {at: state[at] for at in range(self.depth, 2 * self.depth)}  # a curved coupling reads δ below it

    def error_drive(self, layer: int) -> Tensor | None:
        """Return h of a layer from the messages; None if its difference has received none."""
        errors = self.messages.errors(self.network, layer)
        return total(errors) if errors else None

    def update(self, layer: int) -> dict[int, Tensor]:
        drive, h = self.drive(layer), self.error_drive(layer)
        if layer == self.depth:
            return self._pair(layer, *self.output(drive, h))
        if h is None:  # nothing is sent to its difference, which may have been freed
            mean = self.network.layers[layer - 1].potential.response(drive)
            return self._pair(layer, mean, _nothing(mean))
        return self._pair(layer, *self.settle_pair(layer, drive, h))

    def output(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (m, δ) of the output layer: an ordinary pair once the nudge is in its drives."""
        return self.settle_pair(self.depth, *self.nudged(drive, h))

    def nudged(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (a, h) of the output layer with the nudge in them."""
        nudging, potential = self.nudging, self.network.output.potential
        h = drive.new_zeros(()) if h is None else h
        beta_plus, beta_minus = nudging.r_plus * nudging.beta, (1 - nudging.r_plus) * nudging.beta
        return nudging.objective.nudged(potential, drive, h, nudging.target, nudging.frozen, beta_plus, beta_minus)

    def settle_pair(self, layer: int, drive: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (m, δ) of a layer whose drives are a and h."""
        nudging, potential = self.nudging, self.network.layers[layer - 1].potential
        return potential.pair(drive, h, nudging.beta, nudging.r_plus, nudging.alpha)

    def _pair(self, layer: int, mean: Tensor, delta: Tensor) -> dict[int, Tensor]:
        return {layer - 1: mean, self.depth + layer - 1: delta}

    def _downward(self) -> list[list[Tensor | None]]:
        return [self.messages.down, self.messages.d_down]

    def send_up(self, state: Tensors, edge: Edge) -> None:
        super().send_up(state, edge)
        self._send_difference_up(state, edge)

    def _send_difference_up(self, state: Tensors, edge: Edge) -> None:
        """γ^span A′(m) δ_source."""
        if (gain := self.gains[edge.index]) is not None:
            self.messages.sent_by = None
            sent = self.linearization(state, edge).tangent(self.delta(state, edge.source))
            self.messages.d_up[edge.index] = scaled(sent, gain)
            self.count(edge)

    def send_down(self, state: Tensors, edge: Edge) -> None:
        super().send_down(state, edge)
        self._send_difference_down(state, edge)

    def _send_difference_down(self, state: Tensors, edge: Edge) -> None:
        """A′(m)ᵀδ_target by the feedback weights, and γ^span ∂m⟨m_target, A′(m)δ_source⟩ where A is curved."""
        linear, feedback = self.linearization(state, edge), self.nudging.feedback
        top = self.delta(state, self.depth) if feedback.reads_output else None
        self.ledger.apply(self.phase, feedback.multiply_adds(edge), self.batch)
        sent = feedback.adjoint(edge, self.delta(state, edge.target), top, linear)
        if (gain := self.gains[edge.index]) is not None and not self.at_zero:
            bent = linear.curvature(self.delta(state, edge.source), self.mean(state, edge.target))
            if bent is not None:
                self.count(edge)  # for the tangent
                self.count(edge)  # for the adjoint
                sent = gain * bent if sent is None else sent + gain * bent
        self.messages.d_down[edge.index] = sent


class HeldDyad(Dyad):
    """The dyad about a fixed mean, with its drives and switches: δ alone is settled, at half the price.

    The mean is then the free equilibrium itself, which the joint one differs from by O(β²) (adjoint form, or α = ½); as
    β → 0 both give the exact gradient.
    """

    def initial_state(self, mean: State, free: SinglePhase) -> State:
        """As for `Dyad`, of a mean that comes from a bottom-up pass, so that its drives are those it responded to."""
        state = super().initial_state(mean, free)
        self.drives = [self.drive(k) for k in range(1, self.depth + 1)]
        return state

    def read_going_down(self, state: State) -> dict[int, Tensor]:
        return dict(enumerate(state))

    def _downward(self) -> list[list[Tensor | None]]:
        return [self.messages.d_down]

    def update(self, layer: int) -> dict[int, Tensor]:
        drive, h = self.drives[layer - 1], self.error_drive(layer)
        if layer == self.depth:
            drive, h = self.nudged(drive, h)
        if h is None:
            return {self.depth + layer - 1: _nothing(drive)}
        potential = self.network.layers[layer - 1].potential
        return {self.depth + layer - 1: potential.difference(drive, h, self.nudging.beta, self.nudging.r_plus)}

    def send_up(self, state: Tensors, edge: Edge) -> None:
        self._send_difference_up(state, edge)

    def send_down(self, state: Tensors, edge: Edge) -> None:
        self._send_difference_down(state, edge)


class ClampedDyad(Dyad):
    """The dyad with the output's upper replica held at the target, the lower one free: s⁺ = y, s⁻ = f(a − ½βh).

    At γ = 1, α = ½ and β = 1 this is contrastive Hebbian learning (Movellan 1991), which descends E(clamped) − E(free).
    """

    def domain(self, index: int) -> tuple[float, float]:
        return (-math.inf, math.inf) if index == self.depth - 1 else super().domain(index)

    def output(self, drive: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.network.readout(self.depth):
            raise ConfigurationError("an output outside the dynamics (feedback=False) cannot be clamped")
        nudging = self.nudging
        beta_minus = (1 - nudging.r_plus) * nudging.beta
        low = self.network.output.potential.response(drive if h is None else drive - beta_minus * h)
        return nudging.alpha * nudging.target + (1 - nudging.alpha) * low, (nudging.target - low) / nudging.beta


def _nothing(like: Tensor) -> Tensor:
    """A difference of zero, without memory of its own."""
    return like.new_zeros(()).expand_as(like)
