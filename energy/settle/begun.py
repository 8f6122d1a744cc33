"""A free phase that was begun before: a settler goes on from it in place of settling again.

with resuming(network, x, [found]):
    settler.settle_once(network, x, target, objective)      # its `free` returns `found`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from torch import Tensor


class Begun(NamedTuple):
    """A free phase: what `Settler.free` returned for one network and one batch, until it is taken."""

    network: object
    x: Tensor
    found: list[Any]


_begun: ContextVar[Begun | None] = ContextVar("begun", default=None)


@contextmanager
def resuming(network: object, x: Tensor, found: list[Any]) -> Iterator[None]:
    """Let `Settler.free` take the one item of `found`, once, for this network and this very tensor.

    The item leaves the list, so that its states are freed as they are read.
    """
    token = _begun.set(Begun(network, x, found))
    try:
        yield
    finally:
        _begun.reset(token)


def resumed(network: object, x: Tensor) -> Any:
    """Take the free phase that is resumed; None if there is none of this network and batch."""
    begun = _begun.get()
    if begun is None or begun.network is not network or begun.x is not x:
        return None
    return begun.found.pop() if begun.found else None
