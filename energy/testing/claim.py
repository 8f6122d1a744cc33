"""What a check is made of: a claim about a subject, a comparison, reproducible noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from energy.stream import stream


def title(subject: object) -> str:
    """What messages call a subject: its label, or else its class."""
    return getattr(subject, "label", "") or type(subject).__name__


def claim(ok: bool | Tensor, subject: object, reason: str) -> None:
    """Raise AssertionError("<subject>: <reason>") unless `ok`."""
    if not bool(ok):
        raise AssertionError(f"{title(subject)}: {reason}")


def agree(subject: object, what: str, found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Claim equal shapes, and values that differ by less than `tolerance` of the larger of 1 and the largest expected
    value."""
    claim(
        found.shape == expected.shape, subject, f"{what}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    )
    if expected.numel() == 0:
        return
    scale = max(1.0, float(expected.detach().abs().max()))
    gap = float((found.detach() - expected.detach()).abs().max()) / scale
    claim(gap <= tolerance, subject, f"{what}: differs by {gap:.1e} (allowed {tolerance:.0e})")


def between(subject: object, what: str, found: Tensor, ends: Sequence[Tensor], slack: float) -> None:
    """Claim that every value lies between the least and the greatest of `ends`, give or take `slack` of their scale."""
    stacked = torch.stack(list(ends))
    room = slack * max(1.0, float(stacked.abs().max()))
    beyond = float(torch.maximum(stacked.amin(0) - found, found - stacked.amax(0)).max())
    claim(beyond <= room, subject, f"{what}: off by {beyond:.1e} (allowed {room:.0e})")


def follows(subject: object, what: str, found: Tensor, like: Tensor) -> None:
    """Claim the shape, dtype and device of `like`."""
    claim(found.shape == like.shape, subject, f"{what} has shape {tuple(found.shape)} for {tuple(like.shape)}")
    claim(
        found.dtype == like.dtype, subject, f"{what} is {found.dtype} for {like.dtype}: the dtype must follow the input"
    )
    claim(
        found.device == like.device, subject, f"{what} is on {found.device} for {like.device}: it must follow the input"
    )


def noise(purpose: str, *shape: int, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers, a function of `purpose` and the shape alone."""
    return torch.randn(shape, dtype=torch.float64, generator=stream(0, f"testing/{purpose}"), device="cpu").to(
        device, dtype
    )


def shuffled(size: int, device: str | torch.device = "cpu") -> Tensor:
    """A permutation of 0 … size − 1 that moves every sample."""
    return torch.arange(size, device=device).roll(1)
