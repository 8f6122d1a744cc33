"""A report on how fast a network settles: the spectral radius at the equilibrium, the rate it predicts, and the rate
that a solve had.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from energy.analysis.gradient_alignment import at_rest
from energy.component import ConfigurationError
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.block import BlockEnd, Point, block
from energy.relax.convergence import expected_steps
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.spectrum import Spectrum, slowest_mode
from energy.settle.reference import further
from energy.settle.settler import Settler
from energy.state import State

NEAR: Final = 3.0  # tolerances of residual down to which steps are counted; from there the law of the rate holds
COUNTED: Final = 60  # the most steps that are counted


class FreePhase(NamedTuple):
    """The measures of a free phase.

    Attributes:
        gamma: the feedback gain at which the network is settled.
        state: the equilibrium, which the same relaxation reaches when it runs on.
        onward: the solve that reached it; None at γ = 0, where the bottom-up pass does.
        spectrum: of the linearized response there.
        shares: of each layer in the slowest mode, (B, layers).
        predicted: the rate of the relaxation, (B,); None without a law.
        taken: the solve with the settler's own budget and tolerance; None at γ = 0.
        expected: the steps to the tolerance, (B,); None without a law or a tolerance.
        counted: those of `expected` that were counted, (B,).
    """

    gamma: float
    state: State
    onward: Solution | None
    spectrum: Spectrum
    shares: Tensor
    predicted: Tensor | None
    taken: Solution | None
    expected: Tensor | None
    counted: Tensor | None

    def slowest(self, network: Network) -> str | None:
        """Return the name of the layer that holds most of the slowest mode of the slowest sample."""
        radius = self.spectrum.radius
        if not bool((radius > 0).any()):
            return None
        return network.layers[int(self.shares[int(radius.argmax())].argmax())].name


@torch.no_grad()
def contraction_report(network: Network, settler: Settler, x: Tensor, *, steps: int = 100) -> dict[str, Any]:
    """Measure how fast the free phase of `settler` contracts about its equilibrium, and predict it.

    The equilibrium is that which the same relaxation reaches when it runs on. No weight and no buffer changes.

    Args:
        network: the network.
        settler: its free phase is measured, at the gain at which the network is settled.
        x: (B, *input shape).
        steps: the budget of `energy.relax.spectrum`.

    Returns:
        `gamma`; `loop_gain`, ρ² at the equilibrium, and its `error`; `layer`, which holds most of the slowest mode of
        the slowest sample; `rate_predicted` for the relaxation, `rate_measured`; `steps_expected` to the tolerance,
        `steps_taken`, and `outcome`. Each number over samples is a dictionary of `median` and `max`; None if it was not
        measured, not finite, or there is no law for the relaxation.

    Raises:
        ConfigurationError: for a settler whose activity is not the response of a potential, such as a spiking one.

    Example:
        >>> from energy.models import MLP
        >>> from energy.settle import EquilibriumPropagation
        >>> network = MLP(sizes=[8]).build((1, 4, 4), 3, seed=0)
        >>> contraction_report(network, EquilibriumPropagation(), torch.rand(4, 1, 4, 4))["layer"]
        'dense1'
    """
    found = free_phase(network, settler, x, Ledger(), steps=steps)
    taken, onward = found.taken, found.onward
    return {
        "gamma": found.gamma,
        "loop_gain": over_samples(found.spectrum.radius.square()),
        "error": over_samples(_relative(found.spectrum)),
        "layer": found.slowest(network),
        "rate_predicted": over_samples(found.predicted),
        "rate_measured": over_samples(None if onward is None else onward.rate),
        "steps_expected": over_samples(found.expected),
        "steps_taken": over_samples(None if taken is None else taken.steps),
        "outcome": None if taken is None else taken.outcome.name.lower(),
    }


@torch.no_grad()
def free_phase(network: Network, settler: Settler, x: Tensor, ledger: Ledger, *, steps: int = 100) -> FreePhase:
    """Measure the free phase of `settler`: its equilibrium, the spectrum there, and the steps to the tolerance.

    Steps are counted from the start until three tolerances are left, at most 60 of them, since pooling switches and
    units at their bounds change on the way, which no law foresees; the others are expected from the rate at the
    equilibrium.

    Args:
        network: the network; none of its weights and buffers changes.
        settler: its free phase is measured.
        x: (B, *input shape).
        ledger: counts the multiply-adds, those of the spectrum as a phase of this name.
        steps: the budget of `energy.relax.spectrum`.

    Raises:
        ConfigurationError: for a settler whose activity is not the response of a potential, such as a spiking one.
    """
    if not settler.rates and not isinstance(network, EnergyNetwork):
        raise ConfigurationError(f"settler={settler.name}: its activity is no equilibrium of rates")
    settler, gamma = at_rest(settler), settler.gain(network)
    relax = settler.relax
    state, onward = _settled(network, settler, x, further(relax, x.dtype), ledger)
    found, shares = slowest_mode(network, x, state, gamma, steps=steps)
    for edge in network.edges:
        if edge.gain(gamma):
            ledger.apply("spectrum", edge.multiply_adds, 2 * 2 * found.steps * len(x))
    predicted = relax.contraction_rate(found.lowest, found.highest)
    _, taken = _settled(network, settler, x, relax, ledger)
    expected, counted = _expected(network, settler, x, predicted, ledger)
    return FreePhase(gamma, state, onward, found, shares, predicted, taken, expected, counted)


def over_samples(values: Tensor | None) -> dict[str, float | None] | None:
    """Return median and maximum of the values that are numbers, infinite ones as None; None if there are none."""
    if values is None or not len(values := values[~values.isnan()].double()):
        return None
    found = {"median": float(values.median()), "max": float(values.max())}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _settled(
    network: Network, settler: Settler, x: Tensor, relax: Relaxation, ledger: Ledger
) -> tuple[State, Solution | None]:
    """The free state and its solution; None at γ = 0, as the bottom-up pass is the equilibrium."""
    if isinstance(network, EnergyNetwork):
        solution = solve(network.problem(x), network.zero_state(x), relax)
        return solution.state, solution
    _, state, solution = replace(settler, relax=relax).free(network, x, ledger)
    return state, solution


def _expected(
    network: Network, settler: Settler, x: Tensor, rate: Tensor | None, ledger: Ledger
) -> tuple[Tensor | None, Tensor | None]:
    """The steps of each sample to the tolerance, and those of them that were counted.

    A solve ends at a look, so they are a multiple of the distance between looks.
    """
    relax = settler.relax
    if rate is None or not relax.tolerance:
        return None, None
    near, budget = min(NEAR * relax.tolerance, 0.5 + relax.tolerance / 2), min(COUNTED, relax.max_steps)
    watched = replace(relax, max_steps=budget, tolerance=near, check_every=1)
    seen = _residuals(network, settler, x, watched, ledger)
    if seen is None:
        return None, None
    if not len(seen):  # it diverged
        return torch.full_like(rate, torch.inf), None
    outside = (seen > near).flip(0)  # a residual may rise again, so the last steps are looked at
    inside = torch.where(outside.any(0), outside.double().argmax(0), len(seen))
    counted = (len(seen) + 1 - inside).clamp_max(len(seen))
    steps = counted + expected_steps(rate, relax.tolerance, seen.gather(0, counted[None] - 1)[0])
    return (steps / relax.check_every).ceil() * relax.check_every, counted


def _residuals(network: Network, settler: Settler, x: Tensor, relax: Relaxation, ledger: Ledger) -> Tensor | None:
    """The residual of each sample after every step of a solve, (steps, B): no steps if it diverged, None at γ = 0."""
    seen = list[Tensor]()

    def run(problem: Problem, relax: Relaxation, point: Point, steps: int) -> BlockEnd | None:
        if (end := block(problem, relax, point, steps)) is not None:
            seen.append(end.residual)
        return end

    if isinstance(network, EnergyNetwork):
        found = solve(network.problem(x), network.zero_state(x), relax, run=run)
    elif settler.gamma:
        problem = SinglePhase(network, x, settler.gain_on_device(network), ledger, "free")
        found = solve(problem, problem.initial_state(), relax, run=run)
    else:
        return None
    kept = torch.stack(seen[: found.taken])  # without what a solver had run ahead
    return kept[:0] if found.outcome is Outcome.DIVERGED else kept


def _relative(found: Spectrum) -> Tensor:
    """The error in units of ρ."""
    return found.error / found.radius.clamp_min(torch.finfo(torch.float64).tiny)
