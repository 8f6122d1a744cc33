"""Predictive coding with the activities alone as variables: E and its gradient at any state."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from energy.graph import total
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.potentials import Identity, per_sample
from energy.relax.layered import Layered, Tensors
from energy.relax.predictive import SiteUpdate
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.state import State


def predictive_energy(network: Network, x: Tensor, state: State) -> Tensor:
    """Return E = ½ Σ_k ‖s_k − f_k(u_k)‖² of each sample, (B,). Differentiable.

    Args:
        network: its couplings and potentials predict every layer from those below.
        x: (B, *input shape).
        state: the activities.
    """
    states = (x, *state)
    terms = []
    for k, layer in enumerate(network.layers, start=1):
        drive = total([edge.coupling(states[edge.source]) for edge in network.into(k)])
        terms.append(per_sample((states[k] - layer.potential.response(drive)).square()) / 2)
    return total(terms)


class PredictiveStates(Layered):
    """A predictive-coding network as a problem, with states (s_1 … s_L).

        response(s)_k = P(f_k(u_k) + Σ_{e out of k} A_e′(s_k)ᵀ φ_target)      φ_k = f′_k(u_k)(s_k − f_k(u_k))

    which is s − ∂E/∂s if P is left out (`SiteUpdate.UNCONSTRAINED`): `synchronous` at damping d then takes gradient
    steps of length 1 − d. φ is that of the present state; a message is sent anew if its layer has changed since.

    Args:
        network, x, ledger, phase: as for `Layered`.
        nudge: a term β·C of the energy.
        clamped: the output is held at the target of `nudge` instead, and the energy of the output layer is C itself at
            the prediction: φ_L = −f′(u)∇C(f(u)), for squared error that of s_L = y.
        site: the site update.
    """

    def __init__(
        self,
        network: Network,
        x: Tensor,
        ledger: Ledger,
        phase: str = "nudged",
        *,
        nudge: PhaseNudge | None = None,
        clamped: bool = False,
        site: SiteUpdate = SiteUpdate.UNCONSTRAINED,
    ) -> None:
        super().__init__(network, x, 0.0, ledger, phase)
        self.nudge, self.clamped = nudge, clamped
        self.site = site
        self.sent: list[Tensor | None] = [None] * len(network.edges)  # the activities that the messages come from

    def initial_state(self, mean: State, free: SinglePhase) -> State:
        """Return the bottom-up state, the output clamped if it is, and take over the messages of `free`."""
        self.messages = free.messages.copy()
        self.messages.sent_by = None
        self.sent = [self.mean(mean, edge.source) for edge in self.network.edges]
        return State((*mean.tensors[:-1], self.nudge.target)) if self.nudge and self.clamped else mean

    def domain(self, index: int) -> tuple[float, float]:
        """Return the interval that activities are held to; all numbers for an output that is clamped."""
        if self.clamped and index == self.depth - 1:
            return -math.inf, math.inf
        return self.site.interval(self.network.layers[index].potential)

    def mark(self) -> Callable[[], None] | None:
        take_back, sent = super().mark(), list(self.sent)
        if take_back is None:
            return None

        def return_to() -> None:
            take_back()
            self.sent = sent

        return return_to

    def receive_from_below(self, state: Tensors, layer: int) -> None:
        for edge in self.network.into(layer):
            if self.sent[edge.index] is not self.mean(state, edge.source):
                self.send_up(state, edge)
                self.sent[edge.index] = self.mean(state, edge.source)

    def send_down(self, state: Tensors, edge: Edge) -> None:
        """Send A′(s)ᵀ φ of the target."""
        self.receive_from_below(state, edge.target)
        sent = self.linearization(state, edge).adjoint(self.slope(state, edge.target))
        self.messages.d_down[edge.index] = sent
        self.count(edge)

    def slope(self, state: Tensors, layer: int) -> Tensor:
        """Return φ of a layer, by the messages that it has received from below: −∂E/∂W = φ s_jᵀ."""
        drive, potential = self.drive(layer), self.network.layers[layer - 1].potential
        prediction = potential.response(drive)
        if self.nudge is not None and self.clamped and layer == self.depth:
            return potential.tangent(drive, -self.nudge.error(prediction))
        return potential.tangent(drive, self.mean(state, layer) - prediction)

    def update(self, layer: int) -> dict[int, Tensor]:
        drive, potential = self.drive(layer), self.network.layers[layer - 1].potential
        pushed = self.site.origin(potential, drive)
        if layer == self.depth and self.nudge is not None:
            if self.clamped:
                return {layer - 1: self.nudge.target}
            pushed = self.nudge.drive(Identity(), pushed)
        elif errors := self.messages.errors(self.network, layer):
            pushed = pushed + total(errors)
        lower, upper = self.site.interval(potential)
        return {layer - 1: pushed.clamp(lower, upper)}
