"""What an epoch adds up to. Everything stays on the device until the epoch is read, and can be saved half-way."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from energy.io.old_names import ledger_name
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.relax.solver import Solution

SAMPLES = ("steps", "residual", "converged")
ACTIVITY = ("spikes", "synaptic_operations", "spikes_by_layer")


class EpochMetrics:
    """Objective, accuracy and settling of the batches seen since it was made.

    Attributes:
        examples: how many samples were seen.
        scored: how many of them had an objective.
        batches: in how many batches.
        ledger: what settling spent.
        diverged: the first layer that a solve named as diverged.
    """

    def __init__(self, device: torch.device) -> None:
        self.objective = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.examples = self.scored = 0
        self.batches = 0
        self.ledger = Ledger()
        self.diverged = ""
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.samples: defaultdict[str, list[Tensor]] = defaultdict(list)

    @torch.no_grad()
    def add(
        self, objective: Tensor | None, predicted: Tensor | None, labels: Tensor, solutions: Mapping[str, Solution]
    ) -> None:
        """Count one batch: objective of each sample (B,), predicted and true classes (B,), and its solves by phase. No
        objective and no prediction where the output layer does not learn.
        """
        if objective is not None:
            self.objective += objective.sum(dtype=torch.float64)
            self.correct += (predicted == labels).sum()
            self.scored += len(labels)
        self.examples += len(labels)
        self.batches += 1
        for phase, solution in solutions.items():
            self.outcomes[phase][solution.outcome.name.lower()] += 1
            self.diverged = self.diverged or solution.layer
            for what in SAMPLES:
                self.samples[f"{what}/{phase}"].append(getattr(solution, what))
        if solutions:
            self.samples["steps/all"].append(torch.stack([one.steps for one in solutions.values()]).sum(0))

    def quality(self) -> tuple[float | None, float | None]:
        """Objective per sample, None when it is not finite, and accuracy in percent; reads the device."""
        if not self.scored:
            return None, None
        return finite_or_none(self.objective.item() / self.scored), 100.0 * self.correct.item() / self.scored

    def settling(self) -> dict[str, dict[str, Any]]:
        """By phase: solves by outcome, steps and residuals over all samples; reads the device."""
        return {phase: self._phase(phase) for phase in self.outcomes}

    def histogram(self) -> Counter[int]:
        """How many samples took how many steps in all phases together; reads the device."""
        if "steps/all" not in self.samples:
            return Counter()
        steps, counts = torch.cat(self.samples["steps/all"]).unique(return_counts=True)
        return Counter(dict(zip(steps.tolist(), counts.tolist(), strict=True)))

    def cost(self, network: Network) -> dict[str, Any]:
        """Multiply-adds, in all and in back-propagation steps over the same samples."""
        total = self.ledger.multiply_adds
        unit = backprop_multiply_adds(network) * self.examples
        return {"multiply_adds": total, "backprop_steps": total / unit if unit else None}

    def spike_counts(self) -> dict[str, Any]:
        """Spikes and synaptic operations a sample, and spikes by layer; nothing where no unit spikes. Reads the
        device.
        """
        counts = self.ledger.read()
        if not counts["spikes"] or not self.examples:
            return {}
        by_layer = {layer: spikes / self.examples for layer, spikes in counts["spikes"].items()}
        total, operations = (counts[name].total() / self.examples for name in ("spikes", "synaptic"))
        return dict(zip(ACTIVITY, (total, operations, by_layer), strict=True))

    def _phase(self, phase: str) -> dict[str, Any]:
        steps, residual, converged = (torch.cat(self.samples[f"{what}/{phase}"]) for what in SAMPLES)
        asked = residual[~residual.isnan()].double()
        return {
            "outcomes": dict(self.outcomes[phase]),
            "sweeps_mean": steps.double().mean().item(),
            "sweeps_p95": percentile(steps, 95),
            "sweeps_max": int(steps.max()),
            "residual_mean": finite_or_none(asked.mean().item()) if len(asked) else None,
            "residual_max": finite_or_none(asked.max().item()) if len(asked) else None,
            "converged_percent": 100.0 * converged.double().mean().item() if len(asked) else None,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The part of this tally that a checkpoint keeps as tensors."""
        joined = {name: torch.cat(parts) for name, parts in self.samples.items() if parts}
        return {"objective": self.objective, "correct": self.correct, **joined}

    def facts(self) -> dict[str, Any]:
        """The part of this tally that a checkpoint keeps as facts."""
        ledger = {name: dict(counts) for name, counts in self.ledger.read().items()}
        outcomes = {phase: dict(counts) for phase, counts in self.outcomes.items()}
        counts = {"examples": self.examples, "scored": self.scored, "batches": self.batches, "diverged": self.diverged}
        return {**counts, "ledger": ledger, "outcomes": outcomes}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Continue from what :meth:`tensors` and :meth:`facts` gave."""
        self.examples, self.batches, self.diverged = facts["examples"], facts["batches"], facts["diverged"]
        self.scored = facts.get("scored", self.examples)  # older checkpoints have no such entry
        self.ledger = Ledger(**{ledger_name(name): Counter(counts) for name, counts in facts["ledger"].items()})
        self.outcomes.update({phase: Counter(counts) for phase, counts in facts["outcomes"].items()})
        for name, tensor in tensors.items():
            if "/" in name:
                self.samples[name] = [tensor]
            else:
                getattr(self, name).copy_(tensor)


def percentile(values: Tensor, percent: int) -> int:
    """The smallest value that at least `percent` of the values do not exceed (nearest rank); integers only."""
    return int(values.sort().values[_rank(len(values), percent)])


def summarize_histogram(histogram: Mapping[int, int]) -> dict[str, float | None]:
    """Mean, 95th percentile (nearest rank) and maximum of a count by value; None where nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return {"mean": None, "p95": None, "max": None}
    rank, passed, p95 = _rank(total, 95), 0, 0
    for value in sorted(histogram):
        passed += histogram[value]
        if passed > rank:
            p95 = value
            break
    return {"mean": sum(v * n for v, n in histogram.items()) / total, "p95": p95, "max": max(histogram)}


def _rank(count: int, percent: int) -> int:
    return max(1, -(-count * percent // 100)) - 1


def finite_or_none(value: float) -> float | None:
    """`value`, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
