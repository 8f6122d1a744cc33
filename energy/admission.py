"""Checks of the arguments of `Network.add`, and of the state that couplings must be in to learn.

Closed forms read weight and bias themselves. torch's additions to the call of a module or to the access to a parameter
never act there: parametrizations, masks of pruning, hooks. They are refused, at `add` and for every batch; a `Module`,
which goes through autograd, honors them all.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, Final

from torch import Tensor, nn

from energy.arguments import named
from energy.couplings import Affine, Coupling, Shape
from energy.errors import UsageError, UsageTypeError
from energy.potentials import Potential

HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
CURE: Final = "take it off, or put it on the inner module of energy.couplings.Module(nn.Linear(...)), by autograd"

Watched = tuple[str, Coupling]


def input_shape(given: Any) -> Shape:
    """Return the shape of the input as a tuple of whole numbers.

    Raises:
        TypeError: if it is no shape.
        ValueError: for sizes that are no whole numbers of at least 1.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageTypeError(f"Network: input_shape is {named(given)}: must be a shape, such as (784,) or (3, 32, 32)")
    shape = tuple(given)
    if not shape or any(isinstance(n, bool) or not hasattr(n, "__index__") or operator.index(n) < 1 for n in shape):
        raise UsageError(f"Network: input_shape={shape}: must be whole numbers of at least 1, such as (784,)")
    return tuple(map(operator.index, shape))


def source_couplings(target: int, given: Any) -> dict[int, Coupling]:
    """Return the couplings into layer `target`, by the layer that they read.

    Raises:
        TypeError: if they are no couplings, or their keys no numbers.
        ValueError: for no coupling, or a layer that is not below `target`.
    """
    into = given if isinstance(given, Mapping) else {target - 1: given}
    for source, coupling in into.items():
        if not isinstance(coupling, Coupling):
            raise UsageTypeError(f"layer {target}: {named(coupling)} is no coupling: {_cure(coupling)}")
        if isinstance(source, bool) or not hasattr(source, "__index__"):
            raise UsageTypeError(
                f"layer {target} reads {named(source)}: must be the number of a layer, 0 … {target - 1}"
            )
    if not into or not all(0 <= source < target for source in into):
        raise UsageError(f"layer {target} reads layers {list(into)}: each must be one of 0 … {target - 1}")
    return {operator.index(source): coupling for source, coupling in into.items()}


def _cure(given: Any) -> str:
    if isinstance(given, type):
        return f"must be an instance, such as {given.__name__}(...)"
    if isinstance(given, nn.Module):
        name = type(given).__name__
        return f"wrap it, energy.couplings.Module({'nn.' if hasattr(nn, name) else ''}{name}(...))"
    return "must be one of energy.couplings, such as Dense(784, 500), or {source layer: coupling}"


def require_layer(target: int, potential: Any, name: Any, taken: list[str]) -> str:
    """Return the name of layer `target`.

    Args:
        target: the number of the layer.
        potential: must be a potential.
        name: given by the user; empty for `layer<target>`.
        taken: the names of the layers below.

    Raises:
        TypeError: if `potential` is no potential, or `name` no string.
        ValueError: for a name that another layer has.
    """
    if not isinstance(potential, Potential):
        such = f"{potential.__name__}()" if isinstance(potential, type) else "energy.potentials.ReLU()"
        raise UsageTypeError(f"layer {target}: potential is {named(potential)}: must be an instance, such as {such}")
    if not isinstance(name, str):
        raise UsageTypeError(f"layer {target}: name is {named(name)}: must be a string")
    name = name or f"layer{target}"
    if name in taken:
        raise UsageError(f"layer {target}: name={name!r} is that of layer {taken.index(name) + 1}: must be another")
    return name


def require_unshared(target: int, couplings: Iterable[Coupling], held: Iterable[tuple[int, Coupling]]) -> None:
    """Check that no two couplings share a parameter, and that autograd can train them.

    Settlers make the products coupling by coupling, and would have to add up those of a shared parameter.

    Args:
        target: the number of the layer, for the error message.
        couplings: the new ones.
        held: those of the network, each with the number of its layer.

    Raises:
        ValueError: for a shared parameter, or one made under `inference_mode`.
    """
    owners = {id(parameter): layer for layer, coupling in held for parameter in coupling.parameters()}
    for coupling in couplings:
        mine = {id(parameter) for parameter in coupling.parameters()}
        if any(not nn.parameter.is_lazy(one) and one.is_inference() for one in coupling.parameters()):
            raise UsageError(
                f"layer {target}: made under torch.inference_mode(), which nothing can learn: leave that mode"
            )
        for parameter in mine:
            if parameter in owners:
                raise UsageError(
                    f"layer {target}: its {type(coupling).__name__} shares a parameter with a coupling into layer "
                    f"{owners[parameter]}: must have its own; copy.deepcopy gives it one of the same value"
                )
        owners |= dict.fromkeys(mine, target)


def watched(coupling: Coupling, name: str) -> list[Watched]:
    """Return the coupling and those inside it, by name."""
    inside = ((path, one) for path, one in coupling.named_modules() if isinstance(one, Coupling))
    return [(f"{name}.{path}" if path else name, one) for path, one in inside]


def require_plain(name: str, coupling: Coupling) -> None:
    """Check that a coupling has no hooks, which would not be called, and closed forms no parametrizations.

    Puts its parameters back in order after a parametrization was removed.

    Raises:
        ValueError: if it has any.
    """
    for kind in HOOKS:
        if hooks := coupling.__dict__[kind]:
            hook = next(iter(hooks.values()))
            called = getattr(hook, "__name__", type(hook).__name__)
            kind = type(coupling).__name__
            raise UsageError(f"{name} is a {kind} with the hook {called}, which nothing calls: {CURE}")
    if "parametrizations" in coupling._modules and _closed(type(coupling)):
        kind = type(coupling).__name__.removeprefix("Parametrized")
        raise UsageError(f"{name} is a {kind} with a parametrization, which its closed forms do not read: {CURE}")
    if isinstance(coupling, Affine) and next(iter(coupling._parameters), "") == "bias":
        coupling._parameters["bias"] = coupling._parameters.pop("bias")


def _closed(kind: type[Coupling]) -> bool:
    """True if it defines a linearization of its own, which reads its tensors rather than calls it."""
    return kind.linearize is not Coupling.linearize


def require_kept(watch: Iterable[Watched], edges: Iterable[Any], couplings: Mapping[str, Any]) -> None:
    """Check that couplings were not replaced, hooked, parametrized or tied since they were added.

    Args:
        watch: the couplings and those inside them, by name.
        edges: of the network.
        couplings: the modules that are registered now.

    Raises:
        ValueError: if one was.
    """
    seen: dict[int, str] = {}
    for edge, coupling in zip(edges, couplings.values(), strict=True):
        if edge.coupling is not coupling:
            raise UsageError(f"couplings.{edge.index} was replaced after it was added: must be added to a new network")
    for name, coupling in watch:
        require_plain(name, coupling)
        for parameter in coupling._parameters.values():
            if parameter is not None and seen.setdefault(id(parameter), name) != name:
                raise UsageError(f"{name} and {seen[id(parameter)]} share a parameter: must have one each")


def require_batch(name: str, value: Any, shape: Shape) -> None:
    """Check that `value` is (B, *shape), floating point, B ≥ 1.

    Raises:
        TypeError: if it is no tensor.
        ValueError: if anything else does not hold.
    """
    if not isinstance(value, Tensor):
        raise UsageTypeError(f"{name} is {named(type(value))}: must be a tensor")
    if value.ndim != len(shape) + 1 or tuple(value.shape[1:]) != shape or len(value) == 0:
        raise UsageError(f"{name} has shape {tuple(value.shape)}: must be (B, {', '.join(map(str, shape))}) with B ≥ 1")
    if not value.is_floating_point():
        raise UsageError(f"{name} is {value.dtype}: must be floating point")
