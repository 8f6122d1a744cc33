"""Couplings outside of training mode: their behavior there, and the parts of it that a network cannot honor.

The cost of two layers is a function of their states, so a coupling is never random, and normalizes by running
statistics; `Network.learning` alone lets it update them by a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from energy.cautions import caution
from energy.couplings import Affine, Coupling, Module, Shape
from energy.couplings.block import Block
from energy.couplings.statistics import share_statistics
from energy.errors import UsageError

CHANCE: Final = (nn.modules.dropout._DropoutNd, nn.RReLU)
CLOSE: Final = 1e-3  # of the greatest magnitude: outputs that differ by less may be one output of two kernels


@contextmanager
def undisturbed(coupling: Coupling) -> Iterator[None]:
    """Set evaluation mode while the context lasts; modes, buffers and random numbers are restored after it."""
    modes = [(module, module.training) for module in coupling.modules()]
    held = [(buffer, buffer.clone()) for buffer in coupling.buffers() if not nn.parameter.is_lazy(buffer)]
    like = next(coupling.parameters(), None)
    devices = [like.device] if like is not None and like.device.type == "cuda" else []
    coupling.eval()
    with torch.no_grad(), torch.random.fork_rng(devices):
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for buffer, value in held:
                buffer.copy_(value)


@contextmanager
def learning(couplings: list[Coupling]) -> Iterator[None]:
    """Set training mode while the context lasts, except for random modules."""
    for coupling in couplings:
        _train(coupling)
    try:
        yield
    finally:
        for coupling in couplings:
            coupling.eval()


def _train(coupling: Coupling) -> None:
    if not coupling.by_chance:
        nn.Module.train(coupling)
        for module in coupling.modules():
            if isinstance(module, CHANCE):
                module.eval()
            share_statistics(module)


def measured(coupling: Coupling, below: Shape, name: str) -> tuple[Shape, int]:
    """Return the shape that a coupling gives to a layer above one of shape `below`, and its multiply-adds per sample.

    Args:
        coupling: the coupling.
        below: without the batch axis.
        name: of the layer above, for the error message.

    Raises:
        ValueError: if a module cannot read such a layer.
    """
    with undisturbed(coupling):
        try:
            return tuple(coupling.shape(below)), coupling.multiply_adds(below)
        except (RuntimeError, IndexError) as error:  # NotImplementedError says what a coupling must define
            if isinstance(error, NotImplementedError):
                raise
            reason = str(error).strip().partition("\n")[0][:120]
            raise UsageError(
                f"{name}: {type(coupling).__name__} cannot read a layer of shape {below}: {reason}"
            ) from error


def examine(coupling: Coupling, shape: Shape, name: str) -> None:
    """Report, as a caution, effects that a coupling has in training mode only, and note if it is random there.

    Args:
        coupling: the coupling.
        shape: of the layer that it reads, without the batch axis.
        name: of the layer above, for messages.

    Raises:
        ValueError: if in evaluation mode too its output is random, or a sample's depends on the rest of the batch.
    """
    like = next(coupling.parameters(), torch.zeros(()))
    if isinstance(coupling, Affine) or like.device.type == "meta":
        return
    forward = coupling.prepared if isinstance(coupling, Block) else coupling  # filters have no modes
    sample = _sample(shape).to(like.device, like.dtype)
    try:
        with undisturbed(coupling):
            alone = forward(sample[:1])  # lazy parameters exist from here on
        with undisturbed(coupling):
            found, again = forward(sample), forward(sample)
    except Exception as error:  # of any kind: a user's module may not be made for these numbers
        if any(_by_batch(module) for module in coupling.modules()):
            raise UsageError(_batch(coupling, name)) from error
        return
    if not _same(found, again):
        raise UsageError(f"{name}: {_called(coupling, '')} differs when asked again: must not depend on chance")
    if not _same(alone, found[:1]):
        raise UsageError(_batch(coupling, name))
    with undisturbed(coupling):
        moved = _in_training(coupling, forward, sample, found)
    drops = [path for path, one in coupling.named_modules() if isinstance(one, CHANCE) and not _never(one)]
    _caution(coupling, name, drops, moved)


def _sample(shape: Shape) -> Tensor:
    """A few samples of numbers in (0, 1), together enough of them to show randomness."""
    units = torch.Size(shape).numel()
    count = min(16, max(2, 64 // units))
    return torch.arange(1, count * units + 1, dtype=torch.float64).sin().abs().mul(0.999).view(count, *shape)


def _in_training(coupling: Coupling, forward: Callable[[Tensor], Tensor], sample: Tensor, found: Tensor) -> list[str]:
    """The modules that update buffers, or behave otherwise, in training mode. Notes if the coupling is random."""
    coupling.by_chance = False
    _train(coupling)
    held = {path: buffer.clone() for path, buffer in coupling.named_buffers()}
    try:
        first = forward(sample)
        moved = [path for path, buffer in coupling.named_buffers() if not torch.equal(buffer, held[path])]
        if _same(first, found):
            return list(dict.fromkeys(path.rpartition(".")[0] for path in moved))
        for path, buffer in coupling.named_buffers():
            buffer.copy_(held[path])
        coupling.by_chance = not torch.equal(first, forward(sample))
    except Exception:  # as above; it is then never put into training mode
        coupling.by_chance, moved = True, []
    return list(dict.fromkeys(path.rpartition(".")[0] for path in moved)) or [""]


def _caution(coupling: Coupling, name: str, drops: list[str], moved: list[str]) -> None:
    if drops or coupling.by_chance:
        whom = ", ".join(_called(coupling, path) for path in drops) or f"what is random in {_called(coupling, '')}"
        caution(
            f"{name}: {whom} never acts, since couplings stay in evaluation mode: take it out, and regularize by "
            "weight_decay or by noise in the data",
        )
    fresh = [path for path in moved if not _seasoned(coupling.get_submodule(path))]
    if fresh and not (coupling.by_chance or coupling.batchwise or isinstance(coupling, Block)):
        whom = ", ".join(_called(coupling, path) for path in fresh)
        caution(
            f"{name}: {whom} updates its statistics under settler=backprop alone, and stays as it is under all others: "
            "normalize with nn.GroupNorm or nn.LayerNorm, or take energy.couplings.BatchNorm, or "
            "energy.couplings.Block and a local rule",
        )


def _called(coupling: Coupling, path: str) -> str:
    path = path or ("module" if isinstance(coupling, Module) else "")
    kind = type(coupling.get_submodule(path)).__name__
    return f"{path} ({kind})" if path else kind


def _never(module: nn.Module) -> bool:
    """True if it drops nothing in training mode either."""
    return getattr(module, "p", None) == 0


def _seasoned(module: nn.Module) -> bool:
    """True if its statistics come from batches, as those of a trained model."""
    seen = getattr(module, "num_batches_tracked", None)
    return isinstance(seen, Tensor) and bool(seen > 0)


def _by_batch(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None


def _batch(coupling: Coupling, name: str) -> str:
    whom = [_called(coupling, path) for path, one in coupling.named_modules() if _by_batch(one)]
    return (
        f"{name}: {(whom or [_called(coupling, '')])[0]} lets a sample's output depend on the rest of its batch: must "
        "not; normalize with nn.GroupNorm or nn.LayerNorm"
    )


def _same(some: Tensor, others: Tensor) -> bool:
    scale = float(others.abs().max()) if others.numel() else 0.0
    return some.shape == others.shape and torch.allclose(some, others, rtol=CLOSE, atol=CLOSE * scale, equal_nan=True)


def settle_down(coupling: Coupling, shape: Shape, name: str) -> None:
    """Set evaluation mode if a part of a coupling was put into training mode by itself, or was added later.

    Args:
        coupling: the coupling.
        shape: of the layer that it reads, without the batch axis.
        name: of the coupling, for messages.
    """
    if not coupling.training and any(module.training for module in coupling.modules()):
        coupling.eval()
        examine(coupling, shape, name)


def require_precision(name: str, coupling: Coupling, shape: Shape, x: Tensor) -> None:
    """Check that a coupling takes states in the dtype of `x`, and returns them in it.

    Args:
        name: of the coupling, for the error message.
        coupling: the coupling.
        shape: of the layer that it reads, without the batch axis.
        x: a batch.

    Raises:
        ValueError: if it does not.
    """
    with undisturbed(coupling):
        try:
            dtype = coupling(torch.zeros((2, *shape), dtype=x.dtype, device=x.device)).dtype
            reason = f"returns {dtype}"
        except Exception as error:  # of any kind: it is a user's module
            dtype, reason = None, str(error).strip().partition("\n")[0][:120]
    if dtype is not x.dtype:
        raise UsageError(
            f"x is {x.dtype}: {name}, a {type(coupling).__name__}, cannot read it ({reason}): cast its weights to the "
            "states, weight.to(pre.dtype), or give x in the dtype of the weights"
        )
