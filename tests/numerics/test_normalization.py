"""Normalization inside couplings: torch's own layers are the oracle of the map and of its running statistics, autograd
through one forward pass, finite differences and free-standing fixed points that of what settlers learn through it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.cautions import strict
from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm, Normalization
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, ReLU, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking
from energy.settle.surrogate import SurrogateBackprop
from energy.settle.two_phase import TwoPhase
from energy.testing import check_coupling
from tests.settle.oracles import gap, learn

STEP = 1e-6


def fill(module: nn.Module, seed: int = 0, scale: float = 0.5) -> Any:
    """The module in float64, every parameter drawn; running statistics that have seen something."""
    module.double()
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream, dtype=torch.float64) * scale)
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand(buffer.shape, generator=stream, dtype=torch.float64) + 0.3)
    return module


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CASES: dict[str, tuple[Callable[[], Normalization], Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch, dense": (lambda: BatchNorm(Dense(6, 4), 4), lambda: nn.BatchNorm1d(4), (6,)),
    "batch, convolution": (
        lambda: BatchNorm(Convolution(2, 4, 3, bias=False), 4, momentum=0.3, eps=1e-3),
        lambda: nn.BatchNorm2d(4, momentum=0.3, eps=1e-3),
        (2, 5, 6),
    ),
    "batch, plain": (lambda: BatchNorm(Dense(6, 4), 4, affine=False), lambda: nn.BatchNorm1d(4, affine=False), (6,)),
    "batch, below": (lambda: BatchNorm(Skip(), 2), lambda: nn.BatchNorm2d(2), (2, 3, 3)),
    "layer, dense": (lambda: LayerNorm(Dense(6, 4), (4,)), lambda: nn.LayerNorm(4), (6,)),
    "layer, convolution": (
        lambda: LayerNorm(Convolution(2, 4, 3), (4, 3, 4)),
        lambda: nn.LayerNorm([4, 3, 4]),
        (2, 5, 6),
    ),
    "group": (lambda: GroupNorm(Convolution(2, 4, 3), 2, 4), lambda: nn.GroupNorm(2, 4), (2, 5, 6)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def theirs(mine: Normalization, norm: Any) -> Any:
    """Torch's own layer with the same numbers."""
    norm = norm.double()
    with torch.no_grad():
        if mine.scale is not None and mine.shift is not None:
            norm.weight.copy_(mine.scale)
            norm.bias.copy_(mine.shift)
        for name, buffer in mine.named_buffers():
            norm.get_buffer(name).copy_(buffer)
    return norm


def through(mine: Normalization, norm: Any, pre: Tensor) -> Tensor:
    return norm(copy.deepcopy(mine.filters)(pre))


def learning(coupling: Any) -> Any:
    """In the mode that `Network.normalizing` puts it into."""
    return nn.Module.train(coupling) if coupling.batchwise else coupling


@cases
@pytest.mark.parametrize("by_batch", [False, True])
def test_the_map_its_gradients_and_its_memory_are_those_of_torch(case: Any, by_batch: bool) -> None:
    make, norm, shape = case
    mine = fill(make())
    reference, pre = theirs(mine, norm()).train(by_batch), noise(5, *shape)
    if by_batch:
        learning(mine)
    expected = through(mine, reference, pre)
    found = mine(pre)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    mine.remember()
    held = dict(mine.named_buffers())
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(held[name], buffer, rtol=0, atol=0)
    if mine.scale is not None and mine.shift is not None:
        post = noise(*expected.shape, seed=2)
        wanted = torch.autograd.grad(expected, [reference.weight, reference.bias], post)  # type: ignore[list-item]
        given = torch.autograd.grad(found, [mine.scale, mine.shift], post)
        torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)


@cases
def test_it_keeps_the_contract_of_couplings(case: Any) -> None:
    make, _, shape = case
    assert check_coupling(fill(make()).float(), shape) == []


def test_the_product_of_channels_last_images_away_from_the_linearization() -> None:
    """Of scale: Σ ⟨post, u⟩ over samples and places of a channel, u the normalized image; of shift: Σ post."""
    coupling = GroupNorm(Skip(), 2, 4)
    first, pre, post = (torch.randn(3, 4, 5, 5).contiguous(memory_format=torch.channels_last) for _ in range(3))
    linear = coupling.linearize(first)[1]
    scale, shift = linear.weight_gradient(pre, post)
    normalized = torch.nn.functional.group_norm(pre, 2)
    torch.testing.assert_close(scale, (post * normalized).sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shift, post.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pool", [MaxPool(2), AveragePool(3, 2, padding=1)])
def test_pooling_comes_after_normalization(pool: Any) -> None:
    for coupling in (
        BatchNorm(Convolution(2, 4, 3, padding=1), 4, pool=pool),
        GroupNorm(Convolution(2, 4, 3, padding=1), 2, 4, pool=pool),
    ):
        bare = copy.deepcopy(fill(coupling))
        bare.pool = None
        pre = noise(3, 2, 6, 6)
        torch.testing.assert_close(coupling(pre), pool(bare(pre)))
        assert coupling.shape((2, 6, 6)) == tuple(coupling(pre).shape[1:])
        assert check_coupling(coupling.float(), (2, 6, 6)) == []


@cases
def test_all_maps_go_through_the_statistics_of_the_batch(case: Any) -> None:
    """Linearised while it learns, and asked when it does so no more: finite differences of the map in the same mode,
    and ⟨u, A′v⟩ = ⟨A′ᵀu, v⟩ over the batch as a whole."""
    make, _, shape = case
    coupling, pre = fill(make()), noise(5, *shape)
    learning(coupling)
    drive, linear = coupling.linearize(pre)
    coupling.eval()
    other = learning(copy.deepcopy(coupling))
    post, direction = noise(*drive.shape, seed=2), noise(*pre.shape, seed=3)
    tangent, adjoint = linear.tangent(direction), linear.adjoint(post)
    torch.testing.assert_close((post * tangent).sum(), (adjoint * direction).sum(), rtol=1e-11, atol=1e-11)
    ahead, behind = (other(pre + s * direction).detach() for s in (STEP, -STEP))
    torch.testing.assert_close(tangent, (ahead - behind) / (2 * STEP), rtol=1e-6, atol=1e-7)
    forth, back = (_pulled(other, pre + s * direction, post) for s in (STEP, -STEP))
    bent = linear.curvature(direction, post)
    assert bent is not None
    torch.testing.assert_close(bent, (forth - back) / (2 * STEP), rtol=1e-5, atol=1e-6)
    wanted = _products(other, pre, post)
    torch.testing.assert_close(linear.weight_gradient(pre, post), wanted, rtol=1e-11, atol=1e-11)
    changes = zip(*(_products(other, pre + s * direction, post) for s in (STEP, -STEP)), strict=True)
    second = linear.second_gradient(direction, post)
    for found, (ahead, behind) in zip(second, changes, strict=True):
        torch.testing.assert_close(found, (ahead - behind) / (2 * STEP), rtol=1e-5, atol=1e-6)


def _pulled(coupling: Coupling, pre: Tensor, post: Tensor) -> Tensor:
    leaf = pre.detach().requires_grad_()
    return torch.autograd.grad(coupling(leaf), leaf, post.detach())[0]


def _products(coupling: Coupling, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
    parameters = tuple(coupling.parameters())
    return torch.autograd.grad((coupling(pre) * post).sum(), parameters) if parameters else ()


def deep(kind: str, *, scale: float = 0.6) -> Network:
    """(2, 6, 6) – convolution, normalized, pooled – dense, normalized – 3."""
    network, norms = Network((2, 6, 6)), Norms(kind)
    network.add(norms.of(Convolution(2, 4, 3, padding=1, bias=False), (4, 6, 6), MaxPool(2)), Tanh())
    network.add(norms.of(Dense(36, 6), (6,)), Tanh())
    network.add(Dense(6, 3), Identity())
    return fill(network, scale=scale)


class Norms:
    def __init__(self, kind: str, eps: float = 1e-5) -> None:
        self.kind, self.eps = kind, eps

    def of(self, filters: Coupling, shape: tuple[int, ...], pool: Any = None) -> Coupling:
        if self.kind == "batch":
            return BatchNorm(filters, shape[0], eps=self.eps, pool=pool)
        if self.kind == "layer":
            return LayerNorm(filters, shape, eps=self.eps, pool=pool)
        return GroupNorm(filters, 2, shape[0], eps=self.eps, pool=pool)


def batch(size: int = 5) -> tuple[Tensor, Tensor]:
    return noise(size, 2, 6, 6), torch.eye(3, dtype=torch.float64)[torch.arange(size) % 3]


def forward(network: Network, x: Tensor) -> Tensor:
    """The deep network above, normalized by torch's own layers and the statistics of the batch."""
    for edge, layer in zip(network.edges, network.layers, strict=True):
        coupling = edge.coupling
        if isinstance(coupling, BatchNorm):
            u = F.batch_norm(coupling.filters(x), None, None, coupling.scale, coupling.shift, True, 0.1, 1e-5)
        elif isinstance(coupling, LayerNorm):
            u = F.layer_norm(coupling.filters(x), coupling.full, coupling.scale, coupling.shift)
        elif isinstance(coupling, GroupNorm):
            u = F.group_norm(coupling.filters(x), coupling.groups, coupling.scale, coupling.shift)
        else:
            u = coupling(x)
        x = layer.potential.response(F.max_pool2d(u, 2) if getattr(coupling, "pool", None) else u)
    return x


def expected(network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    loss = SquaredError().value(forward(network, x), target).sum()
    return list(torch.autograd.grad(loss, list(network.parameters())))


ONCE = Sweep(max_steps=1, tolerance=0.0)


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
@pytest.mark.parametrize(
    ("settler", "tolerance"),
    [
        (Backprop(), 1e-12),
        (DualPropagation(beta=0.0), 1e-11),
        (Implicit(gamma=0.0, nudged=ONCE), 1e-11),
        (DualPropagation(beta=1e-5), 1e-8),
        (DualPropagation(beta=1e-6, alpha=0.0), 1e-5),  # one-sided: of first order in β
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_without_feedback_all_settlers_learn_the_gradient_of_back_propagation(
    kind: str, settler: Settler, tolerance: float
) -> None:
    network, (x, target) = deep(kind), batch()
    assert gap(learn(settler, network, x, target, SquaredError()), expected(network, x, target)) < tolerance


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
def test_harvesting_gives_what_settling_and_applying_gives(kind: str) -> None:
    """`learn` hands layers over as they come to rest; the modes must be the same there."""
    network, (x, target) = deep(kind), batch()
    wanted = [g / len(x) for g in expected(network, x, target)]
    Contrast().learn(network, DualPropagation(beta=0.0), x, target, SquaredError())
    assert gap([p.grad for p in network.parameters()], wanted) < 1e-11  # type: ignore[misc]


def test_statistics_of_the_batch_matter_for_the_gradient() -> None:
    """The test above could not tell if the batch's and the running statistics were one."""
    network, (x, target) = deep("batch"), batch()
    loss = SquaredError().value(network(x), target).sum()
    frozen = torch.autograd.grad(loss, list(network.parameters()))
    assert gap(frozen, expected(network, x, target)) > 0.1


def feedback(kind: str) -> tuple[Network, Tensor, Tensor]:
    """A contracting network at full feedback, (5,) – 6 – 4 – 3: with a small ε, 1/σ would undo small weights."""
    network, norms = Network((5,)), Norms(kind, eps=0.3)
    network.add(norms.of(Dense(5, 6), (6,)), Tanh())
    network.add(norms.of(Dense(6, 4), (4,)), Tanh())
    network.add(Dense(4, 3), Identity())
    fill(network, scale=0.3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("scale"):
                parameter.copy_(0.25 + 0.05 * torch.arange(parameter.numel(), dtype=torch.float64) / parameter.numel())
    return network, noise(6, 5), torch.eye(3, dtype=torch.float64)[torch.arange(6) % 3]


def rest(network: Network, x: Tensor, gamma: float, steps: int = 500) -> list[Tensor]:
    """s = f(J(s)) of the batch's energy, by plain iteration and autograd of the couplings in the mode of learning."""
    states = [t.detach() for t in network.activity(x)]
    for _ in range(steps):
        everything, found = [x, *states], []
        for k in range(1, len(everything)):
            heard: list[Tensor] = [network.into(k)[0].coupling(everything[k - 1])]
            heard += [gamma * _pulled(e.coupling, everything[k], everything[e.target]) for e in network.out_of(k)]
            found.append(network.layers[k - 1].potential.response(sum(heard[1:], heard[0])).detach())
        states = found
    return states


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("kind", ["batch", "layer"])
@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_at_equilibrium_the_gradient_is_that_of_the_energy_of_the_batch(kind: str, gamma: float) -> None:
    """Differences of the objective at the batch's equilibrium, along a random direction of all parameters."""
    network, x, target = feedback(kind)
    settler = Implicit(
        gamma=gamma, relax=Sweep(max_steps=500, tolerance=1e-13), nudged=Sweep(max_steps=500, tolerance=1e-13)
    )
    found = learn(settler, network, x, target, SquaredError())
    parameters, held = list(network.parameters()), [p.detach().clone() for p in network.parameters()]
    direction = [noise(*p.shape, seed=9 + k) for k, p in enumerate(parameters)]
    values = []
    for side in (STEP, -STEP):
        with torch.no_grad():
            for p, old, d in zip(parameters, held, direction, strict=True):
                p.copy_(old + side * d)
        with network.normalizing():
            top = rest(network, x, gamma)[-1]
        values.append(float(SquaredError().value(top, target).sum()))
    slope = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-6)


@pytest.mark.parametrize(
    "settler",
    [
        EquilibriumPropagation(beta=1e-4, freeze_mean=False),
        EquilibriumPropagation(beta=1e-4),
        TwoPhase(beta=1e-4),
    ],
    ids=["joint", "held", "two phases"],
)
def test_phases_agree_on_the_statistics(settler: Any) -> None:
    """One phase by the batch and another by what is remembered would not vanish with β."""
    tight = Sweep(max_steps=500, tolerance=1e-13)
    settler = dataclasses.replace(settler, relax=tight, nudged=tight)
    network, x, target = feedback("batch")
    exact = learn(Implicit(relax=tight, nudged=tight), network, x, target, SquaredError())
    assert gap(learn(settler, network, x, target, SquaredError()), exact) < 1e-5


SETTLERS = [Backprop(), DualPropagation(), DualPropagation(nudged=Sweep(max_steps=4, tolerance=0.0)), Feedforward()]


@pytest.mark.parametrize("settler", SETTLERS, ids=lambda settler: settler.name)
def test_a_learned_batch_is_remembered_once(settler: Settler) -> None:
    network, (x, target) = deep("batch"), batch()
    first: Any = network.edges[0].coupling
    norm = theirs(first, nn.BatchNorm2d(4)).train()
    through(first, norm, x)
    Contrast().learn(network, settler, x, target, SquaredError())
    assert int(first.num_batches_tracked) == 1
    torch.testing.assert_close(first.running_mean, norm.running_mean, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(first.running_var, norm.running_var, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("settler", [EquilibriumPropagation(), TwoPhase()], ids=lambda settler: settler.name)
def test_of_many_sweeps_only_the_free_equilibrium_is_remembered(settler: Settler) -> None:
    network, x, target = feedback("batch")
    tight = Sweep(max_steps=500, tolerance=1e-13)
    settler = dataclasses.replace(settler, relax=tight, nudged=tight)  # type: ignore[call-arg]
    with network.normalizing():
        states = rest(network, x, 1.0)
    second: Any = network.edges[1].coupling
    u, share = second.filters(states[0]), second.momentum
    mean = (1 - share) * second.running_mean + share * u.mean(0)
    var = (1 - share) * second.running_var + share * u.var(0)
    Contrast().learn(network, settler, x, target, SquaredError())
    assert int(second.num_batches_tracked) == 1
    torch.testing.assert_close(second.running_mean, mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(second.running_var, var, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("settler", [Backprop(), DualPropagation(), EquilibriumPropagation()], ids=lambda s: s.name)
def test_prediction_hears_no_batch_and_remembers_nothing(settler: Settler) -> None:
    network, x, target = feedback("batch")
    Contrast().learn(network, settler, x, target, SquaredError())
    held = copy.deepcopy(dict(network.named_buffers()))
    together = settler.predict(network, x).output
    alone = torch.cat([settler.predict(network, one[None]).output for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-2 if settler.gamma else 1e-12, atol=1e-3 * settler.gamma)
    assert all(torch.equal(buffer, held[name]) for name, buffer in network.named_buffers())
    assert not any(module.training for module in network.couplings.modules() if module is not network.couplings)


def test_settlers_that_do_the_same_leave_the_same_network() -> None:
    """Ten steps of back-propagation and of dual propagation at β = 0, weights, statistics and predictions."""
    networks = [deep("batch"), deep("batch")]
    for network, settler in zip(networks, (Backprop(), DualPropagation(beta=0.0)), strict=True):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for step in range(10):
            x, target = noise(5, 2, 6, 6, seed=step), batch()[1]
            Contrast().learn(network, settler, x, target, SquaredError())
            optimizer.step()
    one, other = (network.state_dict() for network in networks)
    assert all(torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-10) for name in one)
    assert int(one["couplings.0.num_batches_tracked"]) == 10


def test_frozen_normalization_keeps_to_what_it_remembers() -> None:
    network, (x, target) = deep("batch"), batch()
    frozen = network.edges[0].coupling.requires_grad_(False)
    before = copy.deepcopy(frozen.state_dict())
    Contrast().learn(network, DualPropagation(), x, target, SquaredError())
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert int(network.get_buffer("couplings.1.num_batches_tracked")) == 1


def test_without_parameters_there_are_statistics_still() -> None:
    network = Network((2, 3, 3))
    network.add(BatchNorm(Skip(), 2, affine=False), ReLU())
    network.add(Dense(18, 3), Identity())
    fill(network)
    x, target = noise(4, 2, 3, 3), torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    found = learn(DualPropagation(beta=0.0), network, x, target, SquaredError())
    seen = F.batch_norm(x, None, None, training=True).relu().flatten(1)
    top: Any = network.edges[1].coupling
    error = top(seen) - target
    torch.testing.assert_close(found[0], (error.T @ seen).detach(), rtol=1e-10, atol=1e-10)
    assert int(network.get_buffer("couplings.0.num_batches_tracked")) == 1


def test_a_module_with_batch_norm_does_what_it_did() -> None:
    """By what it remembers under dual propagation, which leaves it alone."""
    network = Network((6,))
    module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    with pytest.warns(UserWarning, match="updates its statistics under settler=backprop alone"):
        network.add(Module(module), Tanh())
    network.add(Dense(4, 3), Identity())
    fill(network)
    x, target = noise(5, 6), torch.eye(3, dtype=torch.float64)[torch.arange(5) % 3]
    before = copy.deepcopy(dict(module.named_buffers()))
    found = learn(DualPropagation(beta=0.0), network, x, target, SquaredError())
    assert all(torch.equal(value, before[name]) for name, value in module.named_buffers())
    loss = SquaredError().value(network(x), target).sum()
    assert gap(found, torch.autograd.grad(loss, list(network.parameters()))) < 1e-11


def test_normalization_is_added_without_a_caution() -> None:
    with strict():
        for kind in ("batch", "layer", "group"):
            deep(kind)


def test_states_of_lower_precision() -> None:
    network, (x, target) = deep("batch").float(), batch()
    fine = learn(DualPropagation(beta=0.0), network, x.float(), target.float(), SquaredError())
    coarse = learn(DualPropagation(beta=0.0), network, x.bfloat16(), target.bfloat16(), SquaredError())
    assert all(gradient.dtype == torch.float32 for gradient in coarse)
    assert gap(coarse, fine) < 0.1


def test_one_sample_alone_has_no_variance() -> None:
    network, x, target = feedback("batch")
    for settler in (Backprop(), DualPropagation()):
        with pytest.raises(ValueError, match="at least 2 samples"):
            settler.settle(network, x[:1], target[:1], SquaredError(), Ledger())
    images, (x, target) = deep("layer"), batch(1)
    Contrast().learn(images, DualPropagation(), x, target, SquaredError())


@pytest.mark.parametrize("settler", [Spiking(), SurrogateBackprop()], ids=lambda settler: settler.name)
def test_spiking_networks_refuse_the_statistics_of_a_batch(settler: Settler) -> None:
    network, x, target = feedback("batch")
    with pytest.raises(ValueError, match=r"couplings\.0 is a BatchNorm: must not normalize by the batch"):
        settler.settle(network, x, target, SquaredError())


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "filters": (lambda: BatchNorm(nn.Linear(3, 4), 4), TypeError, "must be a coupling"),  # type: ignore[arg-type]
    "nested": (lambda: LayerNorm(BatchNorm(Dense(3, 4), 4), (4,)), ValueError, "must not normalize by the batch"),
    "pool": (lambda: BatchNorm(Dense(3, 4), 4, pool=2), TypeError, "pool is int 2"),  # type: ignore[arg-type]
    "eps": (lambda: LayerNorm(Dense(3, 4), (4,), eps=0.0), ValueError, r"eps=0\.0: must be above 0"),
    "momentum": (lambda: BatchNorm(Dense(3, 4), 4, momentum=1.5), ValueError, r"momentum=1\.5: must be in \[0, 1\]"),
    "groups": (lambda: GroupNorm(Dense(3, 4), 3, 4), ValueError, "groups=3: must divide channels=4"),
    "channels": (lambda: Network((3,)).add(BatchNorm(Dense(3, 4), 5), Tanh()), ValueError, "5 channels"),
    "shape": (lambda: Network((3,)).add(LayerNorm(Dense(3, 4), (5,)), Tanh()), ValueError, r"LayerNorm of \(5,\)"),
}


@pytest.mark.parametrize(("make", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(make: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()
