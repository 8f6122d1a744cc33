"""The sums of an epoch, which stay on the device until the epoch is read and can be saved half-way."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from energy.exchange import from_all
from energy.io.old_names import ledger_name
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.ranks import here
from energy.relax.contraction import contraction
from energy.relax.solution import Solution
from energy.targets import TargetKind
from energy.train.counts import percentile
from energy.train.scores import KINDS, Scores

SAMPLES = ("steps", "residual", "converged", "rate")
CONTROLS = ("scale", "factor")
ACTIVITY = ("spikes", "synaptic_operations", "spikes_by_layer")


class EpochMetrics:
    """Objective, scores and settling of the batches added so far.

    Args:
        device: of the sums.
        kind: of the targets.
        outputs: width of the output layer, for targets that are not classes.

    Attributes:
        examples: number of samples.
        scored: number of those that had an objective.
        batches: number of batches.
        ledger: multiply-adds of settling.
        diverged: the first layer that a solve named as diverged, empty if none did; outcomes: solves by outcome, by
            phase. Both read the device if it alone knows of a divergence.
    """

    def __init__(self, device: torch.device, kind: TargetKind = TargetKind.CLASSES, outputs: int = 1) -> None:
        self.objective = torch.zeros((), dtype=torch.float64, device=device)
        self.kind, self.outputs = kind, outputs
        self.held_scores: Scores = KINDS[kind](device, outputs)
        self.examples = self.scored = 0
        self.batches = 0
        self.ledger = Ledger()
        self._diverged = ""
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._unread: list[tuple[str, tuple[str, ...], Tensor]] = []  # phase, layers, and which of them diverged
        self.samples: defaultdict[str, list[Tensor]] = defaultdict(list)

    @torch.no_grad()
    def add(
        self, objective: Tensor | None, predicted: Tensor | None, labels: Tensor, solutions: Mapping[str, Solution]
    ) -> None:
        """Count one batch.

        Args:
            objective: of each sample (B,); None if the output layer does not learn.
            predicted: as `Objective.answer` gives it, classes (B,) or (B, outputs); None if the output layer does not
                learn.
            labels: true classes (B,), or the targets (B, outputs).
            solutions: the solves of the batch by phase.
        """
        if objective is not None:
            self.objective += objective.sum(dtype=torch.float64)
            assert predicted is not None  # of an output that learns
            self.held_scores.add(predicted, labels)
            self.scored += len(labels)
        self.examples += len(labels)
        self.batches += 1
        for phase, solution in solutions.items():
            self._outcomes[phase][solution.outcome.name.lower()] += 1
            self._diverged = self._diverged or solution.layer
            if solution.lost is not None:
                self._unread.append((phase, solution.names, solution.lost))
            for what in SAMPLES:
                if (value := getattr(solution, what)) is not None:
                    self.samples[f"{what}/{phase}"].append(value)
        if solutions:
            self.samples["steps/all"].append(torch.stack([one.steps for one in solutions.values()]).sum(0))

    def add_control(self, network: Network) -> None:
        """Note by how much this step has scaled γ and the weights, if the network has a contraction to hold."""
        held = contraction(network)
        for what in CONTROLS if held is not None else ():
            self.samples[f"control/{what}"].append(getattr(held, what).clone()[None])

    @property
    def diverged(self) -> str:
        self._read_outcomes()
        return self._diverged

    @property
    def outcomes(self) -> dict[str, Counter[str]]:
        self._read_outcomes()
        return self._outcomes

    def _read_outcomes(self) -> None:
        """Read which solves of a fixed number of steps have diverged, where no step waited to know; all in one read."""
        unread, self._unread = self._unread, []
        lost = iter(torch.cat([one for *_, one in unread]).tolist() if unread else ())
        for phase, names, _ in unread:
            bad = [name for name in names if next(lost)]
            if bad:
                self._outcomes[phase].update(fixed=-1, diverged=1)
                self._outcomes[phase] = +self._outcomes[phase]  # without a count of zero
                self._diverged = self._diverged or bad[0]

    def quality(self) -> tuple[float | None, float | None]:
        """Return objective per sample, None when it is not finite, and accuracy in percent; reads the device.

        The accuracy of other targets than classes is None: `scores` has what they have.
        """
        found = self.scores()
        return found.get("objective"), found.get("accuracy")

    def scores(self) -> dict[str, float | None]:
        """Return the objective per sample and the scores of the targets, by name; empty without any; reads the device.

        What is not finite is None.
        """
        if not self.scored:
            return {}
        return {"objective": finite_or_none(self.objective.item() / self.scored), **self.held_scores.read(self.scored)}

    def settling(self) -> dict[str, dict[str, Any]]:
        """Return, by phase, solves by outcome and steps and residuals over all samples; reads the device."""
        return {phase: self._phase(phase) for phase in self.outcomes}

    def histogram(self) -> Counter[int]:
        """Count samples by the steps they took in all phases together; reads the device."""
        if "steps/all" not in self.samples:
            return Counter()
        steps, counts = torch.cat(self.samples["steps/all"]).unique(return_counts=True)
        return Counter(dict(zip(steps.tolist(), counts.tolist(), strict=True)))

    def control(self) -> dict[str, Any]:
        """Return the share of steps in which the contraction was held, in percent, by which γ was multiplied, and by
        which the weights were in all; empty if there is none to hold; reads the device.
        """
        if "control/scale" not in self.samples:
            return {}
        scale, factor = (torch.cat(self.samples[f"control/{what}"]) for what in CONTROLS)
        return {
            "acted_percent": 100.0 * ((scale < 1) | (factor < 1)).double().mean().item(),
            "gamma_scale_mean": scale.mean().item(),
            "gamma_scale_min": scale.min().item(),
            "weight_factor": factor.prod().item(),
        }

    def cost(self, network: Network) -> dict[str, Any]:
        """Return the multiply-adds, as a number and in back-propagation steps over the same samples."""
        total = self.ledger.multiply_adds
        unit = backprop_multiply_adds(network) * self.examples
        return {"multiply_adds": total, "backprop_steps": total / unit if unit else None}

    def spike_counts(self) -> dict[str, Any]:
        """Return spikes and synaptic operations per sample, and spikes by layer; reads the device.

        The result is empty if no unit spikes.
        """
        counts = self.ledger.read()
        if not counts["spikes"] or not self.examples:
            return {}
        by_layer = {layer: spikes / self.examples for layer, spikes in counts["spikes"].items()}
        total, operations = (counts[name].total() / self.examples for name in ("spikes", "synaptic"))
        return dict(zip(ACTIVITY, (total, operations, by_layer), strict=True))

    def _phase(self, phase: str) -> dict[str, Any]:
        steps, residual, converged, rate = (self._samples(f"{what}/{phase}") for what in SAMPLES)
        asked, seen = residual[~residual.isnan()].double(), rate[~rate.isnan()].double()
        return {
            "outcomes": dict(self.outcomes[phase]),
            "sweeps_mean": steps.double().mean().item(),
            "sweeps_p95": percentile(steps, 95),
            "sweeps_max": int(steps.max()),
            "residual_mean": finite_or_none(asked.mean().item()) if len(asked) else None,
            "residual_max": finite_or_none(asked.max().item()) if len(asked) else None,
            "rate_mean": finite_or_none(seen.mean().item()) if len(seen) else None,
            "rate_max": finite_or_none(seen.max().item()) if len(seen) else None,
            "converged_percent": 100.0 * converged.double().mean().item() if len(asked) else None,
        }

    def _samples(self, name: str) -> Tensor:
        """All of one kind; none of those that a checkpoint of before did not have."""
        return torch.cat(self.samples.get(name) or [self.objective.new_zeros(0)])

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums that a checkpoint keeps as tensors."""
        joined = {name: torch.cat(parts) for name, parts in self.samples.items() if parts}
        return {**self._sums(), **joined}

    def _sums(self) -> dict[str, Tensor]:
        return {"objective": self.objective, **self.held_scores.sums}

    def of_all(self, *, shared: bool) -> "EpochMetrics":
        """Return the sums of all ranks together.

        Args:
            shared: whether each batch was shared by the ranks, and its solves with it; else each had its own.
        """
        if not here().several:
            return self
        parts = from_all(({name: tensor.cpu() for name, tensor in self.tensors().items()}, self.facts()))
        found = self._empty()
        found.restore(*parts[0])
        for tensors, facts in parts[1:]:
            found._take_in(tensors, facts, shared)
        return found

    def _empty(self) -> "EpochMetrics":
        return EpochMetrics(self.objective.device, self.kind, self.outputs)

    def _take_in(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], shared: bool) -> None:
        part = self._empty()
        part.restore(tensors, facts)
        self.objective += part.objective
        self.held_scores.join(part.held_scores.sums)
        self.examples += part.examples
        self.scored += part.scored
        if shared:
            part.ledger.sweeps.clear()
        self.ledger.update(part.ledger)
        self._diverged = self._diverged or part.diverged
        for name, values in part.samples.items():
            if not name.startswith("control/"):  # of the network, which all ranks have
                self.samples[name] += [value.to(self.objective.device) for value in values]
        if not shared:
            self.batches += part.batches
            for phase, counts in part.outcomes.items():
                self._outcomes[phase] += counts

    def facts(self) -> dict[str, Any]:
        """Return the sums that a checkpoint keeps as facts."""
        ledger = {name: dict(counts) for name, counts in self.ledger.read().items()}
        outcomes = {phase: dict(counts) for phase, counts in self.outcomes.items()}
        counts = {"examples": self.examples, "scored": self.scored, "batches": self.batches, "diverged": self.diverged}
        return {**counts, "ledger": ledger, "outcomes": outcomes}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Continue from the results of `tensors` and `facts`."""
        self.examples = facts["examples"]
        self.batches = facts["batches"]
        self._diverged = facts["diverged"]
        self.scored = facts.get("scored", self.examples)  # older checkpoints have no such entry
        self.ledger = Ledger(**{ledger_name(name): Counter(counts) for name, counts in facts["ledger"].items()})
        self._outcomes.update({phase: Counter(counts) for phase, counts in facts["outcomes"].items()})
        for name, tensor in tensors.items():
            if "/" in name:
                self.samples[name] = [tensor]
            else:
                self._sums()[name].copy_(tensor)


def top_five(split: str, scores: Mapping[str, Any] | None, before: str = "") -> dict[str, Any]:
    """Return the top-5 accuracy in `scores` as `<split>_top5_accuracy`; empty if there is none.

    Args:
        split: the beginning of the new name.
        scores: what a score or a read-out found.
        before: the beginning of its name there.

    Example:
        >>> top_five("test", {"accuracy": 50.0, "top5_accuracy": 80.0})
        {'test_top5_accuracy': 80.0}
    """
    name = f"{before}top5_accuracy"
    return {f"{split}_top5_accuracy": scores[name]} if scores and name in scores else {}


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None if it is not finite, which JSON cannot write."""
    return value if math.isfinite(value) else None
