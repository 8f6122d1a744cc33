"""The exchange between the ranks of a training: sums of tensors, and decisions of the hosts.

Every function is called by all ranks in the same order. One process alone gets back what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from energy.ranks import heard, here

Result = TypeVar("Result")

BUCKET: Final = 4 * 2**20  # bytes of gradients that are sent together


def sum_of_all(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Add up tensors over all ranks, in place, and return them."""
    sums = Sums()
    sums.send(tensors)
    sums.wait()
    return tensors


def anywhere(flags: Tensor) -> Tensor:
    """Return booleans that are true where they are on any rank."""
    if not here().several:
        return flags
    found = flags.to(torch.uint8)
    with heard(here()):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return found.bool()


def from_first(tensors: Sequence[Tensor]) -> None:
    """Overwrite tensors by those of rank 0."""
    if here().several:
        with heard(here()):
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def count_of_all(number: int) -> int:
    """Return the sum of a number over all ranks; the device is not read."""
    return number if not here().several else int(_decided(number, dist.ReduceOp.SUM))


def agreed(number: int) -> int:
    """Return the greatest of the numbers of all ranks, such as that of a signal; the device is not read."""
    return number if not here().several else int(_decided(number, dist.ReduceOp.MAX))


def value_of_first(value: Any = None) -> Any:
    """Return the value that rank 0 has, of any kind that can be pickled."""
    ranks, box = here(), [value]
    if ranks.several:
        with heard(ranks):
            dist.broadcast_object_list(box, 0, group=ranks.control)
    return box[0]


def by_first(action: Callable[[], Result]) -> Result:
    """Let rank 0 act, and return its result, which can be pickled, on every rank; its error ends all of them.

    Raises:
        SystemExit: on the other ranks, when rank 0 raised.
    """
    ranks = here()
    if not ranks.several:
        return action()
    if ranks.number:
        failed, value = value_of_first()
        if failed:
            raise SystemExit(1)
        return value
    try:
        value = action()
    except BaseException:
        value_of_first((True, None))
        raise
    return value_of_first((False, value))[1]


def from_all(value: Any) -> list[Any]:
    """Return the values of all ranks, of any kind that can be pickled, in the order of their numbers."""
    ranks = here()
    found = [value] * ranks.count
    if ranks.several:
        with heard(ranks):
            dist.all_gather_object(found, value, group=ranks.control)
    return found


def _decided(number: int, how: Any) -> Tensor:
    ranks, box = here(), torch.tensor(number, dtype=torch.int64, device="cpu")
    with heard(ranks):
        dist.all_reduce(box, how, group=ranks.control)
    return box


class Sums:
    """Sums over all ranks that are under way while this one computes on.

    Tensors are sent in buckets of some megabytes, in the order in which they come, the same on every rank.
    """

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []
        self._sent: list[tuple[Tensor, list[Tensor], Any]] = []

    def send(self, tensors: Sequence[Tensor]) -> None:
        """Begin to add up tensors, which must not be read before `wait`."""
        if not here().several:
            return
        for tensor in tensors:
            if self._waiting and self._waiting[0].dtype != tensor.dtype:
                self._flush()
            self._waiting.append(tensor)
            if sum(one.nbytes for one in self._waiting) >= BUCKET:
                self._flush()

    def wait(self) -> None:
        """Put the sums in place of the tensors that were sent."""
        self._flush()
        for flat, tensors, work in self._sent:
            with heard(here()):
                work.wait()
            for tensor, part in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
                tensor.copy_(part.view(tensor.shape))
        self._sent.clear()

    def _flush(self) -> None:
        if self._waiting:
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in self._waiting])
            with heard(here()):
                self._sent.append((flat, self._waiting, dist.all_reduce(flat, async_op=True)))
            self._waiting = []
