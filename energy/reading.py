"""Reads of the device by the host.

A read of a CPU tensor costs nothing. Elsewhere the host waits until the device has done all that it was given, stays
idle, and lets it run dry: so a check that is made at every step where reads are free is made at scheduled steps, or
while the device goes on, where they are not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from energy.tracing import tracing


def is_free(device: torch.device) -> bool:
    """Return True if the host reads a tensor of `device` without waiting; never while a step is recorded."""
    return device.type == "cpu" and tracing() is None


class DeviceRead:
    """A small tensor on its way to the host, which goes on meanwhile.

    On a CUDA device the copy is queued behind the work given so far, into pinned memory, and an event marks its end.

    Args:
        tensor: copied as it is now: what is queued later does not change the result.

    Example:
        >>> reading = DeviceRead(torch.tensor([True, False]))
        >>> reading.result()
        [True, False]
    """

    def __init__(self, tensor: Tensor) -> None:
        self._held, self._copied = tensor, None
        if tensor.is_cuda:
            pinned = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
            self._held = pinned.copy_(tensor, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def result(self) -> Any:
        """Return the numbers as `Tensor.tolist` does; waits for the copy alone."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._held.tolist()


class Flags:
    """Findings of many steps, each true for the parts of a network that it concerns, kept on the device until a look.

    Example:
        >>> flags = Flags()
        >>> flags.add(("first", "second"), torch.tensor([False, True]))
        >>> flags.add(("first", "second"), torch.tensor([False, False]))
        >>> flags.read()
        {('first', 'second'): [False, True]}
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Tensor] = {}

    def add(self, names: tuple[str, ...], found: Tensor) -> None:
        """Take up `found`, booleans (n,), under the names that tell what they are about; nothing is read."""
        held = self._found.get(names)
        self._found[names] = found if held is None else held | found

    def read(self) -> dict[tuple[str, ...], list[bool]]:
        """Return all that was found under each key, and begin anew; reads the device if there is anything."""
        found, self._found = self._found, {}
        return {names: tensor.tolist() for names, tensor in found.items()}


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on `device`; from pinned memory, so that neither waits for the other."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
