"""The network of few epochs: whitened patches, its start, and the price of a step with layers that are held fixed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense, Whitening
from energy.couplings.normalization import BatchNorm
from energy.errors import UsageError
from energy.graph import layers_that_learn
from energy.ledger import Ledger
from energy.models import NormalizedVGG
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import Identity, ReLU
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation
from energy.settle.settled import SettledDyad
from energy.settle.settler import Settler
from energy.testing import check_coupling

BATCH = 6


@pytest.fixture
def network() -> Network:
    return NormalizedVGG(groups=[8, 12], whitened=5).build((3, 16, 16), 10, seed=0).double()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def step(network: Network, settler: Settler, x: Tensor) -> tuple[list[Tensor | None], Ledger, int]:
    """The gradients of one step, its ledger, and torch's count of its multiply-adds."""
    target, ledger = one_hot(torch.arange(len(x)), 10, x.dtype), Ledger()
    Contrast().learn(network, settler, x, target, CrossEntropy(smoothing=0.2))  # forms of products are measured once
    with FlopCounterMode(display=False) as counter:
        Contrast().learn(network, settler, x, target, CrossEntropy(smoothing=0.2), ledger)
    return [p.grad for p in network.parameters()], ledger, counter.get_total_flops() // 2


class TestWhitening:
    def test_its_components_are_uncorrelated_and_of_unit_size(self) -> None:
        """Patches of correlated images; with all components and ε → 0 the filters' covariance is the identity."""
        images = F.avg_pool2d(torch.randn(40, 2, 20, 20, dtype=torch.float64), 3, 1)
        coupling = Whitening(2, 18, eps=1e-12).double()
        coupling.start_from(images)
        inner = coupling(images)[:, :, 1:-1, 1:-1]  # places whose patches have no border in them
        seen = inner.transpose(0, 1).flatten(1)
        covariance = seen @ seen.T / seen.shape[1]
        torch.testing.assert_close(covariance[:18, :18], torch.eye(18, dtype=torch.float64), atol=1e-8, rtol=0)
        torch.testing.assert_close(seen[18:], -seen[:18])

    def test_the_components_kept_are_those_of_greatest_variance(self) -> None:
        images = torch.randn(50, 1, 12, 12, dtype=torch.float64)
        images = F.avg_pool2d(images, 2, 1)
        few, all_of_them = Whitening(1, 3).double(), Whitening(1, 9).double()
        for coupling in (few, all_of_them):
            coupling.start_from(images)
        torch.testing.assert_close(few.weight[:3], all_of_them.weight[:3])
        patches = F.unfold(images, 3).transpose(1, 2).flatten(0, 1)
        directions = F.normalize(all_of_them.weight[:9].detach().flatten(1))
        variances = (patches @ directions.T).square().mean(0)
        assert variances.tolist() == sorted(variances.tolist(), reverse=True)

    def test_a_component_whose_weights_cancel_is_kept(self) -> None:
        """Two channels that are alike have the components (1, 1)/√2 and (1, −1)/√2; the sum of the latter is 0."""
        first = torch.tensor([1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
        images = torch.stack([first, first.flip(0)]).view(1, 2, 2, 2)
        coupling = Whitening(2, 2, kernel=1).double()
        coupling.start_from(images)
        assert bool((coupling.weight != 0).all())

    def test_its_maps_are_those_of_a_coupling_that_learns(self) -> None:
        coupling = Whitening(2, 4).double()
        coupling.start_from(torch.randn(10, 2, 6, 6, dtype=torch.float64))
        assert not coupling.weight.requires_grad
        coupling.weight.requires_grad_()
        check_coupling(coupling, (2, 6, 6))

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"components": 28}, "components=28: a patch has 27"),
            ({"components": 3, "kernel": 2}, "kernel=2: must be odd"),
            ({"components": 3, "eps": 0.0}, "eps=0.0: must be above 0"),
            ({"components": 0}, "components"),
        ],
    )
    def test_sizes_out_of_range_are_named(self, given: dict[str, Any], says: str) -> None:
        with pytest.raises(UsageError, match=says):
            Whitening(3, **given)


def test_filters_start_as_the_identity(network: Network, x: Tensor) -> None:
    """As many as there are channels on either side pass theirs on; the others are drawn."""
    for edge in network.edges:
        if isinstance(edge.coupling, BatchNorm):
            filters = edge.coupling.filters
            assert isinstance(filters, Convolution)
            count, fan_in = filters.weight.shape[:2]
            pre = torch.randn(2, fan_in, 5, 5, dtype=torch.float64)
            same = min(count, fan_in)
            torch.testing.assert_close(filters.convolve(pre, filters.weight, None)[:, :same], pre[:, :same])
            assert count == same or bool(filters.weight[same:].abs().sum((1, 2, 3)).min() > 0)


def test_gradients_are_those_of_back_propagation(network: Network, x: Tensor) -> None:
    """Through the statistics of the batch, to O(β); torch's own training-mode pass is what autograd walks back."""
    network.start_from(x)
    wanted, *_ = step(network, Backprop(), x)
    found, *_ = step(network, DualPropagation(beta=1e-7, freeze_mean=True), x)
    assert wanted[0] is None and found[0] is None  # the whitening is fixed
    for mine, theirs in zip(found[1:], wanted[1:], strict=True):
        assert mine is not None and theirs is not None
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_a_step_costs_what_back_propagation_costs(network: Network, x: Tensor) -> None:
    """The ledgers agree with torch's count and with each other: no normalization applies its filters twice."""
    (_, mine, counted), (_, theirs, of_autograd) = (
        step(network, settler, x) for settler in (DualPropagation(freeze_mean=True), Backprop())
    )
    assert mine.multiply_adds == counted == theirs.multiply_adds == of_autograd
    assert mine.multiply_adds_by_phase == theirs.multiply_adds_by_phase


def test_a_mean_that_moves_costs_one_more_application_of_normalized_filters(network: Network, x: Tensor) -> None:
    _, ledger, counted = step(network, DualPropagation(), x)
    again = sum(edge.multiply_adds for edge in network.edges if isinstance(edge.coupling, BatchNorm))
    held = step(network, DualPropagation(freeze_mean=True), x)[1]
    assert ledger.multiply_adds == counted == held.multiply_adds + again * BATCH


def residual(frozen: set[int]) -> Network:
    """x → 1 → 2 → 3 → 4 with a skip from 1 to 3; the couplings into `frozen` do not learn."""
    network = Network((5,))
    network.add(Dense(5, 6), ReLU())
    network.add(Dense(6, 6), ReLU())
    network.add({2: Dense(6, 6), 1: Dense(6, 6)}, ReLU())
    network.add(Dense(6, 10), Identity())
    stream = torch.Generator().manual_seed(0)
    for edge in network.edges:
        for parameter in edge.coupling.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=stream) / 2)
            parameter.requires_grad_(edge.target not in frozen)
    return network.double()


@pytest.mark.parametrize(
    ("frozen", "reached"),
    [
        (set(), {1, 2, 3, 4}),
        ({1}, {2, 3, 4}),
        ({1, 2}, {3, 4}),
        ({2}, {1, 2, 3, 4}),
        ({1, 2, 3}, {4}),
        ({3, 4}, {1, 2, 3, 4}),
    ],
)
def test_errors_go_no_further_than_something_learns(frozen: set[int], reached: set[int]) -> None:
    network = residual(frozen)
    assert layers_that_learn(network) == reached
    x = torch.randn(BATCH, 5, dtype=torch.float64)
    found, mine, counted = step(network, DualPropagation(alpha=0.0, beta=1e-8), x)
    wanted, theirs, of_autograd = step(network, Backprop(), x)
    assert mine.multiply_adds == counted == theirs.multiply_adds == of_autograd
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_states_that_are_read_have_every_difference(gamma: float) -> None:
    """`settle` keeps the dyad for its caller, who may look at layers below which nothing learns."""
    network = residual({1, 2})
    x, target = torch.randn(BATCH, 5, dtype=torch.float64), one_hot(torch.arange(BATCH), 10, torch.float64)
    settled = DualPropagation(gamma=gamma).settle(network, x, target, CrossEntropy())
    assert isinstance(settled, SettledDyad)
    assert all(difference is not None and bool((difference != 0).any()) for difference in settled.delta)


@pytest.mark.parametrize(
    "given", [{"groups": []}, {"groups": [0]}, {"convolutions": 0}, {"momentum": 2.0}, {"gain": 0.0}]
)
def test_impossible_networks_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        NormalizedVGG(**given)
