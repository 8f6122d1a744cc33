"""The cortical microcircuit as a settler: errors of a spiking network without a tape, through feedback weights.

`spiking` is a reconstruction of, and inspired by, the cortical microcircuit of Yang & Li, from its abstract. Each unit
has a basal compartment u (drive from below), an apical one c (error from above) and a soma s. An excitatory pyramidal
cell z⁺ and its inhibitory twin z⁻ share the basal drive and are nudged apart by the apical current, a dyad whose
normalized difference δ = (z⁺ − z⁻)/β is the error that reaches the layer below through feedback weights
(`energy.feedback`):

    z± = Φ(v ± β/2 c),   δ = D(v, c) = Φ′(v) c + O(β²),   c_l = B_{l+1}ᵀ δ_{l+1},   ΔW_l ∝ Σ_t δ_l[t] x_{l−1}[t]ᵀ

With λ, κ of the neuron, here a leaky one that is reset to zero, credit goes through time by one of

    adjoint   p[t] = c[t] + κ p[t+1],  δ[t] = D(v[t], (1 − κ) p[t]) + λ (1 − s[t]) δ[t+1];  δ[t] x[t]ᵀ   exact
    causal    δ[t] = D(v[t], c[t]);  δ[t] e[t]ᵀ with the eligibility e[t] = λ e[t−1] + x[t]
    instant   δ[t] = D(v[t], c[t]);  δ[t] x[t]ᵀ
    online    causal, and an error takes one step to go down one layer

All but adjoint keep running traces only: their memory does not grow with T. Recurrent synapses
(`energy.couplings.recurrent`) learn under all of them: exactly under adjoint, and from the present error and the trace
of the step before under the others, which send no error back through them.

Reference:
    Yang & Li, arXiv 2205.07292, abstract.
"""

from __future__ import annotations

import enum
import functools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.feedback import Feedback, Tied
from energy.ledger import Ledger
from energy.network import Network, to_channels_last
from energy.objectives import Objective
from energy.settle.settled import Settled
from energy.settle.settler import require_finite, validate_batch
from energy.settle.spiking_settler import SpikingSettler
from energy.spiking.activity import Activity
from energy.spiking.errors import LocalError, SpikeError
from energy.spiking.lateral import lateral
from energy.spiking.online import Batch, OnlineSimulation
from energy.spiking.pull_back import pull_back
from energy.state import State


class TemporalCredit(enum.Enum):
    """The assignment of an error to past activity."""

    ADJOINT = "back through time, exactly"
    CAUSAL = "by an eligibility trace of what came before"
    INSTANT = "to the present alone"
    ONLINE = "causal, an error descending one layer a step"


@dataclass(kw_only=True)
class SettledSpikes(Settled):
    """A simulation and its errors.

    Attributes:
        activity: of all layers.
        delta: δ of each layer, folded (T·B, …).
        target: one-hot, (B, C).
        distance: of the output's spike train from its target.
    """

    activity: Activity
    delta: list[Tensor]
    target: Tensor
    distance: SpikeError

    @functools.cached_property
    def error(self) -> Tensor:
        """The spike-train error of each sample without the rate penalty, (B,); computed when it is first read."""
        with torch.no_grad():
            return self.distance.value(self.activity.train, self.target)


@dataclass(kw_only=True)
class SettledOnline(Settled):
    """A simulation that learned while it ran.

    Attributes:
        products: sums over all steps, one tensor per parameter.
        error: the spike-train error of each sample, (B,).
    """

    products: list[Tensor]
    error: Tensor


class Spiking(SpikingSettler, name="spiking"):
    """The cortical microcircuit: errors carried by dyads of compartments through feedback weights, local plasticity.

    A reconstruction inspired by Yang & Li (arXiv 2205.07292); see `energy.settle.spiking`. With `feedback=tied`,
    `credit=adjoint` and β = 0 it is back-propagation through time with a surrogate gradient, without a tape.
    Sign-concordant feedback weights (`feedback=sign`) are the method's own.

    Attributes:
        beta: total nudge of a dyad; 0 for the limit in closed form. Above 0 the surrogate must know its Φ.
        credit: the way of errors through time. All but adjoint need an error that is known while the simulation runs
            (van_rossum), and couplings that are affine.
        feedback: the weights that carry the errors down.
    """

    beta: float = 0.0
    credit: TemporalCredit = TemporalCredit.ADJOINT
    feedback: Feedback = field(default_factory=Tied)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.beta < math.inf, self, "beta", "at least 0")
        require(
            self.beta == 0 or self.surrogate.paired, self, "beta", "0: this surrogate knows its slope and not its value"
        )
        running = self.credit is not TemporalCredit.ADJOINT
        require(
            not running or isinstance(self.error, LocalError),
            self,
            "credit",
            f"adjoint: the error {self.error.name} is known only when the simulation is over",
        )
        require(not running or not self.rate_strength, self, "credit", "adjoint where rate_strength is above 0")

    @property
    def alignment(self) -> float:
        return 1.0 if isinstance(self.feedback, Tied) and self.credit is TemporalCredit.ADJOINT else -1.0

    def attach_feedback(self, network: Network, *, seed: int = 0) -> None:
        self.feedback.attach(network, seed=seed)

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target = validate_batch(network, x, target, objective)
        ledger = ledger or Ledger()
        if self.credit is not TemporalCredit.ADJOINT:
            return self._online(network, x, target, ledger)
        activity = self.simulate(network, x, ledger)
        require_finite(network, x, State([activity.logits]))
        return SettledSpikes(
            x=x,
            output=activity.logits,
            ledger=ledger,
            activity=activity,
            delta=self.descend(network, activity, target, ledger),
            target=target,
            distance=self.error,
        )

    def descend(self, network: Network, activity: Activity, target: Tensor, ledger: Ledger) -> list[Tensor]:
        """Return δ of every layer, computed from the output down.

        Args:
            network: the network.
            activity: its simulation, all layers kept.
            target: one-hot, (B, C).
            ledger: counts the applications in the nudged phase.
        """
        feedback_weights, depth = self.feedback.attached(network), len(network.layers)
        delta: list[Tensor | None] = [None] * depth
        for layer in range(depth, 0, -1):
            apical = [-self.error.gradient(activity.train, target).flatten(0, 1)] if layer == depth else []
            for edge in network.out_of(layer):
                said = pull_back(edge, feedback_weights, delta, activity.linear[edge.index], ledger)
                apical += [] if said is None else [said]
            penalty = self.penalized(activity, layer)
            apical += [] if penalty is None else [-penalty]
            recurrent = lateral(network, layer)
            if recurrent is not None:
                ledger.apply("nudged", recurrent.multiply_adds, activity.samples * (activity.steps - 1))
            delta[layer - 1] = activity.errors(layer, apical, self.surrogate, self.beta, recurrent)
        return [one for one in delta if one is not None]

    def _online(self, network: Network, x: Tensor, target: Tensor, ledger: Ledger) -> SettledOnline:
        """Run and learn at once, for credit that keeps running traces."""
        delayed = self.credit is TemporalCredit.ONLINE
        if delayed and network.output.depth > self.steps:
            raise ConfigurationError(
                f"{self.name}.steps={self.steps}: must be at least {network.output.depth}, the depth of the network: "
                "with credit=online an error descends one layer a step"
            )
        assert isinstance(self.error, LocalError)
        simulation = OnlineSimulation(
            steps=self.steps,
            neuron=self.neuron,
            surrogate=self.surrogate,
            beta=self.beta,
            error=self.error,
            eligible=self.credit is not TemporalCredit.INSTANT,
            delayed=delayed,
        )
        sequence = self.sequence(network, to_channels_last(x), ledger)
        found = simulation.run(Batch(network, sequence, target, self.feedback.attached(network), ledger))
        require_finite(network, x, State([found.logits]))
        return SettledOnline(x=x, output=found.logits, ledger=ledger, products=found.products, error=found.error)
