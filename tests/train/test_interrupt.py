"""Signals and the time limit are noted, not obeyed at once; earlier handlers come back."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from energy.train.interrupt import Interrupt, Stopped

pytestmark = pytest.mark.usefixtures("usual_signals")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGUSR2, 140),
        (signal.SIGXCPU, 152),
    ],
)
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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_was_to_be_ignored_stays_ignored(number: signal.Signals) -> None:
    """`nohup` leaves SIGHUP ignored, a shell that starts a job in the background SIGINT."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), number)
            assert not interrupt.asked
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_announcements_may_be_repeated() -> None:
    """A terminal hangs up twice, and SIGXCPU comes every second; the first number stands."""
    with Interrupt() as interrupt:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1):
            os.kill(os.getpid(), number)
    assert interrupt.number == signal.SIGHUP


@pytest.mark.parametrize("early", [True, False])
def test_a_signal_with_nothing_to_save_leaves_at_once_and_says_so(early: bool) -> None:
    reached = False
    with pytest.raises(Stopped) as stopped, Interrupt() as interrupt:
        if early:
            os.kill(os.getpid(), signal.SIGTERM)
        with interrupt.leaving("nothing yet"):
            os.kill(os.getpid(), signal.SIGTERM)
            reached = True
    assert not reached and stopped.value.code == 143
    assert str(stopped.value) == "SIGTERM: nothing yet"


def test_after_that_it_is_noted_again() -> None:
    with Interrupt() as interrupt:
        with interrupt.leaving("nothing yet"):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked


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
