"""Orderly exits: after a signal or the time limit the step is finished, then the run saves and leaves.

SIGTERM, SIGINT, SIGHUP (the terminal was closed), SIGUSR1, SIGUSR2 and SIGXCPU (a scheduler announces the end) all mean
the same. One that the process ignores, as `nohup` makes it do with SIGHUP, stays ignored. SIGQUIT is left alone: it
ends the process at once.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

from energy import exchange, ranks
from energy.train.terminal import erase

URGENT: Final = (signal.SIGTERM, signal.SIGINT)  # a second of these leaves at once; the others tend to be repeated
CAUGHT: Final = (*URGENT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


class Stopped(SystemExit):
    """A run that left early with its state saved.

    As an exit it carries 128 + the number of the signal (143 after SIGTERM, 130 after SIGINT, 129 after SIGHUP), or 0
    when it was out of time.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Interrupt:
    """A context that notes the first signal or the end of the time limit; a second SIGTERM or SIGINT leaves at once.

    Handlers are installed in the main thread only, where Python delivers signals; on leaving, the earlier ones come
    back.

    Args:
        time_limit: seconds from entering; 0 for none.
    """

    def __init__(self, time_limit: float = 0.0) -> None:
        self.time_limit = time_limit
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}
        self._start = 0.0
        self._empty = ""
        self._late = False  # as the ranks agreed

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            mine = [number for number in CAUGHT if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._before = {number: signal.signal(number, self._note) for number in mine}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number in URGENT:
            erase()
            os._exit(128 + number)
        self.number = self.number or number
        if self._empty:
            raise self.stopped(self._empty)

    @contextmanager
    def leaving(self, where: str) -> Iterator[None]:
        """Leave at once on a signal, while there is nothing to save.

        Args:
            where: the place in the run, for the message.

        Raises:
            Stopped: when a signal came before or comes inside.
        """
        self._empty = where
        try:
            if self.number:
                raise self.stopped(where)
            yield
        finally:
            self._empty = ""

    @property
    def asked(self) -> bool:
        """True once the run should save and leave."""
        return bool(self.number) or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        """True once the time limit has passed."""
        return self._late or (self.time_limit > 0 and time.monotonic() - self._start >= self.time_limit)

    def agree(self) -> None:
        """Take over a signal, or the end of the time, that any rank has noted, so that all leave at the same step."""
        if ranks.here().several:
            self.number = exchange.agreed(self.number)
            self._late = bool(exchange.agreed(int(self.out_of_time)))

    def stopped(self, where: str) -> Stopped:
        """Return the exit to raise once the state is saved; `where` names the step and the folder."""
        if self.number:
            return Stopped(128 + self.number, f"{signal.Signals(self.number).name}: {where}")
        return Stopped(0, f"out of time: {where}")
