"""Recordings of a trial: spikes, membranes, traces and firing rates of every layer, (T, B, …)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from energy.network import Network
from energy.spiking.activity import Activity

UNITS: Final = 64  # of a layer, at most, that an observation keeps the spikes of
MEMBRANES: Final = 4  # of a layer, at most, that it keeps the membranes of


@dataclass(frozen=True)
class Recording:
    """A trial by layer names: spikes (booleans), membranes u and traces x, each (T, B, *layer shape)."""

    spikes: dict[str, Tensor]
    membranes: dict[str, Tensor]
    traces: dict[str, Tensor]

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per unit and step by layer, averaged over the batch; reads from the device."""
        return {name: spikes.float().mean().item() for name, spikes in self.spikes.items()}

    @property
    def spikes_per_sample(self) -> float:
        """Spikes of all layers per sample; reads from the device."""
        return sum(spikes.sum().item() / spikes.shape[1] for spikes in self.spikes.values())


def record(network: Network, activity: Activity) -> Recording:
    """Return the recording of a trial that kept all its layers."""
    names = [layer.name for layer in network.layers]
    spikes = {name: activity.unfold(activity.spikes(k)) for k, name in enumerate(names, start=1)}
    membranes = {name: activity.unfold(activity.membrane(k)) for k, name in enumerate(names, start=1)}
    traces = {name: activity.unfold(x) for name, x in zip(names, activity.traces, strict=True)}
    return Recording(spikes, membranes, traces)


def snapshot(network: Network, activity: Activity) -> dict[str, Any]:
    """Return plain values for a figure.

    Spikes, as (step, unit) pairs, and the membranes of a few units are those of the first sample; rates are those of
    all samples.
    """
    seen, layers = record(network, activity), []
    for name, spikes in seen.spikes.items():
        fired = spikes[:, 0].flatten(1)[:, :UNITS]
        membranes = seen.membranes[name][:, 0].flatten(1)[:, :MEMBRANES]
        layers.append(
            {
                "layer": name,
                "units": spikes[0, 0].numel(),
                "shown": fired.shape[1],
                "spikes": fired.nonzero().tolist(),
                "membranes": membranes.T.float().tolist(),
                "rate": seen.rates[name],
            }
        )
    return {"steps": activity.steps, "threshold": activity.neuron.threshold, "layers": layers}
