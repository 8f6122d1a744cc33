"""The microcircuit cell by cell, a readable counterpart of the fast settler that computes the same.

A reconstruction inspired by the cortical microcircuit of Yang & Li, from its abstract; names of cells and equations are
ours. Three types of cells in every layer

    pyramidal   excitatory. Basal dendrite: u, the drive from below. Apical dendrite: c, the error from above. Its soma
                fires with Φ(v + β/2 c), v = u − θ; without an error it emits the spikes s and the trace x.
    twin        inhibitory. Receives the same basal drive and the opposite apical one: Φ(v − β/2 c). In the apical
                dendrite below it cancels the output of the pyramidal cell without an error, which leaves
                δ = (z⁺ − z⁻)/β.
    relay       inhibitory. Repeats the output of a cell of another layer with the other sign.

and two kinds of connectivity: direct, excitatory; relayed, inhibitory. A net weight W is W⁺ − W⁻ with W± ≥ 0, one of
the two zero: no cell excites and inhibits (Dale's law). The synapse back has the kind of the synapse forth for every
pair of cells, so that feedback has the signs of the weights, sign(B) = sign(W), and magnitudes of its own: no weight is
ever copied.

Reference:
    Yang & Li, arXiv 2205.07292, abstract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.errors import UsageError
from energy.feedback import feedback_weights
from energy.network import Network
from energy.spiking.lateral import lateral
from energy.spiking.neuron import Neuron, NeuronState
from energy.spiking.surrogates import Surrogate


class Pathways(NamedTuple):
    """The two kinds of synapses behind a net weight: `direct` and `relayed`, both ≥ 0; net = direct − relayed."""

    direct: Tensor
    relayed: Tensor

    @property
    def net(self) -> Tensor:
        return self.direct - self.relayed

    def carry(self, said: Tensor) -> Tensor:
        """Map (B, below) to (B, above): excitation by the active cells, less inhibition by their relays."""
        return said @ self.direct.T - said @ self.relayed.T

    def return_(self, said: Tensor) -> Tensor:
        """Map (B, above) to (B, below), through synapses in the same positions as these."""
        return said @ self.direct - said @ self.relayed


def pathways(weight: Tensor) -> Pathways:
    """Split a net weight of any shape into W⁺ and W⁻."""
    return Pathways(weight.clamp(min=0), (-weight).clamp(min=0))


def reciprocity(network: Network) -> dict[str, float]:
    """Return the share of synapses, by layer, that have a synapse of the same kind in the other direction.

    The layers are those with feedback weights of their own; 1 means that Dale's law holds both ways. Layers whose
    weights carry errors themselves are reciprocal.
    """
    laid = feedback_weights(network)
    found = {layer.name: 1.0 for layer in network.layers[1:]}
    for name, weight, back in () if laid is None else laid.matrices(network):
        forth, back = pathways(weight), pathways(back)
        same = (forth.direct > 0) & (back.direct > 0) | (forth.relayed > 0) & (back.relayed > 0)
        joined = (weight != 0) & (back.net != 0)
        found[name] = (same.sum() / joined.sum().clamp(min=1)).item()
    return found


def dale(network: Network) -> list[str]:
    """List the violations of Dale's law, in words; empty if it holds.

    Reported are pathways that are negative, overlap or do not add up to the net weight, and synapses with one of the
    other kind in the other direction.
    """
    faults = []
    for edge in network.edges:
        weight = getattr(edge.coupling, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        name, split = network.layers[edge.target - 1].name, pathways(weight.detach())
        if min(float(part.min()) for part in split) < 0 or not torch.equal(split.net, weight.detach()):
            faults.append(f"{name}: its pathways do not make up its weights")
        if bool(((split.direct > 0) & (split.relayed > 0)).any()):
            faults.append(f"{name}: a cell both excites and inhibits another")
    shares = reciprocity(network).items()
    return faults + [
        f"{name}: {1 - share:.1%} of its pairs change kind on the way back" for name, share in shares if share < 1
    ]


@dataclass
class Population:
    """The cells of one layer, (B, N) each, and their synapses."""

    neuron: Neuron
    surrogate: Surrogate
    beta: float
    below: Pathways  # synapses on the basal dendrites, of the shape (N, below)
    tonic: Tensor  # a current that always flows, (N,)
    basal: NeuronState = None
    spikes: Tensor | None = None
    trace: Tensor | None = None
    pyramidal: Tensor | None = None
    twin: Tensor | None = None

    def integrate(self, heard: Tensor) -> Tensor:
        """Advance the basal dendrites by one step.

        Args:
            heard: the traces of the layer below, (B, below).

        Returns:
            The trace that the layer emits, (B, N).
        """
        drive = self.below.carry(heard) + self.tonic
        silent = torch.zeros_like(drive)
        before = self.neuron.initial(drive.shape, drive) if self.basal is None else self.basal
        self.basal = self.neuron.step(before, silent if self.spikes is None else self.spikes, drive)
        self.spikes = self.neuron.spikes(self.basal).to(drive.dtype)
        self.trace = self.neuron.trace(silent if self.trace is None else self.trace, self.spikes)
        return self.trace

    def difference(self, apical: Tensor) -> Tensor:
        """Fire the somata of both cells of every dyad under an apical current (B, N), and return their difference δ."""
        v = self.neuron.excess(self.basal)
        self.pyramidal = self.surrogate.value(v + self.beta / 2 * apical)
        self.twin = self.surrogate.value(v - self.beta / 2 * apical)
        return (self.pyramidal - self.twin) / self.beta


class Microcircuit:
    """A chain of dense layers as populations of cells, with the network's feedback weights as feedback synapses.

    A step takes an input and an error, and returns the Hebbian products δ xᵀ summed over the batch: plasticity without
    a look into the past, which is `credit=instant` of the settler.

    Args:
        network: dense couplings in a chain, none of them recurrent.
        neuron: the unit of every layer.
        surrogate: Φ, the firing probability of a soma.
        beta: total nudge of a dyad, above 0.

    Raises:
        UsageError: for a `beta` that is not above 0.
        ConfigurationError: for recurrent synapses.
    """

    def __init__(self, network: Network, neuron: Neuron, surrogate: Surrogate, beta: float) -> None:
        if not beta > 0:
            raise UsageError(f"beta={beta}: must be above 0, since two cells are compared")
        if any(lateral(network, layer) for layer in range(1, len(network.layers) + 1)):
            raise ConfigurationError("the circuit has no recurrent synapses: must be a network of Dense couplings")
        back = (
            {name: matrix for name, _, matrix in laid.matrices(network)} if (laid := feedback_weights(network)) else {}
        )
        self.populations, self.back = [], []
        for edge, layer in zip(network.edges, network.layers, strict=True):
            weight, bias = edge.coupling.get_parameter("weight").detach(), getattr(edge.coupling, "bias", None)
            tonic = weight.new_zeros(len(weight)) if bias is None else bias.detach()
            self.populations.append(Population(neuron, surrogate, beta, pathways(weight), tonic))
            self.back.append(pathways(back.get(layer.name, weight)))

    def step(self, shown: Tensor, error: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Advance by one step: activity up, errors down, products.

        Args:
            shown: the input, (B, N).
            error: turns the output's trace (B, N) into −∂C/∂x.

        Returns:
            δ xᵀ, one matrix per layer.
        """
        heard = [shown]
        for population in self.populations:
            heard.append(population.integrate(heard[-1]))
        apical, products = error(heard[-1]), []
        for population, pre, back in zip(self.populations[::-1], heard[-2::-1], self.back[::-1], strict=True):
            delta = population.difference(apical)
            products.append(delta.T @ pre)
            apical = back.return_(delta)
        return products[::-1]
