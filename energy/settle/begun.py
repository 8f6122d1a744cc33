"""A free phase that was begun before: a settler goes on from it in place of settling again.

with resuming(network, x, found):
    settler.settle_once(network, x, target, objective)      # its `free` returns `found`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from torch import Tensor


class Begun(NamedTuple):
    """A free phase: what `Settler.free` returned for one network and one batch."""

    network: object
    x: Tensor
    found: Any


_begun: ContextVar[Begun | None] = ContextVar("begun", default=None)


@contextmanager
def resuming(network: object, x: Tensor, found: Any) -> Iterator[None]:
    """Let `Settler.free` return `found` for this network and this very tensor, while the context lasts."""
    token = _begun.set(Begun(network, x, found))
    try:
        yield
    finally:
        _begun.reset(token)


def resumed(network: object, x: Tensor) -> Any:
    """Return the free phase that is resumed; None if there is none of this network and batch."""
    begun = _begun.get()
    return begun.found if begun is not None and begun.network is network and begun.x is x else None
