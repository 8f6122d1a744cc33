"""A diagnosis against dense matrices, closed forms and constructed faults, and expected steps against steps taken."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import energy as eq
from energy.analysis.boundedness import Verdict, boundedness
from energy.analysis.contraction_report import contraction_report, free_phase
from energy.analysis.doctor import LADDER, Diagnosis, diagnose, ladder
from energy.analysis.initial_scale import CLOSE, GOAL, initial_scale, scaled_weights
from energy.cautions import told
from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense
from energy.energy_network import EnergyNetwork
from energy.errors import UsageError
from energy.ledger import Ledger
from energy.models import Hopfield
from energy.network import Network
from energy.pooling import AveragePool, MaxPool
from energy.potentials import HardSigmoid, Identity, Potential, ReLU, RePU, Tanh
from energy.relax.anderson import Anderson
from energy.relax.edge_gain import edge_gain
from energy.relax.relaxation import Relaxation
from energy.relax.spectrum import spectrum
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.settle import DualPropagation, EquilibriumPropagation, Feedforward, Spiking
from energy.settle.settler import Settler
from tests.relax.linearized import dense_jacobian, equilibrium
from tests.relax.test_rates import chain
from tests.settle import nets

CLOSELY: Relaxation = Zebra(max_steps=500, tolerance=1e-6, check_every=1)


def drawn(*shape: int, seed: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def settling(relax: Relaxation = CLOSELY, gamma: float = 1.0) -> Settler:
    return EquilibriumPropagation(gamma=gamma, relax=relax)


def dense(*weights: Tensor, units: Potential, output: Potential | None = None, bias: float = 0.0) -> Network:
    """A chain of these weights (out, in), float64, the biases of its hidden layers alike."""
    network = Network((weights[0].shape[1],))
    for weight in weights:
        network.add(Dense(weight.shape[1], weight.shape[0]), output if weight is weights[-1] and output else units)
    network.double()
    with torch.no_grad():
        for edge, weight in zip(network.edges, weights, strict=True):
            edge.coupling.get_parameter("weight").copy_(weight)
            edge.coupling.get_parameter("bias").fill_(0.0 if weight is weights[-1] else bias)
    return network


@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_gains_of_a_linear_chain_are_its_singular_values(gamma: float) -> None:
    network = chain(0.8)
    found = network.diagnose(drawn(5, 6), settling(gamma=gamma))
    norms = [float(torch.linalg.matrix_norm(weight.detach(), 2)) for weight in network.parameters()]
    assert [one.gain for one in found.layers] == pytest.approx(norms, rel=1e-3)
    wanted = [0.0, *(gamma * norm**2 for norm in norms[1:])]
    assert [one.loop_gain for one in found.layers] == pytest.approx(wanted, rel=2e-3)


def test_the_radius_of_a_linear_chain_is_that_of_the_dense_matrix() -> None:
    network, gamma = chain(0.8), 0.4
    found = diagnose(network, drawn(5, 6), settling(gamma=gamma))
    assert found.loop_gain is not None and found.loop_gain_at_one is not None
    for which in ("median", "max"):
        assert found.loop_gain[which] == pytest.approx(gamma * 0.64, rel=1e-3)
        assert found.loop_gain_at_one[which] == pytest.approx(0.64, rel=1e-3)


@torch.no_grad()
def test_gains_leave_out_units_at_a_bound_and_weigh_the_slopes() -> None:
    """σ of diag(f′)^½ W diag(f′)^½ at the equilibrium, dense, for smooth units and for bounded ones."""
    x = drawn(4, 6)
    for units in (Tanh(), HardSigmoid()):
        network = nets.mlp(units, gain=0.8, bias=0.3)
        state = equilibrium(network, x, 1.0)
        drives = network.drive(x, state, 1.0)
        ends = [torch.ones_like(x)]
        for layer, drive in zip(network.layers, drives, strict=True):
            ends.append(layer.potential.tangent(drive, torch.ones_like(drive)))
        for edge in network.edges:
            sigma, _ = edge_gain(network, edge, x, state, 1.0, steps=60, tolerance=1e-6)
            weight = edge.coupling.get_parameter("weight").detach()
            for sample in range(len(x)):
                above, below = ends[edge.target][sample].sqrt(), ends[edge.source][sample].sqrt()
                norm = torch.linalg.matrix_norm(above[:, None] * weight * below[None], 2)
                assert float(sigma[sample]) == pytest.approx(float(norm), rel=1e-6, abs=1e-9)


def test_the_gain_of_a_pooled_convolution_is_that_of_its_dense_jacobian() -> None:
    network = nets.cnn(HardSigmoid(), MaxPool(2), gain=0.6, bias=0.3)
    x = drawn(2, 2, 6, 6)
    state = equilibrium(network, x, 1.0)
    sigma, _ = edge_gain(network, network.edges[0], x, state, 1.0, steps=80, tolerance=1e-7)
    slope = HardSigmoid().tangent(network.drive(x, state)[0], torch.ones_like(state[0]))
    for sample in range(2):
        full = torch.autograd.functional.jacobian(network.edges[0].coupling, x[sample : sample + 1])
        assert isinstance(full, Tensor)
        rows = full.detach().reshape(slope[0].numel(), -1) * slope[sample].flatten()[:, None]
        assert float(sigma[sample]) == pytest.approx(float(torch.linalg.matrix_norm(rows, 2)), rel=1e-6)


def test_the_radius_at_one_with_a_skip_is_measured_there() -> None:
    """ρ² of the whole linearized response at γ = 1, which is not ρ²/γ where an edge spans two layers."""
    network = _skipping()
    x, gamma = drawn(3, 5), 0.5
    found = diagnose(network, x, settling(gamma=gamma))
    state = equilibrium(network, x, gamma)
    wanted = [float(torch.linalg.eigvals(dense_jacobian(network, x, state, 1.0, k)).abs().max()) ** 2 for k in range(3)]
    assert found.loop_gain_at_one is not None
    assert found.loop_gain_at_one["max"] == pytest.approx(max(wanted), rel=1e-2)


def _skipping() -> Network:
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 4), Tanh())
    network.add({2: Dense(4, 3), 1: Dense(6, 3)}, Tanh())
    return nets.draw(network, 0.5, 1)


@pytest.mark.parametrize("relax", [Zebra(tolerance=1e-4), Sweep(tolerance=1e-4)], ids=["zebra", "sweep"])
def test_the_ladder_is_the_law_of_one_number(relax: Relaxation) -> None:
    at_one = torch.tensor([0.5, 0.7, 2.0], dtype=torch.float64)  # the median decides
    rungs = ladder(relax, at_one)
    assert [rung.gamma for rung in rungs] == list(LADDER)
    for rung in rungs:
        assert rung.rate == pytest.approx(0.7 * rung.gamma)
        assert rung.steps == math.ceil(math.log(1e-4) / math.log(0.7 * rung.gamma))
    assert ladder(relax, at_one[2:])[-1].steps is None and ladder(relax, at_one[2:])[0].steps == 4


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("radius", [0.5, 0.9, 0.97])
def test_linear_chains_take_the_steps_expected_within_one(radius: float, gamma: float) -> None:
    """Sample by sample: by the law of zebra on any chain, by that of sweep where it is exact, on two layers."""
    for seed, tolerance in itertools.product(range(2), (1e-3, 1e-6)):
        for kind, sizes in ((Zebra, (6, 7, 5, 8, 4)), (Sweep, (6, 7, 5))):
            relax = kind(max_steps=600, tolerance=tolerance, check_every=1)
            network = chain(radius, sizes, seed)
            found = free_phase(network, settling(relax, gamma), drawn(6, 6, seed=seed), Ledger())
            assert found.expected is not None and found.taken is not None
            off = found.expected - found.taken.steps
            assert float(off.abs().max()) <= 1, (kind, seed, tolerance)


@pytest.mark.parametrize("radius", [0.9, 0.97])
def test_sweeps_of_deeper_chains_are_expected_from_above(radius: float) -> None:
    for seed in range(2):
        relax = Sweep(max_steps=600, tolerance=1e-6, check_every=1)
        found = free_phase(chain(radius, seed=seed), settling(relax), drawn(6, 6, seed=seed), Ledger())
        assert found.expected is not None and found.taken is not None
        assert float((found.expected - found.taken.steps).min()) >= -1


def test_expected_steps_end_at_a_look() -> None:
    relax = Zebra(max_steps=500, tolerance=1e-6, check_every=7)
    found = free_phase(chain(0.9), settling(relax), drawn(4, 6), Ledger())
    assert found.expected is not None and not bool((found.expected % 7).any())


def pictures(count: int, seed: int) -> Tensor:
    """Images with the smooth parts and the unit variance of standardized photographs."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randn(count, 3, 32, 32, generator=generator)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    x = 0.4 * fine + torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return (x - x.mean()) / x.std()


def trained(network: Network, seed: int) -> None:
    """Twenty steps on ten noisy pictures."""
    settler, rule = EquilibriumPropagation(), eq.Contrast()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    generator, classes = torch.Generator().manual_seed(seed), pictures(10, 77)
    with told(lambda text: None):  # large gains are cautioned against
        for _ in range(20):
            labels = torch.randint(0, 10, (16,), generator=generator)
            x = classes[labels] + 0.5 * torch.randn(16, 3, 32, 32, generator=generator)
            rule.learn(network, settler, x, eq.one_hot(labels, 10), eq.SquaredError())
            optimizer.step()


def within(network: Network, x: Tensor, tolerance: float, kinds: tuple[Relaxation, ...]) -> None:
    """The median sample and the slowest take the steps expected, within a factor of 1.5."""
    for kind in kinds:
        relax = replace(kind, max_steps=500, tolerance=tolerance, check_every=1)
        found = contraction_report(network, settling(relax), x, steps=40)
        assert found["outcome"] == "converged"
        for which in ("median", "max"):
            ratio = found["steps_expected"][which] / found["steps_taken"][which]
            assert 1 / 1.5 <= ratio <= 1.5, (relax, which, found["steps_expected"], found["steps_taken"])


KINDS = (Sweep(), Sweep(momentum=0.9), Zebra())


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
@pytest.mark.parametrize("learned", [False, True], ids=["drawn", "learned"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gain", [0.5, 0.87, 1.5])
def test_deep_hopfield_networks_take_the_steps_expected(
    gain: float, seed: int, learned: bool, tolerance: float
) -> None:
    """An eighth as wide as published."""
    network = Hopfield(channels=[16, 32, 64, 64], gains=[gain]).build((3, 32, 32), 10, seed=seed)
    if learned:
        trained(network, seed)
    within(network, pictures(16, 100 + seed), tolerance, KINDS)


@pytest.mark.parametrize("gain", [0.5, 0.87])
def test_small_hopfield_networks_take_the_steps_expected(gain: float) -> None:
    network = Hopfield(channels=[8, 16, 16], gains=[gain], paddings=[1, 1, 1]).build((3, 16, 16), 10, seed=0)
    within(network, torch.nn.functional.avg_pool2d(pictures(8, 100), 2), 1e-3, KINDS)


def test_a_solve_that_diverges_is_expected_to_have_no_end() -> None:
    network = dense(torch.eye(4), torch.full((4, 4), 1e4), units=HardSigmoid(), output=Identity())
    found = network.diagnose(drawn(16, 4).abs() + 1, settling(gamma=0.5))
    assert found.outcome == "diverged" and found.expected == {"median": None, "max": None}
    assert names(found)[:1] == ["never_settles"]


def healthy() -> Network:
    return nets.mlp(HardSigmoid(), sizes=(6, 24, 24, 3), gain=0.5, bias=0.3)


def names(found: Diagnosis) -> list[str]:
    return [flag.name for flag in found.flags]


def test_a_healthy_network_has_no_flags() -> None:
    found = healthy().diagnose(drawn(16, 6), settling())
    assert names(found) == [] and found.outcome == "converged" and found.bounds.minimum is Verdict.YES


def test_rectified_units_that_feed_themselves_are_unbounded() -> None:
    grows = dense(torch.eye(4), torch.full((4, 4), 0.6), units=ReLU(), output=Identity())
    found = grows.diagnose(drawn(16, 4).abs(), settling(Sweep(max_steps=60, tolerance=1e-4)))
    assert names(found)[:2] == ["unbounded", "never_settles"]
    assert found.bounds.minimum is Verdict.NO and "layer2" in found.flags[0].sentence + found.flags[0].layer
    assert "unbounded" not in names(grows.diagnose(drawn(16, 4).abs(), settling(gamma=0.05)))


def test_a_slow_network_never_settles_within_its_budget() -> None:
    slow = chain(0.99)
    found = slow.diagnose(drawn(16, 6), settling(Zebra(max_steps=20, tolerance=1e-4, check_every=1)))
    assert names(found) == ["never_settles"] and "within 20 steps" in found.flags[0].sentence
    enough = settling(Zebra(max_steps=2000, tolerance=1e-4, check_every=1))
    assert names(slow.diagnose(drawn(16, 6), enough)) == []


def test_units_at_either_bound_are_saturated() -> None:
    steep = dense(100 * drawn(8, 6), drawn(3, 8), units=HardSigmoid(), output=Identity(), bias=0.5)
    found = steep.diagnose(drawn(16, 6, seed=5), settling())
    assert names(found) == ["saturated"] and found.flags[0].layer == "layer1"
    assert found.layers[0].at_bound > 0.9 and found.layers[0].dead < 0.5


def test_units_that_are_zero_for_every_sample_are_dead() -> None:
    asleep = dense(drawn(8, 6), 0.1 * drawn(3, 8), units=ReLU(), output=Identity(), bias=-100.0)
    found = asleep.diagnose(drawn(16, 6, seed=5), settling())
    assert names(found)[0] == "dead" and found.flags[0].layer == "layer1" and found.layers[0].dead == 1.0
    assert found.layers[0].activity == 0 and found.layers[0].at_bound == 1.0


def test_a_signal_below_rounding_vanishes_in_float32_alone() -> None:
    faint = dense(drawn(8, 6), 1e-5 * drawn(8, 8), 1e-4 * drawn(3, 8), units=Tanh(), output=Identity(), bias=0.5)
    found = faint.float().diagnose(drawn(16, 6).float(), settling())
    assert names(found) == ["vanishing"] and found.flags[0].layer == "layer3"
    assert names(faint.double().diagnose(drawn(16, 6), settling())) == []


def test_layers_are_measured_by_hand() -> None:
    """One layer of two units: drives ±2, of which a hard sigmoid makes 0 and 1."""
    network = dense(torch.tensor([[2.0], [-2.0]]), torch.zeros(1, 2), units=HardSigmoid(), output=Identity())
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    one = network.diagnose(x, settling()).layers[0]
    assert (one.at_bound, one.dead, one.drive, one.signal) == (1.0, 0.0, 2.0, 1.0)
    assert one.activity == pytest.approx(math.sqrt(0.5)) and one.gain == 0.0
    same = network.diagnose(x[:1], settling()).layers[0]
    assert same.dead == 1.0 and math.isnan(same.signal)


@pytest.mark.parametrize(
    ("weight", "units", "minimum", "unique"),
    [
        (0.4, ReLU(), Verdict.YES, Verdict.YES),  # loop gain 0.64 at every state
        (0.6, ReLU(), Verdict.NO, Verdict.NO),  # 1.44 along activities of one sign
        (-0.6, ReLU(), Verdict.UNDECIDED, Verdict.UNDECIDED),  # no activity of that sign is there
        (-0.6, Identity(), Verdict.NO, Verdict.NO),
        (0.6, HardSigmoid(), Verdict.YES, Verdict.UNDECIDED),
        (0.4, HardSigmoid(), Verdict.YES, Verdict.YES),
        (0.4, RePU(power=2.0), Verdict.UNDECIDED, Verdict.UNDECIDED),  # no bound on its slope
    ],
)
def test_boundedness_of_two_layers_of_four(weight: float, units: Potential, minimum: Verdict, unique: Verdict) -> None:
    """W is weight × ones(4, 4), of norm 4·|weight|; scaled to loop gains (4·weight/2)²."""
    network = dense(torch.eye(4), torch.full((4, 4), weight / 2), units=units, output=units)
    found = boundedness(network, 1.0)
    assert (found.minimum, found.unique) == (minimum, unique)
    if not isinstance(units, RePU):
        assert found.bound == pytest.approx((2 * weight) ** 2, rel=2e-3)


@torch.no_grad()
def test_where_there_is_no_minimum_the_energy_falls_without_end() -> None:
    network = dense(torch.eye(4), torch.full((4, 4), 0.3), units=ReLU(), output=ReLU(), bias=0.1)
    x, ones = drawn(1, 4), torch.ones(1, 4, dtype=torch.float64)
    values = [float(network.energy(x, eq.State([t * ones, t * ones]))) for t in (10.0, 100.0, 1000.0)]
    assert values[0] > 10 * values[0] > values[1] > 10 * values[1] > values[2]
    assert boundedness(network, 1.0).minimum is Verdict.NO
    held = dense(torch.eye(4), torch.full((4, 4), -0.3), units=ReLU(), output=ReLU(), bias=0.1)
    rising = [float(held.energy(x, eq.State([t * ones, t * ones]))) for t in (10.0, 100.0, 1000.0)]
    assert rising[0] < rising[1] < rising[2]


def test_boundedness_without_feedback_and_of_an_output_alone() -> None:
    grows = dense(torch.eye(4), torch.full((4, 4), 2.0), units=ReLU(), output=ReLU())
    assert boundedness(grows, 0.0).unique is Verdict.YES
    top = dense(torch.eye(4), torch.full((4, 4), 2.0), units=HardSigmoid(), output=Identity())
    found = boundedness(top, 1.0)
    assert (found.minimum, found.unique, found.unbounded) == (Verdict.YES, Verdict.UNDECIDED, ("layer2",))


def test_the_bound_of_max_pooling_is_that_of_the_filters() -> None:
    """2×2 windows apart lose nothing: below 1 a minimum exists, but switches may make several."""

    def network(pool: MaxPool | AveragePool, weight: float) -> Network:
        network = Network((1, 4, 4))
        network.add(Convolution(1, 1, 1, bias=False), ReLU())
        network.add(Convolution(1, 1, 1, bias=False, pool=pool), ReLU())
        for parameter in network.double().parameters():
            torch.nn.init.constant_(parameter, weight)
        return network

    small, large = boundedness(network(MaxPool(2), 0.9), 1.0), boundedness(network(MaxPool(2), 1.1), 1.0)
    assert (small.minimum, small.unique) == (Verdict.YES, Verdict.UNDECIDED) and large.minimum is Verdict.UNDECIDED
    mean = boundedness(network(AveragePool(2), 1.9), 1.0)  # ‖mean of four‖ = ½
    assert mean.unique is Verdict.YES and mean.bound == pytest.approx((1.9 / 2) ** 2, rel=2e-3)
    assert boundedness(network(AveragePool(2), 2.1), 1.0).minimum is Verdict.NO


def test_the_initial_scale_of_a_linear_chain_is_in_closed_form() -> None:
    for radius in (0.1, 0.8, 3.0):
        network = chain(radius)
        found = initial_scale(network, settling(), drawn(4, 6), Ledger())
        assert found.factor == pytest.approx(math.sqrt(GOAL) / radius, rel=CLOSE)


@pytest.mark.parametrize("gain", [0.3, 1.0, 6.0])
def test_the_initial_scale_of_bounded_units_is_measured_again(gain: float) -> None:
    network, x = nets.mlp(HardSigmoid(), sizes=(6, 30, 30, 3), gain=gain, bias=0.3), drawn(4, 6)
    found = initial_scale(network, settling(Zebra(tolerance=1e-3)), x, Ledger())
    assert found.factor is not None and found.trials > 0
    trial = scaled_weights(network, found.factor)
    loop = spectrum(trial, x, equilibrium(trial, x, 1.0), 1.0, steps=200, tolerance=1e-8).radius.square().median()
    assert float(loop) == pytest.approx(GOAL, rel=2 * CLOSE)  # its trials are settled to 1e-2 alone


@torch.no_grad()
def test_the_initial_scale_without_feedback_passes_activity_on() -> None:
    network = dense(*(2.0 * drawn(40, 40, seed=s) for s in range(4)), units=ReLU(), output=Identity())
    x = drawn(8, 40)
    found = initial_scale(network, DualPropagation(), x, Ledger())
    assert found.factor is not None
    state = scaled_weights(network, found.factor).activity(x)
    assert abs(math.log(float(state[2].norm() / state[0].norm()))) <= CLOSE
    shallow = dense(torch.eye(2), torch.eye(2), units=ReLU())
    assert initial_scale(shallow, Feedforward(), x[:, :2], Ledger()).factor is None


def test_a_scale_that_no_trial_finds_is_said() -> None:
    asleep = dense(drawn(8, 6), drawn(3, 8), units=ReLU(), output=Identity(), bias=-1e6)
    found = initial_scale(asleep, settling(), drawn(4, 6), Ledger())
    assert found.factor is None and "no trial" in found.reason


@pytest.mark.parametrize("settler", [settling(), DualPropagation(), EquilibriumPropagation(keep_contracting=0.5)])
def test_nothing_changes(settler: Settler) -> None:
    network, x = healthy(), drawn(20, 6)
    settler.attach_feedback(network)
    network.train()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    held = [t.clone() for t in (*network.parameters(), *network.buffers())]
    versions = [p._version for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    before = torch.get_rng_state()
    found = network.diagnose(x, settler)
    now = [*network.parameters(), *network.buffers()]
    assert all(torch.equal(a, b) for a, b in zip(now, held, strict=True))
    assert versions == [p._version for p in network.parameters()]
    assert all(bool((p.grad == 1).all()) for p in network.parameters() if p.grad is not None)
    assert modes == [module.training for module in network.modules()] and torch.equal(before, torch.get_rng_state())
    assert found.samples == 16 and 0 < found.price < 1000


def test_a_held_loop_gain_is_that_of_the_first_step() -> None:
    network, x = nets.mlp(HardSigmoid(), gain=2.0, bias=0.3), drawn(16, 6)
    settler = EquilibriumPropagation(keep_contracting=0.5)
    settler.attach_feedback(network)
    found = network.diagnose(x, settler)
    target = torch.zeros(16, 3, dtype=torch.float64)
    settler.settle(network, x, target, eq.SquaredError())
    assert found.gamma == pytest.approx(settler.gain(network)) and found.gamma < 0.9
    assert network.diagnose(x, settler).gamma == found.gamma


def test_the_price_is_what_a_ledger_counts() -> None:
    """A settler that always takes its budget adds it to the price, at 2(U − U₁)/(3U − U₁) per step."""
    network, x = healthy(), drawn(16, 6)
    every = sum(edge.multiply_adds for edge in network.edges)
    above = every - network.edges[0].multiply_adds
    prices = [network.diagnose(x, settling(Zebra(max_steps=n, tolerance=0.0))).price for n in (60, 160)]
    assert prices[1] - prices[0] == pytest.approx(100 * 2 * above / (2 * every + above), rel=1e-9)


def test_the_record_is_strict_json_and_the_words_name_everything() -> None:
    found = chain(1.2).diagnose(drawn(16, 6), settling(Sweep(max_steps=30, tolerance=1e-4)))
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["bounds"]["minimum"] == "no" and record["expected"] == {"median": None, "max": None}
    assert [one["name"] for one in record["flags"]] == names(found) != []
    text = str(found)
    for word in ("Loop gain", "Steps: no end", "Equilibrium: exists no", "Initial scale", "Flag unbounded", "Price"):
        assert word in text
    assert all(layer.layer in text for layer in found.layers) and max(map(len, text.splitlines()[:8])) <= 120


@pytest.mark.parametrize("relax", [Anderson(tolerance=1e-4), Sweep(max_steps=40, tolerance=0.0)])
def test_what_is_not_foreseen_is_not_said(relax: Relaxation) -> None:
    found = healthy().diagnose(drawn(16, 6), settling(relax))
    assert found.expected is None and "none foreseen" in str(found) and names(found) == []
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_default_settler_and_the_name_of_the_package() -> None:
    network, x = healthy(), drawn(4, 6)
    assert network.diagnose(x) == eq.diagnose(network, x, EquilibriumPropagation())
    assert isinstance(network.diagnose(x), eq.Diagnosis)


def test_what_cannot_be_diagnosed_is_refused() -> None:
    network, x = healthy(), drawn(4, 6)
    with pytest.raises(UsageError, match="samples=0: must be at least 1"):
        network.diagnose(x, samples=0)
    with pytest.raises(ConfigurationError, match="settler=spiking: its activity is no equilibrium"):
        network.diagnose(x, Spiking())
    alone = EnergyNetwork((6,), [2], {"W": torch.ones(1)}, lambda x, s, t: t["W"] * s[0].square().sum(1))
    with pytest.raises(ConfigurationError, match="model: an energy alone has no layers"):
        alone.diagnose(x)
    with pytest.raises(ValueError, match="x"):
        network.diagnose(drawn(4, 5))


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("settler", [settling(), DualPropagation(), settling(Anderson())])
def test_a_figure_is_drawn_from_the_record(settler: Settler, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from energy.plots.doctor import draw_diagnosis

    record = json.loads(json.dumps(healthy().diagnose(drawn(16, 6), settler).to_dict()))
    assert draw_diagnosis(record, tmp_path / "doctor.png", "a title").read_bytes().startswith(b"\x89PNG")
