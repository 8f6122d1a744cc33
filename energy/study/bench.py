"""The cost of one step: time measured side by side, multiply-adds counted, memory at its peak.

Every settler works on the same batch, on weights that were trained with it. Steps are taken in turn, one of each, so
that any other load of the machine falls on all alike; each round begins one place further. Learning rates are zero, so
that the optimizer does its work and the weights stay.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.backprop import Backprop
from energy.settle.settler import Settler
from energy.study.interleaved import interleaved, median_ratio
from energy.study.memory import peak_bytes
from energy.targets import target_of
from energy.train.evaluate import load_run
from energy.train.run import Run, Setting
from energy.train.settings import settings

REFERENCE = "\0backprop"


@dataclass(frozen=True)
class Price:
    """The cost of one training step; None if it was not measured.

    Attributes:
        seconds: median over the rounds.
        ratio: of its time to that of back-propagation on the same network in the same round, median over the rounds.
        ratio_low: lower end of the ratio's 95 % interval, from a bootstrap over the rounds; None at a single round.
        ratio_high: upper end of it.
        backprop_steps: multiply-adds in units of one back-propagation step.
        peak_bytes: memory that the step works in.
    """

    seconds: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    backprop_steps: float | None = None
    peak_bytes: int | None = None


class Bench:
    """The finished runs of a comparison, one for each label, and a back-propagation to compare them with.

    Args:
        comparison: gives the device and the kernels.
        candidates: finished runs by label.
        rounds: number of rounds, in each of which every candidate takes a step.
        seconds: time after which no round begins; three are taken in any case.

    Attributes:
        reference: the label of back-propagation among them, or of one that is added.
    """

    def __init__(self, comparison: Setting, candidates: Mapping[str, Run], rounds: int, seconds: float) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.fused = comparison.fused
        self.device = comparison.place()
        self.workers: dict[str, Worker] = {}
        first = next(iter(candidates.values()))
        images = first.data.load(self.device, first.seed, first.precision.activity).train
        batch = next(images.batches(first.train.batch_size, seed=first.seed, epoch=0, train=True))
        for label, run in candidates.items():
            self.workers[label] = Worker(run, run.settler, run.rule, batch)
        own = [label for label, run in candidates.items() if (run.settler, run.rule) == (Backprop(), Contrast())]
        self.reference = own[0] if own else REFERENCE
        if not own:
            self.workers[REFERENCE] = Worker(first, Backprop(), Contrast(), batch)

    def prices(self) -> dict[str, Price]:
        """Measure time, multiply-adds and memory of every candidate."""
        with settings(False, self.fused):
            for worker in self.workers.values():
                worker.step()
            steps = {label: worker.step for label, worker in self.workers.items()}
            times = interleaved(steps, rounds=self.rounds, seconds=self.seconds, device=self.device)
            ratios = {label: median_ratio(times, label, self.reference) for label in times}
            return {
                label: Price(
                    seconds=statistics.median(times[label]),
                    ratio=ratios[label].ratio,
                    ratio_low=ratios[label].low,
                    ratio_high=ratios[label].high,
                    backprop_steps=worker.backprop_steps(),
                    peak_bytes=worker.peak_bytes(self.device),
                )
                for label, worker in self.workers.items()
                if label != REFERENCE
            }


class Worker:
    """One network with one settler and rule, able to take the same training step again and again."""

    def __init__(self, run: Run, settler: Settler, rule: Rule, batch: tuple[Tensor, Tensor]) -> None:
        self.run = run
        self.settler = settler
        self.rule = rule
        self.network: Network = load_run(run.folder)[1]
        self.optimizer = run.optimizer.create(self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        self.x = batch[0]
        self.target = target_of(batch[1], self.network.output.shape[0], run.data.targets, self.x.dtype)
        self.ledger = Ledger()

    def step(self) -> None:
        """Settle, learn, step."""
        self.ledger = Ledger()
        self.rule.learn(self.network, self.settler, self.x, self.target, self.run.objective, self.ledger)
        self.optimizer.step()

    def peak_bytes(self, device: torch.device) -> int:
        """Measure the bytes that a step works in, its gradients included."""
        self.network.zero_grad()
        return peak_bytes(self.step, device)

    def backprop_steps(self) -> float:
        """Return the multiply-adds of the last step, in back-propagation steps over the same batch."""
        return self.ledger.backprop_steps(self.network, len(self.x))
