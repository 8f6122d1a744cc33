"""Predictive coding as a problem: every layer's activity, and its prediction error as a tensor of its own.

    E(s; x) = ½ Σ_k ‖ε_k‖²      ε_k = s_k − f_k(u_k)      u_k = Σ_{e into k} A_e(s_source)

One bottom-up pass s_k = f_k(u_k) is the free equilibrium: E = 0 and ∂E/∂θ = 0 there. Under a nudge βC of the output a
step of projected gradient descent of length 1 sets a layer to

    s_k ← P(f_k(u_k) + βh_k)      h_k = Σ_{e out of k} A_e′(s_k)ᵀ δ_target      δ_k = f′_k(u_k) ε_k/β

with P the projection onto the interval of the potential, and at the output h_L = −∇C or its exact proximal step. So
the pair (s, δ) is a dyad without feedback into the mean, in which both are computed from the drive and from h. ε/β has
a closed form without a difference of activities, so that no digits are lost as β → 0.

Reference:
    Kerjan, Høier & Scellier 2026 (arXiv:2606.03584); Rao & Ballard 1999 and Whittington & Bogacz 2017 (the energy).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from energy.kernels import Kernel
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import Identity, Potential
from energy.potentials.gated import Gated
from energy.relax.dyad import Dyad, Nudging
from energy.state import State


class SiteUpdate(enum.Enum):
    """The point from which the error of a layer pushes its activity."""

    PROJECTED = "from the prediction: s ← P(f(u) + βh), projected gradient descent of E"
    MODIFIED = "from the drive: s ← P(σu + βh) = f(u + βh/σ) where G = s²/(2σ) on an interval; else as projected"
    UNCONSTRAINED = "from the prediction: s ← f(u) + βh, which may leave the interval of the potential"

    def origin(self, potential: Potential, drive: Tensor) -> Tensor:
        """Return f(u), or σu if the update starts from there."""
        slope = float(potential.quadratic)
        if self is not SiteUpdate.MODIFIED or not slope:
            return potential.response(drive)
        return drive if slope == 1 else drive * slope

    def interval(self, potential: Potential) -> tuple[float, float]:
        """Return the least and the greatest activity."""
        unbounded = (-math.inf, math.inf)
        return unbounded if self is SiteUpdate.UNCONSTRAINED else (potential.lower, potential.upper)


class PredictiveDyad(Dyad):
    """A predictive-coding network as a problem, with states (s_1 … s_L, δ_1 … δ_L) at γ = 0.

    A layer's δ is that of its last update. A step of `zebra` on a chain is then exactly projected descent of E + βC by
    even and odd layers; the downward half of a `sweep` passes the errors through all layers at once, along the
    linearizations of the upward half. All relaxations have the same equilibrium,

        ∂(E + βC)/∂s_k = 0 for every unit inside its interval (`PROJECTED`),

    and at it −∂(E + βC)/∂θ/β = Σ δ_k s_jᵀ, the products of a dyad. `MODIFIED` differs in units outside the interval
    of their drive: these stay at its end unless βh carries them over it. Where units cross, its equilibrium is
    stationary for no energy; as β → 0 both give the same gradient, since f′(u) = 0 for these units.

    Args:
        network, x, ledger, nudging, phase: as for `Dyad`; of the nudging, `alpha` and `form` take no part and β may be
            negative.
        site: the site update.
        sign: +1 or −1, which multiplies β: a tensor () of the states' dtype on their device, None for +1.
    """

    def __init__(
        self,
        network: Network,
        x: Tensor,
        ledger: Ledger,
        nudging: Nudging,
        phase: str = "nudged",
        *,
        site: SiteUpdate = SiteUpdate.MODIFIED,
        sign: Tensor | None = None,
    ) -> None:
        super().__init__(network, x, 0.0, ledger, nudging, phase)
        self.site, self.sign = site, sign
        self.moved = [False] * (self.depth + 1)  # layers that have been updated, the input first

    def domain(self, index: int) -> tuple[float, float]:
        if index >= self.depth:
            return -math.inf, math.inf
        return self.site.interval(self.network.layers[index].potential)

    def mark(self) -> Callable[[], None] | None:
        take_back, moved = super().mark(), list(self.moved)
        if take_back is None:
            return None

        def return_to() -> None:
            take_back()
            self.moved = moved

        return return_to

    def update_layers(self, state: State, layers: list[int]) -> State:
        """Set `layers`, no two of them joined, to their responses; those that no change has reached yet stay."""
        due = [k for k in layers if self._due(k)]
        for k in due:
            self._receive_changed(state, k)
        return self._updated(state, due) if due else state

    def _due(self, layer: int) -> bool:
        """True for a layer that is nudged, or joined to one that has moved."""
        above, below = self.network.out_of(layer), self.network.into(layer)
        return layer == self.depth or any([self.moved[e.target] for e in above] + [self.moved[e.source] for e in below])

    def _receive_changed(self, state: State, layer: int) -> None:
        """Send anew what differs from the last message: from layers that have moved."""
        for edge in self.network.into(layer):
            if self.moved[edge.source] or self.messages.up[edge.index] is None:
                self.send_up(state, edge)
        for edge in self.network.out_of(layer):
            if self.moved[edge.target]:
                self.send_down(state, edge)

    def update(self, layer: int) -> dict[int, Tensor]:
        self.moved[layer] = True
        drive, h = self.drive(layer), self.error_drive(layer)
        if layer == self.depth:
            h = self.output_pull(drive)
        if h is None:  # no layer above
            mean = self.network.layers[layer - 1].potential.response(drive)
            return self._pair(layer, mean, torch.zeros_like(mean))
        return self._pair(layer, *self.settle_pair(layer, drive, h))

    def output_pull(self, drive: Tensor) -> Tensor:
        """Return h_L, so that the nudged output is P(f(u) + βh): −∇C, or the proximal step of ½‖s − f(u)‖² + βC(s)."""
        up = self._pull(drive, self.nudging.beta)
        return up if self.sign is None else torch.where(self.sign > 0, up, self._pull(drive, -self.nudging.beta))

    def _pull(self, drive: Tensor, beta: float) -> Tensor:
        nudging, nothing = self.nudging, drive.new_zeros(())
        start = self.site.origin(self.network.output.potential, drive)
        return nudging.objective.nudged(Identity(), start, nothing, nudging.target, nudging.frozen, beta, 0.0)[1]

    def settle_pair(self, layer: int, drive: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (s, δ) of a layer with drive u that is pushed by h."""
        potential = self.network.layers[layer - 1].potential
        h, beta = self._signed(h), abs(self.nudging.beta)
        if isinstance(potential, Gated):
            mean, delta = _PUSHED((drive, h), potential, beta, self.site)
        else:
            mean, delta = pushed_pair(drive, h, potential, beta, self.site)
        return mean, self._signed(delta)

    def _signed(self, tensor: Tensor) -> Tensor:
        """The tensor times the sign of β."""
        signed = tensor if self.sign is None else tensor * self.sign
        return -signed if self.nudging.beta < 0 else signed


def pushed_pair(drive: Tensor, h: Tensor, potential: Potential, beta: float, site: SiteUpdate) -> tuple[Tensor, Tensor]:
    """Return s = P(o + βh) and δ = f′(u)(s − f(u))/β, with o the origin of the site update.

    The error is h + (o − f(u))/β, cut off at the distances of the prediction from the ends of the interval.

    Args:
        drive: u, (B, …).
        h: the push, (B, …).
        potential: f, with the interval [lower, upper].
        beta: β > 0.
        site: the site update.
    """
    prediction = potential.response(drive)
    error = h
    if site is SiteUpdate.MODIFIED and potential.quadratic:
        error = h + (site.origin(potential, drive) - prediction) / beta
    lower, upper = site.interval(potential)
    if lower > -math.inf:
        error = error.maximum((lower - prediction) / beta)
    if upper < math.inf:
        error = error.minimum((upper - prediction) / beta)
    return prediction.add(error, alpha=beta), potential.tangent(drive, error)


_PUSHED: Final = Kernel(pushed_pair, elementwise=True)
