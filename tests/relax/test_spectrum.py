"""The spectrum of the linearized response against the eigenvalues of dense Jacobians by autograd, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.energy_network import EnergyNetwork
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity, LeakyReLU, Potential, Sigmoid, Softmax, Tanh
from energy.relax.spectrum import slowest_mode, spectral_radius, spectrum
from energy.state import State
from energy.stream import stream
from tests.relax.linearized import dense_jacobian, equilibrium
from tests.settle import nets


class Bent(Coupling):
    """tanh(W s): a map whose own slope moves with the state below."""

    def __init__(self, fan_in: int, size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(size, fan_in))

    def forward(self, pre: Tensor) -> Tensor:
        return torch.tanh(pre @ self.weight.to(pre.dtype).T)


def skips() -> Network:
    """Layers joined over two and three levels, so that a chain's pairs ±λ are gone."""
    network = Network((5,))
    first = network.add(Dense(5, 6), HardSigmoid())
    second = network.add(Dense(6, 6), HardSigmoid())
    third = network.add({second: Dense(6, 6), first: Skip()}, HardSigmoid())
    network.add({third: Dense(6, 4), first: Dense(6, 4)}, Identity())
    return nets.draw(network, 0.7, seed=3, bias=0.3)


def bent() -> Network:
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Bent(6, 5), Tanh())
    network.add(Bent(5, 4), Identity())
    return nets.draw(network, 0.8, seed=2, bias=0.3)


def pooled(hidden: Potential) -> Network:
    network = Network((2, 8, 8))
    network.add(Convolution(2, 3, 3, padding=1, pool=MaxPool(2)), hidden)
    network.add(Convolution(3, 4, 3, padding=1, pool=MaxPool(2)), hidden)
    network.add(Dense(16, 5), hidden)
    network.add(Dense(5, 3), Identity())
    return nets.draw(network, 0.8, seed=1, bias=0.3)


NETWORKS = {
    "hard sigmoid": lambda: nets.mlp(HardSigmoid(), gain=0.9, bias=0.4),
    "tanh": lambda: nets.mlp(Tanh(), gain=0.9, bias=0.4),
    "sigmoid": lambda: nets.mlp(Sigmoid(), gain=2.0),
    "leaky": lambda: nets.mlp(LeakyReLU(slope=0.3), gain=0.5, bias=0.4),
    "softmax": lambda: nets.mlp(Softmax(temperature=0.5), gain=1.5, bias=0.4),
    "max-pooling": lambda: pooled(HardSigmoid()),
    "max-pooling, tanh": lambda: pooled(Tanh()),
    "skips": skips,
    "curved": bent,
}


def at(network: Network, x: Tensor, gamma: float, settled: bool) -> State:
    """The equilibrium, or states drawn at random within the range of the activity."""
    if settled:
        return equilibrium(network, x, gamma)
    drawn = stream(7, "state")
    shapes = [(len(x), *layer.shape) for layer in network.layers]
    return State(torch.rand(shape, generator=drawn, dtype=torch.float64) * 0.8 + 0.1 for shape in shapes)


def batch(network: Network, size: int = 3) -> Tensor:
    return torch.randn(size, *network.input_shape, generator=stream(1, "x"), dtype=torch.float64)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [1.0, 0.3])
@pytest.mark.parametrize("settled", [True, False], ids=["settled", "random"])
@pytest.mark.parametrize("name", NETWORKS)
def test_both_ends_are_those_of_the_dense_jacobian(name: str, settled: bool, gamma: float) -> None:
    network = NETWORKS[name]()
    x = batch(network)
    state = at(network, x, gamma, settled)
    found = spectrum(network, x, state, gamma, steps=200, tolerance=1e-9)
    for k in range(len(x)):
        values = torch.linalg.eigvals(dense_jacobian(network, x, state, gamma, k))
        assert float(values.imag.abs().max()) < 1e-6  # similar to a symmetric matrix; a defective zero splits by √ε
        assert float(found.highest[k]) == pytest.approx(float(values.real.max()), abs=1e-7)
        assert float(found.lowest[k]) == pytest.approx(float(values.real.min()), abs=1e-7)
    assert torch.equal(found.radius, torch.maximum(-found.lowest, found.highest).abs())
    torch.testing.assert_close(spectral_radius(network, x, state, gamma, steps=200), found.radius, rtol=1e-3, atol=1e-9)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["tanh", "max-pooling, tanh", "skips"])
def test_the_error_says_how_far_an_eigenvalue_can_be(name: str, steps: int) -> None:
    network = NETWORKS[name]()
    x = batch(network)
    state = at(network, x, 1.0, settled=True)
    found = spectrum(network, x, state, 1.0, steps=steps, tolerance=0.0)
    assert found.steps == steps
    for k in range(len(x)):
        values = torch.linalg.eigvals(dense_jacobian(network, x, state, 1.0, k)).real
        for end in (found.lowest[k], found.highest[k]):
            assert float((values - end).abs().min()) <= float(found.error[k]) + 1e-9
        assert float(values.min()) - 1e-9 <= float(found.lowest[k]) <= float(found.highest[k])
        assert float(found.highest[k]) <= float(values.max()) + 1e-9  # from inside


def test_steps_end_at_the_tolerance() -> None:
    network = NETWORKS["max-pooling, tanh"]()
    x = batch(network)
    state = at(network, x, 1.0, settled=True)
    found = spectrum(network, x, state, 1.0, tolerance=1e-2)
    assert found.steps < 100 and bool((found.error <= 1e-2 * found.radius).all())


def test_the_mode_is_shared_as_the_eigenvector_is() -> None:
    """On linear units D = 1, and a layer's share is its part of the squared eigenvector of the symmetric matrix."""
    network = nets.mlp(Identity(), gain=0.5)
    x = batch(network)
    state = at(network, x, 1.0, settled=False)
    _, shares = slowest_mode(network, x, state, 1.0, steps=60, tolerance=1e-9)
    vector = torch.linalg.eigh(dense_jacobian(network, x, state, 1.0, 0))[1][:, -1].square()
    wanted = torch.stack([part.sum() for part in vector.split([layer.shape[0] for layer in network.layers])])
    torch.testing.assert_close(shares, wanted.expand(len(x), -1), rtol=1e-5, atol=1e-8)


def test_a_unit_at_its_bound_takes_no_part() -> None:
    network = nets.mlp(HardSigmoid(), gain=0.4, bias=0.0)
    x = 0.1 * batch(network)
    with torch.no_grad():
        for number in (0, 2, 3):
            network.get_parameter(f"couplings.{number}.bias").fill_(0.5)
        network.get_parameter("couplings.1.bias").fill_(50.0)
    state = at(network, x, 1.0, settled=True)
    found, shares = slowest_mode(network, x, state, 1.0, steps=60)
    assert float(shares[:, 1].max()) < 1e-12 and float(found.radius.max()) > 0.1
    with torch.no_grad():
        for number in (0, 2):
            network.get_parameter(f"couplings.{number}.bias").fill_(50.0)
    stuck = spectrum(network, x, at(network, x, 1.0, settled=True), 1.0)
    assert float(stuck.radius.abs().max()) == float(stuck.error.max()) == 0.0


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_without_feedback_nothing_comes_back(gamma: float) -> None:
    network = nets.mlp(Tanh(), sizes=(6, 5, 3), readout=True)
    x = batch(network)
    assert float(spectral_radius(network, x, network.activity(x), gamma).max()) == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_narrow_numbers(dtype: torch.dtype) -> None:
    network = NETWORKS["max-pooling, tanh"]()
    x = batch(network)
    state = at(network, x, 1.0, settled=True)
    wanted = spectral_radius(network, x, state, 1.0)
    found = spectral_radius(network.float(), x.to(dtype), state.map(lambda t: t.to(dtype)), 1.0)
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=0.0)


def test_a_state_that_is_lost_has_no_spectrum() -> None:
    network = NETWORKS["tanh"]()
    x = batch(network)
    state = at(network, x, 1.0, settled=True)
    wanted = spectral_radius(network, x, state, 1.0)
    state[1][1] = torch.nan
    found, shares = slowest_mode(network, x, state, 1.0)
    assert found.radius.isnan().tolist() == [False, True, False] and shares[1].isnan().all()
    torch.testing.assert_close(found.radius[[0, 2]], wanted[[0, 2]])


def quartic() -> EnergyNetwork:
    """E = Σ cosh-like wells, with W between two layers; its Hessian is not constant."""
    drawn = stream(3, "energy")
    theta = {
        "W": 0.6 * torch.randn(3, 4, generator=drawn, dtype=torch.float64),
        "V": 0.6 * torch.randn(5, 4, generator=drawn, dtype=torch.float64),
    }

    def energy(x: Tensor, s: State, t: dict[str, Tensor]) -> Tensor:
        wells = sum((0.3 * one.square() + 0.1 * one.pow(4)).sum(1) for one in s)
        return (
            wells
            - torch.einsum("bi,ij,bj->b", x, t["W"], s[0].tanh())
            - torch.einsum("bi,ij,bj->b", s[1], t["V"], s[0].sin())
        )

    return EnergyNetwork((3,), [4, 5], theta, energy)  # type: ignore[arg-type]


def test_any_energy_responds_by_its_hessian() -> None:
    network = quartic()
    x = batch(network, 2)
    state = State(torch.randn(2, size, generator=stream(4, "s"), dtype=torch.float64) for size in (4, 5))
    found, shares = slowest_mode(network, x, state, 0.0, steps=40, tolerance=1e-9)
    for k in range(2):

        def energy(flat: Tensor, k: int = k) -> Tensor:
            return network.energy_of(x[k : k + 1], State(part[None] for part in flat.split([4, 5])))[0]

        flat = torch.cat([tensor[k] for tensor in state])
        hessian = torch.autograd.functional.hessian(energy, flat)
        assert isinstance(hessian, Tensor)
        values, vectors = torch.linalg.eigh(torch.eye(9, dtype=torch.float64) - hessian)
        assert float(found.lowest[k]) == pytest.approx(float(values[0]), abs=1e-8)
        assert float(found.highest[k]) == pytest.approx(float(values[-1]), abs=1e-8)
        slowest = vectors[:, int(values.abs().argmax())].square()
        torch.testing.assert_close(shares[k, 0], slowest[:4].sum(), rtol=0, atol=1e-6)
