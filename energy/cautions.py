"""Cautions: warnings of results that would otherwise be wrong without notice, each with its remedy.

    with strict():
        rule.learn(network, settler, x, target, objective)      # the first caution is raised

A caution is one line that names the field or layer, the value, and the remedy. It never changes a result.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_strict: ContextVar[bool] = ContextVar("strict", default=False)
_told: ContextVar[Callable[[str], object] | None] = ContextVar("told", default=None)


class Caution(UserWarning):
    """A warning of a result that is valid but should be examined; raised as an error within `strict`."""


@contextmanager
def strict(on: bool = True) -> Iterator[None]:
    """Raise every caution as an error while the context lasts; with `on` false, issue it as a warning."""
    token = _strict.set(on)
    try:
        yield
    finally:
        _strict.reset(token)


@contextmanager
def told(to: Callable[[str], object]) -> Iterator[None]:
    """Pass the text of every caution to the function `to` instead of warning, while the context lasts."""
    token = _told.set(to)
    try:
        yield
    finally:
        _told.reset(token)


def caution(text: str) -> None:
    """Warn with one line of `text`, at the line that called this library; raise it within `strict`.

    Raises:
        Caution: within `strict`.
    """
    if _strict.get():
        raise Caution(text)
    if (listener := _told.get()) is not None:
        listener(text)
    else:
        warnings.warn(text, Caution, stacklevel=_outside())


def _outside() -> int:
    """The stack level of the nearest frame outside this library, counted from `caution`."""
    level = 2
    frame = sys._getframe(level)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "energy":
        level, frame = level + 1, frame.f_back
    return level
