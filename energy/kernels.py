"""Kernels: functions of tensors that torch compiles into one pass over memory, where that is asked for and pays.

    with fused():
        rule.apply(network, settler.settle(network, x, target, objective))

Outside of `fused`, for small tensors, and where there is no compiler (said once, as a warning), the plain function
runs; it is what the compiled one is tested against. Compiled kernels are kept by torch, in the folder it names
TORCHINDUCTOR_CACHE_DIR. Nothing is compiled before the first large tensor comes by.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch import Tensor

SMALL: Final = 1 << 18  # elements below which a call of a compiled kernel costs more than the passes it saves
_smallest: ContextVar[int | None] = ContextVar("smallest", default=None)
_compiling: ContextVar[Callable[[], None] | None] = ContextVar("compiling", default=None)


@contextmanager
def fused(on: bool = True, *, smallest: int = SMALL, compiling: Callable[[], None] | None = None) -> Iterator[None]:
    """Use compiled kernels on tensors of `smallest` or more elements while the context lasts; plain if not `on`.

    `compiling` is called before each kernel that has to be compiled, which takes seconds."""
    token, told = _smallest.set(smallest if on else None), _compiling.set(compiling)
    try:
        yield
    finally:
        _compiling.reset(told)
        _smallest.reset(token)


class Kernel:
    """A plain function of tensors, `plain(*tensors, *constants)`, and its compiled forms, one a set of constants.

    elementwise: every output element depends on the input elements at its own place alone, and each output has the
    shape of the inputs. Tensors of any rank then pass as vectors, in the order in which they lie in memory.
    scan: the tensors are (rows, columns), no column hears of another, and the rows are gone through one by one."""

    def __init__(self, plain: Callable[..., Any], *, elementwise: bool = False, scan: bool = False) -> None:
        self.plain, self.elementwise, self.scan = plain, elementwise, scan
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._broken = False

    def ready(self, tensor: Tensor) -> bool:
        """Whether a call with `tensor` in front would run compiled."""
        smallest = _smallest.get()
        if smallest is None or self._broken:
            return False
        return tensor.numel() >= (smallest // 4 if self.scan else smallest)  # a scan saves passes in every row

    def __call__(self, tensors: Sequence[Tensor], *constants: Any) -> Any:
        """plain(*tensors, *constants)."""
        if not self.ready(tensors[0]) or (self.elementwise and not _alike(tensors)):
            return self.plain(*tensors, *constants)
        key = (tensors[0].dtype, *(len(t) for t in tensors if self.scan), *map(_key, constants))
        given = [_flat(tensor) for tensor in tensors] if self.elementwise else tensors
        try:
            with torch.no_grad():
                if key not in self._compiled:
                    if (compiling := _compiling.get()) is not None:
                        compiling()
                    self._compiled[key] = self._compile(given, constants)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # those of torch about itself
                        self._compiled[key](*given)
                found = self._compiled[key](*given)
        except Exception as error:  # what a missing or unsuited compiler raises; a fault of the caller's comes up again
            found = self.plain(*tensors, *constants)
            self._broken = True
            name = self.plain.__name__.strip("_")
            warnings.warn(f"kernels: {name} is not compiled, its plain form runs: {error!r:.300}", stacklevel=2)
            return found
        return tuple(_shaped(one, tensors[0]) for one in found) if self.elementwise else found

    def _compile(self, tensors: Sequence[Tensor], constants: tuple[Any, ...]) -> Callable[..., Any]:
        if not (self.elementwise or self.scan):
            return torch.compile(self.plain, dynamic=True, fullgraph=True)
        # Traced first: torch.compile takes a float argument for a variable, and what it then makes of a second value of
        # it was wrong (torch 2.13). Eight elements, or columns, do, since none knows of the others.
        from torch.fx.experimental.proxy_tensor import make_fx

        traced = make_fx(lambda *given: self.plain(*given, *constants))(
            *(tensor[..., :8].clone() for tensor in tensors)
        )
        return torch.compile(traced, dynamic=True, fullgraph=True)


def _key(constant: Any) -> Any:
    """What tells two constants apart: the value, or the type and fields of a component."""
    return (type(constant), *vars(constant).items()) if hasattr(constant, "__dict__") else constant


def _alike(tensors: Sequence[Tensor]) -> bool:
    """Whether all lie in memory in one way, without holes."""
    first = tensors[0]
    dense = first.is_contiguous() or (first.ndim == 4 and first.is_contiguous(memory_format=torch.channels_last))
    return dense and all(t.shape == first.shape and t.stride() == first.stride() for t in tensors[1:])


def _flat(tensor: Tensor) -> Tensor:
    return tensor.as_strided((tensor.numel(),), (1,))


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    return flat.as_strided(like.shape, like.stride())
