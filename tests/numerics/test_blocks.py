"""Blocks and the products of their filters against plain torch and autograd; float64."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.component import ConfigurationError
from energy.couplings import Affine, Convolution, Coupling, Dense, Module, Skip
from energy.couplings.block import Block
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Identity, RePU, Tanh
from energy.relax.dyad import NudgeForm
from energy.settle.dyadic import EquilibriumPropagation
from tests.settle import nets
from tests.settle.oracles import gap, learn


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(coupling: Coupling, seed: int = 1) -> Coupling:
    coupling.double()
    with torch.no_grad():
        for k, parameter in enumerate(coupling.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed + k))
    return coupling.eval()


CASES = [
    (channels, stride, padding, groups)
    for channels, stride, padding, groups in itertools.product((4, 32), (1, 2), (0, 1), (1, 2))
]


@pytest.mark.parametrize("last", [False, True], ids=["rows", "channels_last"])
@pytest.mark.parametrize(("channels", "stride", "padding", "groups"), CASES)
def test_the_product_is_the_gradient_of_what_the_filters_say(
    channels: int, stride: int, padding: int, groups: int, last: bool
) -> None:
    """∂W⟨y, W ∗ x⟩ by autograd of `conv2d`, by patches (one group, on a CPU) and by the kernel."""
    one = drawn(Convolution(channels, 6, 3, stride=stride, padding=padding, groups=groups))
    assert isinstance(one, Convolution)
    x = normal(3, channels, 7, 6)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    weight = one.weight.detach().clone().requires_grad_()
    said = F.conv2d(x, weight, None, stride, padding, groups=groups)
    y = normal(*said.shape, seed=5)
    (wanted,) = torch.autograd.grad((said * y).sum(), weight)
    torch.testing.assert_close(one.filter(x, one.weight), said, rtol=0, atol=1e-12)
    torch.testing.assert_close(one.product(x, y), wanted, rtol=0, atol=1e-11)


def test_products_of_dense_layers_and_of_low_precision() -> None:
    one, x, y = drawn(Dense(12, 5)), normal(4, 3, 4), normal(4, 5, seed=5)
    assert isinstance(one, Dense)
    torch.testing.assert_close(one.product(x, y), y.T @ x.flatten(1), rtol=0, atol=1e-13)
    torch.testing.assert_close(one.filter(x, one.weight), x.flatten(1) @ one.weight.T, rtol=0, atol=1e-13)
    wide = Convolution(32, 6, 3)
    for coupling, low, post in ((Dense(12, 5), x, y), (wide, normal(2, 32, 5, 5), normal(2, 6, 3, 3, seed=5))):
        exact = drawn(coupling).product(low.bfloat16().double(), post.bfloat16().double())  # type: ignore[operator]
        found = coupling.float().product(low.bfloat16(), post.bfloat16())
        assert found.dtype == torch.bfloat16  # of the activities; a gradient has that of the weights
        torch.testing.assert_close(found.double(), exact, rtol=2**-6, atol=0.05)


def test_what_has_no_neurons_says_so() -> None:
    x = normal(2, 3)
    for coupling in (Module(nn.Linear(3, 2)), Skip()):
        with pytest.raises(ConfigurationError, match="no weights of neurons; local rules and read-outs need Dense"):
            coupling.unit_inputs(x, x, coupling.linearize(x)[1])
    pooled = Convolution(2, 3, 3, pool=MaxPool(2))
    couplings: tuple[Any, ...] = (pooled, Block(pooled))
    for coupling in couplings:
        drive, linear = coupling.linearize(torch.zeros(1, 2, 6, 6))
        with pytest.raises(ConfigurationError, match="neurons compete before it; pool in the Block above"):
            coupling.unit_inputs(torch.zeros(1, 2, 6, 6), drive, linear)
    with pytest.raises(ValueError, match=r"Block\(rectified=True\): must be centered"):
        Block(Dense(2, 3), rectified=True)


@pytest.mark.parametrize(("centered", "rectified"), [(False, False), (True, False), (True, True)])
def test_a_block_is_pool_normalize_pad_convolve_center(centered: bool, rectified: bool) -> None:
    norm = nn.BatchNorm2d(4, affine=False)
    prepare = (nn.MaxPool2d(3, 2, 1), norm, nn.ReflectionPad2d(1))
    block = drawn(Block(Convolution(4, 6, 3), *prepare, centered=centered, rectified=rectified))
    assert isinstance(block, Block) and norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(normal(4, seed=8))
    norm.running_var.copy_(normal(4, seed=9).square() + 0.5)
    x = normal(3, 4, 8, 8)
    seen = F.max_pool2d(x, 3, 2, 1)
    seen = (seen - norm.running_mean.view(-1, 1, 1)) / (norm.running_var.view(-1, 1, 1) + norm.eps).sqrt()
    seen = F.pad(seen, [1] * 4, mode="reflect")
    u = F.conv2d(seen, block.filters.weight, block.filters.bias)
    heard = u - u.mean(1, keepdim=True)
    if rectified:
        heard = heard.clamp_min(0)
        v = heard
        heard = heard - heard.mean(1, keepdim=True)
    else:
        v = u
    torch.testing.assert_close(block(x), heard if centered else u, rtol=0, atol=1e-12)
    drive, linear = block.linearize(x)
    inputs = block.unit_inputs(x, drive, linear)
    torch.testing.assert_close(inputs.drive, v.detach(), rtol=0, atol=1e-12)  # before its mean is taken away
    torch.testing.assert_close(inputs.presynaptic, seen, rtol=0, atol=1e-12)
    assert inputs.linear is not rectified and inputs.filters is block.filters
    assert block.shape((4, 8, 8)) == (6, 4, 4) and block.multiply_adds((4, 8, 8)) == 6 * 4 * 9 * 16


def test_a_block_in_low_precision_stays_in_it() -> None:
    block = Block(Convolution(4, 6, 3), nn.BatchNorm2d(4, affine=False), nn.ReflectionPad2d(1), centered=True).eval()
    drawn(block).float()
    x = normal(2, 4, 5, 5)
    found = block(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), block.double()(x), rtol=0, atol=0.15)


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4, 2.0])
def test_the_triangle_is_the_minimum_of_an_energy(power: float) -> None:
    """Neuron by neuron no r ≥ 0 of a fine grid has a lower p/(p+1) r^(1+1/p) − r (u − ū); and r = max(u − ū, 0)^p."""
    network = Network((5,))
    network.add(Block(Dense(5, 6), centered=True), RePU(power=power))
    drawn(network.edges[0].coupling)
    x = normal(3, 5)
    found = network.activity(x)[0].detach()
    filters = network.edges[0].coupling.filters
    assert isinstance(filters, Affine) and filters.bias is not None
    u = x @ filters.weight.T + filters.bias
    above = (u - u.mean(1, keepdim=True)).detach()
    torch.testing.assert_close(found, above.clamp_min(0) ** power, rtol=0, atol=1e-13)
    grid = torch.linspace(0, float(found.max()) * 1.5, 20001, dtype=torch.float64)
    value = power / (power + 1) * grid ** (1 + 1 / power) - grid * above[..., None]
    torch.testing.assert_close(grid[value.argmin(-1)], found, rtol=0, atol=2 * float(grid[1]))
    lowest = network.energy(x, network.activity(x)).detach()
    assert (lowest <= value.amin(-1).sum(1) + 1e-12).all()
    torch.testing.assert_close(lowest, value.amin(-1).sum(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4, 4.5])
def test_autograd_and_the_tangent_agree_below_and_at_zero(power: float) -> None:
    """Both say 0 where nothing is sent, though the slope is infinite just above for p < 1."""
    drive = torch.tensor([[-1.0, -1e-300, 0.0, 1e-3, 0.5, 2.0]], dtype=torch.float64)
    leaf = drive.clone().requires_grad_()
    response = RePU(power=power).response(leaf)
    assert torch.equal(response.detach(), RePU(power=power).response(drive))
    (slope,) = torch.autograd.grad(response.sum(), leaf)
    wanted = [0.0, 0.0, 0.0, *(power * a ** (power - 1) for a in (1e-3, 0.5, 2.0))]
    if power == 1:
        wanted[2] = float(slope[0, 2])  # torch's own choice at the kink of ReLU
    torch.testing.assert_close(slope, torch.tensor([wanted], dtype=torch.float64), rtol=1e-12, atol=0)
    tangent = RePU(power=power).tangent(drive, torch.ones_like(drive))
    torch.testing.assert_close(tangent[:, 3:], slope[:, 3:], rtol=1e-12, atol=0)
    assert not tangent[:, :3].any()


def seasoned(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, affine=False).double()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(normal(channels, seed=8))
    norm.running_var.copy_(normal(channels, seed=9).square() + 0.5)
    return norm.eval()


CHAINS: dict[str, tuple[nn.Module, ...]] = {
    "nothing": (),
    "norm": (seasoned(4),),
    "padding": (nn.ReflectionPad2d(1),),
    "average": (nn.AvgPool2d(2), seasoned(4)),
    "by sample": (nn.GroupNorm(2, 4, affine=False),),
    "maximum": (nn.MaxPool2d(2), seasoned(4), nn.ReflectionPad2d(1)),
    "nested": (nn.Sequential(seasoned(4), nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.ReLU())),),
}


@pytest.mark.parametrize(("centered", "rectified"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("name", CHAINS)
def test_the_product_is_that_of_the_state_and_the_map_that_of_the_point(
    name: str, centered: bool, rectified: bool
) -> None:
    """∂θ⟨post, A(pre)⟩ by autograd at another state than that of linearisation. What switches is piecewise affine, so
    its map at the point m is P(m) + P′(m)(pre − m), and the rectifier lets through what it lets through at m."""
    block = drawn(Block(Convolution(4, 5, 2), *CHAINS[name], centered=centered, rectified=rectified))
    assert isinstance(block, Block)
    at, pre = normal(3, 4, 6, 6, seed=1), normal(3, 4, 6, 6, seed=2)
    drive, linear = block.linearize(at)
    post = normal(*drive.shape, seed=3)
    seen = block.prepare(at) + torch.autograd.functional.jvp(block.prepare, at, pre - at)[1]
    if name == "by sample":  # smooth, and so taken where the state is
        seen = block.prepare(pre)
    parameters: Any = list(block.parameters())
    u = F.conv2d(seen, *parameters)
    if rectified:
        there = F.conv2d(block.prepare(at), *parameters)
        u = (u - u.mean(1, keepdim=True)) * (there > there.mean(1, keepdim=True))
    said = u - u.mean(1, keepdim=True) if centered else u
    wanted = torch.autograd.grad((post * said).sum(), parameters)
    for mine, theirs in zip(linear.weight_gradient(pre, post), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    linear.prepare(post)
    for mine, theirs in zip(linear.weight_gradient(pre, post), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def plain_or_wrapped(wrapped: bool) -> Network:
    network = Network((2, 6, 6))
    for coupling in (
        Convolution(2, 3, padding=1),
        Convolution(3, 4, padding=1, pool=MaxPool(2)),
        Convolution(4, 4, padding=1),
        Dense(36, 3),
    ):
        network.add(Block(coupling) if wrapped else coupling, Identity() if isinstance(coupling, Dense) else Tanh())
    return nets.draw(network, 0.7, 1)


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("form", list(NudgeForm))
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_an_empty_block_learns_as_what_it_wraps(beta: float, alpha: float, form: NudgeForm, gamma: float) -> None:
    bare, wrapped = plain_or_wrapped(False), plain_or_wrapped(True)
    x, target = nets.batch(bare)
    for sweeps in (1, 4):
        settler = EquilibriumPropagation(
            gamma=gamma,
            beta=beta,
            alpha=alpha,
            form=form,
            freeze_mean=False,
            relax=nets.once(3),
            nudged=nets.once(sweeps),
        )
        found, wanted = (learn(settler, network, x, target, nets.FROZEN) for network in (wrapped, bare))
        assert gap(found, wanted) < 1e-13
