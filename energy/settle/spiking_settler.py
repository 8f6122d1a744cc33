"""The base of the settlers of spiking networks, whose inference phase runs through time.

Every layer of the network is a population of spiking units (`energy.spiking.neuron`), the potentials of the layers take
no part, and an input is shown for T steps. The loss is a distance of the output's spike trains
(`energy.spiking.errors`); the run's objective only reads a class from the logits. γ is 0: activity goes up, errors go
down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.settle.settled import Prediction
from energy.settle.settler import Needs, Settler, require_finite
from energy.spiking.activity import Activity, simulate
from energy.spiking.cost import synaptic
from energy.spiking.encoders import DirectCurrent, Encoder
from energy.spiking.errors import SpikeError, SpikeTrain, VanRossum, onto_traces
from energy.spiking.monitor import snapshot
from energy.spiking.neuron import Neuron
from energy.spiking.neurons import LIF
from energy.spiking.surrogates import Logistic, Surrogate
from energy.state import State


@dataclass(frozen=True)
class SpikePrediction(Prediction):
    """The logit of each class, and the output's spike train."""

    train: SpikeTrain = field(kw_only=True)


class SpikingSettler(Settler):
    """The base of the settlers of spiking networks.

    Attributes:
        steps: T, the number of steps that an input is shown.
        neuron: the unit.
        surrogate: the surrogate for the derivative of a spike.
        encoder: the encoding of an input as a sequence.
        error: the distance of the output's spike trains that is minimized.
        rate_strength: weight λ_r of the penalty ½λ_r Σ (r − r*)² on the firing rate r of every hidden unit, in spikes
            per step; 0 for none.
        rate: r*, the rate that costs nothing.
    """

    rates: ClassVar[bool] = False
    steps: int = 5
    neuron: Neuron = field(default_factory=LIF)
    surrogate: Surrogate = field(default_factory=Logistic)
    encoder: Encoder = field(default_factory=DirectCurrent)
    error: SpikeError = field(default_factory=VanRossum)
    rate_strength: float = 0.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: activity goes up and errors go down, in time")
        require(self.steps >= 1, self, "steps", "at least 1")
        require(0 <= self.rate_strength < math.inf, self, "rate_strength", "at least 0")
        require(0 <= self.rate <= 1, self, "rate", "in [0, 1] spikes per step")
        asked = self.rate_strength > 0 or self.rate == SpikingSettler.rate
        require(asked, self, "rate", f"left at {SpikingSettler.rate:g} while rate_strength is 0: nothing is penalized")

    def needs(self) -> Needs:
        return {"model.gain": math.sqrt(2), "optimizer": "adam"}  # currents that reach the threshold of every layer

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> SpikePrediction:
        """Simulate once; the logit of a class is its spike count, plus 1e-3 of its summed membrane to break ties."""
        network.validate_batch(x)
        activity = self.simulate(network, x, ledger or Ledger(), keep=False)
        require_finite(network, x, State([activity.logits]))
        return SpikePrediction(activity.logits, train=activity.train)

    def simulate(self, network: Network, x: Tensor, ledger: Ledger, *, keep: bool = True) -> Activity:
        """Simulate a batch.

        Args:
            network: the network.
            x: (B, *input shape).
            ledger: counts applications and spikes.
            keep: keep every layer, as learning needs it.
        """
        sequence = self.sequence(network, x, ledger)
        return simulate(network, sequence, self.steps, self.neuron, ledger, keep=keep)

    def sequence(self, network: Network, x: Tensor, ledger: Ledger) -> Tensor:
        """Encode the input, (T, B, …) or (1, B, …), and count its spikes if it has any.

        Raises:
            ConfigurationError: for a coupling that normalizes by the batch, since a trial has no statistics for it.
        """
        for edge in network.edges:
            if edge.coupling.batchwise:
                kind = f"couplings.{edge.index} is a {type(edge.coupling).__name__}"
                raise ConfigurationError(f"settler={self.name}: {kind}: must not normalize by the batch")
        sequence = self.encoder.sequence(x, self.steps, self.neuron.decay)
        if self.encoder.spikes:
            spikes = self.encoder.encode(x, self.steps) > 0 if self.encoder.filtered else sequence > 0
            ledger.count_spikes("input", *synaptic(network, 0, spikes.flatten(0, 1)))
        return sequence

    def value(self, objective: Objective, found: Any, target: Tensor) -> Tensor:
        """Return the spike-train error of each sample, which is the loss here."""
        return self.error.value(found.train, target) if isinstance(found, SpikePrediction) else found.error

    def snapshot(self, network: Network, x: Tensor) -> dict[str, Any]:
        return snapshot(network, self.simulate(network, x, Ledger()))

    def penalized(self, activity: Activity, layer: int) -> Tensor | None:
        """Return ∂/∂x of the rate penalty of a hidden layer, folded; None if there is none."""
        if not self.rate_strength or layer == len(activity.traces):
            return None
        spikes = activity.unfold(activity.spikes(layer)).to(activity.inputs.dtype)
        slope = (spikes.mean(0) - self.rate) * (self.rate_strength / self.steps)
        return onto_traces(slope.expand_as(spikes), self.neuron.decay).flatten(0, 1)
