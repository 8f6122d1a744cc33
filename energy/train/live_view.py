"""The live line of a training, from numbers that the host has: no step waits for it.

The objective is on the device. It is read from a copy that the device makes when it comes to it, asked for when the
line is drawn and shown when the line is drawn again.
"""

from typing import Any

import torch
from torch import Tensor

from energy.train.progress import objective_text
from energy.train.session import Session

STEPPING = "in a step"  # what `Session.doing` says between the pauses


class LiveView:
    """The texts of the live line of one training.

    Args:
        session: the training.

    Attributes:
        cosine: of the worst layer with the exact gradient, at the latest probe; None before it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.cosine: float | None = None
        self._objective = LateNumber()

    def probed(self, line: dict[str, Any]) -> None:
        """Take over what was measured at the end of an epoch, from its line."""
        if line["cosine_worst"] is not None:
            self.cosine = line["cosine_worst"]

    def details(self) -> dict[str, str]:
        """Return the place in the run, and as far as they are known objective, cosine and sweeps.

        The objective is the mean over the samples of the epoch so far; sweeps are those of a solve, of its slowest
        sample, by phase, on average over the epoch so far.
        """
        session, metrics = self.session, self.session.metrics
        place = f"epoch {min(session.epoch + 1, session.epochs)}/{session.epochs}"
        if session.doing == STEPPING:
            said = {"place": f"{place}, batch {session.batch}/{session.steps_per_epoch}"}
        else:
            said = {"place": f"{place}, {session.doing}"}
        if metrics.scored and (mean := self._objective.read(metrics.objective, metrics.scored)) is not None:
            said["objective"] = f"objective {objective_text(mean)}"
        if self.cosine is not None:
            said["cosine"] = f"cosine {self.cosine:.4f}"
        if metrics.batches and metrics.ledger.sweeps:
            each = [count / metrics.batches for count in metrics.ledger.sweeps.values()]
            said["sweeps"] = f"sweeps {' + '.join(f'{mean:.1f}' for mean in each)}"
        return said


class LateNumber:
    """A number on a device, as it was a moment ago: it is copied when the device comes to it, and nobody waits."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._copy: Tensor | None = None
        self._over = 1
        self._done: torch.cuda.Event | None = None

    def read(self, total: Tensor, over: int) -> float | None:
        """Return `total`/`over`, or on a GPU the latest that has arrived; None before any has, and on other devices.

        Args:
            total: a number ().
            over: what it is divided by.
        """
        if total.device.type == "cpu":
            return total.item() / over
        if total.device.type != "cuda":
            return None
        if self._copy is None or self._done is None:
            self._copy, self._done = torch.empty((), dtype=total.dtype, pin_memory=True), torch.cuda.Event()
        elif not self._done.query():
            return self._value
        else:
            self._value = self._copy.item() / self._over
        self._copy.copy_(total, non_blocking=True)
        self._over = over
        self._done.record()
        return self._value
