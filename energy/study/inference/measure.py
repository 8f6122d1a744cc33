"""The measurement of one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from energy.analysis.contraction_report import contraction_report
from energy.analysis.gradient_alignment import angles, at_rest, cosine, kept_buffers
from energy.data.images import Images
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.problem import Problem
from energy.relax.solution import Solution
from energy.relax.watch import watching
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from energy.state import State
from energy.study.inference.block import Quantity
from energy.study.inference.exact import Exact, outcome_word, worst
from energy.study.inference.point import PlannedPoint
from energy.train.evaluate import score
from energy.train.run import Run

SINGLES: Final = 8  # samples that are settled alone, for the cosine of each
Judge = Callable[[tuple[Tensor, Tensor]], Exact]


@dataclass(frozen=True)
class Case:
    """A point with its network and images.

    Attributes:
        point: the point.
        network: with its weights.
        batch: images and targets, in the point's precision.
        judge: gives the exact gradient on a batch.
        validation: images to classify.
    """

    point: PlannedPoint
    network: Network
    batch: tuple[Tensor, Tensor]
    judge: Judge
    validation: Images

    @property
    def settler(self) -> Settler:
        """The settler, which leaves the network's contraction as it is."""
        return at_rest(self.point.settler)


def measure_point(case: Case) -> dict[str, Any]:
    """Measure a point; see the record's description for the numbers (`energy.study.inference.record`).

    Neither weights, nor buffers, nor `.grad` change.
    """
    point, asked = case.point, case.point.measure
    ledger, ends = Ledger(), Ends()
    with kept_buffers(case.network), watching(ends.look):
        settled = settle(case, case.batch, ledger)
    with kept_buffers(case.network):
        given = point.setting["rule"].gradients(case.network, settled)
    found = {"measures": _counts(case, settled, ledger), "layers": {}, "samples": _sweeps(settled)}
    if asked & {Quantity.GRADIENT, Quantity.SAMPLES}:
        exact = case.judge(case.batch)
        judged = angles(case.network, given, exact.gradient)
        found["measures"] |= {
            "cosine_whole": judged["cosine_whole"],
            "cosine_worst": judged["cosine_worst"],
            "worst_layer": judged["cosine_worst_layer"],
            "reference": dict(exact.outcomes),
        }
        residual = ends.residuals("free") if "free" in settled.solutions else ends.residuals("nudged")
        found["layers"] = layers(case.network, judged["cosines"], residual)
        found["samples"]["residual"] = [] if residual is None else finite_numbers(residual.amax(0))
        found["samples"]["energy_gap"] = energy_gap(case, ends.state("free"), exact.equilibrium)
    if Quantity.SAMPLES in asked:
        found["samples"]["cosine"] = single_cosines(case)
    if Quantity.SPECTRUM in asked:
        found["measures"] |= spectral_measures(case)
    return found


def settle(case: Case, batch: tuple[Tensor, Tensor], ledger: Ledger) -> Settled:
    """Settle a batch for learning."""
    x, target = batch
    return case.settler.settle(case.network, x, target, case.point.setting["objective"], ledger)


class Ends:
    """The problem and the last state of each solve that is watched."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[Problem, State]] = {}

    def look(self, problem: Problem, state: State, steps: int) -> None:
        """Remember the newest state of a phase."""
        self.seen[getattr(problem, "phase", "")] = (problem, state)

    def state(self, phase: str) -> State | None:
        """Return the last state of a phase, None if there was no such solve."""
        return self.seen[phase][1] if phase in self.seen else None

    def residuals(self, phase: str) -> Tensor | None:
        """Return |response − s|/|s| of each tensor and sample, (tensors, B); None if there was no such solve."""
        if phase not in self.seen:
            return None
        problem, state = self.seen[phase]
        size, moved = state.norms(), (problem.response(state) - state).norms()
        relative = moved / size.clamp_min(torch.finfo(size.dtype).tiny)
        return torch.where(moved == 0, 0, relative)


def layers(
    network: Network, cosines: dict[str, float | None], residual: Tensor | None
) -> dict[str, dict[str, float | None]]:
    """Return cosine and residual of each layer, the residual of a dyad's layer that of the larger of its tensors."""
    found: dict[str, dict[str, float | None]] = {}
    for k, layer in enumerate(network.layers):
        rows = None if residual is None else residual[k :: len(network.layers)].double().amax(0)
        found[layer.name] = {
            "cosine": cosines.get(layer.name),
            "residual_median": None if rows is None else finite_number(rows.median()),
            "residual_p95": None if rows is None else finite_number(rows.quantile(0.95)),
        }
    return found


def energy_gap(case: Case, state: State | None, rest: State | None) -> list[float | None]:
    """Return E(s) − E(s*) of each sample, in float64: s the state at which the free phase ended, s* its equilibrium.

    Empty without a free phase, at γ = 0, and where a potential has no value.
    """
    gamma = case.settler.gain(case.network)
    layers = enumerate(case.network.layers, start=1)
    valued = all(layer.potential.has_value for k, layer in layers if not case.network.readout(k))
    if state is None or rest is None or not gamma > 0 or not (valued and case.settler.rates):
        return []
    x = case.batch[0]
    ahead, at = (case.network.energy(x.to(s[0].dtype), s, gamma).double() for s in (state, rest))
    return finite_numbers(ahead - at)


def single_cosines(case: Case) -> list[float | None]:
    """Return the cosine of each of the first samples, settled alone, over all parameters."""
    found = []
    for i in range(min(SINGLES, len(case.batch[0]))):
        one = (case.batch[0][i : i + 1], case.batch[1][i : i + 1])
        with kept_buffers(case.network):
            given = case.point.setting["rule"].gradients(case.network, settle(case, one, Ledger()))
        found.append(cosine(given, case.judge(one).gradient))
    return found


def spectral_measures(case: Case) -> dict[str, float | None]:
    """Return the loop gain at the equilibrium and the rates, predicted and measured: medians over samples."""
    report = contraction_report(case.network, case.settler, case.batch[0])
    return {name: (report[name] or {}).get("median") for name in ("loop_gain", "rate_predicted", "rate_measured")}


def _counts(case: Case, settled: Settled, ledger: Ledger) -> dict[str, Any]:
    outcomes = {phase: outcome_word(solution) for phase, solution in settled.solutions.items()}
    return {
        "outcome": worst(outcomes),
        "outcomes": outcomes,
        "steps": {phase: solution.taken for phase, solution in settled.solutions.items()},
        "multiply_adds": ledger.multiply_adds,
        "backprop_steps": ledger.backprop_steps(case.network, len(case.batch[0])),
    }


def _sweeps(settled: Settled) -> dict[str, Any]:
    steps = {phase: _steps(solution) for phase, solution in settled.solutions.items()}
    return {"sweeps": steps, "residual": [], "energy_gap": [], "cosine": []}


def _steps(solution: Solution) -> list[int]:
    return [int(one) for one in solution.steps.tolist()]


def finite_numbers(values: Tensor) -> list[float | None]:
    """Return the values as plain numbers, None for those that are not finite."""
    return [finite_number(one) for one in values.detach().double()]


def finite_number(value: Tensor) -> float | None:
    """Return a plain number, None for one that is not finite."""
    return float(value) if bool(value.isfinite()) else None


def validation_accuracy(case: Case, run: Run) -> float:
    """Return the percent of the validation images that the free phase classifies, at its budget or tolerance."""
    with kept_buffers(case.network):
        return score(run, case.network, case.validation)["accuracy"]
