"""Kernels: functions of tensors that torch compiles into one pass over memory, on request and for large tensors.

    with fused():
        rule.apply(network, settler.settle(network, x, target, objective))

Outside of `fused`, for small tensors, and without a compiler (a warning tells so once), the plain function runs; the
compiled one is tested against it. torch keeps compiled kernels in the folder TORCHINDUCTOR_CACHE_DIR. Nothing is
compiled before the first large tensor.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch import Tensor

from energy.tracing import Opaque, tracing

SMALL: Final = 1 << 18  # elements below which a call of a compiled kernel costs more than the passes it saves
_smallest: ContextVar[int | None] = ContextVar("smallest", default=None)
_compiling: ContextVar[Callable[[], None] | None] = ContextVar("compiling", default=None)


@contextmanager
def fused(on: bool = True, *, smallest: int = SMALL, compiling: Callable[[], None] | None = None) -> Iterator[None]:
    """Use compiled kernels while the context lasts.

    Args:
        on: if false, plain functions run.
        smallest: the number of elements from which on tensors go through compiled kernels.
        compiling: called before each kernel that has to be compiled, which takes seconds.
    """
    token, told = _smallest.set(smallest if on else None), _compiling.set(compiling)
    try:
        yield
    finally:
        _compiling.reset(told)
        _smallest.reset(token)


def active() -> bool:
    """Return True inside `fused`."""
    return _smallest.get() is not None


class Kernel:
    """A plain function of tensors and its compiled forms, one per set of constants.

    Args:
        plain: called as plain(*tensors, *constants).
        elementwise: every output element depends on the input elements at its own place alone, and each output has the
            shape of the inputs. Tensors of any rank then pass as vectors, in memory order.
        scan: the tensors are (rows, columns), columns are independent, and the function loops over the rows.
        whole: a traced program calls the kernel rather than takes it apart, as it does with every scan.
    """

    def __init__(
        self, plain: Callable[..., Any], *, elementwise: bool = False, scan: bool = False, whole: bool = False
    ) -> None:
        self.plain = plain
        self.elementwise, self.scan = elementwise, scan
        self.whole = whole or scan
        self._opaque: dict[Any, Opaque] = {}
        self._several: set[Any] = set()  # the constants of calls that return a tuple, be it of one tensor
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._broken = False

    def ready(self, tensor: Tensor) -> bool:
        """Return True if a call with `tensor` as the first one would run compiled."""
        smallest = _smallest.get() if tracing() is None else SMALL
        if smallest is None or self._broken:
            return False
        return tensor.numel() >= (smallest // 128 if self.scan else smallest)  # a scan saves many calls in every row

    def __call__(self, tensors: Sequence[Tensor], *constants: Any) -> Any:
        """Return plain(*tensors, *constants)."""
        if tracing() is not None:
            return self._traced(tensors, constants)
        if not self.ready(tensors[0]) or (self.elementwise and not _suited(tensors)):
            return self.plain(*tensors, *constants)
        rows = ((len(t), t.stride(0) == 0) for t in tensors if self.scan)  # of a repeated row, another kernel
        key = (tensors[0].dtype, *rows, *map(_key, constants))
        given = [_flat(tensor, tensors[0]) for tensor in tensors] if self.elementwise else tensors
        try:
            with torch.no_grad():
                if key not in self._compiled:
                    if (compiling := _compiling.get()) is not None:
                        compiling()
                    self._compiled[key] = self._compile(given, constants)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # torch's warnings about its own internals
                        self._compiled[key](*given)
                found = self._compiled[key](*given)
        except Exception as error:  # of a missing or unsuited compiler; a caller's own error is raised again below
            found = self.plain(*tensors, *constants)
            self._broken = True
            name = self.plain.__name__.strip("_")
            warnings.warn(f"kernels: {name} is not compiled, its plain form runs: {error!r:.300}", stacklevel=2)
            return found
        return tuple(_shaped(one, tensors[0]) for one in found) if self.elementwise else found

    def _traced(self, tensors: Sequence[Tensor], constants: tuple[Any, ...]) -> Any:
        """The plain function, for a compiler to look into; or the kernel as one call."""
        if not (self.whole and self.ready(tensors[0])):
            return self.plain(*tensors, *constants)
        key = tuple(map(_key, constants))
        if key not in self._opaque:
            self._opaque[key] = self._as_one_call(constants)
        found = self._opaque[key](tensors)
        return tuple(found) if key in self._several else found[0]

    def _as_one_call(self, constants: tuple[Any, ...]) -> Opaque:
        def shapes(tensors: list[Tensor]) -> list[Tensor]:
            found = self.plain(*tensors, *constants)
            if not isinstance(found, Tensor):
                self._several.add(tuple(map(_key, constants)))
            return _listed(found)

        def called(tensors: list[Tensor]) -> list[Tensor]:
            if tracing() is not None:  # torch does not trace calls of what it has compiled
                return shapes(tensors)
            form = tuple((tensor.shape, tensor.dtype, tensor.stride()) for tensor in tensors)
            if form not in compiled:
                compiled[form] = _for_one_form(shapes, tensors)
            return compiled[form](tensors)

        compiled: dict[Any, Callable[[list[Tensor]], list[Tensor]]] = {}

        module = self.plain.__module__
        return Opaque(f"{module}.{self.plain.__name__}{constants}", called, shapes)

    def _compile(self, tensors: Sequence[Tensor], constants: tuple[Any, ...]) -> Callable[..., Any]:
        if not (self.elementwise or self.scan):
            return torch.compile(self.plain, dynamic=True, fullgraph=True)
        # Traced first: torch.compile takes a float argument for a variable, and its results for a second value of it
        # were wrong (torch 2.13). Eight elements, or columns, suffice for the trace, since they are independent.
        from torch.fx.experimental.proxy_tensor import make_fx

        traced = make_fx(lambda *given: self.plain(*given, *constants))(
            *(tensor[..., :8].clone() for tensor in tensors)
        )
        return torch.compile(traced.forward, dynamic=True, fullgraph=True)  # a module would be called through hooks


def _for_one_form(function: Callable[[list[Tensor]], list[Tensor]], tensors: list[Tensor]) -> Callable[..., Any]:
    """A function of tensors, compiled for tensors like these alone."""
    import torch._inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's warnings about its own internals
        graph = make_fx(function)([tensor.clone() for tensor in tensors])
        compiled: Any = torch._inductor.compile(graph, [tensors])  # pyright: ignore[reportArgumentType] (a list will do)
        return compiled


def _listed(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found)


def _key(constant: Any) -> Any:
    """The identity of a constant: its value, or the type and fields of a component."""
    return (type(constant), *vars(constant).items()) if hasattr(constant, "__dict__") else constant


def _suited(tensors: Sequence[Tensor]) -> bool:
    """True if all tensors have one shape, and the first has no holes in memory."""
    first = tensors[0]
    dense = first.is_contiguous() or (first.ndim == 4 and first.is_contiguous(memory_format=torch.channels_last))
    return dense and all(t.shape == first.shape for t in tensors[1:])


def _flat(tensor: Tensor, first: Tensor) -> Tensor:
    """The elements in the memory order of the first tensor; of another layout, such as a repeated number, a copy."""
    if tensor.stride() != first.stride():
        tensor = torch.empty_like(first, dtype=tensor.dtype).copy_(tensor)
    return tensor.as_strided((tensor.numel(),), (1,))


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    return flat.as_strided(like.shape, like.stride())
