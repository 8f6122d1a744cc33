"""The training step in its two forms: plain, or as one program (`energy.program`), whichever takes less time.

A program costs seconds to record and compile. So steps begin plain; once some have been timed, and enough of them are
left, a program is made, the two take turns, and the faster one goes on. Steps at which the health of the network is
looked at stay plain.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from energy.feedback import resample
from energy.health import guarded, health
from energy.network import Network
from energy.program.program import begins
from energy.program.record import Untraceable
from energy.program.training import TrainingStep
from energy.program.update import admits
from energy.ranks import here
from energy.settle.settled import Settled
from energy.train.clock import Clock
from energy.train.finite_check import FiniteCheck
from energy.train.metrics import EpochMetrics
from energy.train.run import Run, UseProgram
from energy.train.terminal import say

FIRST: Final = 3  # steps that are not timed
ROUNDS: Final = 7  # of either form
PAYS: Final = 300.0  # seconds of plain steps left, below which no program is made
FASTER: Final = 0.98

Step = tuple[Settled, Tensor | None]  # the settled states, and the objective of each sample


class Trainee(Protocol):
    """The training that a stepper takes the steps of, as `Session` has it."""

    run: Run
    network: Network
    optimizer: torch.optim.Optimizer
    finite_check: FiniteCheck
    clock: Clock
    metrics: EpochMetrics
    scored: bool
    step: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int: ...
    def learn(self, x: Tensor, target: Tensor) -> Settled: ...
    def check_finite(self) -> None: ...


class Stepper:
    """Takes the steps of one session.

    Args:
        session: gives run, network, optimizer, and the check for non-finite numbers.

    Attributes:
        ratio: the median time of a program's step in units of a plain one's; None if they were not compared.
        uses_program: whether the program is used; None while that is not decided.
        why: the reason that it is not.
    """

    def __init__(self, session: Trainee) -> None:
        self.session = session
        self.ratio: float | None = None
        self.uses_program: bool | None = None
        self.why = self._excluded()
        if self.why:
            self.uses_program = False
        elif session.run.train.program is UseProgram.ON:
            self.uses_program = True
        self._training: TrainingStep | None = None
        self._plain, self._whole = list[float](), list[float]()
        self._taken = 0

    def _excluded(self) -> str:
        """The reason that no program can be used, or nothing."""
        run, optimizer = self.session.run, self.session.optimizer
        if run.train.program is UseProgram.OFF:
            return "train.program=off"
        if run.train.program is UseProgram.AUTO and next(self.session.network.parameters()).device.type != "cpu":
            return "on devices other than a CPU train.program=on has to ask for it"
        if here().several:
            return "several ranks add up their gradients between the parts of a step"
        if run.train.deterministic:
            return "train.deterministic=true"
        if not run.fused:
            return "fused=false"
        if not admits(optimizer, self.session.network):
            return f"optimizer={run.optimizer.name} is not among those that a program knows"
        return ""

    def step(self, x: Tensor, target: Tensor) -> Step:
        """Take a batch from its inputs to new weights, unless a number is not finite.

        Args:
            x: inputs (B, …).
            target: one-hot classes (B, classes).

        Raises:
            NonFinite: for a number that the host has read and is not finite.
        """
        self._taken += 1
        if self.uses_program is None and self._taken > FIRST:
            return self._timed(x, target)
        return self._whole_step(x, target) if self.uses_program else self._plain_step(x, target)

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint and the result keep."""
        return {"used": bool(self.uses_program), "ratio": self.ratio, "why": self.why}

    def restore(self, facts: dict[str, Any] | None) -> None:
        """Go on as an earlier process had decided."""
        if facts and facts.get("ratio") is not None and not self.why:
            self.uses_program, self.ratio = facts["used"], facts["ratio"]

    def _timed(self, x: Tensor, target: Tensor) -> Step:
        """Take a step in the form whose turn it is, and decide at the end."""
        whole = self._training is not None and len(self._whole) <= len(self._plain) - ROUNDS
        if whole and self._looks(x):  # at a plain step, which is none of those to be compared
            return self._plain_step(x, target)
        start = _now(x.device)
        found = self._whole_step(x, target) if whole else self._plain_step(x, target)
        (self._whole if whole else self._plain).append(_now(x.device) - start)
        if len(self._plain) == ROUNDS and self._training is None:
            self._begin_trial()
        elif len(self._whole) == ROUNDS + 1 and self.uses_program is None:  # the first of them was compiled
            self._decide()
        return found

    def _begin_trial(self) -> None:
        session = self.session
        left = session.epochs * session.steps_per_epoch - session.step
        if median(self._plain) * left < PAYS:
            self.uses_program, self.why = False, "too few steps are left for a program to pay"
            return
        say(session.run.train.progress, f"{session.run.title}: compiling the step …")
        self._training = TrainingStep(session.run.rule, session.optimizer)

    def _decide(self) -> None:
        plain, whole = median(self._plain[ROUNDS:]), median(self._whole[1:])
        self.ratio = whole / plain
        self.uses_program = self.ratio < FASTER
        self.why = "" if self.uses_program else "a plain step takes no longer"
        used = "is used" if self.uses_program else "is not used"
        say(
            self.session.run.train.progress,
            f"{self.session.run.title}: a step as one program takes {self.ratio:.2f} of a plain one's time and {used}",
        )

    def _looks(self, x: Tensor) -> bool:
        """True if the health of the network is looked at in the next step, or its loop gain is estimated at first."""
        network = self.session.network
        return health(network).due_next(x) or begins(network, self.session.run.settler)

    def _whole_step(self, x: Tensor, target: Tensor) -> Step:
        if self._looks(x):
            return self._plain_step(x, target)
        session, run = self.session, self.session.run
        network = session.network
        if self._training is None:
            self._training = TrainingStep(run.rule, session.optimizer)
        resample(network, session.step)
        try:
            with session.clock.time("learn"), guarded():
                settled, objective, sound = self._training(
                    network,
                    run.settler,
                    x,
                    target,
                    run.objective,
                    session.metrics.ledger,
                    session.finite_check.found,
                    scored=session.scored,
                )
        except Untraceable as error:
            self.uses_program, self.why = False, str(error)
            say(True, f"{run.title}: warning: steps stay plain: {error}")
            return self._plain_step(x, target)
        health(network).calls += 1
        health(network).solved(network, run.settler, settled)
        session.finite_check.note(sound, session.step)
        return settled, objective

    def _plain_step(self, x: Tensor, target: Tensor) -> Step:
        session = self.session
        with session.clock.time("learn"):
            settled = session.learn(x, target)
        run = session.run
        objective = run.settler.value(run.objective, settled, target) if session.scored else None
        session.finite_check.update(objective, session.step)
        if session.finite_check.immediate and session.finite_check.tripped:
            session.check_finite()
        session.optimizer.step()
        return settled, objective


def _now(device: torch.device) -> float:
    """The time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
