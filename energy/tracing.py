"""The trace of a step that is being recorded, and calls that a recorded program keeps whole.

While a step is traced (`energy.program`), the host must not read a number of it, a solve with a tolerance becomes one
call, and so does a compiled kernel whose pass over memory a compiler of the whole program would take apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor


class Trace(Protocol):
    """A recording under way."""

    def loop(self, problem: Any, state: Any, relax: Any, output: int) -> Any:
        """Record a solve as one call, and return its solution.

        Args:
            problem, state, relax, output: as for `energy.relax.solve`.
        """
        ...

    def cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a weight in another precision."""
        ...


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def tracing() -> Trace | None:
    """Return the trace that is being recorded; None in a step that is carried out."""
    return _trace.get()


@contextmanager
def traced_by(trace: Trace | None) -> Iterator[None]:
    """Record into `trace` while the context lasts."""
    token = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(token)


def cast(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a weight in the precision of the states; a program may keep a copy of it in that."""
    trace = tracing()
    return weight.to(dtype) if trace is None or weight.dtype is dtype else trace.cast(weight, dtype)


class Opaque:
    """A function of tensors that a program calls and does not look into.

    Args:
        name: the same in every process that may share compiled programs.
        function: from a list of tensors to a list of new tensors, none of which shares memory with an argument.
        shapes: the same on tensors without numbers; gives shapes, layouts and dtypes of the results.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[list[Tensor]], list[Tensor]],
        shapes: Callable[[list[Tensor]], list[Tensor]],
    ) -> None:
        self.name, self.function = name, function
        self.shapes = shapes
        _opaque[name] = self

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return function(tensors), as one operation of whoever watches."""
        return _operator()(list(tensors), self.name)


_opaque: WeakValueDictionary[str, Opaque] = WeakValueDictionary()


@functools.cache
def _operator() -> Callable[[list[Tensor], str], list[Tensor]]:
    """The operator of all opaque calls, registered with torch when it is first needed."""
    exact = (torch.Tag.needs_exact_strides,)

    def call(tensors: list[Tensor], name: str) -> list[Tensor]:
        return _opaque[name].function(tensors)

    def shapes(tensors: list[Tensor], name: str) -> list[Tensor]:
        return _opaque[name].shapes(tensors)

    schema = "(Tensor[] tensors, str name) -> Tensor[]"
    operator = torch.library.custom_op("energy::opaque", call, mutates_args=(), schema=schema, tags=exact)
    operator.register_fake(shapes)
    return operator
