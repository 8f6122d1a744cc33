"""One phase: the states of a network by themselves, free, nudged or clamped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.graph import Gain, total
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.objectives import Nudge, Objective
from energy.potentials import Potential
from energy.relax.layered import Layered, Tensors
from energy.state import State


@dataclass(frozen=True)
class PhaseNudge:
    """A term β·C of the energy.

    Attributes:
        beta: β.
        objective: C.
        target: (B, *output shape).
        frozen: ∇C at the free output, if the nudge is linearized there.
        sign: +1 or −1, which multiplies β: a tensor () of the states' dtype on their device, None for +1.
    """

    beta: float
    objective: Objective
    target: Tensor
    frozen: Tensor | None = None
    sign: Tensor | None = None

    def drive(self, potential: Potential, drive: Tensor) -> Tensor:
        """Return the drive of an output layer of `potential` with the nudge in it."""
        up = self._at(potential, drive, self.beta)
        return up if self.sign is None else torch.where(self.sign > 0, up, self._at(potential, drive, -self.beta))

    def _at(self, potential: Potential, drive: Tensor, beta: float) -> Tensor:
        nothing = drive.new_zeros(())
        drive, h = self.objective.nudged(potential, drive, nothing, self.target, self.frozen, beta, 0.0)
        return drive + beta * h

    def value(self, output: Tensor) -> Tensor:
        """Return βC of each sample, (B,); the linear part of C alone if the nudge is frozen."""
        frozen = self.frozen
        cost = self.objective.value(output, self.target) if frozen is None else (frozen * output).flatten(1).sum(1)
        return self.beta * cost if self.sign is None else self.sign * self.beta * cost

    def error(self, output: Tensor) -> Tensor:
        """Return ∇C at `output`, or the frozen one."""
        return self.frozen if self.frozen is not None else self.objective.gradient(output, self.target)


class SinglePhase(Layered):
    """The layers' activities as states: free, unless `nudge` adds to the energy or `clamp` holds the output.

    Args:
        network, x, gamma, ledger, phase: as for `Layered`.
        nudge: a term of the energy.
        clamp: the output's value, (B, *output shape).
    """

    def __init__(
        self,
        network: Network,
        x: Tensor,
        gamma: Gain,
        ledger: Ledger,
        phase: str = "free",
        *,
        nudge: PhaseNudge | None = None,
        clamp: Tensor | None = None,
    ) -> None:
        super().__init__(network, x, gamma, ledger, phase)
        self.nudge, self.clamp = nudge, clamp

    def initial_state(self) -> State:
        """Run one bottom-up pass."""
        state = State(())
        for k in range(1, self.depth + 1):
            self.receive_from_below(state, k)
            response = self.network.layers[k - 1].potential.response(self.drive(k))
            state = State((*state, response))
        self.messages.sent_by = state
        return state

    def domain(self, index: int) -> tuple[float, float]:
        """Return the interval that the responses of a layer lie in; all numbers for an output that is held."""
        if self.clamp is not None and index == self.depth - 1:
            return -math.inf, math.inf
        potential = self.network.layers[index].potential
        return potential.lower, potential.upper

    def energies(self, state: State) -> Tensor | None:
        """Return what the flow of this phase descends, of each sample, (B,): E_γ, and γ^(d_L − 1) β C with a nudge.

        None at γ = 0; and for a nudge that enters as a force of no energy, that of an output outside the dynamics or a
        live one, whose gradient is taken at f(a).
        """
        gamma, nudge = float(self.gamma), self.nudge
        if not gamma > 0:
            return None
        if nudge is None:
            return self.network.energy(self.x, state, gamma)
        if self.network.readout(self.depth) or nudge.objective.nudge is Nudge.LIVE:
            return None
        weight = gamma ** (self.network.output.depth - 1)
        return self.network.energy(self.x, state, gamma) + weight * nudge.value(state[-1])

    def rows(self, rows: Tensor) -> SinglePhase | None:
        """Return the same free problem for some samples, with the messages from the input and from above.

        Those from below come anew with the next step upward. None if there is a nudge or a clamp, or a coupling that
        normalizes by the batch.

        Args:
            rows: places of samples, (b,).
        """
        batchwise = any(edge.coupling.batchwise and edge.coupling.training for edge in self.network.edges)
        if self.nudge is not None or self.clamp is not None or batchwise:
            return None
        some = SinglePhase(self.network, self.x[rows], self.gamma, self.ledger, self.phase)
        for edge in self.network.edges:
            up, down = self.messages.up[edge.index], self.messages.down[edge.index]
            some.messages.up[edge.index] = None if up is None or edge.source else up[rows]
            some.messages.down[edge.index] = None if down is None else down[rows]
        return some

    def put_rows(self, rows: Tensor, some: SinglePhase) -> None:
        """Enter the messages from above of `some`, which `rows` gave for the places `rows`."""
        self.messages.sent_by = None
        for edge in self.network.edges:
            down, new = self.messages.down[edge.index], some.messages.down[edge.index]
            if down is not None and new is not None:
                self.messages.down[edge.index] = down.index_copy(0, rows, new)

    def update(self, layer: int) -> dict[int, Tensor]:
        drive = self.drive(layer)
        if layer == self.depth:
            if self.clamp is not None:
                return {layer - 1: self.clamp}
            if self.nudge is not None and not self.network.readout(layer):
                drive = self.nudge.drive(self.network.output.potential, drive)
        return {layer - 1: self.network.layers[layer - 1].potential.response(drive)}

    def errors(self, state: Tensors, error: Tensor) -> dict[int, Tensor]:
        """Return ∂C/∂a of every layer that leads to the output outside the dynamics, output first.

        It is f′(a) times ∇C at the output, and times the sum that the edges above send down elsewhere. Empty if the
        output is inside the dynamics.

        Args:
            state: the activities.
            error: ∇C, (B, *output shape).
        """
        found: dict[int, Tensor] = {}
        for layer in range(self.depth, 0, -1):
            if not self.network.readout(layer):
                continue
            received: list[Tensor] = [error] if layer == self.depth else []
            for edge in self.network.out_of(layer):
                if edge.target in found:
                    received.append(self.linearization(state, edge).adjoint(found[edge.target]))
                    self.count(edge)
            if received:
                potential = self.network.layers[layer - 1].potential
                found[layer] = potential.tangent(self.drive(layer), total(received))
        return found

    def send_down(self, state: Tensors, edge: Edge) -> None:
        if edge.feedback or self.nudge is None or self.nudge.beta == 0:
            super().send_down(state, edge)
        elif self.network.readout(self.depth) and not self.network.readout(edge.source):
            self._send_nudge(state, edge, self.nudge)

    def _send_nudge(self, state: Tensors, edge: Edge, nudge: PhaseNudge) -> None:
        """Send the nudge alone down a read-out, as a term β γ^(d_L − 1) C of the energy would."""
        pull = self.errors(state, nudge.error(state[self.depth - 1])).get(edge.target)
        if pull is not None:
            span = self.network.output.depth - self.network.depth(edge.source)
            pushed = pull * (-nudge.beta * self.gamma**span)
            pushed = pushed if nudge.sign is None else pushed * nudge.sign
            self.messages.down[edge.index] = self.linearization(state, edge).adjoint(pushed)
            self.count(edge)
