"""A report on how fast a network settles: the spectral radius at the equilibrium, the rate it predicts, and the rate
that a solve had.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from energy.analysis.gradient_alignment import at_rest
from energy.component import ConfigurationError
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.convergence import expected_steps
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Solution
from energy.relax.solver import solve
from energy.relax.spectrum import Spectrum, slowest_mode
from energy.settle.reference import further
from energy.settle.settler import Settler
from energy.state import State


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
    if not settler.rates and not isinstance(network, EnergyNetwork):
        raise ConfigurationError(f"settler={settler.name}: its activity is no equilibrium of rates")
    settler, gamma = at_rest(settler), settler.gain(network)
    relax = settler.relax
    state, onward = _settled(network, settler, x, further(relax, x.dtype))
    found, shares = slowest_mode(network, x, state, gamma, steps=steps)
    predicted = relax.contraction_rate(found.lowest, found.highest)
    _, taken = _settled(network, settler, x, relax)
    layer = network.layers[int(shares[int(found.radius.argmax())].argmax())].name
    return {
        "gamma": gamma,
        "loop_gain": over_samples(found.radius.square()),
        "error": over_samples(_relative(found)),
        "layer": layer if bool((found.radius > 0).any()) else None,
        "rate_predicted": over_samples(predicted),
        "rate_measured": over_samples(None if onward is None else onward.rate),
        "steps_expected": over_samples(_expected(network, settler, x, predicted)),
        "steps_taken": over_samples(None if taken is None else taken.steps),
        "outcome": None if taken is None else taken.outcome.name.lower(),
    }


def over_samples(values: Tensor | None) -> dict[str, float | None] | None:
    """Return median and maximum of the values that are numbers, infinite ones as None; None if there are none."""
    if values is None or not len(values := values[~values.isnan()].double()):
        return None
    found = {"median": float(values.median()), "max": float(values.max())}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _settled(network: Network, settler: Settler, x: Tensor, relax: Relaxation) -> tuple[State, Solution | None]:
    """The free state and its solution; None at γ = 0, as the bottom-up pass is the equilibrium."""
    if isinstance(network, EnergyNetwork):
        solution = solve(network.problem(x), network.zero_state(x), relax)
        return solution.state, solution
    _, state, solution = replace(settler, relax=relax).free(network, x, Ledger())
    return state, solution


def _expected(network: Network, settler: Settler, x: Tensor, rate: Tensor | None) -> Tensor | None:
    """The steps of each sample to the tolerance: as many as there are layers, in which what the start set off passes
    through all of them, and those from the residual that is then left.
    """
    relax = settler.relax
    if rate is None or not relax.tolerance:
        return None
    first = min(relax.check_every * -(-len(network.layers) // relax.check_every), relax.max_steps)
    _, begun = _settled(network, settler, x, replace(relax, max_steps=first))
    if begun is None:
        return None
    return begun.steps + expected_steps(rate, relax.tolerance, begun.residual)


def _relative(found: Spectrum) -> Tensor:
    """The error in units of ρ."""
    return found.error / found.radius.clamp_min(torch.finfo(torch.float64).tiny)
