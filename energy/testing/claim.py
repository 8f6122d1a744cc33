"""The parts of a check: a claim about a subject, a comparison, reproducible noise."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import torch
from torch import Tensor

from energy.stream import stream

F = TypeVar("F", bound=Callable[..., Any])
WIDTH: Final = 160  # of an error of the subject's, in a reason


def title(subject: object) -> str:
    """Return the name of a subject in messages: its label, or else its class."""
    cls = subject if inspect.isclass(subject) else type(subject)
    return getattr(subject, "name", "") or cls.__name__


def brief(error: BaseException) -> str:
    """Return an error on one line, truncated if long."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} ..."


def promise(wanted: str) -> Callable[[F], F]:
    """Decorate a step of a check so that any error but a claim becomes an AssertionError with the text `wanted`.

    The subject is the first argument of the step; the error is chained.
    """

    def decorate(step: F) -> F:
        @functools.wraps(step)
        def guarded(subject: object, *args: Any, **kwargs: Any) -> Any:
            try:
                return step(subject, *args, **kwargs)
            except AssertionError as error:
                if str(error):
                    raise
                raise AssertionError(f"{title(subject)}: {wanted} (an assertion of its own failed)") from error
            except Exception as error:
                raise AssertionError(f"{title(subject)}: {wanted} ({brief(error)})") from error

        return cast(F, guarded)

    return decorate


def public_check(kind: type, cure: str) -> Callable[[F], F]:
    """Decorate a public check.

    Its subject must be a `kind`, and `cure` says how to get one; any other error becomes an AssertionError; the global
    random numbers stay where they were.
    """

    def decorate(body: F) -> F:
        @functools.wraps(body)
        def checked(*args: Any, **kwargs: Any) -> list[str]:
            subject = args[0] if args else next(iter(kwargs.values()), None)
            called = inspect.isclass(subject) and issubclass(subject, kind)
            claim(not called, subject, f"is a class: check an instance, {getattr(subject, '__name__', '')}(...)")
            claim(isinstance(subject, kind), subject, f"is no {kind.__name__}: {cure}")
            held = torch.get_rng_state()
            try:
                left_out = promise("the check could not be run")(body)(*args, **kwargs)
                drawn = not torch.equal(held, torch.get_rng_state())
            finally:
                torch.set_rng_state(held)
            claim(not drawn, subject, "draws from the global generator: use energy.stream")
            return left_out

        return cast(F, checked)

    return decorate


def tensor(subject: object, what: str, found: Any) -> Tensor:
    """Claim that `found` is a tensor, and return it."""
    claim(isinstance(found, Tensor), subject, f"{what} is a {type(found).__name__}: must be one tensor")
    return found


def claim(ok: bool | Tensor, subject: object, reason: str) -> None:
    """Raise AssertionError("<subject>: <reason>") unless `ok`."""
    if not bool(ok):
        raise AssertionError(f"{title(subject)}: {reason}")


def agree(subject: object, what: str, found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Claim equal shapes and close values.

    Args:
        subject: named in the message.
        what: the compared value, for the message.
        found, expected: the values.
        tolerance: allowed difference, relative to the larger of 1 and the largest expected value.
    """
    tensor(subject, what, found)
    claim(
        found.shape == expected.shape, subject, f"{what}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    )
    if expected.numel() == 0:
        return
    scale = max(1.0, float(expected.detach().abs().max()))
    gap = float((found.detach() - expected.detach()).abs().max()) / scale
    claim(gap <= tolerance, subject, f"{what}: differs by {gap:.1e} (allowed {tolerance:.0e})")


def between(subject: object, what: str, found: Tensor, ends: Sequence[Tensor], slack: float) -> None:
    """Claim that every value lies between the least and the greatest of `ends`.

    Args:
        subject: named in the message.
        what: the value, for the message.
        found: the value.
        ends: tensors of its shape.
        slack: allowed excess, relative to the larger of 1 and their largest value.
    """
    stacked = torch.stack(list(ends))
    room = slack * max(1.0, float(stacked.abs().max()))
    beyond = float(torch.maximum(stacked.amin(0) - found, found - stacked.amax(0)).max())
    claim(beyond <= room, subject, f"{what}: off by {beyond:.1e} (allowed {room:.0e})")


def follows(subject: object, what: str, found: Tensor, like: Tensor) -> None:
    """Claim the shape, dtype and device of `like`.

    Args:
        subject: named in the message.
        what: the value, for the message.
        found: the value.
        like: a tensor with the expected shape, dtype and device.
    """
    tensor(subject, what, found)
    claim(found.shape == like.shape, subject, f"{what} has shape {tuple(found.shape)} for {tuple(like.shape)}")
    claim(
        found.dtype == like.dtype, subject, f"{what} is {found.dtype} for {like.dtype}: the dtype must follow the input"
    )
    claim(
        found.device == like.device, subject, f"{what} is on {found.device} for {like.device}: it must follow the input"
    )


def noise(purpose: str, *shape: int, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
    """Return standard normal numbers, a function of `purpose` and the shape alone."""
    return torch.randn(shape, dtype=torch.float64, generator=stream(0, f"testing/{purpose}"), device="cpu").to(
        device, dtype
    )


def shuffled(size: int, device: str | torch.device = "cpu") -> Tensor:
    """Return a permutation of 0 … size − 1 that moves every sample."""
    return torch.arange(size, device=device).roll(1)
