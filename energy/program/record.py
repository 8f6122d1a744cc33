"""A function of a network, recorded as a graph of tensor operations."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from energy.constants import is_constant
from energy.errors import EnergyError
from energy.network import Network
from energy.tracing import Trace, traced_by, tracing

OF_TORCH: Final = frozenset(vars(nn.Module()))
COPIES: Final = ("lift_fresh", "lift_fresh_copy")  # of a number that the function made itself

Function = Callable[[list[Tensor]], Any]


class Untraceable(EnergyError, RuntimeError):
    """A step that no recording would repeat."""


def names_of(network: nn.Module) -> list[str]:
    """Return the names of all parameters and buffers."""
    return [name for some in (network.named_parameters(), network.named_buffers()) for name, _ in some]


def tensors_of(network: nn.Module) -> list[Tensor]:
    """Return all parameters and buffers, in the order of `names_of`."""
    modules = list(network.modules())  # one walk, which every step takes; nothing in a network is shared
    parameters = (tensor for module in modules for tensor in module._parameters.values() if tensor is not None)
    return [*parameters, *(tensor for module in modules for tensor in module._buffers.values() if tensor is not None)]


def record_graph(
    network: Network, function: Function, tensors: Sequence[Tensor], inputs: Sequence[Tensor], trace: Trace | None
) -> fx.GraphModule:
    """Return function(inputs) as a graph of (tensors, inputs), the first being those of `network`.

    The function is carried out once, on copies, since it may write to them; `meta["written"]` of the graph lists the
    places of those that it does write to.

    Args:
        network: the function may read and write its tensors; those that need a gradient do in the graph.
        function: gives nested lists and dictionaries of tensors.
        tensors: stand in for `tensors_of(network)`.
        inputs: of the function.
        trace: receives what is not an operation on tensors.

    Raises:
        Untraceable: for a graph that reads tensors which are not given, or random numbers, and for a function that
            drew from a global generator of the host. Numbers from a generator of its own would go unnoticed.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    names, learned = names_of(network), [tensor.requires_grad for tensor in tensors_of(network)]
    holder = _Holder(network)

    def run(given: list[Tensor], own: list[Tensor]) -> Any:
        held = [t.detach().requires_grad_() if needs else t for t, needs in zip(given, learned, strict=True)]
        swapped = {f"network.{name}": tensor for name, tensor in zip(names, held, strict=True)}
        return torch.func.functional_call(holder, swapped, (function, own), tie_weights=False)

    copies = [_copy(t) for t in tensors]
    with _no_chance(inputs[0].device), _unmoved(network), traced_by(trace), _one_fake_mode():
        graph = make_fx(run)(copies, [_copy(t) for t in inputs])
    _require_closed(graph)
    graph.meta["written"] = [k for k, t in enumerate(copies) if t.is_inference() or t._version]
    return graph


@contextmanager
def _no_chance(device: torch.device) -> Iterator[None]:
    """Leave all global generators as they are, and refuse numbers drawn on the host: every replay would repeat them."""
    if tracing() is not None:  # a recording within another
        yield
        return
    before = _host_generators()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        after = _host_generators()
        for state, restore in before:
            restore(state)
    if [repr(state) for state, _ in before] != [repr(state) for state, _ in after]:
        raise Untraceable("the step draws random numbers on the host")


@contextmanager
def _unmoved(network: Network) -> Iterator[None]:
    """Give couplings back what they keep between two passes: a recording leaves nothing of its own there."""
    held = kept_by(network)
    try:
        yield
    finally:
        restore(network, held)


def kept_by(network: Network) -> list[dict[str, Any]]:
    """Return what each coupling that normalizes by the batch keeps from one pass to the next, by name."""
    couplings = [edge.coupling for edge in network.edges if edge.coupling.batchwise]
    return [{name: kept for name, kept in vars(one).items() if _private(name)} for one in couplings]


def restore(network: Network, kept: Sequence[dict[str, Any]]) -> None:
    """Give couplings what they kept, as `kept_by` returned it."""
    couplings = [edge.coupling for edge in network.edges if edge.coupling.batchwise]
    for coupling, held in zip(couplings, kept, strict=True):
        vars(coupling).update(held)


def _private(name: str) -> bool:
    return name.startswith("_") and name not in OF_TORCH


def _host_generators() -> list[tuple[Any, Callable[[Any], Any]]]:
    """The states of the host's global generators, each with the function that restores it."""
    numpy = sys.modules.get("numpy")
    found: list[tuple[Any, Callable[[Any], Any]]] = [(random.getstate(), random.setstate)]
    return found if numpy is None else [*found, (numpy.random.get_state(legacy=True), numpy.random.set_state)]


@contextmanager
def _one_fake_mode() -> Iterator[None]:
    """Let torch describe all tensors of a recording in one fake mode, in place of making one per operation."""
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode

    if TracingContext.try_get() is not None:  # a recording within another
        yield
        return
    with tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True))):
        yield


class _Holder(nn.Module):
    """A module whose call is any function, carried out while the network's tensors are swapped."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Function, inputs: list[Tensor]) -> Any:
        return function(inputs)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _require_closed(graph: fx.GraphModule) -> None:
    """Check that a graph depends on its arguments alone."""
    for node in graph.graph.nodes:
        held = getattr(graph, str(node.target), None) if node.op == "get_attr" else None
        given = not isinstance(held, Tensor) or is_constant(held)
        if not given and any(_name(user) not in COPIES for user in node.users):
            users = ", ".join(sorted({_name(user) for user in node.users}))
            raise Untraceable(f"{users} reads a tensor that is neither the network's nor an argument")
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise Untraceable(f"{_name(node)} draws random numbers")


def _name(node: fx.Node) -> str:
    return getattr(node.target, "_opname", str(node.target))
