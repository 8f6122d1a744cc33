"""Leaving in good order: SIGTERM, SIGINT or a time limit let the step finish, then the run saves and goes."""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Final, Self

CAUGHT: Final = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """A run that left early with its state saved. As an exit it carries 143 (SIGTERM), 130 (SIGINT) or 0 (time)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Interrupt:
    """While entered, notes the first signal or the end of the time limit; a second signal leaves at once.

    Args:
        time_limit: seconds from entering; 0 for none.

    Handlers are installed in the main thread only, where Python delivers signals, and the earlier ones come back.
    """

    def __init__(self, time_limit: float = 0.0) -> None:
        self.time_limit = time_limit
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}
        self._start = 0.0

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in CAUGHT}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number

    @property
    def asked(self) -> bool:
        """Whether the run should save and leave."""
        return bool(self.number) or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has passed."""
        return self.time_limit > 0 and time.monotonic() - self._start >= self.time_limit

    def stopped(self, where: str) -> Stopped:
        """The exit to raise, once the state is saved; ``where`` names the step and the folder."""
        if self.number:
            return Stopped(128 + self.number, f"{signal.Signals(self.number).name}: {where}")
        return Stopped(0, f"out of time: {where}")
