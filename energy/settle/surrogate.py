"""Back-propagation through time with a surrogate gradient, by autograd: the reference of the spiking settlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from energy.component import annotations
from energy.ledger import Ledger
from energy.network import Network, to_channels_last
from energy.objectives import Objective
from energy.settle.reference import exact_settler
from energy.settle.settled import Settled, SettledTape
from energy.settle.settler import require_finite, validate_batch
from energy.settle.spiking_settler import SpikingSettler
from energy.spiking.activity import TIE
from energy.spiking.cost import synaptic
from energy.spiking.errors import SpikeTrain
from energy.spiking.lateral import Lateral, lateral
from energy.spiking.surrogates import Surrogate
from energy.state import State
from energy.tape import plain, require_tape


@dataclass(kw_only=True)
class SettledSpikeTape(SettledTape):
    """Minus the summed error and its tape; `error` is that of each sample, (B,)."""

    error: Tensor


class Spike(torch.autograd.Function):
    """s = 1 for v > 0 and 0 otherwise, with the slope of a surrogate in the backward pass."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(v)
        ctx.surrogate = surrogate
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return ctx.surrogate.slope(v) * above[0], None


class SurrogateBackprop(SpikingSettler, name="surrogate_backprop"):
    """Back-propagation through time with the slope of a surrogate for the derivative of a spike.

    The same simulation with autograd's tape, which `contrast` walks back: the gradient of the error with Φ′ for the
    derivative of a spike. Memory grows with T.

    Reference:
        Neftci, Mostafa & Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal Processing
        Magazine 36 (2019) 51.
    """

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        require_tape(f"settler={self.name}")
        target, x = validate_batch(network, x, target, objective), plain(x)
        ledger = ledger or Ledger()
        with torch.no_grad():
            sequence = self.sequence(network, to_channels_last(x), ledger)
        with torch.enable_grad():
            membrane, train, penalty = self.unrolled(network, sequence, ledger)
            error = self.error.value(train, target)
            negative_loss = -(error.sum() + penalty)
        logits = (train.spikes.sum(0) + TIE * membrane.sum(0)).detach()
        require_finite(network, x, State([logits]))
        error = error.detach()
        return SettledSpikeTape(
            x=x, output=logits, ledger=ledger, negative_loss=negative_loss, passes=self.steps, error=error
        )

    def unrolled(self, network: Network, sequence: Tensor, ledger: Ledger) -> tuple[Tensor, SpikeTrain, Tensor]:
        """Simulate with a tape.

        Args:
            network: the network.
            sequence: (T, B, …) or (1, B, …).
            ledger: counts the applications of both phases, and the spikes.

        Returns:
            Membranes of the output (T, B, …), its spike train, and the rate penalty summed over the batch;
            differentiable.
        """
        heard = [sequence.expand(self.steps, *sequence.shape[1:])]
        spikes = membrane = heard[0]
        penalty = sequence.new_zeros(())
        for k, layer in enumerate(network.layers, start=1):
            said = []
            for edge in network.into(k):
                pre = heard[edge.source].flatten(0, 1)
                said.append(edge.coupling(to_channels_last(pre)).unflatten(0, (self.steps, -1)))
                ledger.apply("free", edge.multiply_adds, len(pre))
                if edge.source:
                    ledger.apply("nudged", edge.multiply_adds, len(pre))
            recurrent = lateral(network, k)
            if recurrent is not None:
                for phase in ("free", "nudged"):
                    ledger.apply(phase, recurrent.multiply_adds, len(said[0]) * said[0].shape[1] - said[0].shape[1])
            membrane, spikes, trace = self._population(sum(said[1:], said[0]), recurrent)
            heard.append(trace)
            ledger.count_spikes(layer.name, *synaptic(network, k, spikes.detach().flatten(0, 1) > 0))
            if self.rate_strength and k < len(network.layers):
                excess = spikes.mean(0) - self.rate
                penalty = penalty + self.rate_strength / 2 * excess.square().sum()
        return membrane, SpikeTrain(spikes, heard[-1], self.neuron.decay), penalty

    def _population(self, current: Tensor, recurrent: Lateral | None) -> tuple[Tensor, Tensor, Tensor]:
        """u, s and x of a layer from its currents, all (T, B, …), one operation after the other."""
        neuron, silent = self.neuron, torch.zeros_like(current[0])
        state, rows = neuron.initial(silent.shape, silent), []
        spikes = trace = silent
        for t, now in enumerate(current):
            heard = now + recurrent.drive(trace) if recurrent is not None and t else now
            state = neuron.step(state, spikes, heard)
            spikes = Spike.apply(neuron.excess(state), self.surrogate)
            trace = neuron.trace(trace, spikes)
            rows.append((neuron.membrane(state), spikes, trace))
        return tuple(map(torch.stack, zip(*rows, strict=True)))  # type: ignore[return-value]


@exact_settler.register
def _(settler: SpikingSettler, dtype: torch.dtype = torch.float32) -> SpikingSettler:
    if type(settler) is SurrogateBackprop:
        return settler
    return SurrogateBackprop(**{name: getattr(settler, name) for name in annotations(SpikingSettler)})
