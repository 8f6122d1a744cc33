"""The diagnosis of a network before it learns: the gains of its layers, how fast it settles, whether an equilibrium is
sure, the scale of its weights, and flags for the faults that would spoil a training.

    print(network.diagnose(x, settler))

Expected steps come from two sources, and the diagnosis names them. Those at the settler's own γ are counted down to
three tolerances of residual, or for 60 steps, and then expected from the spectrum at the equilibrium
(`energy.analysis.contraction_report`). Those on the ladder of other γ come from one number, ρ₀², by the law of the
relaxation at √γ ρ₀, from a residual of 1: no step was taken there, and what the law leaves out (units that reach or
leave their bounds, switches of pooling) they leave out too.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from energy.analysis.boundedness import Boundedness, Verdict, boundedness
from energy.analysis.contraction_report import FreePhase, free_phase, over_samples
from energy.analysis.flags import Flag, flags
from energy.analysis.gradient_alignment import at_rest, kept_buffers
from energy.analysis.initial_scale import InitialScale, initial_scale
from energy.analysis.layer_measures import LayerMeasures, layer_measures
from energy.analysis.wording import in_words
from energy.component import ConfigurationError
from energy.energy_network import EnergyNetwork
from energy.errors import UsageError
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.contraction import ContractBy, attach_contraction, contraction
from energy.relax.convergence import expected_steps
from energy.relax.relaxation import Relaxation
from energy.relax.spectrum import spectrum
from energy.settle.dyadic import EquilibriumPropagation
from energy.settle.settler import Settler

LADDER: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LANCZOS: Final = 40  # steps of the spectrum
FEW: Final = 4  # samples of the search for a scale
TOLERANCE: Final = 1e-3  # to which steps are expected if the settler runs a fixed number

Spread = dict[str, float | None]  # median and max over samples; None where infinite


@dataclass(frozen=True)
class LadderRung:
    """One γ of the ladder.

    Attributes:
        gamma: γ.
        rate: of the relaxation there, by its law at √γ ρ₀; None without a law.
        steps: expected from a residual of 1 to the tolerance; None without a law, or where it does not contract.
    """

    gamma: float
    rate: float | None
    steps: float | None


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of a network, a settler and a few samples.

    Attributes:
        settler: its name.
        gamma: the feedback gain at which the network is settled.
        relax: the relaxation of the free phase.
        tolerance: to which it settles; 0 for a fixed number of steps.
        samples: how many were looked at.
        precision: of the states.
        layers: the measures of every layer at the equilibrium.
        loop_gain: ρ² there at the settler's own γ, over the samples.
        loop_gain_at_one: ρ₀² = ρ²/γ on a chain; with skips or at γ = 0, ρ² at γ = 1 and the same state.
        slowest: the layer that holds most of the slowest mode.
        rate: the factor per step that the law of the relaxation says there.
        expected: the steps to the tolerance at the settler's own γ; None at γ = 0, without a law or a tolerance.
        counted: those of `expected` that were counted, not foreseen.
        taken: the steps that the settler's own free phase took within its budget.
        outcome: how it ended; None at γ = 0.
        budget: its greatest number of steps.
        ladder: expected steps by γ, from the median of `loop_gain_at_one` alone.
        bounds: whether an equilibrium exists and is the only one.
        scale: the factor on the weights that suits the free phase.
        flags: the faults found, the most serious first.
        price: what the diagnosis took, in steps of back-propagation over the same samples.
    """

    settler: str
    gamma: float
    relax: str
    tolerance: float
    samples: int
    precision: str
    layers: tuple[LayerMeasures, ...]
    loop_gain: Spread | None
    loop_gain_at_one: Spread | None
    slowest: str | None
    rate: Spread | None
    expected: Spread | None
    counted: Spread | None
    taken: Spread | None
    outcome: str | None
    budget: int
    ladder: tuple[LadderRung, ...]
    bounds: Boundedness
    scale: InitialScale
    flags: tuple[Flag, ...]
    price: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that strict JSON can hold: numbers that are not finite are None."""
        return _plain(dataclasses.asdict(self))

    def __str__(self) -> str:
        return in_words(self.to_dict())


@torch.no_grad()
def diagnose(network: Network, x: Tensor, settler: Settler | None = None, *, samples: int = 16) -> Diagnosis:
    """Diagnose a network before, or after, it learns.

    No weight, buffer, mode or `.grad` changes. A settler with `keep_contracting` that has not begun yet is looked at as
    its first step would hold the loop gain. The price is bounded: at most 300 steps of the relaxation, or five
    budgets, to the equilibrium, and two budgets; 40 of the spectrum, twice; 30 for the gain of each edge; and a tenth
    of it for each of 10 trials of another scale.

    Args:
        network: the network.
        x: (B, *input shape); its dtype is the precision of the states.
        settler: its free phase is looked at; equilibrium propagation unless given.
        samples: the first ones of `x` that are looked at.

    Raises:
        ConfigurationError: for a settler whose activity is not the response of a potential, or a network given by an
            energy alone.
        ValueError: for an `x` that does not fit, or no samples.

    Example:
        >>> from energy.models import MLP
        >>> network = MLP(sizes=[8]).build((1, 4, 4), 3, seed=0)
        >>> diagnose(network, torch.rand(8, 1, 4, 4)).slowest
        'dense1'
    """
    settler = EquilibriumPropagation() if settler is None else settler
    if samples < 1:
        raise UsageError(f"samples={samples}: must be at least 1")
    if isinstance(network, EnergyNetwork):
        raise ConfigurationError("model: an energy alone has no layers to diagnose; take contraction_report")
    network.validate_batch(x)
    x, ledger = x[:samples], Ledger()
    network, settler = _held(network, settler, x), at_rest(settler)
    with kept_buffers(network):
        found = free_phase(network, settler, x, ledger, steps=LANCZOS)
        layers = layer_measures(network, x, found.state, found.gamma, ledger)
        at_one = _at_one(network, x, found, ledger)
        bounded = boundedness(network, found.gamma)
        scale = initial_scale(network, settler, x[:FEW], ledger)
    return Diagnosis(
        **_settling(settler, found),
        samples=len(x),
        precision=str(x.dtype).removeprefix("torch."),
        layers=tuple(layers),
        loop_gain_at_one=over_samples(at_one),
        slowest=found.slowest(network),
        ladder=ladder(settler.relax, at_one),
        bounds=bounded,
        scale=scale,
        flags=tuple(flags(network, settler, x, found, layers, bounded)),
        price=ledger.backprop_steps(network, len(x)),
    )


def ladder(relax: Relaxation, at_one: Tensor) -> tuple[LadderRung, ...]:
    """Return the steps expected at every γ of the ladder from ρ₀² alone, of the median sample.

    Args:
        relax: gives the law and the tolerance; 1e-3 for one of a fixed number of steps.
        at_one: ρ₀² of every sample, (B,).
    """
    held = at_one[~at_one.isnan()].double()
    if not len(held):
        return ()
    middle, rungs = held.median(), list[LadderRung]()
    for gamma in LADDER:
        end = (gamma * middle).sqrt()[None]
        rate = relax.contraction_rate(-end, end)
        if rate is None or not bool(rate.isfinite()):
            rungs.append(LadderRung(gamma, None, None))
            continue
        steps = float(expected_steps(rate, relax.tolerance or TOLERANCE, torch.ones_like(rate)))
        rungs.append(LadderRung(gamma, float(rate), steps if math.isfinite(steps) else None))
    return tuple(rungs)


def _settling(settler: Settler, found: FreePhase) -> dict[str, Any]:
    """The fields of a diagnosis that are of the free phase alone."""
    return {
        "settler": settler.name,
        "gamma": found.gamma,
        "relax": settler.relax.name,
        "tolerance": settler.relax.tolerance,
        "budget": settler.relax.max_steps,
        "loop_gain": over_samples(found.spectrum.radius.square()),
        "rate": over_samples(found.predicted),
        "expected": over_samples(found.expected),
        "counted": over_samples(found.counted),
        "taken": over_samples(None if found.taken is None else found.taken.steps),
        "outcome": None if found.taken is None else found.taken.outcome.name.lower(),
    }


def _held(network: Network, settler: Settler, x: Tensor) -> Network:
    """The network, or where a settler holds the loop gain and has not begun to, a copy of it as its first step does."""
    bound, by = getattr(settler, "keep_contracting", 0.0), getattr(settler, "contract_by", None)
    there = contraction(network)
    if not (bound and settler.gamma and isinstance(by, ContractBy)) or (there is not None and int(there.steps)):
        return network
    trial = copy.deepcopy(network)
    attach_contraction(trial).hold(trial, x, settler.gamma, bound, by)
    return trial


def _at_one(network: Network, x: Tensor, found: FreePhase, ledger: Ledger) -> Tensor:
    """ρ₀² of every sample, (B,)."""
    if found.gamma and all(edge.span == 1 for edge in network.edges if edge.gain(1.0)):
        return found.spectrum.radius.square() / found.gamma
    ends = spectrum(network, x, found.state, 1.0, steps=LANCZOS)
    for edge in network.edges:
        if edge.gain(1.0):
            ledger.apply("spectrum", edge.multiply_adds, 2 * ends.steps * len(x))
    return ends.radius.square()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Verdict):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value
