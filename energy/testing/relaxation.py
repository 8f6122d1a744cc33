"""The contract of a relaxation: it ends where every other one ends, and reports truly if it has converged."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.relax.relaxation import Relaxation, returned
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.state import State
from energy.testing.claim import agree, claim, promise, public_check, shuffled
from energy.testing.small import EXACT, SmallProblem, batch, contracting
from energy.testing.truth import equilibrium

BUDGET = 3000


@public_check(Relaxation, "derive it from energy.relax.relaxation.Relaxation")
def check_relaxation(relaxation: Relaxation, *, device: str = "cpu") -> list[str]:
    """Check a relaxation; it must define `step`.

    On a small contracting network with a skip connection, at γ = 1 and ½: one replica reaches the equilibrium that
    plain iteration finds, and a dyad that of a long sweep, within 3000 steps; it never reports a convergence that the
    true residual denies, gives permuted batches permuted states, repeats itself, leaves the states it is given alone,
    keeps their dtype, and its coupling applications are counted.
    """
    network, (x, target) = contracting(device), batch(device)
    _leaves_states_alone(relaxation, SmallProblem(network, x, target))
    for gamma in (1.0, 0.5):
        trial = SmallProblem(network, x, target, gamma)
        _same_equilibrium(relaxation, trial)
        _honest(relaxation, trial)
    trial = SmallProblem(network, x, target)
    _repeats(relaxation, trial)
    _counts(relaxation, trial)
    return []


@promise("it must end at the equilibrium")
def _same_equilibrium(relaxation: Relaxation, trial: SmallProblem) -> None:
    long = replace(relaxation, max_steps=max(BUDGET, relaxation.max_steps), tolerance=1e-9)
    alone = equilibrium(trial.network, trial.x, trial.gamma)
    for name, run, reference in (("one replica", trial.single, alone), ("a dyad", trial.dyad, _dyad(trial))):
        solution = run(long)[1]
        where = f"{name} at gamma={trial.gamma:g}"
        claim(
            solution.outcome is Outcome.CONVERGED,
            relaxation,
            f"{where} has not converged in {long.max_steps} steps: {solution}",
        )
        for index, (found, expected) in enumerate(zip(solution.state, reference, strict=True)):
            agree(relaxation, f"equilibrium of {where}, tensor {index}, against a long sweep", found, expected, 1e-6)


def _dyad(trial: SmallProblem) -> State:
    return trial.dyad(EXACT)[1].state


@torch.no_grad()
def _true_residual(trial: SmallProblem, state: State) -> Tensor:
    """The relative change by one more response, (B,), from the network itself rather than from cached drives."""
    drives = trial.network.drive(trial.x, state, trial.gamma)
    layers = trial.network.layers
    change = State(layer.potential.response(drive) for layer, drive in zip(layers, drives, strict=True)) - state
    return (change.norms() / state.norms().clamp_min(1e-300)).amax(0)


@promise("residual(problem, before, after) must give a State, one tensor per layer")
def _honest(relaxation: Relaxation, trial: SmallProblem) -> None:
    for steps in (1, 2, 3, 5, 10):
        brief = replace(relaxation, max_steps=steps, tolerance=1e-3, check_every=1)
        solution = trial.single(brief)[1]
        _well_formed(relaxation, solution, steps)
        true = _true_residual(trial, solution.state)
        claim(
            (true[solution.converged] <= 10 * brief.tolerance).all(),
            relaxation,
            f"claims convergence to {brief.tolerance:g} after {steps} steps at a residual of {float(true.max()):.1e}",
        )
    strict = replace(relaxation, max_steps=1, tolerance=1e-12, check_every=1)
    solution = trial.single(strict)[1]
    if bool((_true_residual(trial, solution.state) > 1e-9).any()):
        claim(
            solution.outcome is Outcome.BUDGET, relaxation, f"one step cannot converge here, yet it ends as: {solution}"
        )
    fixed = trial.single(replace(relaxation, max_steps=2, tolerance=0.0))[1]
    claim(fixed.outcome is Outcome.FIXED, relaxation, f"at tolerance 0 it must end as fixed, not as: {fixed}")


def _well_formed(relaxation: Relaxation, solution: Solution, budget: int) -> None:
    samples = solution.residual.shape
    claim(
        solution.steps.shape == samples == solution.converged.shape,
        relaxation,
        "steps, residual and converged are not per sample",
    )
    claim(
        (solution.steps >= 1).all() and (solution.steps <= budget).all(), relaxation, f"used more than {budget} steps"
    )
    settled = bool(solution.converged.all())
    claim((solution.outcome is Outcome.CONVERGED) == settled, relaxation, f"outcome and samples disagree: {solution}")


@promise("a solve must not depend on the order of samples, nor on what was solved before")
def _repeats(relaxation: Relaxation, trial: SmallProblem) -> None:
    brief = replace(relaxation, max_steps=3, tolerance=0.0)
    order = shuffled(len(trial.x), trial.x.device)
    for name in ("single", "dyad"):
        first, again = (getattr(trial, name)(brief)[1].state for _ in range(2))
        moved = getattr(trial.permuted(order), name)(brief)[1].state
        for one, two, other in zip(first, again, moved, strict=True):
            claim(
                (one == two).all(),
                relaxation,
                "a second solve differs from the first: a relaxation keeps nothing but its memory",
            )
            agree(relaxation, "states of a permuted batch", other, one[order], 1e-10)


@promise("step(problem, state, memory) must return (State, memory); memory is None at the first step")
@torch.no_grad()
def _leaves_states_alone(relaxation: Relaxation, trial: SmallProblem) -> None:
    for dtype in (torch.float64, torch.float32):
        problem = SinglePhase(trial.network, trial.x.to(dtype), 1.0, Ledger())
        state, memory = problem.initial_state(), None
        for _ in range(3):
            before = [tensor.clone() for tensor in state]
            after, memory = returned(relaxation, relaxation.step(problem, state, memory))
            claim(
                all(bool((a == b).all()) for a, b in zip(state, before, strict=True)),
                relaxation,
                "step writes to its state",
            )
            claim(all(t.dtype == dtype for t in after), relaxation, f"step does not keep {dtype}")
            claim(
                [t.shape for t in after] == [t.shape for t in before], relaxation, "step changes the shape of the state"
            )
            state = after


@promise("every coupling application must go through the problem, which counts it")
def _counts(relaxation: Relaxation, trial: SmallProblem) -> None:
    few, more = Ledger(), Ledger()
    trial.single(replace(relaxation, max_steps=2, tolerance=0.0), few)
    trial.single(replace(relaxation, max_steps=4, tolerance=0.0), more)
    claim(more.multiply_adds > few.multiply_adds > 0, relaxation, "the ledger does not count its coupling applications")
