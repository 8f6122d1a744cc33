"""A log that never ends the training which it shows: its first error is said, and the rest is not logged."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from energy.component import to_dict
from energy.errors import shown
from energy.network import Network
from energy.ranks import here
from energy.train.logger import Log
from energy.train.run import Run
from energy.train.terminal import say


class GuardedLog(Log):
    """The log of a run, until something in it fails.

    Args:
        run: the run that is logged.
        open_log: opens its log.
    """

    def __init__(self, run: Run, open_log: Callable[[], Log]) -> None:
        self.run = run
        self.log: Log | None = Log()
        with self._guarded():
            self.log = open_log()

    def epoch(self, network: Network, line: Mapping[str, Any]) -> None:
        """Hand on the line of an epoch."""
        with self._guarded():
            if self.log:
                self.log.epoch(network, line)

    def readout(self, line: Mapping[str, Any]) -> None:
        """Hand on the line of an epoch of the read-out."""
        with self._guarded():
            if self.log:
                self.log.readout(line)

    def end(self, result: Mapping[str, Any]) -> None:
        """Hand on the result."""
        with self._guarded():
            if self.log:
                self.log.end(result)

    def close(self) -> None:
        """Close the log."""
        log, self.log = self.log, None
        with self._guarded():
            if log:
                log.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log, self.log = self.log, None
            with suppress(Exception):  # it has failed already
                if log:
                    log.close()
            said = shown(" ".join(str(error).split())) or "no message"
            name = self.run.train.logger.name
            say(
                True,
                f"{self.run.title}: warning: train.logger={name}: failed ({type(error).__name__}: {said}); "
                "the run goes on without it, and its record is whole",
            )


@contextmanager
def logged(run: Run, folder: Path, epoch: int) -> Iterator[Log]:
    """Open the log of a run, on the first rank alone, and close it however the training ends.

    Args:
        run: the run.
        folder: its folder.
        epoch: the first epoch that is going to be logged.
    """
    if not here().speaks:
        yield Log()
        return
    log = GuardedLog(run, lambda: run.train.logger.open(to_dict(run), folder, epoch))
    try:
        yield log
    finally:
        log.close()
