"""Loggers: places in which the numbers of a training are shown while it runs, beside its own record.

A logger is a component, chosen as `train.logger=NAME`, and opens a log. Nothing that it shows is part of a run's record
or of its identity, and nothing is read back.
"""

import abc
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from energy.component import Component
from energy.io.plain import flatten
from energy.network import Network


class Log:
    """The log of one training, which keeps nothing; one of your own replaces what it needs.

    A method that raises ends the log with a warning, not the training.
    """

    def epoch(self, network: Network, line: Mapping[str, Any]) -> None:
        """Take the line of an epoch, as `record.jsonl` has it.

        Args:
            network: the network after the epoch, which must stay as it is.
            line: the numbers; `line["epoch"]` counts from 0.
        """

    def readout(self, line: Mapping[str, Any]) -> None:
        """Take the line of an epoch of the read-out, as `readout.jsonl` has it."""

    def end(self, result: Mapping[str, Any]) -> None:
        """Take the result of a training that has come to its end, as `result.json` has it."""

    def close(self) -> None:
        """Write out everything still in memory; called once, however the training ends."""


class Logger(Component):
    """Base of the loggers."""

    group: ClassVar[str] = "logger"

    def prepare(self) -> None:
        """Look for what the logger needs, before anything is read or written.

        Raises:
            ConfigurationError: when it is not installed.
        """

    @abc.abstractmethod
    def open(self, run: Mapping[str, Any], folder: Path, epoch: int) -> Log:
        """Open the log of a training.

        Args:
            run: the complete configuration, as `configuration.json` has it under `run`.
            folder: the run folder.
            epoch: the first epoch that is going to be logged; what an earlier part of the run logged from there on is
                done again.
        """


class NoLogger(Logger, name="none"):
    """No log beside the record."""

    def open(self, run: Mapping[str, Any], folder: Path, epoch: int) -> Log:
        """Open a log that keeps nothing."""
        return Log()


def numbers(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers in a line of a record, each named by the path to it; the epoch is left out."""
    for name, value in flatten(line, "/"):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and name != "epoch":
            yield name, value
