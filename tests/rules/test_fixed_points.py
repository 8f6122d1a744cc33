"""Where the laws without feedback lead: to components, clusters, priors, and the limit of an energy; float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError
from energy.potentials import Identity, Softmax
from energy.relax.sweep import Sweep
from energy.rules import Oja, Plasticity, Sanger, SoftHebb, Variant
from energy.settle.feedforward import Feedforward, SettledFree, settle_free
from tests.rules.populations import Population, placed, population


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(one: Population, rule: Plasticity, x: Tensor, steps: int) -> Tensor:
    """The weights after so many full batches, as a run makes its steps: `learn`, then plain SGD at rate 1."""
    optimizer = torch.optim.SGD(one.network.parameters(), lr=1.0)
    target = one.target[:1].expand(len(x), -1)
    for _ in range(steps):
        rule.learn(one.network, Feedforward(), x, target, SquaredError())
        optimizer.step()
    return one.filters.weight.detach()


def components(x: Tensor) -> Tensor:
    """The principal components of x (N, n), uncentred, greatest first, a row each."""
    return torch.linalg.eigh(x.T @ x / len(x)).eigenvectors.flip(1).T


def gaussian(count: int = 300) -> Tensor:
    """Standard deviations 2, 1.6, 1.2, 0.8, … along turned axes."""
    turned = torch.linalg.qr(normal(7, 7, seed=1)).Q
    return normal(count, 7, seed=2) * torch.tensor([2, 1.6, 1.2, 0.8, 0.4, 0.2, 0.1], dtype=torch.float64) @ turned


@pytest.mark.parametrize("radius", [1.0, 1.7])
def test_every_oja_neuron_finds_the_first_component(radius: float) -> None:
    one, x = placed(Dense(7, 3, bias=False), (7,)), gaussian()
    found = trained(one, Oja(rate=0.1 / radius**2, target_norm=radius), x, 400)
    first = components(x)[0]
    torch.testing.assert_close(found @ first, radius * (found @ first).sign(), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.norm(dim=1), torch.full((3,), radius, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("radius", [1.0, 1.7])
def test_sangers_neurons_find_one_component_each_in_order(radius: float) -> None:
    one, x = placed(Dense(7, 3, bias=False), (7,)), gaussian()
    found = trained(one, Sanger(rate=0.1 / radius**2, target_norm=radius), x, 800)
    wanted = components(x)[:3]
    torch.testing.assert_close(found.abs(), radius * wanted.abs(), rtol=0, atol=1e-7)
    torch.testing.assert_close((found * wanted).sum(1).abs(), torch.full((3,), radius).double(), rtol=0, atol=1e-7)


def lloyd(x: Tensor, centers: Tensor) -> Tensor:
    """Spherical k-means from given centres until nothing moves: greatest ⟨w, x⟩, then the normalised sum of a cell."""
    for _ in range(100):
        cells = (x @ centers.T).argmax(1)
        sums = torch.stack([x[cells == k].sum(0) for k in range(len(centers))])
        centers = sums / sums.norm(dim=1, keepdim=True)
    return centers


def clusters() -> tuple[Tensor, Tensor]:
    """Points about three orthogonal directions, 60 : 30 : 10, and to which of them they belong."""
    axes = torch.linalg.qr(normal(7, 7, seed=3)).Q[:3]
    owner = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    return 2 * axes[owner] + 0.25 * normal(100, 7, seed=4), owner


def test_hard_winners_rest_at_spherical_k_means_and_nowhere_else() -> None:
    rule, (x, owner) = SoftHebb(variant=Variant.HARD, scaled=False, exponent=0.0, rate=0.2), clusters()
    one = placed(Dense(7, 3, bias=False), (7,))
    with torch.no_grad():  # from one sample of each cluster, off the sphere
        one.filters.weight.copy_(1.3 * torch.nn.functional.normalize(x[[0, 70, 95]]))
    wanted = lloyd(x, torch.nn.functional.normalize(x[[0, 70, 95]]))
    torch.testing.assert_close(trained(one, rule, x, 600), wanted, rtol=0, atol=1e-10)
    assert (x @ wanted.T).argmax(1).equal(owner)
    with torch.no_grad():
        one.filters.weight.copy_(wanted)
    assert float(one.update(rule, x)[0].abs().max()) < 1e-11


def test_a_bias_learns_the_logarithm_of_the_prior() -> None:
    """Weights stand on the axes of the mixture, so cold that every point is almost sure: e^{b/T} is its share."""
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.1, scaled=False, exponent=0.0, rate=0.1)
    x, owner = clusters()
    one = placed(Dense(7, 3), (7,))
    bias = one.filters.bias
    assert bias is not None
    with torch.no_grad():
        one.filters.weight.copy_(lloyd(x, torch.stack([x[owner == k].mean(0) for k in range(3)])))
        bias.fill_(-0.1 * math.log(3))
    before = one.filters.weight.detach().clone()
    one.filters.weight.requires_grad_(False)
    trained(one, rule, x, 300)
    shares = ((x @ before.T + bias.detach()) / 0.1).softmax(1).mean(0)
    torch.testing.assert_close((bias.detach() / 0.1).exp(), shares, rtol=0, atol=1e-9)
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.3, 0.1]).double(), rtol=0, atol=1e-3)
    assert one.filters.weight.equal(before) and one.filters.weight.grad is None


def test_a_soft_layer_ends_on_the_sphere_from_any_radius() -> None:
    """d‖w‖²/dt = 2 E[y u](1 − ‖w‖²): from far out, and from near the origin."""
    x, _ = clusters()
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.2, scaled=False, exponent=0.0, rate=0.1)
    for start in (0.2, 3.0):
        one = placed(Dense(7, 3, bias=False), (7,))
        with torch.no_grad():
            one.filters.weight.copy_(start * torch.nn.functional.normalize(x[[0, 70, 95]]))
        norms = trained(one, rule, x, 800).norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(3).double(), rtol=0, atol=1e-9)


def soft_stack(temperature: float = 0.5) -> tuple[Network, Tensor]:
    network = Network((6,))
    network.add(Dense(6, 5), Softmax(temperature=temperature))
    network.add(Dense(5, 4), Softmax(temperature=temperature))
    network.add(Dense(4, 3), Identity(), feedback=False)
    network.double()
    with torch.no_grad():
        for k, parameter in enumerate(network.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=10 + k))
    return network, normal(4, 6, seed=20)


def test_one_pass_up_is_the_minimum_of_the_energy_as_the_gain_falls() -> None:
    """(s₁(γ) − s₁(0))/γ → (diag s − s sᵀ) W₂ᵀ s₂ / T, with an error of order γ; and at its minimum the energy is lower
    than at the bottom-up pass."""
    network, x = soft_stack()
    forward = network.activity(x)
    below, above = forward[0].detach(), forward[1].detach()
    pushed = above @ network.get_parameter("couplings.1.weight").detach()
    slope = below * (pushed - (below * pushed).sum(1, keepdim=True)) / 0.5
    errors = []
    for gamma in (0.1, 0.01, 0.001):
        settler = Feedforward(gamma=gamma, relax=Sweep(max_steps=500, tolerance=1e-15, check_every=10))
        _, state, _ = settler.free(network, x, Ledger())
        errors.append(float(((state[0] - below) / gamma - slope).abs().max()))
        assert (network.energy(x, state, gamma) <= network.energy(x, forward, gamma)).all()
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.2) and errors[1] / errors[2] == pytest.approx(10, rel=0.05)


def test_a_local_rule_learns_from_the_equilibrium_where_there_is_feedback() -> None:
    """At γ > 0 what competes is the settled drive, feedback included; the products are those of the settled states."""
    network, x = soft_stack()
    settler = Feedforward(gamma=0.3, relax=Sweep(max_steps=500, tolerance=1e-15, check_every=10))
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.5)
    settled = settle_free(settler, network, x, torch.zeros(4, 3).double())
    update = rule.update(network, settled)
    states = (x, *settled.mean)
    for layer in (1, 2):
        weight = network.get_parameter(f"couplings.{layer - 1}.weight").detach()
        yx = states[layer].T @ states[layer - 1]  # y is the settled state itself
        bias = network.get_parameter(f"couplings.{layer - 1}.bias").detach()
        said = (weight * yx).sum(1) + bias * states[layer].sum(0)
        torch.testing.assert_close(update[2 * layer - 2], yx - said[:, None] * weight, rtol=0, atol=1e-12)


def test_what_is_never_asked_stays() -> None:
    """The layer above the last rule neither moves nor is visited."""
    one = population()
    before = [p.detach().clone() for p in one.network.edges[1].coupling.parameters()]
    settled = SoftHebb().learn(one.network, Feedforward(), one.x, one.target, SquaredError())
    assert isinstance(settled, SettledFree) and len(settled.linear) == 1 and settled.output.shape == (4, 6)
    after = list(one.network.edges[1].coupling.parameters())
    assert all(p.equal(old) and p.grad is None for p, old in zip(after, before, strict=True))
