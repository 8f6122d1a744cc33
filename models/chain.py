"""A network written down layer by layer, in a file or on the command line."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import Component, ConfigurationError, require
from energy.couplings import Coupling
from energy.model import Model
from energy.network import Network
from energy.potentials import Identity, Potential, ReLU
from energy.specs import CouplingSpec, DenseSpec, NoPoolSpec, PoolingSpec, SkipSpec

from .initial import Distribution, seeded, start


class Hidden(Potential):
    """A placeholder for the potential that the model gives its hidden layers; the default of a layer."""


class Reading(Component):
    """A further edge into a layer.

    Attributes:
        source: the layer that it reads, by number: 0 is the input, −1 the layer below.
        coupling, pooling: the kind of the edge.
        gain: factor on the gain of its initial weights.
    """

    source: int
    coupling: CouplingSpec = field(default_factory=SkipSpec)
    pooling: PoolingSpec = field(default_factory=NoPoolSpec)
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.gain < math.inf, self, "gain", "> 0")


class ChainLayer(Component):
    """One layer of a chain: an edge from layer `source`, a potential, and further edges into it.

    Attributes:
        coupling, pooling: the kind of its edge.
        potential: that of `Chain.hidden` unless given.
        source: the layer that it reads: 0 is the input, −1 the layer below.
        skips: further edges into it.
        feedback: false puts it outside the dynamics.
        gain: factor on the model's gain.
        dropout: must be 0.
        title: its name; the coupling's and a number if empty.
    """

    coupling: CouplingSpec
    pooling: PoolingSpec = field(default_factory=NoPoolSpec)
    potential: Potential = field(default_factory=Hidden)
    source: int = -1
    skips: list[Reading] = field(default_factory=list)
    feedback: bool = True
    gain: float = 1.0
    dropout: float = 0.0
    title: str = ""

    def __post_init__(self) -> None:
        require(0 < self.gain < math.inf, self, "gain", "> 0")
        require(
            self.dropout == 0,
            self,
            "dropout",
            "0: every mask has an energy of its own, and the phases of a settling would descend different ones; "
            "regularize by optimizer.weight_decay or by noise in the data",
        )

    @property
    def readings(self) -> list[Reading]:
        """All edges into the layer, its own first."""
        return [Reading(source=self.source, coupling=self.coupling, pooling=self.pooling, gain=self.gain), *self.skips]


class Chain(Model, name="chain"):
    """Layers written down one by one, from the input up, then one coupling to the output.

    Each `weight` is drawn from `draw`, by fan-in and gain; biases are 0, or U(±bias/√fan-in).

    Attributes:
        layers: each has `coupling` (`energy explain coupling`) and, unless left out, `pooling` (`energy explain
            pooling`), `potential` (that of `hidden`), `source` (the layer it reads: 0 is the input, k the k-th layer,
            −1 the one below), `skips` (a list of further edges into it, each with `source` and, unless left out,
            `coupling`, a skip, `pooling` and `gain`), `feedback` (false puts it outside the dynamics), `gain` (times
            the model's) and `title` (its name).
        hidden, output: the potentials of the hidden layers and of the output.
        head: the coupling from the last layer to the output.
        feedback: whether the output is inside the dynamics.
        gain: factor on the scale of all initial weights.
        bias: scale of the initial biases.
        draw: the distribution of the initial weights.
    """

    layers: list[ChainLayer] = field(default_factory=list)
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    head: CouplingSpec = field(default_factory=DenseSpec)
    feedback: bool = True
    gain: float = 1.0
    bias: float = 0.0
    draw: Distribution = Distribution.NORMAL

    def __post_init__(self) -> None:
        require(0 < self.gain < math.inf, self, "gain", "> 0")
        require(0 <= self.bias < math.inf, self, "bias", ">= 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        for index, layer in enumerate(self.layers):
            self._add(network, layer, seed, f"layer {index + 1} (layers[{index}])", 0)
        top = ChainLayer(coupling=self.head, potential=self.output, feedback=self.feedback, title="output")
        self._add(network, top, seed, "the output (head)", classes)
        if network.output.shape != (classes,):
            raise ConfigurationError(f"{self.name}.head: has shape {network.output.shape}: must be ({classes},)")
        return network

    def _add(self, network: Network, layer: ChainLayer, seed: int, where: str, classes: int) -> None:
        number, readings = len(network.layers) + 1, layer.readings
        into: dict[int, Coupling] = {}
        for at, reading in enumerate(readings):
            place = f"{where}.skips[{at - 1}]" if at else where
            source = _source(reading, number, place)
            if source in into:
                raise ConfigurationError(f"{place}.source={reading.source}: must be a layer that it does not read yet")
            index = len(network.edges) + at
            into[source] = self._coupling(network.shape(source), reading, seed, f"couplings.{index}", place, classes)
        potential = self.hidden if isinstance(layer.potential, Hidden) else layer.potential
        title = layer.title or f"{layer.coupling.name}{number}"
        try:
            network.add(into, potential, name=title, feedback=layer.feedback)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{where}: {error}") from error

    def _coupling(
        self, below: tuple[int, ...], reading: Reading, seed: int, name: str, where: str, classes: int
    ) -> Coupling:
        """The coupling of one edge, its weights drawn."""
        try:
            with seeded(seed, name):
                coupling = reading.coupling.build(below, pool=reading.pooling.build(), classes=classes)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigurationError(f"{where}: {error}") from error
        start(coupling, seed, name, self.draw, self.gain * reading.gain, self.bias)
        return coupling


def _source(reading: Reading, number: int, where: str) -> int:
    """The number of the layer that layer `number` reads, counted from the input."""
    source = reading.source if reading.source >= 0 else number + reading.source
    if not 0 <= source < number:
        limit = f"0 (the input) … {number - 1}, or −1 (the layer below) … −{number}"
        raise ConfigurationError(f"{where}.source={reading.source}: must be {limit}")
    return source
