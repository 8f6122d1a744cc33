"""How fast a deep Hopfield network settles, against the spectral radius at its equilibrium, in float64.

Four 3×3 convolutions of 32-64-64-64 channels with 2×2 max-pooling and a dense output, hard sigmoid, weights
N(0, (c·½)²/fan-in); 16 CIFAR-10 images, or normally distributed ones where there is no data. Rates are those of the
second half of a solve from the bottom-up pass down to a residual of 1e-11, as medians over samples.

    ENERGY_DATA=… python -m pytest tests/benchmarks/test_contraction.py -m slow -q -s
"""

from typing import Final

import pytest
import torch
from torch import Tensor

from energy.data import Cifar10
from energy.errors import DataError
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.contraction import loop_gain
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import solve
from energy.relax.spectrum import spectrum
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.state import State
from energy.stream import stream
from tests.benchmarks.timing import Record
from tests.relax.linearized import hopfield, late_rate, residuals

pytestmark = pytest.mark.slow

SCALES: Final = (0.577, 1.0, 1.7)
GAMMAS: Final = (1.0, 0.5, 0.25, 0.1, 0.05)
RELAXATIONS: Final[dict[str, Relaxation]] = {"zebra": Zebra(), "sweep": Sweep(), "synchronous": Synchronous()}
LEAST: Final = 1e-11


def images() -> tuple[str, Tensor]:
    try:
        splits = Cifar10().load("cpu", seed=0)
    except DataError:
        return "normal", torch.randn(16, 3, 32, 32, generator=stream(0, "images"), dtype=torch.float64)
    return "cifar10", splits.train.take(slice(0, 16))[0].double()


@pytest.mark.parametrize("scale", SCALES)
def test_the_law_of_gamma(record: Record, scale: float) -> None:
    data, x = images()
    network = hopfield(scale, 1, (32, 64, 64, 64), 32, gains=(0.5,) * 5)
    for gamma in GAMMAS:
        state = equilibrium(network, x, gamma)
        found = spectrum(network, x, state, gamma, steps=200, tolerance=1e-3)
        law = found.radius.square()
        rates = {name: rate_of(network, x, gamma, relax) for name, relax in RELAXATIONS.items()}
        row = {"data": data, "scale": scale, "gamma": gamma, "squared_radius": float(law.median())}
        worst = {"loop_gain": loop_gain(network, x, state, gamma, steps=100)[0], "recursion": found.steps}
        medians = {f"rate_{name}": float(rate.median()) for name, rate in rates.items()}
        off = {"zebra_off": float((rates["zebra"] / law).median()) - 1}
        record.add({**row, **worst, **medians, **off})
        assert float(law.max()) <= worst["loop_gain"] * 1.05  # no unit's slope is above the greatest
        assert abs(off["zebra_off"]) < 0.2


def equilibrium(network: Network, x: Tensor, gamma: float) -> State:
    problem = SinglePhase(network, x, gamma, Ledger())
    return solve(problem, problem.initial_state(), Zebra(max_steps=600, tolerance=1e-13)).state


def rate_of(network: Network, x: Tensor, gamma: float, relax: Relaxation) -> Tensor:
    problem = SinglePhase(network, x, gamma, Ledger())
    return late_rate(residuals(problem, relax, problem.initial_state(), 800, LEAST), LEAST)
