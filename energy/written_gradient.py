"""A gradient that a rule has written: did an optimizer use it before the next one came?"""

from __future__ import annotations

from typing import Any
from weakref import WeakMethod, finalize, ref

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

FIRST_NUMBERS = 1024


class WrittenGradient:
    """The gradient of one parameter at one call of a rule.

    A step of a torch optimizer that has the parameter is heard of by a hook, whether or not it moves the weight: a
    warm-up starts at a rate of zero, and a small step is lost in the rounding of a large weight. A step written by hand
    changes the version of the parameter, or its numbers.

    Args:
        call: that wrote it.
        parameter: its `.grad` is the gradient.
        x: the batch it came from.
    """

    def __init__(self, call: int, parameter: Tensor, x: Tensor) -> None:
        self.call, self.batch = call, ref(x)
        self._gradient, self._version = id(parameter.grad), parameter._version
        self._begins = _begins(parameter)
        self._stepped, self._parameter = False, id(parameter)
        finalize(self, register_optimizer_step_post_hook(_heard_by(WeakMethod(self._hear))).remove)

    def unused(self, parameter: Tensor) -> bool:
        """Return True if nothing has used the gradient of `parameter` since."""
        same = (self._gradient, self._version) == (id(parameter.grad), parameter._version)
        return not self._stepped and same and torch.equal(self._begins, _begins(parameter))

    def _hear(self, optimizer: torch.optim.Optimizer) -> None:
        self._stepped |= any(id(p) == self._parameter for group in optimizer.param_groups for p in group["params"])


def _heard_by(hear: WeakMethod[Any]) -> Any:
    """The hook of torch, which keeps nothing alive."""

    def hook(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if (listener := hear()) is not None:
            listener(optimizer)

    return hook


def _begins(parameter: Tensor) -> Tensor:
    return parameter.detach().flatten()[:FIRST_NUMBERS].clone()
