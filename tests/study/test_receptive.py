"""Receptive fields against the inputs that maximise drives in closed form, in float64."""

import pytest
import torch
from torch import Tensor

from energy.analysis.receptive import ascent, receptive, window
from energy.couplings import Convolution, Dense
from energy.couplings.block import Block
from energy.network import Network
from energy.potentials import Identity, ReLU, RePU, Tanh


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _network(shape: tuple[int, ...], *layers: tuple[Dense | Convolution | Block, object]) -> Network:
    network = Network(shape)
    for coupling, potential in layers:
        network.add(coupling.double(), potential)  # pyright: ignore[reportArgumentType]
    for seed, parameter in enumerate(network.parameters()):
        parameter.data.copy_(_normal(*parameter.shape, seed=seed))
    return network


def _direction(weight: Tensor) -> Tensor:
    return weight / weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))


def test_that_of_an_affine_neuron_is_the_direction_of_its_weight() -> None:
    """max ⟨w, c + d⟩ + b over ‖d‖ ≤ R is at d = R w/‖w‖, R = contrast·√n, wherever the ball lies."""
    network = _network((1, 4, 4), (Dense(16, 5), Identity()))
    weight = next(network.parameters())
    for center in (torch.tensor(0.0), _normal(1, 4, 4, seed=9)):
        found = receptive(network, 1, 3, center=center, contrast=0.5)
        torch.testing.assert_close(found, 0.5 * 4 * _direction(weight[:3]).view(3, 1, 4, 4), rtol=0, atol=1e-12)


def test_that_of_a_filter_is_the_filter_in_its_own_window() -> None:
    """Also below a projection onto zero mean over the neurons: the direction of w_k less the mean filter."""
    plain = _network((3, 9, 9), (Convolution(3, 4, 3, padding=1), Identity()))
    weight = next(plain.parameters())
    found = receptive(plain, 1, 4, center=torch.tensor(0.3), contrast=0.2)
    torch.testing.assert_close(found, 0.2 * 27**0.5 * _direction(weight), rtol=0, atol=1e-12)
    centered = _network((3, 9, 9), (Block(Convolution(3, 4, 3), centered=True), Identity()))
    weight = next(centered.parameters())
    found = receptive(centered, 1, 4, center=torch.tensor(0.3), contrast=0.2)
    torch.testing.assert_close(found, 0.2 * 27**0.5 * _direction(weight - weight.mean(0)), rtol=0, atol=1e-12)


def test_that_of_a_quadratic_neuron_is_the_first_eigenvector() -> None:
    """u = Σ v_j ⟨q_j, x⟩² through pairs of rectified squares: on the sphere its maximum is R² v_1 at ±R q_1."""
    network = _network((1, 3, 3), (Dense(9, 8, bias=False), RePU(power=2.0)), (Dense(8, 1, bias=False), Identity()))
    axes = torch.linalg.qr(_normal(9, 4, seed=5)).Q.T
    first, second = network.parameters()
    first.data.copy_(torch.cat([axes, -axes]))
    strengths = torch.tensor([2.0, 1.0, 0.5, 0.25], dtype=torch.float64)
    second.data.copy_(strengths.repeat(2)[None])
    found = receptive(network, 2, 1, center=torch.tensor(0.0), contrast=1.0, steps=40)
    reached = ascent(network, 2, found)[0]
    torch.testing.assert_close(reached, torch.tensor([9 * 2.0], dtype=torch.float64), rtol=1e-3, atol=0)
    assert abs(float(found.flatten() @ axes[0])) / 3 > 0.999


def test_the_bound_is_kept_and_no_random_input_is_better() -> None:
    hidden = (Block(Convolution(2, 6, 3), centered=True), RePU(power=0.7))
    network = _network((2, 8, 8), hidden, (Block(Convolution(6, 5, 3), torch.nn.MaxPool2d(2)), ReLU()))
    found = receptive(network, 2, 5, center=torch.tensor(0.1), contrast=0.4)
    assert found.isfinite().all()
    radius = 0.4 * found[0].numel() ** 0.5
    assert (found.flatten(1).norm(dim=1) <= radius * (1 + 1e-12)).all()
    rows, columns = window(network, 2, 0.1 + _normal(5, 2, 8, 8))
    best = torch.full((5, 2, 8, 8), 0.1, dtype=torch.float64)
    best[:, :, rows, columns] += found
    reached = ascent(network, 2, best)[0]
    for seed in range(20):
        away = _normal(*found.shape, seed=seed)
        other = torch.full_like(best, 0.1)
        other[:, :, rows, columns] += radius * _direction(away)
        assert (ascent(network, 2, other)[0] < reached).all()


def test_the_same_seed_gives_the_same_fields() -> None:
    network = _network((1, 5, 5), (Dense(25, 6), Tanh()), (Dense(6, 4), Tanh()), (Dense(4, 2), Identity()))
    first, again, other = (
        receptive(network, 3, 2, center=torch.tensor(0.0), contrast=1.0, steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_impossible_requests_are_refused() -> None:
    network = _network((1, 4, 4), (Dense(16, 5), Identity()))
    with pytest.raises(ValueError, match="layer=2: must be one of 1 … 1"):
        receptive(network, 2, 3, center=torch.tensor(0.0), contrast=0.5)
    with pytest.raises(ValueError, match="contrast=nan"):
        receptive(network, 1, 3, center=torch.tensor(0.0), contrast=float("nan"))
    with pytest.raises(ValueError, match="steps=0"):
        receptive(network, 1, 3, center=torch.tensor(0.0), contrast=1.0, steps=0)
