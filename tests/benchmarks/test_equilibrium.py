"""One step of equilibrium propagation: what it costs, in back-propagation steps, against the angle of its gradient.

A deep convolutional Hopfield network, 3×3 convolutions with 2×2 max-pooling, hard sigmoid, squared error, weights
N(0, (c·g)²/fan-in) with one gain g a layer. The exact gradient is that at the equilibrium which the same relaxation
reaches when it runs on. The recipe of the comparative study (Scellier et al., 2023) stands beside the dyads: centred
phases, 60 free and 20 nudged even/odd updates.

    ENERGY_BENCH_FULL=1         channels 128-256-512-512 in place of 32-64-64-64, the held dyads alone
    ENERGY_BENCH_PROBED=32      samples in a batch whose angles are taken, in place of 16
    ENERGY_BENCH_TRAINED=A:B    finished run folders of a Hopfield network
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest
import torch

from energy.analysis.gradient_alignment import angles
from energy.ledger import Ledger
from energy.models import Hopfield
from energy.objectives import SquaredError, one_hot
from energy.relax.anderson import Anderson
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.dyadic import MOMENTUM, ContrastiveHebbian, EquilibriumPropagation
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase
from energy.stream import stream
from energy.train.evaluate import load_run
from tests.benchmarks.tasks import CLASSES, EAGER, Task, backprop, backprop_steps, channels_last, program, settled
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

BUDGETS: Final = ((1, 1), (2, 1), (3, 1), (6, 3), (7, 2), (12, 3), (18, 4), (26, 4))  # sweeps of the mean, then of δ
TOLERANCES: Final = ((3e-2, 0.45), (3e-2, 0.1), (1e-2, 0.1), (5e-3, 0.03), (5e-3, 1e-3))  # the second are the defaults
LEAVING: Final = ((6e-2, 0.45), (3e-2, 0.1))  # tolerances at which samples leave the mean's batch
ANDERSON: Final = ((5e-3, 1e-3),)  # momentum on the mean, Anderson acceleration on δ
JOINT: Final = ((16, 8), (60, 20))  # sweeps of the mean, then of mean and δ together, without momentum
PUBLISHED: Final = "two phases, 60 + 20"

GAINS: Final = {"g = .5": (0.5,) * 5, "g = .4 .7 .6 .3 .4": (0.4, 0.7, 0.6, 0.3, 0.4)}
SCALES: Final = (0.577, 1.0, 1.7)
SEEDS: Final = (1, 2, 3)
FULL: Final = os.environ.get("ENERGY_BENCH_FULL", "") == "1"
TIMED = 64  # samples in a timed batch
PROBED = int(os.environ.get("ENERGY_BENCH_PROBED", "16"))  # and in one whose angles are taken


def sweeps(steps: int, tolerance: float = 0.0, momentum: float = MOMENTUM) -> Sweep:
    return Sweep(max_steps=steps, tolerance=tolerance, check_every=1, momentum=momentum)


def settlers(gamma: float = 1.0) -> dict[str, Settler]:
    """The settlers under test, by label."""
    tested: dict[str, Settler] = {}
    for free, delta in BUDGETS:
        relax, nudged = sweeps(free), sweeps(delta)
        tested[f"held, {free} + {delta}"] = EquilibriumPropagation(gamma=gamma, relax=relax, nudged=nudged)
    for free, delta in TOLERANCES:
        relax, nudged = sweeps(100, free), sweeps(30, delta)
        tested[f"held, to {free:g} and {delta:g}"] = EquilibriumPropagation(gamma=gamma, relax=relax, nudged=nudged)
    for free, delta in LEAVING:
        relax, nudged = replace(sweeps(100, free), drop_converged=True), sweeps(30, delta)
        label = f"held, to {free:g} and {delta:g}, samples leave"
        tested[label] = EquilibriumPropagation(gamma=gamma, relax=relax, nudged=nudged)
    for free, delta in ANDERSON:
        relax, nudged = sweeps(100, free), Anderson(max_steps=30, tolerance=delta, check_every=1)
        label = f"held, to {free:g} and {delta:g} by anderson"
        tested[label] = EquilibriumPropagation(gamma=gamma, relax=relax, nudged=nudged)
    for steps, both in JOINT:
        relax, nudged = sweeps(steps, momentum=0.0), sweeps(both, momentum=0.0)
        label = f"joint, plain, {steps} + {both}"
        tested[label] = EquilibriumPropagation(gamma=gamma, relax=relax, nudged=nudged, freeze_mean=False)
    if gamma == 1:
        relax, nudged = (Zebra(max_steps=steps, tolerance=0.0) for steps in (60, 20))
        tested[PUBLISHED] = TwoPhase(relax=relax, nudged=nudged, beta=0.1, kind=PhaseContrast.CENTERED)
    return tested if not FULL else {label: one for label, one in tested.items() if label.startswith("held")}


def early(label: str) -> dict[str, Settler]:
    """The settler `label` with its first steps in bfloat16, all samples together and with those that leave."""
    whole = settlers()[label]
    tested: dict[str, Settler] = {}
    for name, leave in {"bfloat16 first": False, "bfloat16 first, samples leave": True}.items():
        relax = replace(whole.relax, bfloat16_until=0.1, drop_converged=leave)
        tested[f"{label}, {name}"] = replace(whole, relax=relax)
    return tested


@dataclass(frozen=True)
class Cell:
    """One draw of the weights."""

    gains: str
    scale: float
    seed: int

    def task(self, batch: int) -> Task:
        """The network and a batch of normally distributed inputs."""
        channels = [128, 256, 512, 512] if FULL else [32, 64, 64, 64]
        network = Hopfield(channels=channels).build((3, 32, 32), CLASSES, seed=self.seed)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.zero_()
                if parameter.ndim > 1:
                    gain = self.scale * GAINS[self.gains][int(name.split(".")[1])]
                    deviation = gain / parameter[0].numel() ** 0.5
                    parameter.normal_(0, deviation, generator=stream(self.seed, name))
        x = torch.randn(batch, 3, 32, 32, generator=stream(self.seed, "probe"))
        labels = torch.randint(CLASSES, (batch,), generator=stream(self.seed, "labels"))
        return Task(channels_last(network), x, one_hot(labels, CLASSES), SquaredError())


def test_what_a_step_costs(record: Record) -> None:
    given = Cell("g = .5", 1.0, 1).task(TIMED)
    tested = settlers() | early("held, to 0.03 and 0.1")
    spent = {label: backprop_steps(given, settler) for label, settler in tested.items()}
    for free, delta in BUDGETS:
        assert spent[f"held, {free} + {delta}"] == pytest.approx(_counted(given, free, delta), rel=1e-12)
    steps = {EAGER: backprop(given), **{label: settled(given, one) for label, one in tested.items()}}
    for label in ("held, 6 + 3", "held, 12 + 3", "held, to 0.03 and 0.1"):
        steps[f"{label}, program"] = program(given, tested[label])
        spent[f"{label}, program"] = spent[label]
    for row in rows(interleaved(steps), EAGER, kind="price", batch=TIMED):
        record.add({**row, "backprop_steps": spent.get(row["name"], 1.0)})


def _counted(given: Task, free: int, delta: int) -> float:
    """3U − U₁ + (2T + 2K − 1)(U − U₁) in units of 3U − U₁."""
    every = sum(edge.multiply_adds for edge in given.network.edges)
    above = sum(edge.multiply_adds for edge in given.network.edges if edge.source)
    return 1 + (2 * free + 2 * delta - 1) * above / (2 * every + above)


@pytest.mark.parametrize("gamma", (0.25, 1.0))
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gains", GAINS)
def test_the_angle_of_the_gradient(record: Record, gains: str, scale: float, gamma: float) -> None:
    tasks = [Cell(gains, scale, seed).task(PROBED) for seed in SEEDS]
    rows = list(_angles(f"γ = {gamma:g}, {gains}, c = {scale:g}", tasks, settlers(gamma)))
    record.add(*rows)
    joint = [row["cosine_least"] for row in rows if row["name"] == "joint, plain, 60 + 20"]
    assert scale > 1 or min(joint, default=1.0) > 0.98


@pytest.mark.parametrize("scale", SCALES)
def test_contrasts_that_are_no_gradient(record: Record, scale: float) -> None:
    """Contrastive Hebbian and coupled learning, against the contrast that the same settler gives when it runs on."""
    tasks = [Cell("g = .5", scale, seed).task(PROBED) for seed in SEEDS]
    for label, settler in contrasts().items():
        cosines, spent = [], []
        for given in tasks:
            wanted = _gradients(given, replace(settler, relax=_onward(settler.relax), nudged=_onward(settler.nudged)))
            ledger = Ledger()
            cosines.append(angles(given.network, _gradients(given, settler, ledger), wanted)["cosine_worst"])
            spent.append(ledger.backprop_steps(given.network, len(given.x)))
        found = {"cosine": median(cosines), "cosine_least": min(cosines), "cosines": cosines}
        price = {"backprop_steps": max(spent), "backprop_steps_each": spent}
        record.add({"kind": "contrast", "group": f"g = .5, c = {scale:g}", "name": label, **price, **found})


def contrasts() -> dict[str, ContrastiveHebbian | CoupledLearning]:
    """Each without and with momentum, to two pairs of tolerances."""
    tested: dict[str, ContrastiveHebbian | CoupledLearning] = {}
    for kind, momentum in product((ContrastiveHebbian, CoupledLearning), (0.0, MOMENTUM)):
        for free, nudged in ((3e-2, 3e-2), (5e-3, 5e-3)):
            label = f"{kind.name}, {'momentum' if momentum else 'plain'}, to {free:g}"
            tested[label] = kind(relax=sweeps(100, free, momentum), nudged=sweeps(100, nudged, momentum))
    return tested


def _onward(relax: Relaxation) -> Relaxation:
    return replace(relax, max_steps=400, tolerance=1e-6)


def test_the_angle_on_trained_weights(record: Record) -> None:
    """Run folders of a Hopfield network in ENERGY_BENCH_TRAINED, separated as in PATH; on its own training images."""
    folders = [Path(name) for name in os.environ.get("ENERGY_BENCH_TRAINED", "").split(os.pathsep) if name]
    if not folders:
        pytest.skip("ENERGY_BENCH_TRAINED names no run folders")
    tasks = []
    for folder in folders:
        run, network, _ = load_run(folder)
        x, labels = run.data.load("cpu", run.seed).train.take(slice(0, PROBED))
        tasks.append(Task(channels_last(network), x, one_hot(labels, CLASSES), run.objective))
    record.add(*_angles("γ = 1, trained", tasks, settlers()))


def _angles(group: str, tasks: list[Task], tested: dict[str, Settler]) -> Iterator[dict[str, Any]]:
    """A row for each settler: cosines and price over the tasks, and how far the reference still was from rest."""
    exact: dict[tuple[int, str], tuple[list[torch.Tensor], float]] = {}
    for label, settler in tested.items():
        cosines, spent, left = [], [], []
        for number, given in enumerate(tasks):
            onward = exact_settler(settler)
            key = (number, repr(onward.relax))
            exact[key] = exact.get(key) or _exact(given, onward)
            ledger = Ledger()
            cosines.append(angles(given.network, _gradients(given, settler, ledger), exact[key][0])["cosine_worst"])
            spent.append(ledger.backprop_steps(given.network, len(given.x)))
            left.append(exact[key][1])
        found = {"cosine": median(cosines), "cosine_least": min(cosines), "cosines": cosines}
        price = {"backprop_steps": max(spent), "backprop_steps_each": spent}
        yield {"kind": "angle", "group": group, "name": label, **price, **found, "reference_residual": max(left)}


def _gradients(given: Task, settler: Settler, ledger: Ledger | None = None) -> list[torch.Tensor]:
    """Of the summed objective."""
    settled = settler.settle(given.network, given.x, given.target, given.objective, ledger)
    return Contrast().gradients(given.network, settled)


def _exact(given: Task, onward: Settler) -> tuple[list[torch.Tensor], float]:
    """The exact gradient, and the largest residual of a sample with which its two solves ended."""
    settled = onward.settle(given.network, given.x, given.target, given.objective)
    residual = max(float(one.residual.max()) for one in settled.solutions.values())
    return Contrast().gradients(given.network, settled), residual
