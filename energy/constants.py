"""Tensors that are made once and never change, which a recorded program may therefore read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.weak import WeakTensorKeyDictionary

P = ParamSpec("P")

_constants: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def constant(maxsize: int) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Return a decorator that caches a function of hashable arguments whose tensor nobody writes to.

    The tensor is made outside of any recording under way, so that no recording owns it.

    Args:
        maxsize: the number of tensors that are kept.
    """

    def decorate(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @functools.lru_cache(maxsize=maxsize)
        def made(*given: Any) -> Tensor:
            with _disable_current_modes():
                tensor = function(*given)  # pyright: ignore[reportCallIssue] (the arguments are those of `function`)
            _constants[tensor] = True
            return tensor

        return functools.wraps(function)(made)  # pyright: ignore[reportReturnType]

    return decorate


def is_constant(tensor: Tensor) -> bool:
    """Return True for a tensor that was made by a function under `constant`."""
    return tensor in _constants
