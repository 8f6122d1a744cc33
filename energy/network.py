"""Layers joined by couplings: a directed acyclic graph above a clamped input, and the energy it has.

    E_γ(s; x) = Σ_k γ^(d_k − 1) [ G_k(s_k) − Σ_{e into k} ⟨s_k, A_e(s_source)⟩ ]
    J(s)_k    = Σ_{e into k} A_e(s_source) + Σ_{e out of k} γ^(d_target − d_k) A_e′(s_k)ᵀ s_target

d is a layer's depth, the longest path to it from the input; γ the feedback gain (Xie & Seung 2003). s = f(J(s)) at
equilibrium. γ = 1 is the Hopfield energy; as γ → 0 the equilibrium tends to one bottom-up pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energy import admission, modes
from energy.couplings import Affine, Coupling, Shape
from energy.errors import UsageError
from energy.potentials import Potential
from energy.state import State
from energy.summary import summary


@dataclass(frozen=True)
class Layer:
    """A free layer: its shape without the batch axis, its potential, and the name that errors and records use."""

    shape: Shape
    potential: Potential
    name: str
    depth: int


@dataclass(frozen=True)
class Edge:
    """A coupling from layer `source` up to layer `target` (0 is the input, k the k-th free layer).

    `feedback=False` makes the edge a read-out: the layer above hears it and errors pass down it, but its activity does
    not."""

    index: int
    source: int
    target: int
    coupling: Coupling
    feedback: bool
    multiply_adds: int
    span: int  # difference in depth
    size: int  # learnt numbers

    def gain(self, gamma: float) -> float:
        """γ^span, the weight of what the target says to the source; 0 for a read-out and for edges from the input."""
        return gamma**self.span if self.feedback and self.source else 0.0


class Network(nn.Module):
    """A network under construction: `add` layers from the bottom up; the last one added is the output.

        network = Network((784,))
        network.add(Dense(784, 500), ReLU())
        network.add(Dense(500, 10), Identity())

    Printed, it is a table of its layers. Raises ValueError when a coupling does not fit the layer it reads or shares a
    parameter, or two edges into one layer differ in shape; TypeError for what is no coupling, potential or shape.
    """

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.input_shape: Shape = admission.input_shape(input_shape)
        self.layers: list[Layer] = []
        self.edges: list[Edge] = []
        self._into: list[list[Edge]] = [[]]  # by layer, the input first
        self._out_of: list[list[Edge]] = [[]]
        self._last_read_at: list[list[int]] = [[]]
        self._parts: dict[int, Network] = {}
        self._watched: list[admission.Watched] = []  # the couplings, and those inside them
        self._heard: set[tuple[int, torch.dtype, torch.dtype | None]] = set()  # what has been tried
        self.couplings = nn.ModuleList()

    def add(
        self,
        couplings: Coupling | Mapping[int, Coupling],
        potential: Potential,
        *,
        name: str = "",
        feedback: bool = True,
    ) -> int:
        """Add a layer above the last one (or above several: {source layer: coupling}) and return its number.

        Cautions (`energy.cautions`) name what a coupling does in training mode alone, which it never is in."""
        target = len(self.layers) + 1
        into = admission.source_couplings(target, couplings)
        name = admission.require_layer(target, potential, name, [layer.name for layer in self.layers])
        held = [(edge.target, edge.coupling) for edge in self.edges]
        admission.require_unshared(target, into.values(), held)
        depth = 1 + max(self.depth(source) for source in into)
        edges: list[Edge] = []
        shapes: dict[int, Shape] = {}
        for source, coupling in into.items():
            index, below = len(self.edges) + len(edges), self.shape(source)
            for path, one in admission.watched(coupling, f"couplings.{index}"):
                admission.require_plain(path, one)
            modes.examine(coupling, below, f"layer {target} ({name})")
            shapes[source], cost = modes.measured(coupling, below, f"layer {target}")
            size = sum(parameter.numel() for parameter in coupling.parameters())
            edges.append(Edge(index, source, target, coupling, feedback, cost, depth - self.depth(source), size))
        if len(set(shapes.values())) > 1:
            raise UsageError(f"the couplings into layer {target} disagree on its shape: {shapes}")
        self._join(Layer(next(iter(shapes.values())), potential, name, depth), edges)
        return target

    def _join(self, layer: Layer, edges: Sequence[Edge]) -> None:
        self.layers.append(layer)
        self._into.append(list(edges))
        self._out_of.append([])
        self._last_read_at.append([])
        target = len(self.layers)
        self._last_read_at[min((e.source for e in edges if e.source), default=target)].append(target)
        for edge in edges:
            self.edges.append(edge)
            self._out_of[edge.source].append(edge)
            self._watched += admission.watched(edge.coupling, f"couplings.{edge.index}")
            self.couplings.append(edge.coupling.eval())

    def subnetwork(self, layer: int) -> Network:
        """The part of this network up to `layer`, which shares its couplings."""
        if layer == len(self.layers):
            return self
        if layer not in self._parts:
            part = Network(self.input_shape)
            for k, one in enumerate(self.layers[:layer], start=1):
                part._join(one, self.into(k))
            self._parts[layer] = part
        return self._parts[layer]

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Put the couplings that learn into training mode for a while: what they normalise by is then the batch, which
        they remember. At all other times every coupling of a network is in evaluation mode, and what draws by chance is
        in it always.
        """
        with modes.learning(self._learning()):
            yield

    @contextmanager
    def normalizing(self) -> Iterator[None]:
        """Put the couplings that learn and whose linearization goes through the statistics of the batch
        (`energy.couplings.BatchNorm`) into training mode while a batch is settled to learn from: what settlers do.
        No other coupling leaves evaluation mode.
        """
        with modes.learning([one for one in self._learning() if one.batchwise]):
            yield

    def remember(self) -> None:
        """Let every coupling take the batch of this pass into what it remembers: what settlers do at the free
        equilibrium, once per batch. Nothing outside of `learning` and `normalizing`.
        """
        for edge in self.edges:
            edge.coupling.remember()

    def _learning(self) -> list[Coupling]:
        """The couplings that learn; one without parameters that normalizes by the batch learns its statistics."""
        found = ((edge.coupling, list(edge.coupling.parameters())) for edge in self.edges)
        return [one for one, held in found if any(p.requires_grad for p in held) or (one.batchwise and not held)]

    def __repr__(self) -> str:
        return summary(self)

    def shape(self, layer: int) -> Shape:
        """The shape of a layer without the batch axis; layer 0 is the input."""
        return self.layers[layer - 1].shape if layer else self.input_shape

    def depth(self, layer: int) -> int:
        return self.layers[layer - 1].depth if layer else 0

    def into(self, layer: int) -> Sequence[Edge]:
        """The edges that a layer hears from below."""
        return self._into[layer]

    def out_of(self, layer: int) -> Sequence[Edge]:
        """The edges that leave a layer upwards."""
        return self._out_of[layer]

    def last_read_at(self, layer: int) -> Sequence[int]:
        """The layers that no later step of a top-down pass reads once `layer` has been processed."""
        return self._last_read_at[layer]

    def completed_by(self, layer: int) -> list[Edge]:
        """The edges of which a top-down pass has processed both ends with `layer`: those out of it, and those into it
        from the input.
        """
        return [*self.out_of(layer), *(edge for edge in self.into(layer) if not edge.source)]

    @property
    def output(self) -> Layer:
        return self.layers[-1]

    def readout(self, layer: int) -> bool:
        """True for a layer outside the dynamics: no edge into it carries feedback."""
        return not any(edge.feedback for edge in self.into(layer))

    def validate_batch(self, x: Tensor, target: Tensor | None = None) -> None:
        """Raise ValueError unless `x` is (B, *input shape) and `target` (B, *output shape), floating point, B ≥ 1, and
        the couplings are as `add` took them: without hooks, and closed forms without parametrisations.
        """
        if not self.layers:
            raise UsageError("the network has no layers: add some first")
        admission.require_batch("x", x, self.input_shape)
        if target is not None:
            admission.require_batch("target", target, self.output.shape)
            if len(target) != len(x):
                raise UsageError(f"target has {len(target)} samples and x {len(x)}: they must be equal")
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            raise UsageError(
                "torch.autocast is on: must be off, since x's dtype is the precision of the states; leave it, and give "
                "x.bfloat16() over float32 weights instead"
            )
        admission.require_kept(self._watched, self.edges, self.couplings._modules)
        self._check_modules(x)

    def _check_modules(self, x: Tensor) -> None:
        for edge in self.edges:
            if not isinstance(edge.coupling, Affine):
                self._check_module(edge, x)

    def _check_module(self, edge: Edge, x: Tensor) -> None:
        """Put a coupling by autograd into evaluation mode; raise ValueError if it does not go with the dtype of `x`."""
        name, like = f"couplings.{edge.index}", next(edge.coupling.parameters(), None)
        modes.settle_down(edge.coupling, self.shape(edge.source), name)
        pair = (edge.index, x.dtype, None if like is None else like.dtype)
        if pair not in self._heard:
            modes.require_precision(name, edge.coupling, self.shape(edge.source), x)
            self._heard.add(pair)

    def forward(self, x: Tensor) -> Tensor:
        """The output of one bottom-up pass: the equilibrium at γ = 0. Differentiable."""
        return self.activity(x)[-1]

    def try_out(self, x: Tensor) -> None:
        """Put `x` to everything that a settling will, and raise what does not fit; also without numbers, on torch's
        meta device.
        """
        self(x)

    def activity(self, x: Tensor) -> State:
        """Every layer's response to one bottom-up pass. Differentiable."""
        self.validate_batch(x)
        states = [to_channels_last(x)]
        for k, layer in enumerate(self.layers, start=1):
            drives = list(self._from_below(k, tuple(states)))
            states.append(layer.potential.response(_total(drives)))
        return State(states[1:])

    def energy(self, x: Tensor, state: State, gamma: float = 1.0) -> Tensor:
        """E_γ(s; x) of each sample: (B,). Read-outs take no part. Needs γ > 0."""
        if not gamma > 0:
            raise UsageError(f"gamma={gamma}: the energy needs a feedback gain above 0")
        states = (x, *state)
        terms = []
        for k, layer in enumerate(self.layers, start=1):
            if self.readout(k):
                continue
            weight = gamma ** (layer.depth - 1)
            terms.append(weight * layer.potential.value(states[k]))
            terms += [weight * e.coupling.energy(states[e.source], states[k]) for e in self.into(k)]
        return _total(terms)

    def drive(self, x: Tensor, state: State, gamma: float = 1.0) -> State:
        """J(s), what each layer hears when the others stand still."""
        states = (x, *state)
        return State(
            _total([*self._from_below(k, states), *self._from_above(k, states, gamma)]) for k in range(1, len(states))
        )

    def _from_below(self, layer: int, states: tuple[Tensor, ...]) -> Iterator[Tensor]:
        return (edge.coupling(states[edge.source]) for edge in self.into(layer))

    def _from_above(self, layer: int, states: tuple[Tensor, ...], gamma: float) -> Iterator[Tensor]:
        for edge in self.out_of(layer):
            if gain := edge.gain(gamma):
                yield gain * edge.coupling.linearize(states[layer])[1].adjoint(states[edge.target])


def to_channels_last(x: Tensor) -> Tensor:
    """Images with the channel as the fastest axis, which convolution kernels prefer; shape and numbers stay."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _total(tensors: Sequence[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
