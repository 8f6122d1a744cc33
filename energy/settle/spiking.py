"""Spiking networks: the settlers whose inference phase runs through time.

Every layer of the network is a population of leaky integrate-and-fire units (`energy.spiking.neurons`), the potentials
of the layers take no part, and an input is shown for T steps. What is descended is a distance of the output's spike
trains (`energy.spiking.errors`); the run's objective only reads a class from the score. γ is 0: activity goes up,
errors go down.

`spiking` is a reconstruction of, and inspired by, the cortical microcircuit of Yang & Li (arXiv 2205.07292), from what
its abstract says. Each unit has a basal compartment u (drive from below), an apical one c (error from above) and a soma
s. An excitatory pyramidal cell z⁺ and its inhibitory twin z⁻ share the basal drive and are nudged apart by the apical
current, a dyad whose normalised difference δ = (z⁺ − z⁻)/β is the error that the layer below hears through wires of its
own (`energy.feedback`):

    z± = Φ(v ± β/2 c),   δ = D(v, c) = Φ′(v) c + O(β²),   c_l = B_{l+1}ᵀ δ_{l+1},   ΔW_l ∝ Σ_t δ_l[t] x_{l−1}[t]ᵀ

With λ, κ of the neuron, credit goes through time by one of

    adjoint   p[t] = c[t] + κ p[t+1],  δ[t] = D(v[t], (1 − κ) p[t]) + λ (1 − s[t]) δ[t+1];  δ[t] x[t]ᵀ   exact
    causal    δ[t] = D(v[t], c[t]);  δ[t] e[t]ᵀ with the eligibility e[t] = λ e[t−1] + x[t]
    instant   δ[t] = D(v[t], c[t]);  δ[t] x[t]ᵀ
    online    causal, and an error takes one step to go down one layer

All but adjoint keep running traces only: their memory does not grow with T."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from energy.component import ConfigurationError, annotations, require
from energy.feedback import Feedback, Tied
from energy.ledger import Ledger
from energy.network import Network, laid_out
from energy.objectives import Objective
from energy.settle.settler import Needs, Prediction, Settled, Settler, checked, require_finite
from energy.spiking.activity import Activity, channels_last, columns, folded, simulate
from energy.spiking.cost import synaptic
from energy.spiking.encoders import Direct, Encoder
from energy.spiking.errors import LocalError, SpikeError, Train, VanRossum, onto_traces
from energy.spiking.monitor import observation
from energy.spiking.neurons import LIF
from energy.spiking.surrogates import Logistic, Surrogate
from energy.spiking.trial import Trial
from energy.state import State


class Credit(enum.Enum):
    """How an error is credited to the past."""

    ADJOINT = "back through time, exactly"
    CAUSAL = "by an eligibility trace of what came before"
    INSTANT = "to the present alone"
    ONLINE = "causal, an error descending one layer a step"


@dataclass(kw_only=True)
class SettledSpikes(Settled):
    """A trial and its errors. `delta` is δ of each layer, folded (T·B, …); `error` the spike-train error of each sample
    before the rate's penalty, (B,).
    """

    activity: Activity
    delta: list[Tensor]
    error: Tensor


@dataclass(kw_only=True)
class SettledTrial(Settled):
    """A trial that was learnt from while it ran: the products of all steps, one a parameter."""

    products: list[Tensor]
    error: Tensor


@dataclass(frozen=True)
class SpikePrediction(Prediction):
    """The score of each class, and the output's spike train."""

    train: Train = field(kw_only=True)


class SpikingSettler(Settler):
    """What settlers of spiking networks have in common.

    Attributes:
        steps: T, how long an input is shown.
        neuron: the unit.
        surrogate: what stands for the derivative of a spike.
        encoder: how an input becomes a sequence.
        error: the distance of the output's spike trains that is descended.
        rate_strength: weight λ_r of the penalty ½λ_r Σ (r − r*)² on the firing rate r of every hidden unit, in spikes a
            step; 0 for none.
        rate: r*, the rate that costs nothing.
    """

    rates: ClassVar[bool] = False
    steps: int = 5
    neuron: LIF = field(default_factory=LIF)
    surrogate: Surrogate = field(default_factory=Logistic)
    encoder: Encoder = field(default_factory=Direct)
    error: SpikeError = field(default_factory=VanRossum)
    rate_strength: float = 0.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: activity goes up and errors go down, in time")
        require(self.steps >= 1, self, "steps", "at least 1")
        require(0 <= self.rate_strength < math.inf, self, "rate_strength", "at least 0")
        require(0 <= self.rate <= 1, self, "rate", "in [0, 1] spikes a step")
        asked = self.rate_strength > 0 or self.rate == SpikingSettler.rate
        require(asked, self, "rate", f"left at {SpikingSettler.rate:g} while rate_strength is 0: nothing is penalised")

    def needs(self) -> Needs:
        return {"model.gain": math.sqrt(2), "optimizer": "adam"}  # currents that reach the threshold of every layer

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> SpikePrediction:
        """One trial; the score of a class is its spike count, and 1e-3 of its membrane's sum."""
        network.check(x)
        activity = self.simulate(network, x, ledger or Ledger(), keep=False)
        require_finite(network, x, State([activity.score]))
        return SpikePrediction(activity.score, train=activity.train)

    def simulate(self, network: Network, x: Tensor, ledger: Ledger, *, keep: bool = True) -> Activity:
        """The trial of a batch (B, *input shape), every layer kept unless told otherwise."""
        sequence = self.sequence(network, x, ledger)
        return simulate(network, sequence, self.steps, self.neuron, ledger, keep=keep)

    def sequence(self, network: Network, x: Tensor, ledger: Ledger) -> Tensor:
        """The encoded input, (T, B, …) or (1, B, …); its spikes are counted where it has any.

        Raises ConfigurationError for a coupling that normalizes by the batch, which a trial has no statistics for."""
        for edge in network.edges:
            if edge.coupling.batchwise:
                kind = f"couplings.{edge.index} is a {type(edge.coupling).__name__}"
                raise ConfigurationError(f"settler={self.label}: {kind}: must not normalize by the batch")
        sequence = self.encoder.sequence(x, self.steps, self.neuron.decay)
        if self.encoder.spikes:
            spikes = self.encoder.encode(x, self.steps) > 0 if self.encoder.filtered else sequence > 0
            ledger.fire("input", *synaptic(network, 0, spikes.flatten(0, 1)))
        return sequence

    def value(self, objective: Objective, found: Any, target: Tensor) -> Tensor:
        """The spike-train error, which is what is descended here."""
        return self.error.value(found.train, target) if isinstance(found, SpikePrediction) else found.error

    def observe(self, network: Network, x: Tensor) -> dict[str, Any]:
        return observation(network, self.simulate(network, x, Ledger()))

    def reference(self, dtype: torch.dtype = torch.float32) -> Settler:
        from energy.settle.surrogate import SurrogateBackprop

        shared = {name: getattr(self, name) for name in annotations(SpikingSettler)}
        return SurrogateBackprop(**shared)

    def penalised(self, activity: Activity, layer: int) -> Tensor | None:
        """∂/∂x of the rate's penalty of a hidden layer, folded; None where there is none."""
        if not self.rate_strength or layer == len(activity.membranes):
            return None
        spikes = activity.unfold(activity.spikes(layer)).to(activity.inputs.dtype)
        slope = (spikes.mean(0) - self.rate) * (self.rate_strength / self.steps)
        return onto_traces(slope.expand_as(spikes), self.neuron.decay).flatten(0, 1)


class Spiking(SpikingSettler, name="spiking"):
    """The microcircuit: errors carried by dyads of compartments, down wires of their own; plasticity a product of what
    a synapse sees. A reconstruction inspired by Yang & Li (arXiv 2205.07292); see `energy.settle.spiking`.

    With tied wires, `credit=adjoint` and β = 0 it is back-propagation through time with a surrogate gradient, without a
    tape. Sign-concordant wires (`feedback=sign`) are the method's own.

    Attributes:
        beta: total nudge of a dyad; 0 for the limit in closed form. Above 0 the surrogate must know its Φ.
        credit: how errors go through time. All but adjoint need an error that is known while the trial runs
            (van_rossum), and couplings that are affine.
        feedback: which wires carry the errors down.
    """

    beta: float = 0.0
    credit: Credit = Credit.ADJOINT
    feedback: Feedback = field(default_factory=Tied)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.beta < math.inf, self, "beta", "at least 0")
        require(
            self.beta == 0 or self.surrogate.paired, self, "beta", "0: this surrogate knows its slope and not its value"
        )
        running = self.credit is not Credit.ADJOINT
        require(
            not running or isinstance(self.error, LocalError),
            self,
            "credit",
            f"adjoint: the error {self.error.label} is known only when the trial is over",
        )
        require(not running or not self.rate_strength, self, "credit", "adjoint where rate_strength is above 0")

    @property
    def alignment(self) -> float:
        return 1.0 if isinstance(self.feedback, Tied) and self.credit is Credit.ADJOINT else -1.0

    def wire(self, network: Network, *, seed: int = 0) -> None:
        self.feedback.wire(network, seed=seed)

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target = checked(network, x, target, objective)
        ledger = ledger or Ledger()
        if self.credit is not Credit.ADJOINT:
            return self._run(network, x, target, ledger)
        activity = self.simulate(network, x, ledger)
        require_finite(network, x, State([activity.score]))
        return SettledSpikes(
            x=x,
            output=activity.score,
            ledger=ledger,
            points=activity.points,
            activity=activity,
            delta=self.descend(network, activity, target, ledger),
            error=self.error.value(activity.train, target),
        )

    def descend(self, network: Network, activity: Activity, target: Tensor, ledger: Ledger) -> list[Tensor]:
        """δ of every layer, from the output down."""
        wiring, depth = self.feedback.wiring(network), len(network.layers)
        delta: list[Tensor] = [activity.inputs] * depth
        for layer in range(depth, 0, -1):
            apical = [-self.error.gradient(activity.train, target).flatten(0, 1)] if layer == depth else []
            for edge in network.out_of(layer):
                above, point = delta[edge.target - 1], activity.points[edge.index]
                if wiring is None:
                    said, spent = edge.coupling.adjoint(above, point), edge.multiply_adds
                else:
                    said, spent = wiring.adjoint(edge, above, delta[-1], point), wiring.multiply_adds(edge)
                ledger.apply("nudged", spent, len(above))
                apical += [] if said is None else [said]
            penalty = self.penalised(activity, layer)
            apical += [] if penalty is None else [-penalty]
            delta[layer - 1] = self._credited(activity, layer, apical)
        return delta

    def _credited(self, activity: Activity, layer: int, apical: list[Tensor]) -> Tensor:
        """δ of one layer from its apical currents."""
        membrane, steps = activity.membranes[layer - 1], activity.steps
        last = channels_last(membrane)
        rows = [columns(one, steps, last) for one in apical] or [torch.zeros_like(columns(membrane, steps, last))]
        basal = columns(membrane, steps, last)
        found = self.neuron.back(basal, sum(rows[1:], rows[0]), self.surrogate, self.beta)
        return folded(found, tuple(membrane.shape), last)

    def _run(self, network: Network, x: Tensor, target: Tensor, ledger: Ledger) -> SettledTrial:
        online = self.credit is Credit.ONLINE
        if online and network.output.depth > self.steps:
            raise ConfigurationError(
                f"{self.label}.steps={self.steps}: must be at least {network.output.depth}, the depth of the network: "
                "with credit=online an error descends one layer a step"
            )
        assert isinstance(self.error, LocalError)
        trial = Trial(
            network=network,
            sequence=self.sequence(network, laid_out(x), ledger),
            target=target,
            ledger=ledger,
            steps=self.steps,
            neuron=self.neuron,
            surrogate=self.surrogate,
            beta=self.beta,
            error=self.error,
            wiring=self.feedback.wiring(network),
            eligible=self.credit is not Credit.INSTANT,
            delayed=online,
        )
        trial.run()
        require_finite(network, x, State([trial.score]))
        return SettledTrial(x=x, output=trial.score, ledger=ledger, products=trial.update, error=trial.cost)
