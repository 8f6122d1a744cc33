"""Local rules in whole networks: what is visited, normalised, moved and paid for, and what cannot go wrong silently."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense, Module
from energy.couplings.block import BlockLinearization
from energy.ledger import Ledger
from energy.models import SoftHebbNet
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.pooling import MaxPool
from energy.potentials import Identity, ReLU
from energy.rules import Contrast, Hebb, KrotovHopfield, Local, Oja, PerLayer, Plasticity, Sanger, SoftHebb, Variant
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation
from energy.settle.feedforward import Feedforward, SettledFree, settle_free

RULES: list[Plasticity] = [
    *(SoftHebb(variant=variant) for variant in Variant if variant is not Variant.SUPERVISED),
    SoftHebb(variant=Variant.SOFT, normalized=True),
    KrotovHopfield(),
    KrotovHopfield(p=3.0),
    Oja(),
    Sanger(),
    Hebb(),
]


def name(rule: Plasticity) -> str:
    return f"{rule.name}-{rule.variant.name.lower()}" if isinstance(rule, SoftHebb) else rule.name


def small(*, normalized: bool = True, **fields: object) -> Network:
    """Two blocks on (3, 8, 8) and an output of 4; float64."""
    plain: dict[str, object] = {
        "channels": [6, 8],
        "kernels": [3, 3],
        "powers": [0.7, 1.4],
        "pools": ["max_4_2_1", "avg_2_2_0"],
        "radius": 5.0,
        "normalized": normalized,
    }
    model = SoftHebbNet(**{**plain, **fields})  # type: ignore[arg-type]
    return model.build((3, 8, 8), 4, seed=0).double()


def batch(samples: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    x = torch.rand((samples, 3, 8, 8), generator=stream, dtype=torch.float64)
    return x, one_hot(torch.arange(samples) % 4, 4, torch.float64)


def learn(rule: Local, network: Network, x: Tensor, target: Tensor, ledger: Ledger | None = None) -> SettledFree:
    settled = rule.learn(network, Feedforward(), x, target, CrossEntropy(), ledger)
    assert isinstance(settled, SettledFree)
    return settled


def seen(settled: SettledFree, edge: int) -> Tensor:
    """What the neurons of a block saw."""
    linear = settled.linear[edge]
    assert isinstance(linear, BlockLinearization)
    return linear.seen


def norms(network: Network) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def statistics(network: Network) -> list[Tensor]:
    return [t.clone() for norm in norms(network) for t in (norm.running_mean, norm.running_var) if t is not None]


def freeze(network: Network, *layers: int) -> None:
    for edge in network.edges:
        edge.coupling.requires_grad_(edge.target not in layers)


# normalisation


def test_statistics_move_once_a_step_and_only_where_something_learns() -> None:
    """mean ← 0.9 mean + 0.1 batch mean, var ← 0.9 var + 0.1 unbiased batch variance, of what each block reads."""
    network, (x, target) = small(), batch()
    freeze(network, 1)
    first, second = norms(network)
    before = statistics(network)
    seen = nn.functional.max_pool2d(network.activity(x)[0], 4, 2, 1).detach()
    learn(SoftHebb(), network, x, target)
    after = statistics(network)
    assert first.num_batches_tracked == 0 and second.num_batches_tracked == 1
    assert torch.equal(after[0], before[0]) and torch.equal(after[1], before[1])
    torch.testing.assert_close(after[2], 0.9 * before[2] + 0.1 * seen.mean((0, 2, 3)))
    torch.testing.assert_close(after[3], 0.9 * before[3] + 0.1 * seen.transpose(0, 1).flatten(1).var(1))
    assert not any(module.training for coupling in network.couplings for module in coupling.modules())


def test_nothing_else_moves_them() -> None:
    network, (x, target) = small(), batch()
    before = statistics(network)
    Feedforward().predict(network, x)
    network(x)
    for settler in (Feedforward(), DualPropagation()):
        settler.settle(network, x, target, CrossEntropy())
    settle_free(Feedforward(), network, x, target)
    assert all(torch.equal(one, other) for one, other in zip(statistics(network), before, strict=True))
    Backprop().settle(network, x, target, CrossEntropy())  # which learns through them
    assert not any(torch.equal(one, other) for one, other in zip(statistics(network), before, strict=True))


def test_they_are_at_rest_again_after_an_accident() -> None:
    network = small()
    with pytest.raises(ValueError, match="x has shape"):
        learn(SoftHebb(), network, torch.zeros(2, 3, 9, 9).double(), torch.zeros(2, 4).double())
    with pytest.raises(ZeroDivisionError), network.learning():
        assert all(norm.training for norm in norms(network))
        raise ZeroDivisionError
    assert not any(norm.training for norm in norms(network))


def test_a_learning_block_is_normalized_by_the_batch() -> None:
    network, (x, target) = small(), batch()
    settled = learn(SoftHebb(), network, x, target)
    x_hat = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(seen(settled, 0), nn.functional.pad(x_hat, [1] * 4, mode="reflect"))


# who learns, and what it costs


def test_a_part_shares_its_couplings_and_stops_where_it_is_told() -> None:
    network, (x, _) = small(), batch()
    part = network.subnetwork(1)
    assert part is network.subnetwork(1) and network.subnetwork(3) is network
    assert [layer.name for layer in part.layers] == ["conv1"] and part.edges[0].coupling is network.edges[0].coupling
    assert torch.equal(part(x), network.activity(x)[0])
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in small().named_parameters()]


def test_a_step_costs_one_pass_and_one_product_of_the_layers_that_learn() -> None:
    network, (x, target) = small(), batch()
    price = [edge.multiply_adds * 5 for edge in network.edges]
    for frozen, free, products in (
        ((), price[:2], price[:2]),
        ((1,), price[:2], price[1:2]),
        ((2,), price[:1], price[:1]),
    ):
        freeze(network, *frozen)
        ledger = Ledger()
        learn(SoftHebb(), network, x, target, ledger)
        assert ledger.multiply_adds_by_phase == {"free": sum(free), "products": sum(products)}


def test_the_top_block_learns_the_same_above_frozen_blocks_and_above_blocks_of_rate_zero() -> None:
    """Without normalisation, whose statistics would move: three steps of plain SGD."""
    ends: list[list[Tensor]] = []
    for greedy in (True, False):
        network = small(normalized=False)
        rule = PerLayer(rules=[SoftHebb(rate=0.1 if greedy else 0.0), SoftHebb(temperature=0.5)])
        if greedy:
            freeze(network, 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        for step in range(3):
            learn(rule, network, *batch(seed=step))
            optimizer.step()
        ends.append([p.detach().clone() for p in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
    assert not torch.equal(ends[0][1], next(iter(list(small(normalized=False).parameters())[1:])))


def test_only_the_weight_may_be_frozen() -> None:
    network, (x, target) = small(bias=True), batch()
    weight, bias = list(network.edges[0].coupling.parameters())
    weight.requires_grad_(False)
    learn(SoftHebb(), network, x, target)
    assert weight.grad is None and bias.grad is not None


def test_an_update_has_one_tensor_a_parameter_whatever_the_layers_are_made_of() -> None:
    network = Network((6,))
    network.add(Dense(6, 5), ReLU())
    network.add(Module(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))), Identity())
    x, target = torch.rand(4, 6), torch.rand(4, 3)
    rule = SoftHebb()
    found = rule.update(network, settle_free(Feedforward(), network, x, target))
    assert [one.shape for one in found] == [p.shape for p in network.parameters()]
    assert found[0].any() and not any(one.any() for one in found[2:])
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)  # left by somebody else
    rule.apply(network, settle_free(Feedforward(), network, x, target))
    assert [p.grad is None for p in network.parameters()] == [False, False, True, True, True, True]


def test_a_supervised_output_learns_its_classes_above_blocks_that_learn_without() -> None:
    network, (x, target) = small(), batch()
    rule = PerLayer(
        rules=[SoftHebb(), SoftHebb(), SoftHebb(variant=Variant.SUPERVISED, scaled=False, exponent=0.0, rate=1.0)]
    )
    settled = learn(rule, network, x, target)
    assert settled.output.shape == (5, 4)
    weight = network.edges[2].coupling.get_parameter("filters.weight")
    u = network.edges[2].coupling(settled.mean[1]).detach()
    wanted = (target.T @ seen(settled, 2) - (target * u).sum(0)[:, None] * weight) / 5
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, -wanted)


def test_every_layer_frozen_is_refused() -> None:
    network = small()
    freeze(network, 1, 2, 3)
    with pytest.raises(
        ConfigurationError, match="rule=softhebb: no layer of this network learns; are all of them frozen"
    ):
        learn(SoftHebb(), network, *batch())


def test_layers_without_neurons_are_refused() -> None:
    target = torch.zeros(1, 2).double()
    curved = Network((2, 4, 4))
    curved.add(Module(nn.Conv2d(2, 3, 3).double()), ReLU())
    pooled = Network((2, 4, 4))
    pooled.add(Convolution(2, 3, 3, pool=MaxPool(2)).double(), ReLU())
    for network, words in ((curved, "Module: no weights of neurons"), (pooled, "pool in the Block above")):
        network.add(Dense(math.prod(network.shape(1)), 2).double(), Identity())
        with pytest.raises(ConfigurationError, match=words):
            learn(SoftHebb(), network, torch.zeros(1, 2, 4, 4).double(), target)


def test_what_has_no_activities_is_refused_by_name() -> None:
    network, (x, target) = small(), batch()
    with pytest.raises(TypeError, match="rule=softhebb needs the activity of every layer: SettledTape has none"):
        SoftHebb().update(network, Backprop().settle(network, x, target, CrossEntropy()))


def test_one_bottom_up_pass_serves_the_delta_rule_and_local_rules() -> None:
    """The output's delta rule by hand, nothing below it; a local rule learns the same as from the free phase alone."""
    network, (x, target) = small(), batch()
    settled = Feedforward().settle(network, x, target, CrossEntropy())
    free = settle_free(Feedforward(), network, x, target)
    found = SoftHebb().update(network, settled)
    assert all(torch.equal(*pair) for pair in zip(found, SoftHebb().update(network, free), strict=True))
    logits, features = settled.output, network.edges[2].coupling.prepared(settled.mean[1])  # type: ignore[operator]
    error = target - logits.softmax(1)
    *below, weight, bias = Contrast().update(network, settled)
    assert not any(one.any() for one in below)
    torch.testing.assert_close(weight, error.T @ features)
    torch.testing.assert_close(bias, error.sum(0))


# robustness


def trained(network: Network, rule: Local, batches: Callable[[int], tuple[Tensor, Tensor]], steps: int = 4) -> Network:
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for step in range(steps):
        settled = learn(rule, network, *batches(step))
        assert torch.isfinite(settled.output).all()
        optimizer.step()
    return network


def finite(network: Network) -> bool:
    return all(bool(t.isfinite().all()) for t in network.state_dict().values())


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_identical_images_teach_without_harm(rule: Plasticity) -> None:
    """No variance over the batch, and none at all where the image is flat."""
    x, target = batch()
    assert finite(trained(small(), rule, lambda _: (x[:1].expand(5, -1, -1, -1), target)))
    assert finite(trained(small(), rule, lambda _: (torch.full_like(x, 0.3), target)))


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_dead_layer_stays_finite(rule: Plasticity) -> None:
    """Zero weights: all drives are equal, nothing is sent up, nobody has a direction."""
    network = small(bias=True)
    with torch.no_grad():
        for parameter in network.edges[0].coupling.parameters():
            parameter.zero_()
    assert finite(trained(network, rule, lambda step: batch(seed=step)))


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_activities_may_be_bfloat16(rule: Plasticity) -> None:
    """Steps of float32 weights that point where the exact ones do."""
    exact, low, (x, target) = small(), small().float(), batch()
    learn(rule, exact, x, target)
    learn(rule, low, x.bfloat16(), target.bfloat16())
    for one, other in zip(exact.parameters(), low.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None and other.grad is not None:
            assert other.grad.dtype == torch.float32 and other.grad.isfinite().all()
            cosine = nn.functional.cosine_similarity(one.grad.flatten(), other.grad.double().flatten(), dim=0)
            assert float(cosine) > (0.9 if getattr(rule, "anti_hebbian", 0) else 0.97)


def test_what_is_not_finite_is_named_before_it_spreads() -> None:
    network, (x, target) = small(), batch()
    x[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="x: not finite"):
        learn(SoftHebb(), network, x, target)
    assert all(p.grad is None for p in network.parameters())
