"""The initial scale: the factor on the weights at which signals pass through a network and its free phase settles fast.

With feedback it is the least factor at which ρ² at the equilibrium is ½: enough activity comes back to matter, and a
step of a sweep still halves the residual. Without, the one at which the highest hidden layer is as active as the first,
so that the signal neither vanishes nor grows on its way. Every trial is settled and measured anew on a copy of the
network; nothing is extrapolated.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.relax.contraction import FIRST, loop_gain
from energy.relax.spectrum import spectrum
from energy.settle.settler import Settler

GOAL: Final = 0.5  # the loop gain that is looked for
CLOSE: Final = 0.1  # the relative error at which the search ends
TRIALS: Final = 10
STEPS: Final = 20  # of the spectrum of a trial
LOOSE: Final = 1e-2  # the tolerance of a trial
WIDEST: Final = 1.5  # the greatest factor between two trials before the goal is passed

Measure = Callable[[float], float]


@dataclass(frozen=True)
class InitialScale:
    """The outcome of a search for the initial scale.

    Attributes:
        factor: on the weights as they are; None if no trial came close to the goal.
        measured: the loop gain at it, or at γ = 0 the activity of the highest hidden layer in units of the first one's;
            of the closest trial if `factor` is None.
        trials: how many were made.
        reason: the goal and the outcome in words.
    """

    factor: float | None
    measured: float | None
    trials: int
    reason: str


@torch.no_grad()
def initial_scale(network: Network, settler: Settler, x: Tensor, ledger: Ledger) -> InitialScale:
    """Search for the factor on the weights that suits the free phase of `settler`.

    It acts on every parameter called `weight` with more than one axis, so not on biases.

    Args:
        network: at its initial weights, or any others; copied, and left as it is.
        settler: its free phase is settled, at the gain at which the network is.
        x: (B, *input shape), a few samples.
        ledger: counts the multiply-adds.
    """
    gamma = settler.gain(network)
    if any(edge.gain(gamma) for edge in network.edges):
        return _with_feedback(network, settler, x, ledger, gamma)
    return _one_pass(network, settler, x, ledger)


def _with_feedback(network: Network, settler: Settler, x: Tensor, ledger: Ledger, gamma: float) -> InitialScale:
    relax = replace(settler.relax, tolerance=max(LOOSE, settler.relax.tolerance), max_steps=60)
    looser = replace(settler, relax=relax)

    def measure(factor: float) -> float:
        trial = scaled_weights(network, factor)
        _, state, _ = looser.free(trial, x, ledger)
        if not all(bool(tensor.isfinite().all()) for tensor in state):
            return math.inf
        found = spectrum(trial, x, state, gamma, steps=STEPS)
        _count(network, gamma, ledger, 2 * found.steps * len(x))
        return float(found.radius.square().nan_to_num(math.inf).median())

    free, _ = loop_gain(network, x, network.activity(x), gamma)
    _count(network, gamma, ledger, 2 * FIRST)
    return _least(measure, (GOAL / free) ** 0.5 if free > 0 else 1.0)  # at most the goal, with units at their bounds


def _least(measure: Measure, factor: float) -> InitialScale:
    """Go up from a factor that is not too large to the first trial past the goal, then between the two."""
    tried = dict[float, float]()
    below, above = 0.0, math.inf
    while len(tried) < TRIALS:
        found = tried[factor] = measure(factor)
        if abs(found / GOAL - 1) <= CLOSE:
            said = f"the loop gain at the equilibrium is {found:.2g} there, near {GOAL}"
            return InitialScale(factor, found, len(tried), said)
        below, above = (factor, above) if found < GOAL else (below, factor)
        step = min(max((GOAL / found) ** 0.5 if found > 0 else WIDEST, 1 / WIDEST), WIDEST)
        wanted = factor * step
        if above < math.inf and not below < wanted < above:
            wanted = (below * above) ** 0.5 if below else above / WIDEST
        factor = wanted
    closest = min(tried, key=lambda one: abs(tried[one] - GOAL))
    said = f"no trial from {min(tried):.2g} to {max(tried):.2g} has a loop gain near {GOAL} at the equilibrium"
    found = tried[closest]
    return InitialScale(None, found if math.isfinite(found) else None, len(tried), said)


def _one_pass(network: Network, settler: Settler, x: Tensor, ledger: Ledger) -> InitialScale:
    """The factor at which the highest hidden layer is as active as the first."""
    hidden = len(network.layers) - 1
    if hidden < 2:
        return InitialScale(None, None, 0, "no activity comes back, and no two hidden layers are to be compared")
    factor, found = 1.0, 0.0
    for trial in range(1, TRIALS + 1):
        _, state, _ = settler.free(scaled_weights(network, factor), x, ledger)
        first, top = (float(state[k].double().square().mean().sqrt()) for k in (0, hidden - 1))
        found = top / first if first > 0 else math.nan
        if not (math.isfinite(found) and found > 0):
            break
        if abs(math.log(found)) <= CLOSE:
            said = f"the highest hidden layer is {found:.2g} times as active as the first there"
            return InitialScale(factor, found, trial, said)
        factor *= min(max(found ** (-1 / (hidden - 1)), 0.25), 4.0)
    return InitialScale(None, found if math.isfinite(found) else None, TRIALS, "no trial passes on its activity")


def scaled_weights(network: Network, factor: float) -> Network:
    """Return a copy of a network with every weight of more than one axis multiplied by `factor`."""
    trial = copy.deepcopy(network)
    with torch.no_grad():
        for name, weight in trial.named_parameters():
            if name.rpartition(".")[2] == "weight" and weight.ndim > 1:
                weight.mul_(factor)
    return trial


def _count(network: Network, gamma: float, ledger: Ledger, samples: int) -> None:
    for edge in network.edges:
        if edge.gain(gamma):
            ledger.apply("scale", edge.multiply_adds, samples)
