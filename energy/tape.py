"""Autograd where a closed form is missing, whatever the caller has switched off: within `taped` a tape is written under
`torch.no_grad` and under `torch.inference_mode` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from energy.errors import UsageError


@contextmanager
def taped() -> Iterator[None]:
    """Autograd on while the context lasts."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def plain(tensor: Tensor) -> Tensor:
    """The tensor itself, or a copy of one made under `inference_mode`, which no tape can keep."""
    return tensor.clone() if tensor.is_inference() else tensor


def leaf(tensor: Tensor) -> Tensor:
    """The tensor as the start of a tape; to be called within `taped`."""
    return plain(tensor).detach().requires_grad_()


def pushed(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> Tensor:
    """f′(point) direction, by two reverse passes: f′ᵀ is linear in what it is applied to, and f′ is its transpose."""
    with taped():
        start = leaf(point)
        found = function(start)
        probe = torch.zeros_like(found).requires_grad_()
        (pulled,) = torch.autograd.grad(found, start, probe, create_graph=True)
        return torch.autograd.grad(pulled, probe, direction)[0]


def require_tape(owner: str) -> None:
    """Raise ValueError under `inference_mode`, for what walks back a tape that others write."""
    if torch.is_inference_mode_enabled():
        raise UsageError(
            f"{owner} walks back autograd's tape, which torch.inference_mode() does not write: leave that mode; "
            "torch.no_grad() does no harm"
        )
