"""Layers joined by couplings: a directed acyclic graph above a clamped input, and the energy it has.

    E_γ(s; x) = Σ_k γ^(d_k − 1) [ G_k(s_k) − Σ_{e into k} ⟨s_k, A_e(s_source)⟩ ]
    J(s)_k    = Σ_{e into k} A_e(s_source) + Σ_{e out of k} γ^(d_target − d_k) A_e′(s_k)ᵀ s_target

d is a layer's depth, the longest path to it from the input; γ the feedback gain (Xie & Seung 2003). s = f(J(s)) at
equilibrium. γ = 1 is the Hopfield energy; as γ → 0 the equilibrium tends to one bottom-up pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

import energy as toolkit
from energy import admission, modes
from energy.couplings import Affine, Coupling, Shape
from energy.errors import UsageError
from energy.graph import Edge, Layer, learns, to_channels_last, total
from energy.potentials import Potential
from energy.state import State
from energy.summary import summary

__all__ = ["Edge", "Layer", "Network", "to_channels_last"]


class Network(nn.Module):
    """A network under construction: `add` layers from the bottom up; the last one added is the output.

        network = Network((784,))
        network.add(Dense(784, 500), ReLU())
        network.add(Dense(500, 10), Identity())

    Printed, it is a table of its layers.

    Args:
        input_shape: of x, without the batch axis.

    Raises:
        TypeError: for an `input_shape` that is no shape.
        ValueError: for sizes that are no whole numbers of at least 1.
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
        self._heard: set[tuple[int, torch.dtype, torch.dtype | None]] = set()  # the dtypes tried so far
        self.couplings = nn.ModuleList()

    def add(
        self,
        couplings: Coupling | Mapping[int, Coupling],
        potential: Potential,
        *,
        name: str = "",
        feedback: bool = True,
    ) -> int:
        """Add a layer, which becomes the output, and return its number.

        Effects that a coupling has in training mode alone, in which it never is, are reported as cautions
        (`energy.cautions`).

        Args:
            couplings: one from the last layer, or {source layer: coupling} for several sources.
            potential: gives the layer's response.
            name: for errors and records, `layer<number>` by default.
            feedback: false for a layer outside the dynamics, a read-out.

        Raises:
            ValueError: if a coupling does not fit the layer it reads or shares a parameter, or two edges into the
                layer differ in shape.
            TypeError: if `couplings` holds no couplings, or `potential` is no potential.
        """
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
        """Return the part of this network up to `layer`, which shares its couplings."""
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
        """Put the couplings that learn into training mode while the context lasts.

        They then normalize by the batch, and update their running statistics. At all other times every coupling of a
        network is in evaluation mode; random ones, such as dropout, always are.
        """
        with modes.learning(self._learning()):
            yield

    @contextmanager
    def normalizing(self) -> Iterator[None]:
        """Put couplings whose linearization goes through the statistics of the batch into training mode, if they learn.

        These are `energy.couplings.BatchNorm` and its like. Settlers do so while a batch is settled to learn from; no
        other coupling leaves evaluation mode.
        """
        with modes.learning([one for one in self._learning() if one.batchwise]):
            yield

    def remember(self) -> None:
        """Take the batch of this pass into the running statistics of every coupling.

        Settlers call it at the free equilibrium, once per batch. No effect outside of `learning` and `normalizing`.
        """
        for edge in self.edges:
            edge.coupling.remember()

    def start_from(self, x: Tensor) -> None:
        """Let couplings of the input take constants from x (B, *input shape), once before a training."""
        for edge in self.out_of(0):
            edge.coupling.start_from(x)

    def _learning(self) -> list[Coupling]:
        """The couplings that learn; one without parameters that normalizes by the batch learns its statistics."""
        found = (edge.coupling for edge in self.edges)
        return [one for one in found if learns(one) or (one.batchwise and not list(one.parameters()))]

    def __repr__(self) -> str:
        return summary(self)

    def shape(self, layer: int) -> Shape:
        """Return the shape of a layer without the batch axis; layer 0 is the input."""
        return self.layers[layer - 1].shape if layer else self.input_shape

    def depth(self, layer: int) -> int:
        return self.layers[layer - 1].depth if layer else 0

    def into(self, layer: int) -> Sequence[Edge]:
        """Return the edges that enter a layer from below."""
        return self._into[layer]

    def out_of(self, layer: int) -> Sequence[Edge]:
        """Return the edges that leave a layer upwards."""
        return self._out_of[layer]

    def last_read_at(self, layer: int) -> Sequence[int]:
        """Return the layers that no later step of a top-down pass reads once `layer` has been processed."""
        return self._last_read_at[layer]

    def completed_by(self, layer: int) -> list[Edge]:
        """Return the edges whose both ends a top-down pass has processed with `layer`: those out of it, and those into
        it from the input.
        """
        return [*self.out_of(layer), *(edge for edge in self.into(layer) if not edge.source)]

    @property
    def output(self) -> Layer:
        return self.layers[-1]

    def readout(self, layer: int) -> bool:
        """Return True for a layer outside the dynamics: no edge into it carries feedback."""
        return not any(edge.feedback for edge in self.into(layer))

    def validate_batch(self, x: Tensor, target: Tensor | None = None) -> None:
        """Check a batch, and that the couplings are as `add` took them: closed forms without parametrizations or hooks.

        Args:
            x: (B, *input shape), floating point, B ≥ 1.
            target: (B, *output shape), floating point.

        Raises:
            ValueError: if anything of this does not hold, or torch.autocast is on.
            TypeError: if `x` or `target` is no tensor.
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
        """Put a coupling by autograd into evaluation mode, and check that it takes the dtype of `x`."""
        name, like = f"couplings.{edge.index}", next(edge.coupling.parameters(), None)
        modes.settle_down(edge.coupling, self.shape(edge.source), name)
        pair = (edge.index, x.dtype, None if like is None else like.dtype)
        if pair not in self._heard:
            modes.require_precision(name, edge.coupling, self.shape(edge.source), x)
            self._heard.add(pair)

    def diagnose(self, x: Tensor, settler: toolkit.Settler | None = None, samples: int = 16) -> toolkit.Diagnosis:
        """Return the expected course of a settling (`energy.analysis.doctor.diagnose`), before any step of learning."""
        return toolkit.diagnose(self, x, settler, samples=samples)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of one bottom-up pass: the equilibrium at γ = 0. Differentiable."""
        return self.activity(x)[-1]

    def try_out(self, x: Tensor) -> None:
        """Run `x` through all that a settling applies, so that misfits raise; also on torch's meta device."""
        self(x)

    def activity(self, x: Tensor) -> State:
        """Return every layer's response to one bottom-up pass. Differentiable."""
        self.validate_batch(x)
        states = [to_channels_last(x)]
        for k, layer in enumerate(self.layers, start=1):
            drives = list(self._from_below(k, tuple(states)))
            states.append(layer.potential.response(total(drives)))
        return State(states[1:])

    def energy(self, x: Tensor, state: State, gamma: float = 1.0) -> Tensor:
        """Return E_γ(s; x) of each sample, (B,). Read-outs take no part.

        Raises:
            ValueError: unless γ > 0.
        """
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
        return total(terms)

    def drive(self, x: Tensor, state: State, gamma: float = 1.0) -> State:
        """Return J(s), the drive of each layer while the others are held at `state`."""
        states = (x, *state)
        return State(
            total([*self._from_below(k, states), *self._from_above(k, states, gamma)]) for k in range(1, len(states))
        )

    def _from_below(self, layer: int, states: tuple[Tensor, ...]) -> Iterator[Tensor]:
        return (edge.coupling(states[edge.source]) for edge in self.into(layer))

    def _from_above(self, layer: int, states: tuple[Tensor, ...], gamma: float) -> Iterator[Tensor]:
        for edge in self.out_of(layer):
            if gain := edge.gain(gamma):
                yield gain * edge.coupling.linearize(states[layer])[1].adjoint(states[edge.target])
