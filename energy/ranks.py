"""The processes that train one network together: each, a rank, has a share of every batch.

    torchrun --nproc-per-node 2 -m energy train …

Whatever one process would add up, count, or compare over a batch is added up, counted and compared over all ranks
before anything is divided by it: gradients, the largest change of a local rule, batch statistics, the verdict of a
solve. A product of states is written by no tape. `DistributedDataParallel`, which hears of gradients from the tape,
would leave every one of them as it is; so the functions here do that work, and outside of `joined` they do nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.errors import LostRankError, UsageError, UsageTypeError

if TYPE_CHECKING:  # who only asks whether to speak need not wait for torch
    import torch
    from torch import nn

PATIENCE: Final = 600.0  # seconds that a rank waits for another


@dataclass(frozen=True)
class Ranks:
    """The ranks of one training, as one of them sees it.

    Attributes:
        number: of this one, from 0.
        count: of all.
        control: the group that exchanges what the hosts decide, on the CPU.
        processes: host and process number of each.
        speaks: whether this one writes and prints.
    """

    number: int = 0
    count: int = 1
    control: Any = None
    processes: tuple[tuple[str, int], ...] = ()
    speaks: bool = True

    @property
    def several(self) -> bool:
        """True if there are others."""
        return self.count > 1


ONE: Final = Ranks()
_here: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def here() -> Ranks:
    """Return the ranks of this process: it alone, outside of `joined`, and then silent if a launcher calls it another
    one than the first.
    """
    return _here.get() or (ONE if os.environ.get("RANK", "0") == "0" else replace(ONE, speaks=False))


def require_heard(network: nn.Module) -> None:
    """Check that the gradients of a network that is about to learn reach the other processes, if there are any.

    Raises:
        TypeError: for a network inside `DistributedDataParallel` or its like.
        ValueError: in a process group of several, outside of `joined` and `separately`.
    """
    from torch import distributed as dist
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    if isinstance(network, DataParallel | DistributedDataParallel):
        raise UsageTypeError(
            f"network is wrapped in {type(network).__name__}, which adds up gradients of autograd only, and those of a "
            "settler are not among them: pass the network itself, inside energy.ranks.joined()"
        )
    if _here.get() is None and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise UsageError(
            f"a process group of {dist.get_world_size()} is up, but gradients are added up inside "
            "energy.ranks.joined() alone; energy.ranks.separately() lets every process train a network of its own"
        )


def asked() -> int:
    """Return the number of processes that a launcher such as `torchrun` has started: 1 without one.

    Raises:
        ValueError: for a `WORLD_SIZE` that is no whole number.
    """
    told = os.environ.get("WORLD_SIZE", "1") if "RANK" in os.environ else "1"
    if not (told.isascii() and told.isdigit() and int(told)):
        raise UsageError(f"WORLD_SIZE={told!r}: must be the number of processes, as torchrun sets it")
    return int(told)


def own_device(device: torch.device) -> torch.device:
    """Return the device of this rank: of the GPUs of a host, unless one is named, that with its number there."""
    import torch

    several = asked() > 1 and device.type == "cuda" and device.index is None
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if several else device


@contextmanager
def joined(device: torch.device | None = None, patience: float = PATIENCE) -> Iterator[Ranks]:
    """Train together with the other processes of the launcher, or of the process group that there is, inside.

    Args:
        device: of the tensors; sums on CUDA are made by NCCL, all others by Gloo.
        patience: seconds to wait for another rank before it counts as lost.

    Raises:
        LostRankError: for a rank that does not come.
    """
    from torch import distributed as dist

    begun = dist.is_initialized()
    if here().several or (not begun and asked() == 1):
        yield here()
        return
    limit = timedelta(seconds=patience)
    with heard(ONE):
        if not begun:
            cuda = device is not None and device.type == "cuda"
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=limit)
        control = dist.new_group(backend="gloo", timeout=limit)
        processes: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(processes, (socket.gethostname(), os.getpid()), group=control)
    number = dist.get_rank()
    token = _here.set(Ranks(number, dist.get_world_size(), control, tuple(processes), number == 0))
    try:
        yield here()
    finally:
        _here.reset(token)
        if not begun:
            dist.destroy_process_group()


@contextmanager
def separately() -> Iterator[None]:
    """Let every rank compute by itself inside, such as a measurement that all of them make alike."""
    token = _here.set(Ranks(speaks=here().speaks))
    try:
        yield
    finally:
        _here.reset(token)


def share(count: int) -> slice:
    """Return the rows of a batch of `count` that this rank has: the first ones for rank 0.

    Example:
        >>> share(100)
        slice(0, 100, None)
    """
    ranks = here()
    return slice(ranks.number * count // ranks.count, (ranks.number + 1) * count // ranks.count)


@contextmanager
def heard(ranks: Ranks) -> Iterator[None]:
    """Name the ranks that do not answer, in place of the error of a connection."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":  # of torch
            raise
        lost = [number for number, one in enumerate(ranks.processes) if _ended(*one)]
        names = " and ".join(f"rank {n} (process {ranks.processes[n][1]})" for n in lost) or "a rank"
        told = str(error).strip().partition("\n")[0][:120]
        why = "has ended" if lost else "did not answer in time" if "imed out" in told else f"did not answer ({told})"
        raise LostRankError(f"{names} of {max(ranks.count, asked())} {why}") from error


def _ended(host: str, process: int) -> bool:
    """True for a process of this host that is no more, or that only waits to be asked how it ended."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except OSError:
        return False
