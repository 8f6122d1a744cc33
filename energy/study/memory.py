"""The memory that one step works in, above the memory held before it, and the bytes that its operators move."""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

UNWRITTEN: Final = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})

SAID: Final = {
    "cpu": "bytes that torch's CPU allocator held at the peak of one step beyond those before it, from the profiler's "
    "allocation events; weights, optimizer state, images and what libraries allocate by themselves are not in it",
    "cuda": "torch.cuda.max_memory_allocated during one step less what was allocated before it; weights, optimizer "
    "state and images are not in it",
}


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Measure the peak of the bytes that `step()` allocates.

    The memory it frees must be its own: the profiler does not see the release of older blocks, gradients of the step
    before among them.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _cpu_peak(step)


def moved_bytes(step: Callable[[], object]) -> int:
    """Count the bytes that the operators of `step()` read and write, backward passes included.

    Every tensor that an operator is given counts once, every tensor that it makes or changes once more; an axis of
    stride 0 counts as one place. Views, changes of shape in place, memory that nobody has written to, and a tensor that
    gives only its shape count 0.

    Operators that run one by one move no more than this between them, and less by what a cache holds from one to the
    next and by the reading that an operator which overwrites can spare. One that reads an argument again, as a product
    of matrices larger than the cache, moves more. Inside a compiled or fused kernel nothing is seen: its arguments and
    results alone count.
    """
    with _Traffic() as seen:
        step()
    return seen.moved


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of every operator below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        given = _distinct([args, kwargs])
        held = {_memory(one) for one in given}
        results = _distinct(made)
        fresh = [one for one in results if _memory(one) not in held]
        changed, filled = _written(func, args, kwargs)
        name = func.__name__.partition(".")[0]
        if (
            name in UNWRITTEN
            or torch.Tag.inplace_view in getattr(func, "tags", ())
            or (results and not fresh and not changed)
        ):
            return made
        shapes_alone = name.endswith("_like") or name.startswith("new_")
        read = [] if shapes_alone else [one for one in given if all(one is not other for other in filled)]
        self.moved += sum(_bytes(one) for one in (*read, *changed, *fresh))
        return made


def _written(func: Any, args: Any, kwargs: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors that an operator changes, and those of them that it only fills: its `out` arguments."""
    changed: list[Tensor] = []
    filled: list[Tensor] = []
    schema = getattr(func, "_schema", None)
    for place, known in enumerate(schema.arguments if schema else []):
        if known.alias_info is not None and known.alias_info.is_write:
            found = _distinct(args[place] if place < len(args) else kwargs.get(known.name))
            changed += found
            filled += found if known.is_out else []
    return changed, filled


def _distinct(given: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dictionaries, each once."""
    return list({id(one): one for one in _tensors(given)}.values())


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from _tensors(list(given.values()))
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _tensors(one)


def _memory(tensor: Tensor) -> int:
    """The identity of the memory of a tensor, shared by its views."""
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    sizes: Iterable[int] = (size for size, step in zip(tensor.shape, tensor.stride(), strict=True) if step or not size)
    return math.prod(sizes) * tensor.element_size()


def _cpu_peak(step: Callable[[], object]) -> int:
    """The highest running total of allocations and releases."""
    from torch.profiler import ProfilerActivity, profile

    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    profiler: Any = seen.profiler
    events = profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate((change for _, change in changes), initial=0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the lines that the profiler's own library writes to the error stream when it starts and stops."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
