"""Feedback pathways against back-propagation whose backward pass reads other matrices, and their own definitions."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from energy.component import ConfigurationError, from_dict
from energy.couplings import Dense, Module
from energy.feedback import (
    DirectFeedback,
    Feedback,
    KolenPollack,
    Random,
    Sign,
    SignBatch,
    SignUnit,
    Tied,
    feedback_weights,
    mirrored_parameters,
    resample,
)
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity, ReLU, Tanh
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, Dyadic, EquilibriumPropagation, Implicit
from energy.settle.settled import SettledDyad
from energy.settle.two_phase import TwoPhase
from tests.settle.nets import CROSS, FIXED, FROZEN, PROXIMAL, batch, cnn, curved, draw, mlp, once, pooled, skips
from tests.settle.oracles import autograd, flatten, gap, learn
from tests.settle.swapped import GROUPED, Matrices, direct, grouped, swapped

MATRICES: list[Feedback] = [Random(), Sign(), Sign(sign_agreement=0.7), SignUnit(), SignBatch(), KolenPollack()]
KINDS: list[Feedback] = [*MATRICES, DirectFeedback()]
NETS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: mlp(Tanh()),
    "relu": lambda: mlp(ReLU(), seed=3),
    "graph": lambda: skips(Tanh(), identity=False),
    "skip": lambda: skips(HardSigmoid()),
    "readout": lambda: mlp(Tanh(), readout=True),
    "cnn": lambda: cnn(Tanh(), None),
    **{name: lambda how=how: grouped(Tanh(), how[0], stride=how[1]) for name, how in GROUPED.items()},
}


def limit(feedback: Feedback) -> DualPropagation:
    """β = 0: no bias."""
    return DualPropagation(beta=0.0, feedback=feedback)


def laid(network: Network) -> dict[int, Tensor]:
    """What was drawn for every edge, from the network's own state_dict."""
    named = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("feedback_weights.edge")}
    return {int(name.removeprefix("feedback_weights.edge")): tensor for name, tensor in named.items()}


def expected(network: Network, feedback: Feedback) -> Matrices:
    """B of every edge above the first layer, by the definition of the kind."""
    named = dict(network.named_parameters())
    names = {e.index: f"couplings.{e.index}.weight" for e in network.edges if e.source}
    weights = {index: named[name].detach() for index, name in names.items() if name in named}
    drawn = laid(network)
    assert set(drawn) == set(weights)
    signs = {index: torch.sign(weight) if isinstance(feedback, Sign) else 1.0 for index, weight in weights.items()}
    return {index: signs[index] * drawn[index] for index in weights}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("feedback", MATRICES, ids=repr)
def test_at_beta_zero_it_is_the_backward_pass_with_other_weights(net: str, feedback: Feedback) -> None:
    network = NETS[net]()
    feedback.attach(network, seed=1)
    x, target = batch(network)
    found = learn(limit(feedback), network, x, target, CROSS)
    assert gap(found, swapped(network, x, target, CROSS, expected(network, feedback))) < 1e-12
    assert gap(found, autograd(network, x, target, CROSS)) > 1e-2  # and another one than with the weights


@pytest.mark.parametrize("net", NETS)
def test_tied_is_back_propagation_and_lays_nothing(net: str) -> None:
    network = NETS[net]()
    before = list(network.state_dict())
    Tied().attach(network, seed=1)
    assert list(network.state_dict()) == before
    x, target = batch(network)
    found = learn(limit(Tied()), network, x, target, CROSS)
    assert gap(found, swapped(network, x, target, CROSS, {})) < 1e-12
    Random().attach(network)
    Tied().attach(network)  # takes wires away again
    assert list(network.state_dict()) == before


@pytest.mark.parametrize("net", NETS)
def test_direct_is_every_layer_for_itself(net: str) -> None:
    network = NETS[net]()
    DirectFeedback().attach(network, seed=1)
    x, target = batch(network)
    edges = {e.index: e.source for e in network.edges}
    projections = {edges[index]: tensor for index, tensor in laid(network).items()}
    assert set(projections) == set(range(1, len(network.layers)))
    found = learn(limit(DirectFeedback()), network, x, target, CROSS)
    assert gap(found, direct(network, x, target, CROSS, projections)) < 1e-12


@pytest.mark.parametrize("feedback", KINDS, ids=repr)
@pytest.mark.parametrize("relax", [once(6), Zebra(max_steps=8, tolerance=0), Synchronous(max_steps=8, tolerance=0)])
def test_other_relaxations_end_in_the_same_place(feedback: Feedback, relax: Sweep) -> None:
    network = mlp(Tanh())
    feedback.attach(network, seed=1)
    x, target = batch(network)
    found = learn(DualPropagation(beta=0.0, nudged=relax, feedback=feedback), network, x, target, FROZEN)
    assert gap(found, learn(limit(feedback), network, x, target, FROZEN)) < 1e-12


@pytest.mark.parametrize("feedback", KINDS, ids=repr)
def test_layers_handed_over_as_they_come_to_rest_learn_the_same(feedback: Feedback) -> None:
    """The closing step, in which states are let go of and what pooling does to δ is shared with the product."""
    network = pooled(Tanh(), MaxPool(2)) if isinstance(feedback, Sign) else cnn(Tanh(), MaxPool(2))
    feedback.attach(network, seed=1)
    x, target = batch(network)
    wanted = learn(DualPropagation(feedback=feedback), network, x, target, CROSS)
    Contrast().learn(network, DualPropagation(feedback=feedback), x, target, CROSS)
    assert gap([p.grad * len(x) for p in network.parameters() if p.grad is not None], wanted) < 1e-12


@pytest.mark.parametrize("feedback", [Tied(), *KINDS], ids=repr)
def test_the_error_is_of_second_order_in_beta(feedback: Feedback) -> None:
    network = mlp(Tanh())
    feedback.attach(network, seed=1)
    x, target = batch(network, 16)
    wanted = learn(limit(feedback), network, x, target, CROSS)
    betas = (0.5, 0.25, 0.125)
    errors = [gap(learn(DualPropagation(beta=b, feedback=feedback), network, x, target, CROSS), wanted) for b in betas]
    assert all(3.5 < high / low < 4.5 for high, low in itertools.pairwise(errors))


def test_swapping_alpha_for_its_complement_mirrors_beta() -> None:
    """(α, β) → (1 − α, −β) exchanges the replicas, whatever carries δ down."""
    network = mlp(Tanh())
    Sign().attach(network, seed=1)
    x, target = batch(network)
    one = learn(DualPropagation(alpha=0.3, beta=0.4, feedback=Sign()), network, x, target, CROSS)
    other = learn(DualPropagation(alpha=0.7, beta=-0.4, feedback=Sign()), network, x, target, CROSS)
    assert gap(one, other) < 1e-12


@pytest.mark.parametrize("feedback", KINDS, ids=repr)
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_no_error_no_update(feedback: Feedback, beta: float) -> None:
    network = cnn(Tanh(), MaxPool(2))
    feedback.attach(network, seed=1)
    x, _ = batch(network)
    target = network(x).detach()
    found = learn(DualPropagation(beta=beta, feedback=feedback), network, x, target, PROXIMAL)
    assert all(float(g.abs().max()) < 1e-15 for g in found)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("feedback", MATRICES, ids=repr)
def test_multiply_adds_are_those_of_back_propagation(net: str, feedback: Feedback) -> None:
    network, ledger = NETS[net](), Ledger()
    feedback.attach(network)
    x, target = batch(network)
    learn(DualPropagation(feedback=feedback), network, x, target, CROSS, ledger)
    assert ledger.multiply_adds == len(x) * backprop_multiply_adds(network)


def test_multiply_adds_of_direct_wires_by_hand() -> None:
    """6-7-5-4-3: up and products are two passes over 42 + 35 + 20 + 12; down, every hidden unit hears three outputs."""
    network, ledger = mlp(Tanh()), Ledger()
    DirectFeedback().attach(network)
    x, target = batch(network)
    learn(DualPropagation(feedback=DirectFeedback()), network, x, target, CROSS, ledger)
    assert ledger.multiply_adds == len(x) * (2 * 109 + 3 * (7 + 5 + 4))


@pytest.mark.parametrize("feedback", MATRICES, ids=repr)
@pytest.mark.parametrize("freeze_mean", [False, True])
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_with_feedback_in_the_mean_only_the_path_of_the_difference_reads_the_wires(
    feedback: Feedback, gamma: float, freeze_mean: bool
) -> None:
    """β = 0: (I − D(Bᵀ + γW)) δ = −D e with D = f′(J(m)) and the mean the free equilibrium: a dense solve."""
    network = mlp(Tanh(), sizes=(4, 5, 4, 3), norm=0.35)
    feedback.attach(network, seed=1)
    x, target = batch(network)
    settler = EquilibriumPropagation(
        gamma=gamma, beta=0.0, freeze_mean=freeze_mean, relax=FIXED, nudged=FIXED, feedback=feedback
    )
    settled = settler.settle(network, x, target, FROZEN)
    tied = dataclasses.replace(settler, feedback=Tied()).settle(network, x, target, FROZEN)
    assert isinstance(settled, SettledDyad) and isinstance(tied, SettledDyad)
    assert gap(settled.mean.tensors, tied.mean.tensors) < 1e-12
    others = expected(network, feedback)
    weights = [c.weight.detach() for c in network.couplings if isinstance(c, Dense)]
    for n in range(len(x)):
        drives = [a[n].detach() for a in network.drive(x, settled.mean, gamma)]
        slopes = torch.cat([1 - drives[0].tanh() ** 2, 1 - drives[1].tanh() ** 2, torch.ones(3).double()])
        rows = torch.zeros(12, 12, dtype=torch.float64)
        rows[:5, 5:9], rows[5:9, 9:] = others[1].T, others[2].T
        rows[5:9, :5], rows[9:, 5:9] = gamma * weights[1], gamma * weights[2]
        error = torch.zeros(12, dtype=torch.float64)
        error[9:] = settled.output[n] - target[n]
        wanted = torch.linalg.solve(torch.eye(12).double() - slopes[:, None] * rows, -slopes * error)
        found = torch.cat([d[n] for d in settled.delta if d is not None])
        assert float((found - wanted).abs().max()) < 1e-10


def test_a_clamped_output_sends_its_difference_down_the_wires() -> None:
    """γ = 0, one sweep: δ_L = y − s⁻_L passes through B exactly as an error of that size would."""
    network = mlp(Tanh())
    Random().attach(network, seed=1)
    x, target = batch(network)
    settled = ContrastiveHebbian(gamma=0.0, nudged=once(), feedback=Random()).settle(network, x, target, PROXIMAL)
    assert isinstance(settled, SettledDyad)
    top = target - network(x)
    others = expected(network, Random())
    h = top @ others[3]
    a = network.edges[2].coupling(network.activity(x)[1])
    wanted = (a + h / 2).tanh() - (a - h / 2).tanh()
    assert settled.delta[2] is not None and gap([settled.delta[2]], [wanted.detach()]) < 1e-12


# What is laid


def large(feedback: Feedback, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(W, B) of 500 × 400 Gaussian weights of deviation 0.3."""
    network = Network((3,))
    network.add(Dense(3, 400), Identity())
    network.add(Dense(400, 500), Identity())
    draw(network, 0.3 * math.sqrt(400), seed)
    feedback.attach(network, seed=seed)
    found = feedback_weights(network)
    assert found is not None
    ((layer, weight, other),) = found.matrices(network)
    assert layer == "layer2"
    return weight, other


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))


@pytest.mark.parametrize(
    ("feedback", "degrees"),
    [
        (Sign(), math.degrees(math.acos(2 / math.pi))),
        (SignBatch(), math.degrees(math.acos(2 / math.pi))),
        (SignUnit(), math.degrees(math.acos(math.sqrt(2 / math.pi)))),
        (Random(), 90.0),
        (KolenPollack(), 90.0),
    ],
    ids=repr,
)
def test_angles_of_gaussian_weights(feedback: Feedback, degrees: float) -> None:
    """E|W||R| = (2/π)σ², E|W|·√(2/π)σ = (2/π)σ²: 50.5°, 37.1° and 90°, to a standard error of 0.15° for 200,000."""
    assert math.degrees(math.acos(cosine(*large(feedback)))) == pytest.approx(degrees, abs=0.6)


@pytest.mark.parametrize("feedback", [Random(), Sign(), SignBatch(), KolenPollack()], ids=repr)
def test_the_size_of_the_wires_is_that_of_the_weights(feedback: Feedback) -> None:
    weight, other = large(feedback)
    assert float(other.norm() / weight.norm()) == pytest.approx(1.0, abs=0.01)


def test_sign_unit_has_one_magnitude_and_the_signs() -> None:
    weight, other = large(SignUnit())
    size = float(weight.square().mean().sqrt()) * math.sqrt(2 / math.pi)
    assert torch.equal(other, weight.sign() * other.abs())
    assert float((other.abs() - size).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", [Sign, SignUnit, SignBatch])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.875, 1.0])
def test_agreement_is_the_share_of_equal_signs(kind: type[Sign], share: float) -> None:
    """Exactly so, and the cosine is (2p − 1) that of p = 1."""
    weight, other = large(kind(sign_agreement=share))
    assert float((weight.sign() == other.sign()).double().mean()) == share
    assert cosine(weight, other) == pytest.approx((2 * share - 1) * cosine(*large(kind())), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_a_hop_multiplies_the_cosine_by_two_p_minus_one(share: float) -> None:
    """Linear layers at initialisation, an error that knows no weight: cos = (c(2p − 1))^hops with c = √(2/π), so two
    hops may agree where one does not."""
    network = Network((3,))
    for fan_in, size in ((3, 400), (400, 400), (400, 400)):
        network.add(Dense(fan_in, size), Identity())
    draw(network, 1.0, 0, bias=0.0)
    feedback = SignUnit(sign_agreement=share)
    feedback.attach(network, seed=1)
    x = torch.zeros(64, 3, dtype=torch.float64)  # hence outputs of zero, and an error of minus the target
    target = torch.randn(64, 400, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    mine, exact = (limit(f).settle(network, x, target, FROZEN) for f in (feedback, Tied()))
    assert isinstance(mine, SettledDyad) and isinstance(exact, SettledDyad)
    per_hop = math.sqrt(2 / math.pi) * (2 * share - 1)
    for layer, hops in ((1, 1), (0, 2)):
        one, other = mine.delta[layer], exact.delta[layer]
        assert one is not None and other is not None
        assert cosine(one, other) == pytest.approx(per_hop**hops, abs=0.03)


def test_direct_wires_have_the_variance_of_one_over_outputs() -> None:
    network = Network((3,))
    network.add(Dense(3, 4000), Identity())
    network.add(Dense(4000, 16), Identity())
    draw(network, 1.0, 0)
    DirectFeedback().attach(network)
    (feedback_weight,) = laid(network).values()
    assert feedback_weight.shape == (16, 4000)
    assert float(feedback_weight.square().mean()) == pytest.approx(1 / 16, rel=0.02)


def test_a_zero_weight_has_no_sign() -> None:
    network = mlp(Tanh())
    Sign().attach(network)
    with torch.no_grad():
        network.get_parameter("couplings.2.weight")[:, 1] = 0.0
    found = feedback_weights(network)
    assert found is not None
    ((_, _, other),) = [entry for entry in found.matrices(network) if entry[0] == "layer3"]
    assert not other[:, 1].any() and other[:, 0].all()


@pytest.mark.parametrize(
    "feedback", [Random(), DirectFeedback(), Sign(), SignUnit(sign_agreement=0.5), KolenPollack()], ids=repr
)
def test_seeds_reproduce_and_differ(feedback: Feedback) -> None:
    drawn = []
    for seed in (0, 0, 1):
        network = mlp(Tanh())
        feedback.attach(network, seed=seed)
        drawn.append(laid(network))
    assert all(torch.equal(drawn[0][index], drawn[1][index]) for index in drawn[0])
    assert all(not torch.equal(drawn[0][index], drawn[2][index]) for index in drawn[0])
    assert not torch.equal(drawn[0][1].flatten()[:12], drawn[0][2].flatten()[:12])  # every edge has a stream of its own


def test_a_further_layer_leaves_the_wires_of_the_others() -> None:
    short, long = mlp(Tanh(), sizes=(6, 7, 5, 3)), mlp(Tanh(), sizes=(6, 7, 5, 3, 3))
    for network in (short, long):
        Random().attach(network, seed=2)
    assert torch.equal(
        laid(short)[1] / short.get_parameter("couplings.1.weight").square().mean().sqrt(),
        laid(long)[1] / long.get_parameter("couplings.1.weight").square().mean().sqrt(),
    )


def test_batch_magnitudes_are_drawn_anew_and_disagree_where_they_did() -> None:
    network = mlp(Tanh(), sizes=(4, 60, 50, 3))
    feedback = SignBatch(sign_agreement=0.8)
    feedback.attach(network, seed=3)
    first = copy.deepcopy(laid(network))
    resample(network, 7)
    later = copy.deepcopy(laid(network))
    resample(network, 8)
    resample(network, 7)  # a function of the step, not of what was drawn before
    for index in first:
        assert torch.equal(laid(network)[index], later[index])
        assert torch.equal(first[index].sign(), later[index].sign())
        assert abs(cosine(first[index].abs() - first[index].abs().mean(), later[index].abs())) < 0.3
        assert not (first[index] == later[index]).any()
    assert float(later[1].square().mean()) == pytest.approx(float(first[1].square().mean()), rel=0.1)


@pytest.mark.parametrize("feedback", [Random(), Sign(), KolenPollack(), DirectFeedback()], ids=repr)
def test_only_batch_magnitudes_are_renewed(feedback: Feedback) -> None:
    network = mlp(Tanh())
    feedback.attach(network)
    before = copy.deepcopy(laid(network))
    resample(network, 7)
    assert all(torch.equal(before[index], tensor) for index, tensor in laid(network).items())


def test_wires_follow_the_network_through_dtypes_and_files() -> None:
    network, other = mlp(Tanh()), mlp(Tanh(), seed=9)
    for seed, each in enumerate((network, other)):
        KolenPollack().attach(each, seed=seed)
    x, target = batch(network)
    wanted = learn(limit(KolenPollack()), network, x, target, CROSS)
    other.load_state_dict(network.state_dict())
    assert gap(learn(limit(KolenPollack()), other, x, target, CROSS), wanted) == 0.0
    assert {tensor.dtype for tensor in laid(other.float()).values()} == {torch.float32}
    assert len(mirrored_parameters(network)) == 3 and mirrored_parameters(other)[0][1].dtype == torch.float32


def test_bfloat16_states_over_float32_weights() -> None:
    for feedback in KINDS:
        network = mlp(Tanh(), sizes=(20, 64, 64, 10)).float()
        feedback.attach(network, seed=1)
        x, target = batch(network, 64, dtype=torch.float32)
        settler = DualPropagation(beta=0.01, feedback=feedback)
        wanted = learn(settler, network, x, target, CROSS)
        found = learn(settler, network, x.bfloat16(), target.bfloat16(), CROSS)
        assert {g.dtype for g in found} == {torch.float32}
        assert cosine(flatten(found), flatten(wanted)) > 0.999
        assert cosine(flatten(found[:1]), flatten(wanted[:1])) > 0.99


# Refusals


def test_a_network_without_wires_says_so_and_still_predicts() -> None:
    network = mlp(Tanh())
    x, target = batch(network)
    settler = DualPropagation(feedback=Sign())
    assert torch.equal(settler.predict(network, x).output, network(x))
    with pytest.raises(ConfigurationError, match=r"feedback=Sign.*the network has no feedback weights; call attach"):
        settler.settle(network, x, target, CROSS)
    Random().attach(network)
    with pytest.raises(ConfigurationError, match=r"feedback=Sign.*has those of Random"):
        settler.settle(network, x, target, CROSS)
    Sign(sign_agreement=0.5).attach(network)
    with pytest.raises(ConfigurationError, match=r"has those of Sign\(sign_agreement=0\.5\)"):
        settler.settle(network, x, target, CROSS)


@pytest.mark.parametrize("feedback", MATRICES, ids=repr)
def test_a_coupling_by_autograd_is_refused_by_name(feedback: Feedback) -> None:
    with pytest.raises(ConfigurationError, match=r"must be tied or direct: couplings\.1 is a Module"):
        feedback.attach(curved(Tanh()))


def test_direct_wires_pass_a_coupling_by_autograd() -> None:
    network = curved(Tanh())
    DirectFeedback().attach(network, seed=1)
    x, target = batch(network)
    states = [x]
    for edge, layer in zip(network.edges, network.layers, strict=True):
        states.append(layer.potential.response(edge.coupling(states[-1].detach())))
    error = torch.softmax(states[-1].detach(), 1) - target
    total = (error * states[-1]).sum()
    for index, feedback_weight in laid(network).items():
        total = total + ((error @ feedback_weight) * states[index]).sum()
    wanted = list(torch.autograd.grad(total, list(network.parameters())))
    assert gap(learn(limit(DirectFeedback()), network, x, target, CROSS), wanted) < 1e-12


def test_a_module_without_parameters_stays_exact() -> None:
    network = Network((6,))
    network.add(Dense(6, 5), Tanh())
    network.add(Module(nn.Tanh()), Identity())
    network.add(Dense(5, 3), Identity())
    draw(network, 1.0, 0)
    Random().attach(network, seed=1)
    x, target = batch(network)
    others = expected(network, Random())
    assert list(others) == [2]
    states = network.activity(x)
    below = (torch.softmax(states[2], 1) - target) @ others[2] * (1 - states[0].tanh() ** 2) * (1 - states[0] ** 2)
    found = learn(limit(Random()), network, x, target, CROSS)
    assert gap(found[:1], [below.T @ x]) < 1e-12


def test_zero_weights_are_refused() -> None:
    network = Network((6,))
    network.add(Dense(6, 5), Tanh())
    network.add(Dense(5, 3), Identity())
    with pytest.raises(ConfigurationError, match=r"couplings\.1\.weight is zero: must be initialized"):
        Random().attach(network)
    DirectFeedback().attach(network)  # needs none


def test_the_exact_gradient_knows_no_other_wires() -> None:
    with pytest.raises(ConfigurationError, match=r"implicit\.feedback=sign: must be tied"):
        Implicit(feedback=Sign())
    with pytest.raises(ConfigurationError, match="unknown field"):
        from_dict(TwoPhase, {"feedback": "sign"}, path="settler")


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_agreement_is_a_share(share: float) -> None:
    for kind in (Sign, SignUnit, SignBatch):
        with pytest.raises(ConfigurationError, match=r"sign_agreement=.*must be in \[0, 1\]"):
            kind(sign_agreement=share)


def test_every_dyadic_settler_takes_feedback_by_name() -> None:
    for kind in (DualPropagation, EquilibriumPropagation, ContrastiveHebbian):
        settler = from_dict(kind, {"feedback": {"name": "sign_unit", "sign_agreement": 0.75}}, path="settler")
        assert isinstance(settler, Dyadic) and settler.feedback == SignUnit(sign_agreement=0.75)
        assert from_dict(kind, {"feedback": "kolen_pollack"}, path="settler").feedback == KolenPollack()


def test_a_batch_is_learned_through_any_wires() -> None:
    """Liveness: a hundred steps on one batch bring the objective down by at least half, for every kind."""
    for feedback in KINDS:
        network = mlp(Tanh(), sizes=(6, 32, 16, 3))
        feedback.attach(network, seed=1)
        x, target = batch(network, 32)
        optimizer = torch.optim.SGD(
            [*network.parameters(), *(feedback_weight for _, feedback_weight in mirrored_parameters(network))],
            lr=0.1,
            momentum=0.9,
        )
        first = float(CROSS.value(network(x), target).detach().mean())
        for step in range(100):
            resample(network, step)
            Contrast().learn(network, DualPropagation(feedback=feedback), x, target, CROSS)
            optimizer.step()
        assert float(CROSS.value(network(x), target).detach().mean()) < first / 2
