"""Cautions: warnings of what would otherwise go wrong in silence, each with its cure.

    with strict():
        rule.learn(network, settler, x, target, objective)      # the first caution is raised

A caution is one line that names the field or layer, the value, and what to do. It never changes a result."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_strict: ContextVar[bool] = ContextVar("strict", default=False)
_told: ContextVar[Callable[[str], object] | None] = ContextVar("told", default=None)


class Caution(UserWarning):
    """A result that stands, and that its user should look at; raised in place of warned within `strict`."""


@contextmanager
def strict(on: bool = True) -> Iterator[None]:
    """Raise every caution while the context lasts; with `on` false, warn of it."""
    token = _strict.set(on)
    try:
        yield
    finally:
        _strict.reset(token)


@contextmanager
def told(to: Callable[[str], object]) -> Iterator[None]:
    """Give the text of every caution `to` a function, in place of warning, while the context lasts."""
    token = _told.set(to)
    try:
        yield
    finally:
        _told.reset(token)


def caution(text: str) -> None:
    """Warn with one line of `text`, as said by whoever called this library; raise `Caution` within `strict`."""
    if _strict.get():
        raise Caution(text)
    if (listener := _told.get()) is not None:
        listener(text)
    else:
        warnings.warn(text, Caution, stacklevel=_outside())


def _outside() -> int:
    """The stack level of the nearest frame that is not of this library, counted from `caution`."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "energy":
        level, frame = level + 1, frame.f_back
    return level
