"""The laws without feedback against their definitions, their energies, and each other; float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, from_dict
from energy.couplings import Convolution, Dense, UnitInputs
from energy.couplings.block import Block
from energy.kernels import fused
from energy.potentials import Softmax
from energy.rules import Hebb, KrotovHopfield, Oja, PerLayer, Plasticity, Sanger, SoftHebb, Variant
from energy.rules.linearized import linearized_layers
from energy.rules.softhebb import ranked
from energy.rules.unit_rule import Update
from energy.settle.settler import Settled
from tests.rules.populations import LAYOUTS, Population, change, dual, factor, placed, population

HIDDEN = [variant for variant in Variant if variant is not Variant.SUPERVISED]
DESCENDING: list[Plasticity] = [
    SoftHebb(variant=Variant.SOFT, temperature=0.7),
    SoftHebb(variant=Variant.SPARSE, temperature=0.7),
    SoftHebb(variant=Variant.HARD),
    SoftHebb(variant=Variant.HARDKROTOV, rank=3, anti_hebbian=0.6),
    SoftHebb(variant=Variant.SELF_CONTRAST, temperature=0.7),
    KrotovHopfield(rank=3, anti_hebbian=0.3),
    Oja(),
    Hebb(),
]


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def drives(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def name(rule: Plasticity) -> str:
    return f"{rule.name}-{rule.variant.name.lower()}" if isinstance(rule, SoftHebb) else rule.name


# what one place does: the settled competition


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_mirror_descent_of_the_simplex_energy_ends_at_the_share(temperature: float) -> None:
    """s ← s e^{−η∇E}/Z on E(s) = T Σ s ln s − ⟨s, u⟩, ∇E by autograd; at the end E = −T·logsumexp(u/T)."""
    u, potential = drives(5, 6), Softmax(temperature=temperature)
    rule = SoftHebb(variant=Variant.SOFT, temperature=temperature)
    s = torch.full_like(u, 1 / 6)
    for _ in range(80):
        leaf = s.clone().requires_grad_()
        (slope,) = torch.autograd.grad((potential.value(leaf) - (leaf * u).sum(1)).sum(), leaf)
        s = (s.log() - 0.5 / temperature * slope).softmax(1)
    close(rule.share(u), s)
    close(potential.response(u), s)
    close(rule.energy(u), potential.value(s) - (s * u).sum(1))
    close(rule.energy(u), -temperature * (u / temperature).exp().sum(1).log())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_sparse_share_is_where_the_quadratic_energy_is_least(temperature: float) -> None:
    """On the simplex, E(s) = T/2 Σ s² − ⟨s, u⟩ is least where ∂E/∂s is equal over the support and no less elsewhere."""
    u = drives(50, 6)
    rule = SoftHebb(variant=Variant.SPARSE, temperature=temperature)
    s = rule.postsynaptic_factor(u, None)
    close(s.sum(-1), torch.ones(50, dtype=torch.float64))
    slope, support = temperature * s - u, s > 0
    level = torch.where(support, slope, -math.inf).amax(-1, keepdim=True)
    assert (slope >= level - 1e-12).all() and (s >= 0).all()
    assert 1 < support.sum(-1).double().mean() < 6
    close(rule.energy(u), temperature / 2 * s.square().sum(-1) - (s * u).sum(-1))
    far = SoftHebb(variant=Variant.SPARSE, temperature=temperature).postsynaptic_factor(u + 1e6, None)
    torch.testing.assert_close(far, s, rtol=0, atol=1e-8 / temperature)


@pytest.mark.parametrize("rule", DESCENDING, ids=name)
@pytest.mark.parametrize("shape", [(8, 1, 6), (2, 3, 4, 2, 5)], ids=["dense", "groups"])
def test_the_postsynaptic_factor_is_the_slope_of_the_energy(rule: Plasticity, shape: tuple[int, ...]) -> None:
    u = drives(*shape).requires_grad_()
    energy = rule.energy(u)
    assert energy.shape == shape[:-1]
    (slope,) = torch.autograd.grad(energy.sum(), u)
    close(rule.postsynaptic_factor(u.detach(), None), -slope)


@pytest.mark.parametrize("rule", [SoftHebb(variant=Variant.SOFTKROTOV), Sanger()], ids=name)
def test_without_an_energy_none_is_given(rule: Plasticity) -> None:
    with pytest.raises(TypeError, match=f"rule={rule.name} descends no energy"):
        rule.energy(drives(2, 3))


def test_softkrotov_turns_in_the_drives_and_its_neighbors_do_not() -> None:
    """Relative antisymmetric part of ∂y/∂u, from differences: zero for a gradient."""

    def curl(variant: Variant) -> float:
        rule, u, step = SoftHebb(variant=variant, temperature=0.8), drives(6), 1e-5
        moved = step * torch.eye(6, dtype=torch.float64)
        turn = (rule.postsynaptic_factor(u + moved, None) - rule.postsynaptic_factor(u - moved, None)) / (2 * step)
        return float(torch.linalg.norm(turn - turn.T) / torch.linalg.norm(turn))

    assert max(map(curl, (Variant.SOFT, Variant.SPARSE, Variant.SELF_CONTRAST))) < 1e-9
    assert curl(Variant.SOFTKROTOV) > 0.1


def test_sanger_turns_on_the_spheres_and_oja_does_not() -> None:
    """The Jacobian of Δw between tangents of ‖w_k‖ = 1 is symmetric where Δw is a Riemannian gradient."""

    def curl(rule: Plasticity) -> float:
        one = population().on_the_sphere()
        weight = one.filters.weight.detach().clone()
        tangents = torch.block_diag(*[torch.eye(7, dtype=torch.float64) - torch.outer(w, w) for w in weight])
        step, columns = 1e-5, []
        for direction in torch.eye(weight.numel(), dtype=torch.float64):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    one.filters.weight.copy_(weight + sign * step * direction.view_as(weight))
                ends.append(one.update(rule)[0].flatten())
            columns.append((ends[0] - ends[1]) / (2 * step))
        turn = tangents @ torch.stack(columns, 1) @ tangents
        return float(torch.linalg.norm(turn - turn.T) / torch.linalg.norm(turn))

    assert curl(Oja()) < 1e-8
    assert curl(Sanger()) > 0.1


def test_softkrotov_is_self_contrast_and_something_for_the_winner() -> None:
    u = drives(3, 4, 1, 7)
    share = (u / 0.6).softmax(-1)
    top = torch.nn.functional.one_hot(u.argmax(-1), 7).double()
    contrast = SoftHebb(variant=Variant.SELF_CONTRAST, temperature=0.6).postsynaptic_factor(u, None)
    surplus = (2 * share.amax(-1, keepdim=True) - 1) * top
    close(SoftHebb(variant=Variant.SOFTKROTOV, temperature=0.6).postsynaptic_factor(u, None), contrast + surplus)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_first_of_equals_wins_alone(dtype: torch.dtype) -> None:
    u = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]], dtype=dtype)
    share = (u.double() / 0.6).softmax(-1)
    for variant, won in ((Variant.SOFTKROTOV, share), (Variant.SELF_CONTRAST, 1 - share)):
        expected = -share
        for row, place in ((0, 1), (1, 0)):
            expected[row, place] = won[row, place]
        y = SoftHebb(variant=variant, temperature=0.6).postsynaptic_factor(u, None)
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), expected, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_ranks_by_hand() -> None:
    u = torch.tensor([[0.3, -1.0, 2.0, 0.9], [4.0, 3.0, 2.0, 1.0]], dtype=torch.float64)
    assert ranked(u, 2, 0.4).tolist() == [[0, 0, 1, -0.4], [1, -0.4, 0, 0]]
    assert ranked(u, 4, 2.0).tolist() == [[0, -2, 1, 0], [1, 0, 0, -2]]
    assert SoftHebb(variant=Variant.HARD).postsynaptic_factor(u, None).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]


# what a layer does: Δw


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("variant", HIDDEN)
def test_the_update_is_its_definition(variant: Variant, layout: str, bias: bool) -> None:
    rule = SoftHebb(variant=variant, temperature=0.8, rank=3, anti_hebbian=0.5)
    one = population(layout, bias=bias)
    x, weight = one.columns(), one.rows()
    u = x @ weight.transpose(1, 2)
    if one.filters.bias is not None:
        u = u + one.filters.bias.detach().unflatten(0, (one.groups, 1, -1))
    close(one.update(rule)[0].flatten(1), change(x, weight, factor(rule, u), u).flatten(0, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("norm", "radius"), [(2.0, 3.0), (3.0, 1.0), (1.5, 2.0)])
def test_another_norm_measures_drives_with_another_dual(layout: str, norm: float, radius: float) -> None:
    rule = KrotovHopfield(rank=2, anti_hebbian=0.3, p=norm, target_norm=radius)
    one = population(layout, bias=True)
    x, weight = one.columns(), one.rows()
    assert one.filters.bias is not None
    u = x @ dual(weight, norm).transpose(1, 2) + one.filters.bias.detach().unflatten(0, (one.groups, 1, -1))
    y = factor(SoftHebb(variant=Variant.HARDKROTOV, rank=2, anti_hebbian=0.3), u)
    close(one.update(rule)[0].flatten(1), change(x, weight, y, u, norm, radius).flatten(0, 1), 1e-11)


def test_another_norm_costs_another_pass() -> None:
    one, price = population(), 6 * 7 * 4
    settled = one.settle()
    KrotovHopfield().update(one.network, settled)
    assert settled.ledger.multiply_adds_by_phase["products"] == price
    KrotovHopfield(p=3.0).update(one.network, settled)
    assert settled.ledger.multiply_adds_by_phase["products"] == 3 * price


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("norm", [2.0, 3.0])
def test_the_decay_needs_no_second_pass(layout: str, norm: float) -> None:
    """yu_k = ⟨sign(w)|w|^(p−1), yx_k⟩ + b_k Σ y_k: the same from the products as from the drives themselves."""
    rule, one = SoftHebb(p=norm), population(layout, bias=True)
    ((_, _, inputs),) = linearized_layers(rule, one.network, one.settle(), learning=True)
    y = rule.postsynaptic_factor(rule.competition_logits(inputs), None).flatten(-2).movedim(-1, 1)
    product = one.filters.product(one.x, y)
    close(rule.decay(inputs, product, y), rule.decay(inputs._replace(linear=False), product, y))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", [*DESCENDING, SoftHebb(), KrotovHopfield(p=3.0), Sanger()], ids=name)
def test_a_batch_is_the_sum_of_its_samples(rule: Plasticity, layout: str) -> None:
    if isinstance(rule, Sanger) and layout == "groups":
        pytest.skip("refused, see below")
    one = population(layout, bias=True)
    together = one.update(rule)
    alone = [one.update(rule, x[None]) for x in one.x]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        close(whole, torch.stack(list(parts)).sum(0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", [r for r in DESCENDING if r.decayed and r.p == 2], ids=name)
def test_on_the_sphere_the_update_is_minus_the_slope_of_the_energy(rule: Plasticity, layout: str) -> None:
    """∂/∂w of Σ E*(W̄ x) with w̄ = w/‖w‖, by autograd, at ‖w‖ = 1."""
    one = population(layout).on_the_sphere()
    weight = one.rows().requires_grad_()
    normed = weight / weight.norm(dim=-1, keepdim=True)
    energy = rule.energy((one.columns() @ normed.transpose(1, 2)).transpose(0, 1))
    (slope,) = torch.autograd.grad(energy.sum(), weight)
    close(one.update(rule)[0].flatten(1), -slope.flatten(0, 1))


def test_hebb_descends_without_any_sphere() -> None:
    one = population("convolution")
    weight = one.rows().requires_grad_()
    (slope,) = torch.autograd.grad(Hebb().energy(one.columns() @ weight.transpose(1, 2)).sum(), weight)
    close(one.update(Hebb())[0].flatten(1), -slope.flatten(0, 1))


@pytest.mark.parametrize("layout", ["dense", "strided"])
@pytest.mark.parametrize("norm", [2.0, 3.0, 5.0])
def test_krotov_and_hopfield_follow_the_natural_gradient(norm: float, layout: str) -> None:
    """On {‖w‖_p = R}: the slope of u₍₁₎ − Δu₍ₖ₎ by autograd, raised with the inverse of the metric (p−1)|w|^(p−2), and
    projected along w, which that metric makes normal; times R^p."""
    radius, push = 1.3, 0.4
    rule = KrotovHopfield(rank=3, anti_hebbian=push, p=norm, target_norm=radius)
    one = population(layout).on_the_sphere(radius, norm)
    weight = one.rows().requires_grad_()
    u = (one.columns() @ dual(weight, norm).transpose(1, 2)).sort(-1, descending=True).values
    (slope,) = torch.autograd.grad((u[..., 0] - push * u[..., 2]).sum(), weight)
    weight = weight.detach()
    natural = slope / ((norm - 1) * weight.abs() ** (norm - 2))
    along = (dual(weight, norm) * natural).sum(-1, keepdim=True) / (dual(weight, norm) * weight).sum(-1, keepdim=True)
    found = one.update(rule)[0].flatten(1)
    close(found, (radius**norm * (natural - along * weight)).flatten(0, 1), 1e-10)
    close((dual(weight[0], norm) * found).sum(1), torch.zeros(6, dtype=torch.float64), 1e-10)  # tangent


@pytest.mark.parametrize("norm", [1.5, 2.0, 3.0, 5.0])
def test_norms_obey_their_law(norm: float) -> None:
    """d‖w_k‖_p^p/dt = p Σ y u (R^p − ‖w_k‖_p^p), at any weights."""
    radius, one = 0.8, population("convolution")
    rule = KrotovHopfield(rank=2, anti_hebbian=0.4, p=norm, target_norm=radius)
    x, weight = one.columns(), one.rows()
    u = x @ dual(weight, norm).transpose(1, 2)
    y = factor(SoftHebb(variant=Variant.HARDKROTOV, rank=2, anti_hebbian=0.4), u)
    rise = norm * (dual(weight, norm)[0] * one.update(rule)[0].flatten(1)).sum(1)
    close(rise, norm * (y * u)[0].sum(0) * (radius**norm - (weight[0].abs() ** norm).sum(1)), 1e-11)


@pytest.mark.parametrize("variant", HIDDEN)
def test_an_euler_step_off_the_sphere_grows_by_its_square(variant: Variant) -> None:
    one, rate = population("convolution").on_the_sphere(), 0.3
    weight, found = one.filters.weight.detach().flatten(1), one.update(SoftHebb(variant=variant))[0].flatten(1)
    grown = (weight + rate * found).square().sum(1)
    close(grown, 1 + rate**2 * found.square().sum(1))


@pytest.mark.parametrize("rule", [*DESCENDING, SoftHebb(), Sanger(), KrotovHopfield(p=3.0)], ids=name)
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_of_one_place_is_a_dense_layer(rule: Plasticity, kernel: int) -> None:
    size = 5 * kernel**2
    flat = placed(Dense(size, 6), (size,))
    spatial = placed(Convolution(5, 6, kernel), (5, kernel, kernel))
    with torch.no_grad():
        for one, other in zip(spatial.filters.parameters(), flat.filters.parameters(), strict=True):
            one.copy_(other.view_as(one))
    found = spatial.update(rule, flat.x.view(-1, 5, kernel, kernel))
    for one, other in zip(found, flat.update(rule), strict=True):
        close(one.flatten(), other.flatten())


def test_neurons_of_a_label_learn_what_their_class_looks_like() -> None:
    one = placed(Dense(7, 3, bias=False), (7,))
    rule = PerLayer(rules=[SoftHebb(variant=Variant.SUPERVISED)])
    x, weight = one.x, one.filters.weight.detach()
    u = x @ weight.T
    close(one.update(rule)[0], change(x[None], weight[None], one.target[None], u[None])[0])
    with pytest.raises(ValueError, match=r"target of shape \(4, 3\) cannot teach neurons .*\(4, 1, 6\)"):
        population().update(rule)


def test_rectified_neurons_compete_decay_and_speak_with_what_is_left() -> None:
    """v = max(u − ū, 0) stands for u everywhere; ⟨w, yx⟩ would be something else."""
    rule = SoftHebb(variant=Variant.SOFTKROTOV, temperature=0.7)
    one = placed(Block(Convolution(4, 6, 3, bias=False), centered=True, rectified=True), (4, 5, 5))
    x, weight = one.columns(), one.rows()
    u = x @ weight.transpose(1, 2)
    v = (u - u.mean(-1, keepdim=True)).clamp_min(0)
    y = factor(rule, v)
    close(one.update(rule)[0].flatten(1), change(x, weight, y, v)[0])
    assert float((change(x, weight, y, u) - change(x, weight, y, v)).abs().max()) > 0.1
    with pytest.raises(ConfigurationError, match=r"softhebb.p=3.0: must be 2 if units compete with rectified"):
        one.update(SoftHebb(p=3.0))


@pytest.mark.parametrize("norm", [2.0, 3.0])
def test_normalized_neurons_compete_alike_at_every_length(norm: float) -> None:
    """y is that of w/‖w‖_p, whatever ‖w_k‖; the decay hears the drive itself."""
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.3, normalized=True, p=norm)
    one = population("convolution", bias=True).on_the_sphere(1.0, norm)
    plain = SoftHebb(variant=Variant.SOFT, temperature=0.3, p=norm)
    close(one.update(rule)[0], one.update(plain)[0])
    x, bias = one.columns(), one.filters.bias
    assert bias is not None
    y = factor(plain, x @ dual(one.rows(), norm).transpose(1, 2) + bias.detach())
    with torch.no_grad():
        one.filters.weight.mul_(torch.linspace(0.1, 30, 6, dtype=torch.float64).view(-1, 1, 1, 1))
    weight = one.rows()
    u = x @ dual(weight, norm).transpose(1, 2) + bias.detach()
    close(one.update(rule)[0].flatten(1), change(x, weight, y, u, norm)[0], 1e-10)


# what a step is


def steps(one: Population, rule: Plasticity) -> list[Tensor | None]:
    rule.apply(one.network, one.settle())
    return [p.grad for p in one.filters.parameters()]


def rates(one: Population, rule: Plasticity) -> Tensor:
    norms = (one.filters.weight.detach().flatten(1).abs() ** rule.p).sum(1) ** (1 / rule.p)
    return rule.rate * ((norms / rule.target_norm - 1).abs() + 1e-10) ** rule.exponent


STEPPING: list[Plasticity] = [
    SoftHebb(exponent=0.5),
    SoftHebb(variant=Variant.SOFT, exponent=0.75, target_norm=2.0),
    KrotovHopfield(p=3.0, exponent=0.2),
    Oja(scaled=True),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", STEPPING, ids=name)
def test_a_scaled_step_is_the_update_over_its_peak_times_the_rate_of_the_neuron(
    rule: Plasticity, layout: str, bias: bool
) -> None:
    one = population(layout, bias=bias)
    update = one.update(rule)[0].flatten(1)
    peaks = update.abs().unflatten(0, (one.groups, -1)).flatten(1).amax(1).repeat_interleave(6 // one.groups)
    (step, *_) = steps(one, rule)
    assert step is not None and step.shape == one.filters.weight.shape
    close(step.flatten(1), -rates(one, rule)[:, None] * update / peaks[:, None])


def test_a_rule_that_defines_a_part_of_the_step_takes_it() -> None:
    """Rates and updates of one's own count in the plain case too, which has a fused step."""

    class Halved(SoftHebb):
        def rates(self, weight: Tensor) -> Tensor:
            return super().rates(weight) / 2

    class Upwards(SoftHebb):
        def weight_update(self, inputs: UnitInputs, settled: Settled) -> Update:
            update, bias = super().weight_update(inputs, settled)
            return update.abs(), bias

    one = population("dense")
    (wanted, *_), (halved, *_), (upwards, *_) = (steps(one, rule) for rule in (SoftHebb(), Halved(), Upwards()))
    assert wanted is not None and halved is not None and upwards is not None
    close(halved, wanted / 2)
    close(upwards, -wanted.abs())


def test_the_largest_change_is_the_rate_in_every_group() -> None:
    one, rule = population("groups"), KrotovHopfield(rate=0.02)
    (step,) = steps(one, rule)
    assert step is not None
    assert step.abs().unflatten(0, (2, -1)).flatten(1).amax(1).tolist() == [0.02, 0.02]


def test_a_neuron_of_norm_one_stands_still() -> None:
    one, rule = population("convolution").on_the_sphere(), SoftHebb(rate=0.08, exponent=0.5)
    with torch.no_grad():
        one.filters.weight[0] *= 1.5
    (step,) = steps(one, rule)
    assert step is not None
    assert float(step[1:].abs().max()) <= 0.08 * 1.001e-5
    assert float(step[0].abs().max()) > 0.01


def test_an_unscaled_step_is_the_mean_over_the_batch() -> None:
    for rule in (Oja(rate=0.3), SoftHebb(scaled=False, rate=0.3, exponent=0.5)):
        one = population("strided", bias=True)
        weight, bias = one.update(rule)
        step, shift = steps(one, rule)
        assert step is not None and shift is not None
        close(step, -rates(one, rule).view(-1, 1, 1, 1) * weight / 4)
        close(shift, -rates(one, rule) * rule.unit * bias / 4)


@pytest.mark.parametrize("layout", ["wide", pytest.param("dense", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", STEPPING[:2], ids=name)
def test_the_fused_step_is_the_plain_one(rule: Plasticity, layout: str) -> None:
    one = population(layout)
    (plain,) = steps(one, rule)
    with fused(smallest=0):
        (compiled,) = steps(one, rule)
    assert plain is not None and compiled is not None
    close(compiled, plain)


def test_a_bias_moves_in_units_of_the_temperature() -> None:
    """Δb = Σ s e^{−b/T} − N over N samples and places, its largest entry 1, times T and the rate of the neuron."""
    one = population("groups", bias=True)
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.4, rate=0.1)
    assert one.filters.bias is not None
    bias = one.filters.bias.detach()
    u = one.columns() @ one.rows().transpose(1, 2) + bias.unflatten(0, (2, 1, -1))
    share = factor(rule, u)
    wanted = (share.sum(1).flatten() * (-bias / 0.4).exp()) - 4 * 16
    close(one.update(rule)[1], wanted)
    shift = steps(one, rule)[1]
    assert shift is not None
    peaks = wanted.abs().view(2, 3).amax(1).repeat_interleave(3)
    close(shift, -rates(one, rule) * 0.4 * wanted / peaks)


# which layers, and what is refused


def test_a_bare_rule_is_that_of_the_hidden_layers_and_a_list_goes_up_from_the_bottom() -> None:
    one = population()
    assert [Oja().rule_for(one.network, layer) for layer in (1, 2)] == [Oja(), None]
    listed = PerLayer(rules=[Oja(), SoftHebb(variant=Variant.SUPERVISED)])
    assert [listed.rule_for(one.network, layer) for layer in (1, 2)] == listed.rules
    assert PerLayer(rules=[Oja()]).rule_for(one.network, 2) is None
    with pytest.raises(ConfigurationError, match=r"per_layer.rules: 3 rules for 2 layers"):
        PerLayer(rules=[Oja()] * 3).rule_for(one.network, 1)
    with pytest.raises(ConfigurationError, match=r"per_layer.rules=\[\]: must be at least one rule"):
        PerLayer()


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_a_positive_number(value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"softhebb.temperature=.*: must be above 0"):
        SoftHebb(temperature=value)
    with pytest.raises(ConfigurationError, match=r"softmax.temperature=.*: must be above 0"):
        Softmax(temperature=value)


@pytest.mark.parametrize("field", ["rate", "exponent", "p", "target_norm"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_ranges(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"krotov_hopfield.{field}="):
        from_dict(KrotovHopfield, {"name": "krotov_hopfield", field: value}, path="krotov_hopfield")


def test_a_winner_cannot_unlearn_and_a_rank_needs_that_many_neurons() -> None:
    with pytest.raises(ConfigurationError, match=r"krotov_hopfield.rank=1: must be at least 2: at 1 the winner would"):
        KrotovHopfield(rank=1)
    with pytest.raises(ConfigurationError, match=r"softhebb.rank=1"):
        SoftHebb(rank=1)
    rules = (KrotovHopfield(rank=7), SoftHebb(variant=Variant.HARDKROTOV, rank=7))
    for rule in rules:
        with pytest.raises(ValueError, match="rank=7: there are 6 neurons that compete"):
            population().update(rule)
        with pytest.raises(ValueError, match="rank=7: there are 6 neurons that compete"):
            rule.energy(drives(2, 6))
    with pytest.raises(ValueError, match="rank=4: there are 3 neurons"):  # of six in two groups
        population("groups").update(KrotovHopfield(rank=4))


def test_sanger_knows_one_norm_and_no_groups() -> None:
    with pytest.raises(ConfigurationError, match=r"sanger.p=3.0: must be 2"):
        Sanger(p=3.0)
    with pytest.raises(ConfigurationError, match="rule=sanger: not for the 2 groups"):
        population("groups").update(Sanger())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [2, 3, 7])
def test_of_equal_drives_the_first_comes_first(rank: int, dtype: torch.dtype) -> None:
    """As a stable sort has it, on rectified drives of which most are zero, whatever a backend's topk begins with."""
    stream = torch.Generator().manual_seed(0)
    drive = (torch.randint(-3, 3, (50, 4, 2, 9), generator=stream)).clamp_min(0).to(dtype)
    for row, y in zip(drive.flatten(0, -2), ranked(drive, rank, 0.5).flatten(0, -2), strict=True):
        order = sorted(range(9), key=lambda k: -float(row[k]))  # Python's sort is stable
        wanted = torch.zeros(9, dtype=dtype)
        wanted[order[0]], wanted[order[rank - 1]] = 1, -0.5
        assert torch.equal(y, wanted)


@pytest.mark.parametrize("variant", [Variant.HARD, Variant.SOFTKROTOV, Variant.SELF_CONTRAST, Variant.HARDKROTOV])
def test_the_winner_of_equal_drives_is_the_first(variant: Variant) -> None:
    y = SoftHebb(variant=variant).postsynaptic_factor(torch.tensor([[0.0, 2.0, 2.0, 2.0, 1.0]]), None)
    assert int(y.argmax()) == 1
    assert int((y > 0).sum()) == 1


def test_sparse_shares_equally_among_equals() -> None:
    y = SoftHebb(variant=Variant.SPARSE).postsynaptic_factor(torch.tensor([[0.0, 2.0, 2.0, -1.0]]), None)
    assert y.tolist() == [[0.0, 0.5, 0.5, 0.0]]
