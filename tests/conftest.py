"""What tests of several folders share."""

import functools
import gc
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from energy.couplings.forms import store
from energy.io import provenance


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a thinned grid slow, but for every n-th diagonal: of each axis every value stays quick.

    A case stays whose places along all axes add up to a multiple of n. Each value of one axis is then met with some
    values of the others, as long as these have n cases together.
    """
    seen: dict[tuple[str, str], dict[tuple[int, ...], int]] = {}
    for item in items:
        thinned = item.get_closest_marker("thinned")
        if thinned and isinstance(item, pytest.Function):
            axes = (mark.args[0] for mark in item.iter_markers("parametrize"))
            if sum(place(item, axis, seen) for axis in axes) % thinned.kwargs["by"]:
                item.add_marker(pytest.mark.slow)


def place(
    item: pytest.Function, axis: str | Sequence[str], seen: dict[tuple[str, str], dict[tuple[int, ...], int]]
) -> int:
    """The place of a case along the axis of one `parametrize`, whose values are numbered as they are `seen`."""
    names = axis.replace(" ", "").split(",") if isinstance(axis, str) else axis
    known = seen.setdefault((item.nodeid.partition("[")[0], names[0]), {})
    return known.setdefault(tuple(id(item.callspec.params[name]) for name in names), len(known))


def pytest_collection_finish() -> None:
    """What is there once all is imported stays to the end: no later collection looks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def no_shared_choices() -> Iterator[None]:
    """Forms of maps that this machine's user has measured are neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "cache_file", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_commit() -> Iterator[None]:
    """The commit of this source tree is asked for once, and not by each of a thousand runs."""
    real = provenance.commit
    ours = functools.cache(real)

    def commit(folder: Path | None = None) -> str:
        return ours() if folder is None else real(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "commit", commit)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors, and equal sums on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Signals as a foreground process has them, though the tests may run under nohup or behind a shell."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
