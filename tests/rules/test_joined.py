"""Neurons that several couplings lead to learn as neurons of one coupling from everything they see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from energy.component import ConfigurationError
from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.couplings.block import Block
from energy.network import Network
from energy.objectives import SquaredError
from energy.potentials import Identity, Potential, RePU
from energy.rules import Hebb, KrotovHopfield, Local, Oja, Plasticity, Sanger, SoftHebb, Variant
from energy.settle.feedforward import Feedforward, settle_free

SIZES = (5, 4, 6)  # input, a layer of identity units, the layer that learns
RULES: list[Plasticity] = [
    Oja(),
    Oja(p=3.0, target_norm=1.4, exponent=0.5, rate=0.3),
    Oja(scaled=True, exponent=1.0),
    Sanger(target_norm=1.3),
    Hebb(),
    *(SoftHebb(variant=v, temperature=0.7) for v in Variant if v is not Variant.SUPERVISED),
    SoftHebb(variant=Variant.SOFT, normalized=True, p=3.0, target_norm=1.2),
    SoftHebb(variant=Variant.SPARSE, normalized=True, scaled=False),
    KrotovHopfield(p=3.0),
    KrotovHopfield(rank=3, target_norm=2.0, exponent=0.5),
]


def drawn(network: Network, seed: int = 0) -> Network:
    stream = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream, dtype=torch.float64) / 2)
    return network


def dense(fan_in: int, size: int, bias: bool) -> Coupling:
    return Dense(fan_in, size, bias=bias)


def block(fan_in: int, size: int, bias: bool) -> Coupling:
    return Block(Dense(fan_in, size, bias=bias))


def centered(fan_in: int, size: int, bias: bool) -> Coupling:
    return Block(Dense(fan_in, size, bias=bias), centered=True)


def pair(
    make: Callable[[int, int, bool], Coupling], bias: bool, potential: Potential | None = None
) -> tuple[Network, Network, Tensor, Tensor]:
    """A layer that hears the input and a frozen copy of the first four inputs through two couplings; and the same with
    one coupling from both: two networks with the same drives, and the inputs of each."""
    few, middle, size = SIZES
    two = Network((few,))
    two.add(Dense(few, middle, bias=False), Identity())
    two.add({0: make(few, size, bias), 1: make(middle, size, False)}, potential or Identity())
    two.add(Dense(size, 3), Identity())
    drawn(two)
    two.edges[0].coupling.requires_grad_(False)
    one = Network((few + middle,))
    one.add(make(few + middle, size, bias), potential or Identity())
    one.add(Dense(size, 3), Identity())
    one.double()
    x = torch.randn(7, few, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    with torch.no_grad():
        below = two.edges[0].coupling(x)
        first, second = (list(two.edges[k].coupling.parameters()) for k in (1, 2))
        joint = list(one.edges[0].coupling.parameters())
        joint[0].copy_(torch.cat([first[0], second[0]], 1))
        if bias:
            joint[1].copy_(first[1])
    return two, one, x, torch.cat([x, below], 1)


def learned(rule: Local, network: Network, x: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
    """Update and step of all parameters."""
    target = x.new_zeros(len(x), 3)
    settled = settle_free(Feedforward(), network, x, target)
    update = rule.update(network, settled)
    rule.learn(network, Feedforward(), x, target, SquaredError())
    return update, [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.name}-{getattr(r, 'variant', r.p)}")
@pytest.mark.parametrize("make", [dense, block, centered])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("samples", [1, 7])
def test_two_couplings_learn_as_one(
    rule: Plasticity, make: Callable[[int, int, bool], Coupling], bias: bool, samples: int
) -> None:
    two, one, x, seen = pair(make, bias)
    found, steps = learned(rule, two, x[:samples])
    wanted, wanted_steps = learned(rule, one, seen[:samples])
    assert not found[0].any()  # the frozen layer below
    assert steps[0] is None
    for mine, theirs in ((found, wanted), (steps, wanted_steps)):
        first, *bias_found, second = mine[1 : 4 if bias else 3]
        assert first is not None and second is not None and theirs[0] is not None
        torch.testing.assert_close(torch.cat([first, second], 1), theirs[0], rtol=1e-9, atol=1e-12)
        for a, b in zip(bias_found, theirs[1 : 2 if bias else 1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert found[1].abs().max() > 1e-6


@pytest.mark.parametrize("kernels", [(3, 3), (1, 3)])
def test_two_convolutions_learn_as_one_of_their_channels(kernels: tuple[int, int]) -> None:
    """A 1×1 kernel is a 3×3 one that is zero around its middle, of which only the middle is compared: Oja, unscaled."""
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    two = Network((2, 5, 5))
    two.add(Skip(), Identity())
    couplings = [Convolution(2, 4, k, padding=k // 2, bias=False) for k in kernels]
    two.add(dict(enumerate(couplings)), Identity())
    two.add(Dense(100, 3), Identity())
    drawn(two)
    one = Network((4, 5, 5))
    one.add(Convolution(4, 4, 3, padding=1, bias=False), Identity())
    one.add(Dense(100, 3), Identity())
    one.double()
    with torch.no_grad():
        wide = [nn.functional.pad(c.weight, [(3 - k) // 2] * 4) for c, k in zip(couplings, kernels, strict=True)]
        next(one.parameters()).copy_(torch.cat(wide, 1))
    rule = Oja(scaled=False)
    found, _ = learned(rule, two, x)
    (wanted, *_), _ = learned(rule, one, torch.cat([x, x], 1))
    for k, mine, theirs in zip(kernels, found, wanted.split(2, 1), strict=False):
        rim = (3 - k) // 2
        torch.testing.assert_close(mine, theirs[:, :, rim : 3 - rim, rim : 3 - rim], rtol=1e-9, atol=1e-12)


def test_a_skip_is_a_current() -> None:
    """Δw_k = Σ u_k (x − u_k w_k), u_k with what comes over the skip."""
    network = Network((4,))
    network.add(Dense(4, 4, bias=False), Identity())
    network.add({1: Dense(4, 4, bias=False), 0: Skip()}, Identity())
    network.add(Dense(4, 2), Identity())
    drawn(network)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = learned(Oja(), network, x)[0][1]
    weights = [parameter.detach() for parameter in network.parameters()]
    below = x @ weights[0].T
    u = below @ weights[1].T + x
    torch.testing.assert_close(found, u.T @ below - u.square().sum(0)[:, None] * weights[1])
    with pytest.raises(ConfigurationError, match=r"oja.p=3.0: must be 2 if .* receive from a coupling without weights"):
        learned(Oja(p=3.0), network, x)


def test_of_two_biases_the_first_moves() -> None:
    """Their sum moves as one bias would."""
    rule = SoftHebb(variant=Variant.SOFT)
    two, one, x, seen = pair(dense, True)
    other = Network((5,))
    other.add(Dense(5, 4, bias=False), Identity())
    other.add({0: Dense(5, 6), 1: Dense(4, 6)}, Identity())
    other.add(Dense(6, 3), Identity())
    other.double()
    with torch.no_grad():
        parameters = dict(zip([0, 1, 2, 3], two.parameters(), strict=False))
        mine = list(other.parameters())
        for into, source in ((0, 0), (1, 1), (3, 3)):
            mine[into].copy_(parameters[source])
        mine[2].copy_(parameters[2] - 0.3)
        mine[4].fill_(0.3)
    other.edges[0].coupling.requires_grad_(False)
    found, wanted = learned(rule, other, x)[0], learned(rule, one, seen)[0]
    torch.testing.assert_close(found[2], wanted[1])
    assert not found[4].any()


def test_a_frozen_coupling_counts_and_stays() -> None:
    rule = KrotovHopfield(scaled=True, exponent=0.5)
    two, _, x, _ = pair(dense, False)
    whole, steps = learned(rule, two, x)
    two.edges[2].coupling.requires_grad_(False)
    found, held = learned(rule, two, x)
    torch.testing.assert_close(found[1], whole[1])
    assert steps[1] is not None and held[1] is not None
    assert torch.equal(steps[1], held[1])
    assert held[2] is None
    assert not found[2].any()


@pytest.mark.parametrize(
    ("couplings", "message"),
    [
        ([Block(Convolution(4, 4, 1), centered=True, rectified=True), Convolution(4, 4, 1)], "rectified Block beside"),
        ([Convolution(4, 4, 1, groups=2), Convolution(4, 4, 1)], "different groups"),
    ],
)
def test_what_cannot_be_one_population_is_refused(couplings: list[Coupling], message: str) -> None:
    network = Network((4, 3, 3))
    network.add(Skip(), RePU())
    network.add(dict(enumerate(couplings)), RePU())
    network.add(Dense(36, 3), Identity())
    with pytest.raises(ConfigurationError, match=message):
        learned(Oja(), drawn(network), torch.randn(2, 4, 3, 3).double())
