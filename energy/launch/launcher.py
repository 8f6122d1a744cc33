"""The part that carries out the command lines of a sweep, chosen by `launcher=` and no part of a run."""

import abc
from collections.abc import Iterator, Sequence
from typing import ClassVar

from energy.component import Component
from energy.launch.command_line import CommandLine


class Launcher(Component):
    """Base of the launchers.

    A command line is started in the folder of the present process and writes its output to `log.txt` in its own
    folder. It may be started again after it was killed: a run continues from its newest checkpoint.
    """

    group: ClassVar[str] = "launcher"

    @abc.abstractmethod
    def statuses(self, commands: Sequence[CommandLine], seconds: float = 0.0) -> Iterator[tuple[int, int]]:
        """Carry out command lines.

        Args:
            commands: the command lines.
            seconds: time after which all are asked to leave; 0 for none.

        Yields:
            The place of a command line in `commands`, and its exit status, as it ends; a negative one is a signal. One
            that is not started before it is time to leave is left out.

        Raises:
            Stopped: after a signal, once all have left.
        """

    @abc.abstractmethod
    def describe(self, commands: Sequence[CommandLine]) -> str:
        """Describe in a few words how they will be carried out."""

    def prepare(self) -> None:
        """Look for what the launcher needs, before anything is started.

        Raises:
            MissingDependencyError: for a package that is not installed, naming its extra.
            ConfigurationError: for a cluster that is not there.
        """

    @property
    def offers_gpus(self) -> bool:
        """True if a command line that wants a GPU gets one."""
        return False
