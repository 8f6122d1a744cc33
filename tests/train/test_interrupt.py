"""Signals and the time limit are noted, not obeyed at once; earlier handlers come back."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from energy.train.interrupt import Interrupt


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_noted_and_becomes_an_exit_code(number: signal.Signals, code: int) -> None:
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked
    stopped = interrupt.stopped("here")
    assert stopped.code == code
    assert str(stopped) == f"{number.name}: here"


def test_earlier_handlers_come_back() -> None:
    def mine(number: int, frame: object) -> None:
        """Nothing."""

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(KeyError), Interrupt():
            raise KeyError
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_time_limit_ends_with_success() -> None:
    with Interrupt(0.01) as interrupt:
        time.sleep(0.02)
        assert interrupt.asked
    stopped = interrupt.stopped("here")
    assert stopped.code == 0
    assert str(stopped) == "out of time: here"


def test_no_limit_never_asks() -> None:
    with Interrupt(0.0) as interrupt:
        assert not interrupt.asked


def test_another_thread_leaves_the_handlers_alone() -> None:
    found: list[object] = []

    def work() -> None:
        with Interrupt():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_second_signal_leaves_at_once() -> None:
    code = (
        "import os, signal, time\nfrom energy.train.interrupt import Interrupt\n"
        "with Interrupt() as i:\n    os.kill(os.getpid(), signal.SIGTERM)\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=50).returncode == 130
