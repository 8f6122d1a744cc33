"""Weights carried over from a finished run into another network, layer by layer and by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from energy.component import ConfigurationError
from energy.hints import meant
from energy.network import Network
from energy.paths import expanded
from energy.train.evaluate import load_run


def load_matching_layers(network: Network, folder: str | Path, layer_map: Sequence[str] = ()) -> list[str]:
    """Copy weights and running statistics of matching layers from a finished run into `network`.

    Args:
        network: the network that receives them.
        folder: the run folder of the other.
        layer_map: `there=here` for each layer to take; empty for every layer whose name is in both networks.

    Returns:
        the names of the layers that received weights.

    Raises:
        FileNotFoundError: when the run left no final weights.
        ConfigurationError: for a layer that is not there, none in common, or a shape that differs, naming both sides.
    """
    source = load_run(expanded(folder), "cpu")[1]
    theirs, ours = _by_name(source), _by_name(network)
    pairs = [tuple(pair.split("=")) for pair in layer_map] or [(name, name) for name in theirs if name in ours]
    if not pairs:
        raise ConfigurationError(f"train.start={str(folder)!r}: no layer has the same name; say train.layer_map")
    for there, here in pairs:
        for name, known, where in ((there, theirs, str(folder)), (here, ours, "this network")):
            if name not in known:
                raise ConfigurationError(f"train.layer_map: {where} has no layer {name!r}{meant(name, known)}")
        _copy(source, theirs[there], network, ours[here], f"{folder}: {there}", f"here: {here}")
    return [here for _, here in pairs]


def _by_name(network: Network) -> dict[str, int]:
    return {layer.name: number for number, layer in enumerate(network.layers, start=1)}


def _copy(source: Network, there: int, network: Network, here: int, theirs: str, ours: str) -> None:
    given, wanted = source.into(there), network.into(here)
    if len(given) != len(wanted):
        raise ConfigurationError(f"train.start: {theirs} has {len(given)} couplings, {ours} has {len(wanted)}")
    for one, other in zip(given, wanted, strict=True):
        state, target = one.coupling.state_dict(), other.coupling.state_dict()
        shapes, needed = ({k: tuple(t.shape) for k, t in d.items()} for d in (state, target))
        odd = [name for name in shapes | needed if shapes.get(name) != needed.get(name)]
        if odd:
            held, asked = ({name: d.get(name) for name in odd} for d in (shapes, needed))
            raise ConfigurationError(f"train.start: {theirs} holds {held}, {ours} needs {asked}")
        with torch.no_grad():
            for name, tensor in target.items():
                tensor.copy_(state[name])
