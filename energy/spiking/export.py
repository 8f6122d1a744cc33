"""Export of a trained spiking network to NIR, the exchange format of neuromorphic tools.

NIR's units are differential equations; the units here are their forward-Euler steps of dt:

    LIF       τ v̇ = −v + R I                       τ = τ_m dt, R = τ_m, so that one step adds I itself
    CubaLIF   τ_syn İ = −I + S, and the same        τ_syn = τ_s dt: the trace of the units below, filtered on
                                                   arrival, which is the same for a linear coupling
    LI, IF    τ_syn İ = −I + S, v̇ = R I             a unit without leak, τ_m = ∞, whose step adds I: R = 1/dt

The first layer receives the input unfiltered and is a LIF, or an IF. Resets other than to zero, max-pooling, several
edges into a layer, and biases above the first layer have no counterpart.

Reference:
    Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15 (2024) 8122; neuroir.org.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from energy.component import ConfigurationError
from energy.couplings import Convolution, Coupling, Dense
from energy.couplings.recurrent import Recurrent
from energy.errors import MissingDependencyError, UsageError
from energy.network import Network
from energy.pooling import AveragePool
from energy.spiking.neuron import Neuron
from energy.spiking.neurons import LIF, Reset

if TYPE_CHECKING:
    import nir  # pyright: ignore[reportMissingImports] (an extra)


def to_nir(network: Network, neuron: Neuron, *, dt: float = 1e-3) -> nir.NIRGraph:
    """Convert a network of spiking units to a NIR graph, which `nir.write` stores.

    Args:
        network: a chain of dense couplings and convolutions.
        neuron: the unit of every layer, a `LIF` with reset to zero.
        dt: length of a step in seconds.

    Raises:
        MissingDependencyError: when nir is not installed (`pip install equilibria[nir]`).
        ValueError: for a `dt` that is not above 0 and finite.
        ConfigurationError: naming the part that has no node in NIR.
    """
    try:
        import nir  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as error:
        raise MissingDependencyError(f"to_nir: needs nir, which the extra `nir` installs ({error})") from None

    if not 0 < dt < math.inf:
        raise UsageError(f"dt={dt}: must be above 0 and finite")
    if not isinstance(neuron, LIF) or type(neuron).step is not LIF.step:
        raise ConfigurationError(f"neuron={neuron.name or type(neuron).__name__}: must be lif, the unit that NIR has")
    if neuron.reset is not Reset.ZERO:
        raise ConfigurationError(f"neuron.reset={neuron.reset.name.lower()}: must be zero, the reset that NIR has")
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(network.input_shape)})}
    links, last = [], "input"
    for k, layer in enumerate(network.layers, start=1):
        (edge,) = _single(network, k)
        shape = network.shape(edge.source)
        path = _coupling(edge.coupling, shape, k == 1, layer.name)
        for name, node in [*path, *_unit(neuron, layer.shape, dt, layer.name, filtered=k > 1)]:
            nodes[name] = node
            links.append((last, name))
            last = name
    nodes["end"] = nir.Output({"output": np.array(network.output.shape)})
    return nir.NIRGraph(nodes, [*links, (last, "end")])


def _single(network: Network, layer: int) -> Any:
    edges = network.into(layer)
    if len(edges) != 1 or edges[0].source != layer - 1:
        raise ConfigurationError(f"{network.layers[layer - 1].name}: must read the layer below alone, to be exported")
    return edges


def _coupling(coupling: Coupling, shape: tuple[int, ...], first: bool, name: str) -> list[tuple[str, Any]]:
    """The nodes of one coupling, with their names."""
    import nir  # pyright: ignore[reportMissingImports] (an extra)

    if not isinstance(coupling, Dense | Convolution) or isinstance(coupling, Recurrent):
        raise ConfigurationError(f"{name}: a {type(coupling).__name__} has no counterpart in NIR")
    if coupling.bias is not None and not first and bool(coupling.bias.any()):
        raise ConfigurationError(f"{name}.bias: must be zero: NIR filters it like a spike")
    weight = coupling.weight.detach().double().cpu().numpy()
    bias = np.zeros(len(weight)) if coupling.bias is None else coupling.bias.detach().double().cpu().numpy()
    if isinstance(coupling, Dense):
        flat = [(f"{name}_flat", nir.Flatten({"input": np.array(shape)}, start_dim=0))] if len(shape) > 1 else []
        return [*flat, (f"{name}_weight", nir.Affine(weight, bias))]
    nodes: list[tuple[str, Any]] = [
        (
            f"{name}_weight",
            nir.Conv2d(
                (shape[1], shape[2]),
                weight,
                coupling.stride,
                coupling.padding,
                coupling.dilation,
                coupling.groups,
                bias,
            ),
        )
    ]
    if coupling.pool is not None:
        if not isinstance(coupling.pool, AveragePool):
            raise ConfigurationError(
                f"{name}: {type(coupling.pool).__name__} has no counterpart in NIR; average pooling has"
            )
        size, step = np.array([coupling.pool.size] * 2), np.array([coupling.pool.stride] * 2)
        nodes.append((f"{name}_pool", nir.AvgPool2d(size, step, np.array([coupling.pool.padding] * 2))))
    return nodes


def _unit(neuron: LIF, shape: tuple[int, ...], dt: float, name: str, *, filtered: bool) -> list[tuple[str, Any]]:
    """The nodes of a layer's units, with their names; the last has the layer's."""
    import nir  # pyright: ignore[reportMissingImports] (an extra)

    def all_units(value: float) -> np.ndarray[Any, Any]:
        return np.full(shape, value)

    rest, one = all_units(0.0), all_units(1.0)
    tau_s = all_units(neuron.tau_s * dt)
    fires = {"v_threshold": all_units(neuron.threshold), "v_reset": rest}
    if neuron.tau_m == math.inf:
        synapse = [(f"{name}_synapse", nir.LI(tau=tau_s, r=one, v_leak=rest))] if filtered else []
        return [*synapse, (name, nir.IF(r=all_units(1 / dt), **fires))]
    tau_m, membrane = all_units(neuron.tau_m * dt), {"r": all_units(neuron.tau_m), "v_leak": rest, **fires}
    if not filtered:
        return [(name, nir.LIF(tau=tau_m, **membrane))]
    return [(name, nir.CubaLIF(tau_syn=tau_s, tau_mem=tau_m, w_in=one, **membrane))]
