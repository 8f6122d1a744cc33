"""A spy on a step whose tensors are on torch's meta device: it stops what would stop a GPU.

It sees every operation below autograd, and the constructors that copy numbers of the host without one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import energy
from tests.device import shapes

LIBRARY = str(Path(energy.__file__).parent)
META = torch.device("meta")
READS = {"_local_scalar_dense", "equal", "is_nonzero", "item", "allclose"}
SHAPED = {"index", "index_put", "index_put_"}  # by numbers if an index is a mask, else by shapes alone
COPIES = {torch.tensor, torch.as_tensor, torch.from_numpy, Tensor.new_tensor, torch.asarray, torch.scalar_tensor}


class Stall(AssertionError):
    """The host would wait for the device, or the device for the host."""


class Spy(TorchDispatchMode):
    """Stops the first operation that reads the device, mixes devices, or has a shape that depends on numbers.

    Args:
        looks: functions of the library, `module:qualified name`, that may read; they are told 0, False.
        sends: functions in which numbers of the host may be drawn, and sent by `energy.reading.sent`.
        strict: if false nothing is stopped: every read is answered.

    Attributes:
        reads: the number of reads, by the function in `looks` that made them.
        sent: the number of tensors that were sent.
        names: the operations, in their order.
    """

    def __init__(self, looks: Collection[str] = (), sends: Collection[str] = (), *, strict: bool = True) -> None:
        super().__init__()
        self.looks, self.sends, self.strict = looks, sends, strict
        self.reads: Counter[str] = Counter()
        self.sent = 0
        self.names: list[str] = []
        self._constructors = _Constructors(self)

    def __enter__(self) -> Self:
        self._constructors.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._constructors.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        self.names.append(name)
        given = list(shapes.tensors((args, kwargs)))
        if _reads(name, given, args, kwargs):
            return self._answer(name, given[-1 if name == "copy_" else 0], args)
        self._check(func, name, given, kwargs.get("device"))
        if name.startswith("_fused_") and name.endswith("_"):  # an optimizer's kernel, which meta lacks for SGD
            return None
        found = shapes.run(func, args, kwargs)
        if self.strict and any(not one.is_meta for one in shapes.tensors(found)) and not self._within(self.sends):
            self.stop(f"{name} makes a tensor of the host")
        return found

    def _check(self, func: Any, name: str, given: list[Tensor], to: torch.device | None) -> None:
        masked = name in SHAPED and any(one.dtype in (torch.bool, torch.uint8) for one in given[1:])
        if masked or (name not in SHAPED and torch.Tag.dynamic_output_shape in func.tags):
            self.stop(f"{name} has a shape that depends on numbers")
        kinds = {one.device for one in given} | ({to} if to is not None and given else set())
        if len(kinds) > 1:
            if name in {"_to_copy", "copy_"} and self._within({"energy.reading:sent"}) and self._within(self.sends):
                self.sent += 1
            else:
                self.stop(f"{name} mixes {' and '.join(sorted(map(str, kinds)))}")

    def _answer(self, name: str, read: Tensor, args: Any) -> Any:
        """The number that a read is told."""
        place = self._within(self.looks)
        if not place:
            self.stop(f"{name} reads the device")
        self.reads[place] += 1
        if name in {"_to_copy", "copy_"}:
            return torch.zeros(read.shape, dtype=read.dtype, device="cpu") if name == "_to_copy" else args[0].zero_()
        return torch.zeros((), dtype=read.dtype, device="cpu").tolist() if name == "_local_scalar_dense" else False

    def _within(self, places: Collection[str]) -> str:
        """The first of `places` that the call comes through; empty if none."""
        return next((place for place in _calls() if place in places), "")

    def stop(self, what: str) -> None:
        if self.strict:
            raise Stall(f"{what}, in {' < '.join(_calls()[:4]) or 'no function of the library'}")


class _Constructors(TorchFunctionMode):
    """Stops constructors that copy numbers of the host to the device, which dispatch nothing."""

    def __init__(self, spy: Spy) -> None:
        super().__init__()
        self.spy = spy

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        data = args[1:2] if func is Tensor.new_tensor else args[:1]
        if func in COPIES and not (data and isinstance(data[0], Tensor)):
            self.spy.stop(f"{func.__name__} copies numbers of the host to the device")
        return func(*args, **(kwargs or {}))


def _reads(name: str, given: list[Tensor], args: Any, kwargs: Any) -> bool:
    """True if an operation tells the host a number of the device."""
    if not any(one.device == META for one in given):
        return False
    if name == "_to_copy":
        return torch.device(kwargs.get("device") or META) != META
    return name in READS or (name == "copy_" and args[0].device != META)


def _calls() -> list[str]:
    """The functions of the library that the call comes through, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARY):
            found.append(f"{frame.f_globals.get('__name__')}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found
