"""A rehearsal of training steps on an accelerator, without one: what would make either wait for the other fails here.

Every registered settler, rule, relaxation, feedback and objective is taken through `train_step`, once to make what is
kept and once under the spy; what no settler calls for by itself follows.
"""

from __future__ import annotations

import pytest
import torch

from energy.component import Component
from energy.feedback import Feedback
from energy.model import Model
from energy.objectives import Objective
from energy.potentials import Potential
from energy.relax.relaxation import Relaxation
from energy.rules import Rule
from energy.settle import Settler
from energy.specs import CouplingSpec, PoolingSpec
from energy.spiking.encoders import Encoder
from energy.spiking.errors import SpikeError
from energy.spiking.neuron import Neuron
from energy.spiking.surrogates import Surrogate
from energy.train.average import WeightAverage
from energy.train.clock import Clock
from energy.train.finite_check import FiniteCheck
from energy.train.fit import train_step
from energy.train.metrics import EpochMetrics
from energy.train.optimizer import Optimizer
from energy.train.run import Run
from energy.train.session import Session
from energy.train.stages import stages
from energy.train.stepper import Stepper
from tests.device import cases
from tests.device.spy import META, Spy

LOOK = "energy.relax.solver:_looking"
RUNS = cases.every()
SOLVED = ("equilibrium_propagation", "two_phase-", "energy_two_phase", "dual_propagation", "predictive_coding_ep")
BATCH = 4


def session(run: Run) -> Session:
    """A session without data: `Session` loads them, which no step does."""
    one = object.__new__(Session)
    one.run, one.device, one.network = run, META, cases.drafted(run)
    one.stages = stages(run, one.network)
    one.average = WeightAverage(one.network, run.train.average)
    one._learnable = {name for name, p in one.network.named_parameters() if p.requires_grad}
    one.optimizer = run.optimizer.create(one.network)
    one.finite_check = FiniteCheck(one.network, one.optimizer)
    one.metrics, one.clock = EpochMetrics(META), Clock(META)
    one.epoch = one.batch = one.step = 0
    one.steps_per_epoch = 8
    one.stepper = Stepper(one)
    one.enter()
    return one


def batch(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.empty(BATCH, *run.data.shape, device=META, dtype=run.precision.activity)
    return x, torch.empty(BATCH, dtype=torch.int64, device=META)


def is_quick(name: str) -> bool:
    """Every field of every settler; ways to settle with five of them alone, and the fields of these ways with one."""
    settled = "relax=" in name or "nudged=" in name
    return not settled or name.startswith(SOLVED[0] if name.count("=") > 1 else SOLVED)


@pytest.mark.parametrize(
    "name", [name if is_quick(name) else pytest.param(name, marks=pytest.mark.slow) for name in RUNS]
)
def test_a_step_waits_for_nothing(name: str) -> None:
    """But for one read per block of a solve with a tolerance: at 2, 4 and 5 of a budget of 5 steps."""
    run = RUNS[name]
    one, (x, labels) = session(run), batch(run)
    with Spy(strict=False):
        train_step(one, x, labels)  # makes what is kept
    with Spy({LOOK}) as spy:
        train_step(one, *batch(run))
        prediction = run.settler.predict(one.network, x)
    solves = len(one.metrics._outcomes) + (prediction.solution is not None)
    assert spy.reads[LOOK] == (3 * solves if name.endswith("asked") else 0)
    assert any(parameter.grad is not None for parameter in one.network.parameters())


GROUPS = [Settler, Rule, Relaxation, Feedback, Objective, Encoder, SpikeError, Neuron, Surrogate]
GROUPS += [Potential, CouplingSpec, PoolingSpec, Model, Optimizer]


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.__name__)
def test_every_registered_kind_was_rehearsed(group: type[Component]) -> None:
    seen = {type(part) for run in RUNS.values() for part in _parts(run)}
    assert set(cases.registered(group)) <= seen


def _parts(component: Component) -> list[Component]:
    inside = [one for value in vars(component).values() for one in (value if isinstance(value, list) else [value])]
    return [component, *(part for one in inside if isinstance(one, Component) for part in _parts(one))]
