"""One step of equilibrium propagation: what it costs, in back-propagation steps, against the angle of its gradient.

A deep convolutional Hopfield network, 3×3 convolutions with 2×2 max-pooling, hard sigmoid, squared error, weights
N(0, (c·g)²/fan-in) with one gain g a layer. The exact gradient is that at the equilibrium which the same relaxation
reaches when it runs on. The recipe of the comparative study (Scellier et al., 2023) stands beside the dyads: centred
phases, 60 free and 20 nudged even/odd updates.

    ENERGY_BENCH_FULL=1     channels 128-256-512-512 in place of 32-64-64-64
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import pytest
import torch

from energy.objectives import SquaredError, one_hot
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation, Implicit
from energy.settle.settler import Settler
from energy.settle.two_phase import Kind, TwoPhase
from energy.stream import stream
from energy.train.probe import angles, reference
from models import Hopfield
from tests.benchmarks.tasks import CLASSES, EAGER, Task, backprop, backprop_steps, channels_last, settled
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

MOMENTUM: Final = False  # whether sweeps carry momentum and the mean is held while the difference settles
SWEEP: Final[dict[str, Any]] = {"momentum": 0.9} if MOMENTUM else {}
DYAD: Final[dict[str, Any]] = {"hold": True} if MOMENTUM else {}
BUDGETS: Final = ((2, 1), (4, 2), (8, 4), (16, 8), (30, 10), (60, 20))  # sweeps of the mean, then of the dyad
PUBLISHED: Final = "two phases, 60 + 20"

GAINS: Final = {"g = .5": (0.5,) * 5, "g = .4 .7 .6 .3 .4": (0.4, 0.7, 0.6, 0.3, 0.4)}
SCALES: Final = (0.577, 1.0, 1.7)
SEEDS: Final = (1, 2, 3)
Found = dict[str, list[float]]  # by settler, one number a seed
TIMED, PROBED = 64, 8  # samples in a timed batch, and in one whose angles are taken


def settlers() -> dict[str, Settler]:
    """The settlers under test, by label."""
    dyads: dict[str, Settler] = {
        f"dyad, {free} + {nudged}": EquilibriumPropagation(
            relax=Sweep(max_steps=free, tolerance=0.0, **SWEEP),
            nudged=Sweep(max_steps=nudged, tolerance=0.0, **SWEEP),
            **DYAD,
        )
        for free, nudged in BUDGETS
    }
    free, nudged = (Zebra(max_steps=steps, tolerance=0.0) for steps in (60, 20))
    return {**dyads, PUBLISHED: TwoPhase(relax=free, nudged=nudged, beta=0.1, kind=Kind.CENTRED)}


@dataclass(frozen=True)
class Cell:
    """One draw of the weights."""

    gains: str
    scale: float
    seed: int

    def task(self, batch: int) -> Task:
        """The network and a batch of normally distributed inputs."""
        full = os.environ.get("ENERGY_BENCH_FULL", "") == "1"
        channels = [128, 256, 512, 512] if full else [32, 64, 64, 64]
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
    tested = settlers()
    spent = {label: backprop_steps(given, settler) for label, settler in tested.items()}
    if not MOMENTUM:
        for free, nudged in BUDGETS:
            assert spent[f"dyad, {free} + {nudged}"] == pytest.approx(_counted(given, free, nudged), rel=1e-12)
    steps = {EAGER: backprop(given), **{label: settled(given, one) for label, one in tested.items()}}
    for row in rows(interleaved(steps), EAGER, kind="price", batch=TIMED):
        record.add({**row, "backprop_steps": spent.get(row["name"], 1.0)})


def _counted(given: Task, free: int, nudged: int) -> float:
    """2U + (2T + 4K)(U − U₁) in units of 3U − U₁."""
    every = sum(edge.multiply_adds for edge in given.network.edges)
    above = sum(edge.multiply_adds for edge in given.network.edges if edge.source)
    return (2 * every + (2 * free + 4 * nudged) * above) / (2 * every + above)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gains", GAINS)
def test_the_angle_of_the_gradient(record: Record, gains: str, scale: float) -> None:
    worst: dict[str, list[float]] = {label: [] for label in settlers()}
    left: dict[str, list[float]] = {label: [] for label in settlers()}
    for seed in SEEDS:
        given, exact = Cell(gains, scale, seed).task(PROBED), {}
        for label, settler in settlers().items():
            onward = reference(settler)
            if (key := repr(onward.relax)) not in exact:
                exact[key] = _exact(given, onward)
            wanted, residual = exact[key]
            worst[label].append(angles(given.network, _gradients(given, settler), wanted)["cosine_worst"])
            left[label].append(residual)
    record.add(*_angles(f"{gains}, c = {scale:g}", Cell(gains, scale, SEEDS[0]).task(PROBED), worst, left))
    assert scale > 1 or min(worst["dyad, 60 + 20"]) > 0.98


def _angles(group: str, given: Task, worst: Found, left: Found) -> Iterator[dict[str, Any]]:
    """A row for each settler: cosines over the seeds, and how far the reference still was from rest."""
    for label, settler in settlers().items():
        shared = {"kind": "angle", "group": group, "name": label, "backprop_steps": backprop_steps(given, settler)}
        found = {"cosine": median(worst[label]), "cosine_least": min(worst[label]), "cosines": worst[label]}
        yield {**shared, **found, "reference_residual": max(left[label])}


def _gradients(given: Task, settler: Settler) -> list[torch.Tensor]:
    """Of the summed objective."""
    settled = settler.settle(given.network, given.x, given.target, given.objective)
    return Contrast().gradients(given.network, settled)


def _exact(given: Task, onward: Implicit) -> tuple[list[torch.Tensor], float]:
    """The exact gradient, and the largest residual of a sample with which its two solves ended."""
    settled = onward.settle(given.network, given.x, given.target, given.objective)
    residual = max(float(one.residual.max()) for one in settled.solutions.values())
    return Contrast().gradients(given.network, settled), residual
