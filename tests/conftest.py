"""What tests of several folders share."""

import signal
from collections.abc import Iterator

import pytest
import torch

from energy.couplings.forms import store


@pytest.fixture(autouse=True, scope="session")
def no_shared_choices() -> Iterator[None]:
    """Forms of maps that this machine's user has measured are neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "cache_file", lambda: None)
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
