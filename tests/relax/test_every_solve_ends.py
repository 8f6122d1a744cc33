"""Nothing hangs: whatever the network, the input, the problem and the relaxation are, a solve ends by its cap and says
how, after no more evaluations than its settings allow.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energy.component import ConfigurationError, annotations, choices
from energy.couplings import Convolution, Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, Potential, ReLU
from energy.relax.custom import EnergyProblem
from energy.relax.dyad import ClampedDyad, Dyad, HeldDyad, NudgeForm, Nudging
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.state import State
from energy.train.registration import register_builtins

register_builtins()
NAMES = [name for name, cls in choices(Relaxation).items() if cls.__module__.startswith("energy.")]
POTENTIALS = [cls() for cls in choices(Potential).values() if cls.__module__.startswith("energy.")]
POTENTIALS += [ReLU(), Identity()] * len(POTENTIALS)  # more often than not, something without a bound
PER_STEP = {"sweep": 1, "zebra": 1, "synchronous": 1, "flow": 4}  # evaluations of all layers, at most
OTHERS = 100  # of a relaxation that is not named here and has no `max_evaluations`
QUICK = settings(max_examples=25, deadline=None, derandomize=True, database=None)
LONG = settings(max_examples=1500, deadline=None, database=None)


class Case(NamedTuple):
    """A problem with its start.

    Attributes:
        calls: evaluations of all layers so far.
    """

    kind: str
    problem: Problem
    state: State
    calls: Callable[[], float]


@st.composite
def networks(draw: Any) -> Network:
    """A chain with skips, or a pooled image; weights from nothing to far beyond any contraction."""
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    potential = st.sampled_from(POTENTIALS)
    if draw(st.integers(0, 3)):
        network = Network((draw(st.integers(1, 3)),))
        for k in range(1, draw(st.integers(1, 4)) + 1):
            below = {k - 1, *draw(st.lists(st.integers(0, k - 1), max_size=1))}
            size = draw(st.integers(1, 4))
            network.add({one: Dense(network.shape(one)[0], size) for one in sorted(below)}, draw(potential))
    else:
        network, pool = Network((1, 4, 4)), draw(st.sampled_from([MaxPool(2), AveragePool(2), None]))
        network.add(Convolution(1, 2, 3, padding=1), draw(potential))
        network.add(Convolution(2, 2, 3, padding=1, pool=pool), draw(potential))
    units = torch.Size(network.shape(len(network.layers))).numel()
    network.add(Dense(units, 2), draw(st.sampled_from([Identity(), *POTENTIALS[:3]])))
    stream, gain = torch.Generator().manual_seed(draw(st.integers(0, 99))), draw(st.sampled_from([0.0, 0.3, 1.0, 30.0]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(gain * torch.randn(parameter.shape, generator=stream))
    return network.to(dtype)


def inputs(network: Network, kind: str) -> Tensor:
    """Three samples: noise, nothing, of any size, or with one entry that is no number."""
    stream = torch.Generator().manual_seed(7)
    x = torch.randn((3, *network.input_shape), generator=stream).to(next(network.parameters()).dtype)
    scale = {"zero": 0.0, "large": 1e6, "huge": 1e30}.get(kind, 1.0)
    x = x * scale
    if kind == "no number":
        x.view(3, -1)[1, 0] = torch.nan
    return x


def single(network: Network, x: Tensor, gamma: float, kind: str) -> Case:
    """A free, nudged or clamped phase."""
    target = x.new_ones(len(x), 2)
    parts: dict[str, Any] = {}
    if kind == "nudged":
        parts = {"nudge": PhaseNudge(0.5, SquaredError(), target)}
    elif kind == "clamped":
        parts = {"clamp": target}
    ledger = Ledger()
    problem = SinglePhase(network, x, gamma, ledger, **parts)
    return Case(kind, problem, problem.initial_state(), _applications(network, ledger, 2 * len(x)))


def dyad(network: Network, x: Tensor, gamma: float, kind: str) -> Case:
    """Two replicas, about a mean that moves, is held, or whose output is clamped."""
    ledger, target = Ledger(), x.new_ones(len(x), 2)
    free = SinglePhase(network, x, gamma, ledger)
    state = free.bottom_up(free.initial_state())
    form = {"saddle": NudgeForm.SADDLE}.get(kind, NudgeForm.ADJOINT)
    alpha, beta = (0.5, 1.0) if kind == "clamped dyad" else (0.5, 0.2)
    nudging = Nudging(SquaredError(), target, beta, alpha, form, frozen=state[-1] - target)
    cls = {"held": HeldDyad, "clamped dyad": ClampedDyad}.get(kind, Dyad)
    problem = cls(network, x, gamma, ledger, nudging)
    return Case(kind, problem, problem.initial_state(state, free), _applications(network, ledger, 4 * len(x)))


def _applications(network: Network, ledger: Ledger, each: int) -> Callable[[], float]:
    return lambda: ledger.applications.total() / (len(network.edges) * each)


ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {
    "bowl": lambda s: s.square(),
    "stiff": lambda s: s.square() * torch.logspace(0, 6, s.shape[1], dtype=s.dtype),
    "two wells": lambda s: (s.square() - 1).square(),
    "hill": lambda s: -s.square(),
    "pit": lambda s: -(s**4),
    "kink": lambda s: s.abs(),
    "log": lambda s: -(1 - s).log(),
}


def energies(x: Tensor, kind: str) -> Case:
    """An energy of one's own, with a minimum or without."""
    count = [0]

    def counted(samples: int) -> None:
        count[0] += samples

    problem = EnergyProblem(lambda x, s, _: ENERGIES[kind](s[0]).sum(1), x, {}, count=counted)
    return Case(kind, problem, State([x.flatten(1) + 0.1]), lambda: count[0] / len(x))


@st.composite
def cases(draw: Any) -> Case:
    network, kind = draw(networks()), draw(st.sampled_from(["noise", "zero", "large", "huge", "no number"]))
    x, gamma = inputs(network, kind), draw(st.sampled_from([0.1, 0.5, 1.0]))
    phases = [*(functools.partial(single, kind=k) for k in ("free", "nudged", "clamped"))]
    phases += [*(functools.partial(dyad, kind=k) for k in ("adjoint", "saddle", "held", "clamped dyad"))]
    made = draw(st.sampled_from([*phases, None]))
    return energies(x, draw(st.sampled_from(list(ENERGIES)))) if made is None else made(network, x, gamma)


@st.composite
def relaxations(draw: Any, name: str) -> Relaxation:
    """A relaxation of this name, with values for all of its fields where they go together."""
    cls = choices(Relaxation)[name]
    steps = draw(st.sampled_from([1, 2, 5, 12]))
    tolerance, every = draw(st.sampled_from([0.0, 1e-12, 1e-3])), draw(st.integers(1, 5))
    fields: dict[str, Any] = {"max_steps": steps, "tolerance": tolerance, "check_every": every}
    for field, kind in annotations(cls).items():
        if field not in fields and (drawn := _value(draw, field, kind)) is not None:
            try:
                cls(**fields, **{field: drawn})
            except ConfigurationError:
                continue
            fields[field] = drawn
    return cls(**fields)


def _value(draw: Any, field: str, kind: Any) -> Any:
    """A value of a field, None for its default."""
    if field == "max_evaluations":
        return draw(st.sampled_from([1, 8, 60]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return draw(st.sampled_from(list(kind)))
    choice: dict[Any, list[Any]] = {
        bool: [None, True, False],
        int: [None, 1, 2, 4],
        float: [None, 1e-6, 0.1, 0.5, 0.95, 2.0, 100.0],
    }
    return draw(st.sampled_from(choice.get(kind, [None])))


def most(relax: Relaxation) -> float:
    """Evaluations of all layers that a solve may take: those of its steps, and one per look."""
    looks = -(-relax.max_steps // relax.check_every)
    cap = getattr(relax, "max_evaluations", None)
    steps = relax.max_steps * PER_STEP.get(relax.name, OTHERS) if cap is None else cap
    return steps + looks + 2  # the start, and a return to the best state


def ends(case: Case, relax: Relaxation) -> None:
    """Solve, and check the end."""
    try:
        solution = solve(case.problem, case.state, relax).read()
    except ConfigurationError as error:
        assert isinstance(case.problem, EnergyProblem), error  # it has no layers to update one by one
        return
    assert case.calls() <= most(relax), (case.kind, relax)
    assert 0 <= solution.taken <= relax.max_steps
    assert bool(((solution.steps >= 0) & (solution.steps <= relax.max_steps)).all())
    _means_what_it_says(case, relax, solution)


def _means_what_it_says(case: Case, relax: Relaxation, solution: Solution) -> None:
    """At an equilibrium beyond the bound on activity a solve has diverged, though each sample is at rest."""
    if solution.outcome is not Outcome.DIVERGED:
        assert (solution.outcome is Outcome.CONVERGED) == bool(solution.converged.all())
    if relax.tolerance:
        assert solution.outcome is not Outcome.FIXED
        assert bool((solution.residual[solution.converged] <= relax.tolerance).all())
    else:
        assert solution.outcome in (Outcome.FIXED, Outcome.DIVERGED)
    finite = all(bool(tensor.isfinite().all()) for tensor in solution.state)
    if solution.outcome is Outcome.DIVERGED:
        assert solution.layer in {case.problem.name(k) for k in range(len(solution.state))}
    else:  # a single pass is not looked at here, but by its settler
        assert finite or (relax.max_steps == 1 and not relax.tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_every_solve_ends(name: str) -> None:
    @QUICK
    @given(cases(), relaxations(name))
    def holds(case: Case, relax: Relaxation) -> None:
        ends(case, relax)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_solve_ends_at_length(name: str) -> None:
    @LONG
    @given(cases(), relaxations(name))
    def holds(case: Case, relax: Relaxation) -> None:
        ends(case, relax)

    holds()


def test_the_cap_is_one_that_a_solve_can_reach() -> None:
    """What is counted is what is capped: a solve to no tolerance uses all of it but the looks and the start."""
    network = Network((2,))
    network.add(Dense(2, 3), ReLU())
    network.add(Dense(3, 2), Identity())
    x = torch.ones(3, 2)
    for name, each in PER_STEP.items():
        case, relax = single(network, x, 1.0, "free"), choices(Relaxation)[name](max_steps=50, tolerance=0.0)
        solve(case.problem, case.state, relax)
        assert 0.5 * 50 * each <= case.calls() <= 50 * each + 1
