"""Autograd in place of a closed form, whatever mode the caller is in.

Within `taped` a tape is written under `torch.no_grad` and under `torch.inference_mode` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from energy.errors import UsageError


@contextmanager
def taped() -> Iterator[None]:
    """Switch autograd on while the context lasts."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor itself, or a copy of one made under `inference_mode`, which no tape can keep."""
    return tensor.clone() if tensor.is_inference() else tensor


def leaf(tensor: Tensor) -> Tensor:
    """Return the tensor as the start of a tape; to be called within `taped`."""
    return plain(tensor).detach().requires_grad_()


def pushed(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> Tensor:
    """Return the Jacobian–vector product f′(point) direction, by two reverse passes.

    f′ᵀ v is linear in v, and the transpose of that linear map is f′.

    Args:
        function: f, differentiable.
        point, direction: of the same shape.
    """
    with taped():
        start = leaf(point)
        found = function(start)
        probe = torch.zeros_like(found).requires_grad_()
        (pulled,) = torch.autograd.grad(found, start, probe, create_graph=True)
        return torch.autograd.grad(pulled, probe, direction)[0]


def require_tape(owner: str) -> None:
    """Check that autograd can write a tape, for code that runs one backward.

    Raises:
        ValueError: under `inference_mode`.
    """
    if torch.is_inference_mode_enabled():
        raise UsageError(
            f"{owner} walks back autograd's tape, which torch.inference_mode() does not write: leave that mode; "
            "torch.no_grad() does no harm"
        )
