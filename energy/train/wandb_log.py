"""Weights & Biases: the numbers of a run, sent to its service, or kept in the run folder to be sent later.

`wandb` is imported when a training that asks for it begins, and reaches for the network when its log is opened.
"""

import enum
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from energy.component import ConfigurationError, require
from energy.errors import DamagedFileError
from energy.io.atomic import write_text
from energy.io.plain_file import read_plain, require_kind
from energy.io.record import WANDB
from energy.network import Network
from energy.train.logger import Log, Logger, numbers
from energy.train.terminal import say

IDENTITY: Final = "id.txt"
LONGEST: Final = 64  # letters of an identity


class Sending(enum.Enum):
    """The use of the service."""

    AUTO = "as the environment variable WANDB_MODE says, or else online"
    ONLINE = "numbers are sent as they come"
    OFFLINE = "numbers stay in the run folder until `wandb sync` sends them"


class WeightsAndBiases(Logger, name="wandb"):
    """The service Weights & Biases (extra `wandb`); its files are in `wandb/` of the run folder.

    It has the numbers of the record and of the result, and the configuration. A run that is continued goes on there.

    Attributes:
        project: the project that the run belongs to.
        entity: user or team; empty for that of the account.
        sending: whether numbers are sent at once.
        timeout: seconds that the service is waited for, at the beginning and at the end.
    """

    project: str = "equilibria"
    entity: str = ""
    sending: Sending = Sending.AUTO
    timeout: float = 60.0

    def __post_init__(self) -> None:
        require(self.timeout > 0, self, "timeout", "positive")
        require(bool(self.project), self, "project", "a name")

    def prepare(self) -> None:
        """Import the package."""
        require_wandb()

    def open(self, run: Mapping[str, Any], folder: Path, epoch: int) -> Log:
        """Begin the run there, or take it up again."""
        wandb = require_wandb()
        waits = {"init_timeout": self.timeout, "login_timeout": self.timeout, "finish_timeout": self.timeout}
        begun = wandb.init(
            project=self.project,
            entity=self.entity or None,
            name=run["title"],
            id=_identity(folder),
            resume="allow",
            dir=str(folder),
            config=dict(run),
            mode=None if self.sending is Sending.AUTO else self.sending.name.lower(),
            settings=wandb.Settings(console="off", silent=True, finish_timeout_raises=True, **waits),
        )
        url = None if begun.offline else begun.url  # asked for offline, wandb warns
        say(bool(run["train"]["progress"] and url), f"{run['title']}: shown at {url}")
        return WandbLog(begun)


class WandbLog(Log):
    """The log of one run there.

    Args:
        begun: the run, as `wandb.init` returns it.
    """

    def __init__(self, begun: Any) -> None:
        self.begun, self.ended = begun, False
        begun.define_metric("readout/*", step_metric="readout/epoch")

    def epoch(self, network: Network, line: Mapping[str, Any]) -> None:
        """Send the numbers of an epoch, with the epoch as step."""
        self.begun.log(dict(numbers(line)), step=line["epoch"])

    def readout(self, line: Mapping[str, Any]) -> None:
        """Send the numbers of an epoch of the read-out."""
        found = {f"readout/{name}": value for name, value in numbers(line)}
        self.begun.log({**found, "readout/epoch": line["epoch"]})

    def end(self, result: Mapping[str, Any]) -> None:
        """Put the numbers of the result into the summary."""
        plain = {name: value for name, value in result.items() if name != "configuration"}
        self.begun.summary.update({f"result/{name}": value for name, value in numbers(plain)})
        self.ended = True

    def close(self) -> None:
        """End the run there: finished, or failed if it was broken off."""
        self.begun.finish(exit_code=0 if self.ended else 1)


def require_wandb() -> Any:
    """Import wandb.

    Raises:
        ConfigurationError: when it is not installed.
    """
    try:
        import wandb  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError:
        wandb = None
    if not hasattr(wandb, "init"):  # a folder of that name, which wandb itself makes, is imported too
        raise ConfigurationError("train.logger=wandb: needs the package wandb, which the extra `wandb` installs")
    return wandb


def _identity(folder: Path) -> str:
    """The name of the run there: made once for a run folder, and kept in it."""
    path = folder / WANDB / IDENTITY
    if not require_kind(path):
        path.parent.mkdir(exist_ok=True)
        write_text(path, uuid.uuid4().hex)
    found = read_plain(path, LONGEST).decode(errors="replace")
    if not found.isalnum():
        raise DamagedFileError(f"{path}: must hold letters and digits")
    return found
