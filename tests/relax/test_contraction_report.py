"""The report on how fast a network settles, against its parts and against the steps that solves took."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from energy.analysis.contraction_report import contraction_report, over_samples
from energy.component import ConfigurationError
from energy.network import Network
from energy.potentials import HardSigmoid, Tanh
from energy.relax.contraction import attach_contraction
from energy.relax.relaxation import Relaxation
from energy.relax.spectrum import spectral_radius
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.settle import EnergyTwoPhase, EquilibriumPropagation, Spiking
from energy.settle.dyadic import DualPropagation
from energy.settle.settler import Settler
from tests.relax.linearized import equilibrium, hopfield
from tests.relax.test_rates import chain
from tests.relax.test_spectrum import batch, quartic
from tests.settle import nets

CLOSE: Relaxation = Zebra(max_steps=500, tolerance=1e-6, check_every=1)


def settling(gamma: float = 1.0, relax: Relaxation = CLOSE) -> Settler:
    return EquilibriumPropagation(gamma=gamma, relax=relax)


@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_it_names_the_radius_at_the_equilibrium(gamma: float) -> None:
    network = nets.mlp(Tanh(), gain=0.8, bias=0.3)
    x = batch(network, 5)
    found = contraction_report(network, settling(gamma), x)
    law = spectral_radius(network, x, equilibrium(network, x, gamma), gamma).square()
    assert found["gamma"] == gamma and found["layer"] in {layer.name for layer in network.layers}
    assert found["loop_gain"]["max"] == pytest.approx(float(law.max()), rel=1e-3)
    assert found["loop_gain"]["median"] == pytest.approx(float(law.median()), rel=1e-3)
    assert found["rate_predicted"] == found["loop_gain"] and found["error"]["max"] <= 1e-2
    assert found["outcome"] == "converged"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1])
def test_linear_chains_take_the_steps_that_were_expected(gamma: float) -> None:
    network = chain(0.9)
    x = batch(network, 5)
    found = contraction_report(network, settling(gamma), x)
    for name in ("median", "max"):
        off = found["steps_expected"][name] - found["steps_taken"][name]
        assert -1 <= off <= max(2.0, 0.1 * found["steps_taken"][name])


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("scale", [0.577, 1.0, 1.7])
def test_deep_networks_take_about_the_steps_that_were_expected(scale: float, gamma: float) -> None:
    network = hopfield(scale, 1)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    relax = dataclasses.replace(CLOSE, tolerance=1e-3)
    found = contraction_report(network, settling(gamma, relax), x)
    taken, expected = found["steps_taken"]["median"], found["steps_expected"]["median"]
    assert expected == pytest.approx(taken, rel=0.3, abs=2)


def test_momentum_is_expected_from_above() -> None:
    network = chain(0.95)
    relax = Sweep(max_steps=500, tolerance=1e-6, check_every=1, momentum=0.9)
    found = contraction_report(network, settling(relax=relax), batch(network, 5))
    assert found["rate_predicted"]["max"] >= found["loop_gain"]["max"] ** 0.5 * 0.9**0.5 - 1e-9
    assert found["steps_taken"]["max"] <= found["steps_expected"]["max"]


def test_a_held_gain_is_the_one_that_is_measured() -> None:
    network = nets.mlp(HardSigmoid(), gain=0.5, bias=0.3)
    attach_contraction(network).scale.fill_(0.25)
    kept = [tensor.clone() for tensor in (*network.parameters(), *network.buffers())]
    settler = EquilibriumPropagation(keep_contracting=0.5, relax=CLOSE)
    assert contraction_report(network, settler, batch(network))["gamma"] == 0.25
    now = (*network.parameters(), *network.buffers())
    assert all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))


def test_without_feedback_nothing_is_expected() -> None:
    network = nets.mlp(Tanh())
    found = contraction_report(network, DualPropagation(), batch(network))
    assert found["loop_gain"] == {"median": 0.0, "max": 0.0} and found["layer"] is None
    assert found["steps_taken"] is found["steps_expected"] is found["outcome"] is None


def test_a_network_that_does_not_contract_is_expected_never_to_settle() -> None:
    network = chain(1.2)
    relax = dataclasses.replace(CLOSE, max_steps=20)
    found = contraction_report(network, settling(relax=relax), batch(network))
    assert found["rate_predicted"]["max"] == pytest.approx(1.44) and found["outcome"] == "budget"
    assert found["steps_expected"] == {"median": None, "max": None}
    json.dumps(found, allow_nan=False)


def test_an_energy_of_ones_own() -> None:
    network = quartic()
    found = contraction_report(network, EnergyTwoPhase(), batch(network, 2))
    assert found["rate_predicted"]["max"] < 1 and found["layer"] in {"layer1", "output"}
    assert found["steps_expected"]["max"] == pytest.approx(found["steps_taken"]["max"], rel=0.3, abs=4)


def test_spikes_have_no_equilibrium() -> None:
    network: Network = nets.mlp(HardSigmoid())
    with pytest.raises(ConfigurationError, match="settler=spiking: its activity is no equilibrium"):
        contraction_report(network, Spiking(), batch(network))


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_measured_rate_is_the_predicted_one(gamma: float) -> None:
    network = hopfield(1.0, 1)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    relax = dataclasses.replace(CLOSE, tolerance=1e-11)  # far down, where only the slowest mode is left
    found = contraction_report(network, settling(gamma, relax), x)
    assert found["rate_measured"]["median"] == pytest.approx(found["rate_predicted"]["median"], rel=0.1)


def test_numbers_over_samples() -> None:
    def of(*values: float) -> dict[str, float | None] | None:
        return over_samples(torch.tensor(values))

    nan, infinite = float("nan"), float("inf")
    assert over_samples(None) is of(nan) is None
    assert of(3.0, nan, 1.0, 2.0) == {"median": 2.0, "max": 3.0}
    assert of(1.0, 2.0, infinite) == {"median": 2.0, "max": None}
