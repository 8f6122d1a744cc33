"""The way from a module of PyTorch to a network: its `forward` is traced, and every activation becomes a layer.

A value of the traced graph is the activity of a layer, or a drive that no layer has yet: a sum of couplings, each from
a layer below. An activation closes a drive into a layer of its potential; an operation that cannot be put into a
coupling with the one before (a convolution of a convolution, a mean of activities) closes it with `Identity`. A maximum
of activities is that of their drives, since responses rise, and is pooled inside the coupling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from torch import fx, nn

from energy.couplings import Convolution, Coupling, Skip
from energy.couplings.normalization import Normalization
from energy.dropin.activations import INSTEAD, is_activation, potential_of
from energy.dropin.module_network import ModuleNetwork
from energy.dropin.operations import IN_PLACE, as_module, is_addition, is_size, value_of
from energy.dropin.parts import LINEAR, NORMALIZATIONS, POOLINGS, Parts
from energy.dropin.trace import graph_of, require_equal
from energy.errors import EnergyError, UsageError, UsageTypeError
from energy.potentials import Identity, Potential, Softmax

FREE: Final = (nn.Identity, nn.Flatten)


@dataclass
class GraphValue:
    """A value of the traced graph.

    Attributes:
        layer: whose activity it is; −1 for a drive.
        terms: the couplings of a drive, by the layer that each reads.
        flat: whether it is flattened, which couplings to a dense layer do themselves.
    """

    layer: int = -1
    terms: dict[int, Coupling] = field(default_factory=dict)
    flat: bool = False


def from_module(module: nn.Module, input_shape: Sequence[int]) -> ModuleNetwork:
    """Make a network of an ordinary module, which shares its parameters and running statistics.

    Covered are linear layers, convolutions, batch, layer and group normalization, pooling, flattening, residual
    additions, and the activations that have a potential, as modules, functions or methods.

    Args:
        module: its `forward` takes one tensor, and can be traced by `torch.fx`.
        input_shape: of a sample, such as (3, 32, 32).

    Returns:
        A network whose output at γ = 0 is that of the module in evaluation mode.

    Raises:
        TypeError: if `module` is no module.
        ValueError: for a part that is not covered, is used twice, or works in place, by its name, with what to take
            instead.

    Example:
        >>> net = from_module(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (4,))
        >>> [layer.name for layer in net.layers], list(net.state_dict())[:2]
        (['1', '2'], ['0.weight', '0.bias'])
    """
    if not isinstance(module, nn.Module):
        raise UsageTypeError(f"from_module: module is a {type(module).__name__}: must be an nn.Module")
    network = Conversion(module, input_shape).network
    network.require_plain()
    require_equal(network, module)
    return network


class Conversion:
    """One way from a module to a network.

    Args:
        module: the module.
        input_shape: of a sample.

    Raises:
        ValueError: as `from_module`.
    """

    def __init__(self, module: nn.Module, input_shape: Sequence[int]) -> None:
        self.module, self.network = module, ModuleNetwork(input_shape, module)
        self.parts = Parts(self.network)
        self.values: dict[fx.Node, GraphValue] = {}
        self.used: dict[nn.Module, str] = {}
        self._called: set[str] = set()
        for node in graph_of(module).nodes:
            if node not in self.values:
                self._convert(node)

    def _convert(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._input(node)
        elif node.op == "output":
            self._output(node)
        elif is_addition(node):
            self.values[node] = self._sum(node)
        elif not is_size(node):
            self._apply(node, *self._part(node))
        found = self.values.get(node)
        if found is not None and found.layer < 0 and sum(not is_size(reader) for reader in node.users) > 1:
            self._layer(found, node.name)  # a drive that several read is a layer of its own

    def _input(self, node: fx.Node) -> None:
        if self.values:
            raise UsageError(f"{self._kind}.forward: has an argument {node.target}: must have one tensor only")
        self.values[node] = GraphValue(layer=0)

    def _output(self, node: fx.Node) -> None:
        found = self.values.get(node.args[0]) if isinstance(node.args[0], fx.Node) else None
        if found is None:
            raise UsageError(f"{self._kind}.forward: returns {node.args[0]}: must return one tensor")
        if self._layer(found, "output") != len(self.network.layers) or not self.network.layers:
            raise UsageError(f"{self._kind}.forward: its output is not the last value that it computes")

    def _sum(self, node: fx.Node) -> GraphValue:
        """The sum of two values, as one drive; a layer that both read is closed in between."""
        first, second = (self._known(one, node) for one in (*node.args, *node.kwargs.values()))
        if node.target in IN_PLACE or getattr(node.target, "__name__", "") == "iadd":
            self._require_alone(node)
        terms = self._terms(first)
        if terms.keys() & self._terms(second).keys():
            closed = self._layer(second, f"{node.name}.second")
            second = GraphValue(layer=closed)
            if closed in terms:
                first = GraphValue(layer=self._layer(GraphValue(terms=terms), f"{node.name}.first"))
                terms = self._terms(first)
        return GraphValue(terms={**terms, **self._terms(second)})

    def _require_alone(self, node: fx.Node) -> None:
        """An addition in place is as good as another one if nobody reads the value that it overwrites."""
        written = node.args[0]
        if isinstance(written, fx.Node) and len(written.users) > 1:
            raise UsageError(f"{node.name}: adds in place to a value that is read again: must be a + b")

    def _part(self, node: fx.Node) -> tuple[str, nn.Module]:
        """The name of the operation of a node, and the module that does it.

        Raises:
            ValueError: for one that is not covered, or used twice.
        """
        if node.op == "call_module":
            name, module = str(node.target), self.module.get_submodule(str(node.target))
            if self.used.setdefault(module, name) != name or name in self._called:
                self._require_nothing_held(name, module)
            self._called.add(name)
            return name, module
        name = f"{node.name} ({getattr(node.target, '__name__', node.target)})"
        module = as_module(node) if node.op in ("call_function", "call_method") else None
        if module is None:
            what = "is read directly" if node.op == "get_attr" else "is not covered"
            raise UsageError(f"{name}: {what}: must be one of the layers and activations that from_module lists")
        return node.name, module

    def _require_nothing_held(self, name: str, module: nn.Module) -> None:
        """Only what has no tensors of its own may be called again."""
        if any(True for _ in (*module.parameters(), *module.buffers())):
            raise UsageError(
                f"{name}: {type(module).__name__} is used twice: must be once, since a coupling has weights of its "
                "own; copy.deepcopy makes a second one"
            )

    def _apply(self, node: fx.Node, name: str, module: nn.Module) -> None:
        given = value_of(node)
        if given is None or given not in self.values:
            raise UsageError(f"{name}: must read one value of the graph")
        value = self.values[given]
        if isinstance(module, nn.Sequential):  # a function that stands for several
            for part in module:
                self.values[node] = value = self._step(node, name, part, value)
            return
        self.values[node] = self._step(node, name, module, value)

    def _step(self, node: fx.Node, name: str, module: nn.Module, value: GraphValue) -> GraphValue:
        """The value after one module."""
        if isinstance(module, nn.Identity):
            return value
        if isinstance(module, nn.Flatten):
            if (module.start_dim, module.end_dim) != (1, -1):
                raise UsageError(f"{name}: start_dim={module.start_dim}, end_dim={module.end_dim}: must be 1 and -1")
            return GraphValue(self._layer(value, f"{name}.before") if value.layer < 0 else value.layer, flat=True)
        if is_activation(module):
            return self._activated(node, name, module, value)
        if type(module) in LINEAR:
            below = self._layer(value, f"{name}.before")
            return GraphValue(terms={below: self.parts.linear(name, module, self.network.shape(below))})
        if type(module) in NORMALIZATIONS:
            return self._normalized(name, module, value)
        if type(module) in POOLINGS:
            return self._pooled(name, module, value)
        raise self._uncovered(name, module)

    def _activated(self, node: fx.Node, name: str, module: nn.Module, value: GraphValue) -> GraphValue:
        """A layer of the activation's potential; a maximum over it that nobody else reads is taken of its drive."""
        potential = potential_of(module)
        if isinstance(potential, str):
            raise UsageError(f"{name}: {type(module).__name__}: {potential}")
        self._shaped(value, name)
        terms = self._terms(value)
        (coupling, *others), (reader, *more) = list(terms.values()), [*node.users, None]
        pool = None
        if not others and reader is not None and not [one for one in more if one is not None]:
            pool = self._maximum(reader) if not isinstance(potential, Softmax) else None
        if pool is not None and _open(coupling):
            coupling.pool = pool  # type: ignore[assignment]
            assert reader is not None
            self.values[reader] = GraphValue(self._close(terms, potential, name))
            return self.values[reader]
        return GraphValue(self._close(terms, potential, name))

    def _maximum(self, reader: fx.Node) -> object:
        """The pooling of a node that takes maxima, if a coupling can do it."""
        if reader.op == "call_module":
            module: nn.Module | None = self.module.get_submodule(str(reader.target))
        else:
            module = as_module(reader) if reader.op in ("call_function", "call_method") else None
        found = None if module is None or type(module) not in POOLINGS else self.parts.pool(module)
        return found if isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d) else None

    def _normalized(self, name: str, module: nn.Module, value: GraphValue) -> GraphValue:
        if value.layer < 0 and len(value.terms) == 1:
            ((below, coupling),) = value.terms.items()
            if type(coupling) is not Skip and not isinstance(coupling, Normalization) and _open(coupling):
                return GraphValue(
                    terms={below: self.parts.normalization(name, module, coupling, self.network.shape(below))}
                )
        self._shaped(value, name)
        below = self._layer(value, f"{name}.before")
        return GraphValue(terms={below: self.parts.normalization(name, module, Skip(), self.network.shape(below))})

    def _pooled(self, name: str, module: nn.Module, value: GraphValue) -> GraphValue:
        pool = self.parts.pool(module)
        if pool is not None and value.layer < 0 and len(value.terms) == 1:
            (coupling,) = value.terms.values()
            if _open(coupling):
                coupling.pool = pool  # type: ignore[assignment]
                return value
        self._shaped(value, name)
        below = self._layer(value, f"{name}.before")
        return GraphValue(self._close({below: self.parts.pooling(name, module)}, Identity(), name))

    def _shaped(self, value: GraphValue, name: str) -> None:
        """Refuse to go on with a flattened image, of which only a dense layer knows the shape."""
        if value.flat and value.layer >= 0 and len(self.network.shape(value.layer)) > 1:
            value.layer = self._close({value.layer: self.parts.flatten()}, Identity(), f"{name}.flat")
            value.flat = False

    def _terms(self, value: GraphValue) -> dict[int, Coupling]:
        if value.layer >= 0:
            self._shaped(value, f"layer{len(self.network.layers) + 1}")
        return value.terms if value.layer < 0 else {value.layer: Skip()}

    def _layer(self, value: GraphValue, name: str) -> int:
        """The layer of a value; a drive is closed by the identity first."""
        if value.layer < 0:
            value.layer, value.terms = self._close(value.terms, Identity(), name), {}
        return value.layer

    def _close(self, terms: dict[int, Coupling], potential: Potential, name: str) -> int:
        taken = {layer.name for layer in self.network.layers}
        while name in taken:
            name += "'"
        try:
            return self.network.add(terms, potential, name=name)
        except EnergyError as error:
            raise UsageError(f"{name}: {error}") from None

    def _known(self, one: object, node: fx.Node) -> GraphValue:
        if not isinstance(one, fx.Node) or one not in self.values:
            raise UsageError(f"{node.name}: adds {one}: must be two values of the graph")
        return self.values[one]

    def _uncovered(self, name: str, module: nn.Module) -> UsageError:
        kind = type(module).__name__
        advice = INSTEAD.get(kind)
        told = f"take {advice}" if advice else "build an energy.Network with energy.couplings.Module around it"
        return UsageError(f"{name}: {kind} is not covered: {told}")

    @property
    def _kind(self) -> str:
        return type(self.module).__name__


def _open(coupling: Coupling) -> bool:
    """True for a coupling that has room for a pooling."""
    return isinstance(coupling, Convolution | Normalization) and coupling.pool is None
