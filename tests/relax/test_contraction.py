"""The loop gain against the eigenvalues of a dense linear response, and the two ways of holding it."""

import copy

import pytest
import torch
from torch import Tensor

from energy import reading
from energy.couplings import Convolution, Dense, Skip
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.pooling import AveragePool
from energy.potentials import HalfHardSigmoid, HardSigmoid, Identity, Potential, Sigmoid
from energy.relax.contraction import ContractBy, attach_contraction, contraction, loop_gain
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import solve
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase
from energy.state import State
from energy.stream import stream
from tests.settle import nets

pytestmark = pytest.mark.filterwarnings("ignore::energy.cautions.Caution")


def filled(network: Network, scale: float = 1.0) -> Network:
    network.double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            size = max(parameter[0].numel(), 1)
            parameter.copy_(scale * torch.randn(parameter.shape, generator=stream(0, name)).double() / size**0.5)
    return network


def chain(potential: Potential, scale: float = 1.0) -> Network:
    network = Network((6,))
    for fan_in, size in ((6, 7), (7, 5), (5, 4)):
        network.add(Dense(fan_in, size), potential)
    return filled(network, scale)


def graph() -> Network:
    """A skip over one layer, a convolution with average pooling, and a read-out."""
    network = Network((2, 4, 4))
    first = network.add(Convolution(2, 3, 3, padding=1, pool=AveragePool(2)), Identity())
    second = network.add(Convolution(3, 3, 3, padding=1), Identity())
    third = network.add({second: Convolution(3, 3, 1), first: Skip()}, Identity())
    network.add({third: Dense(12, 4)}, Identity())
    network.add(Dense(4, 3), Identity(), feedback=False)
    return filled(network)


def dense_radius(network: Network, x: Tensor, gamma: float, slope: float) -> float:
    """The spectral radius of s → slope·J(s), column by column."""
    shapes = [layer.shape for layer in network.layers]
    sizes = [torch.Size(shape).numel() for shape in shapes]

    def response(flat: Tensor) -> Tensor:
        parts = flat.split(sizes)
        state = State(part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True))
        return torch.cat([drive.flatten() for drive in network.drive(x[:1], state, gamma)])

    with torch.no_grad():
        rest = response(torch.zeros(sum(sizes), dtype=torch.float64))
        columns = [response(unit) - rest for unit in torch.eye(sum(sizes), dtype=torch.float64)]
    return float(slope * torch.linalg.eigvals(torch.stack(columns, 1)).abs().max())


def measured(network: Network, x: Tensor, gamma: float) -> float:
    with torch.no_grad():
        return loop_gain(network, x, network.activity(x), gamma, steps=300)[0]


@pytest.mark.parametrize("gamma", [1.0, 0.4])
@pytest.mark.parametrize(
    ("network", "shape", "slope"),
    [
        (chain(Identity()), (6,), 1.0),
        (chain(HardSigmoid()), (6,), 1.0),
        (chain(HalfHardSigmoid()), (6,), 0.5),
        (chain(Sigmoid()), (6,), 0.25),
        (graph(), (2, 4, 4), 1.0),
    ],
    ids=["identity", "hard_sigmoid", "slope one half", "slope one quarter", "graph"],
)
def test_the_loop_gain_is_the_square_of_the_spectral_radius(
    network: Network, shape: tuple[int, ...], slope: float, gamma: float
) -> None:
    x = torch.randn(3, *shape, generator=stream(1, "x"), dtype=torch.float64)
    assert measured(network, x, gamma) == pytest.approx(dense_radius(network, x, gamma, slope) ** 2, rel=1e-6)


def test_on_a_chain_it_is_proportional_to_gamma() -> None:
    network, x = chain(Identity()), torch.randn(2, 6, dtype=torch.float64, generator=stream(1, "x"))
    whole = measured(network, x, 1.0)
    assert [measured(network, x, gamma) / whole for gamma in (0.5, 0.1)] == pytest.approx([0.5, 0.1], rel=1e-6)


def test_a_zebra_step_on_a_linear_chain_contracts_by_it() -> None:
    """Young's theorem: Gauss–Seidel on two colours converges at ρ² where the synchronous step does at ρ."""
    network, x = chain(Identity(), 0.45), torch.randn(4, 6, dtype=torch.float64, generator=stream(1, "x"))
    gain = measured(network, x, 1.0)
    assert gain < 0.8
    problem = SinglePhase(network, x, 1.0, Ledger())
    rest = solve(problem, problem.initial_state(), Zebra(max_steps=400, tolerance=1e-15)).state
    gaps = []
    for steps in (30, 31):
        problem = SinglePhase(network, x, 1.0, Ledger())
        state = solve(problem, problem.initial_state(), Zebra(max_steps=steps, tolerance=0.0)).state
        gaps.append(float((state - rest).norms().max()))
    assert gaps[1] / gaps[0] == pytest.approx(gain, rel=1e-3)


def large() -> tuple[Network, Tensor, Tensor]:
    x = torch.rand(16, 6, generator=stream(2, "x"), dtype=torch.float64)
    return chain(HardSigmoid(), 2.0), x, one_hot(torch.arange(16) % 4, 4, torch.float64)


def learn(network: Network, settler: Settler, x: Tensor, target: Tensor, steps: int) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(steps):
        Contrast().learn(network, settler, x, target, SquaredError())
        optimizer.step()


def test_a_dyad_is_held_by_its_feedback_gain() -> None:
    network, x, target = large()
    settler = EquilibriumPropagation(keep_contracting=0.8)
    assert measured(network, x, 1.0) > 2
    learn(network, settler, x, target, 5)
    gamma = settler.gain(network)
    assert 0 < gamma < 1
    assert measured(network, x, gamma) == pytest.approx(0.8, rel=0.05)  # of weights that have moved a step since
    assert settler.gain(copy.deepcopy(network)) == gamma


def test_stored_phases_are_held_by_their_weights() -> None:
    network, x, target = large()
    settler = TwoPhase(keep_contracting=0.8)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    settler.settle(network, x, target, SquaredError())
    assert settler.gain(network) == 1.0
    assert measured(network, x, 1.0) == pytest.approx(0.8, rel=0.02)
    after = list(network.parameters())
    assert torch.equal(after[0], before[0])  # what reads the input carries no feedback
    ratio = after[2] / before[2]
    assert torch.allclose(ratio, ratio.mean(), rtol=1e-12)
    assert all(torch.equal(after[k], before[k]) for k in (1, 3, 5))  # biases


FAMILIES = (EquilibriumPropagation, TwoPhase)


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("by", ContractBy)
def test_either_family_is_held_by_either(family: type[EquilibriumPropagation | TwoPhase], by: ContractBy) -> None:
    """Over steps that move the weights: the gain stays within what a step adds, and the buffers say by what."""
    network, x, target = large()
    settler = family(keep_contracting=0.8, contract_by=by)
    settler.attach_feedback(network)
    held = attach_contraction(network)
    products, scales = [1.0], list[float]()
    start = [parameter.detach().clone() for parameter in network.parameters()]
    for step in range(6):
        learn(network, settler, x, target, 1)
        assert measured(network, x, settler.gain(network)) == pytest.approx(0.8, rel=0.06), step
        products.append(products[-1] * float(held.factor))
        scales.append(float(held.scale))
    if by is ContractBy.GAMMA:
        assert products[-1] == 1.0 and max(scales) < 0.5
        assert settler.gain(network) == scales[-1]
    else:
        assert scales == [1.0] * 6 and settler.gain(network) == 1.0 and products[1] < 0.7
        now = list(network.parameters())[2].detach()
        assert float(now.norm() / start[2].norm()) == pytest.approx(products[-1], rel=0.1)  # but for what is learned
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.1)
    for _ in range(20):  # the iteration catches up
        settler.settle(network, x, target, SquaredError())
    assert float(held.factor) == float(held.scale) == 1.0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_defaults_are_those_that_there_were(family: type[EquilibriumPropagation | TwoPhase]) -> None:
    for by in ContractBy:
        one, x, target = large()
        other = copy.deepcopy(one)
        default = family(keep_contracting=0.8)
        learn(one, default, x, target, 3)
        learn(other, family(keep_contracting=0.8, contract_by=by), x, target, 3)
        same = all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
        assert same == (default.contract_by is by)


def test_the_last_factor_is_not_saved() -> None:
    """So that weights of before load, and those of now load there."""
    network, *_ = large()
    attach_contraction(network)
    assert {name.rpartition(".")[2] for name in network.state_dict() if name.startswith("contraction.")} == {
        "scale",
        "steps",
        *(f"vector{k}" for k in range(len(network.layers))),
    }


@pytest.mark.parametrize("by", ContractBy)
def test_weights_of_zero_have_a_loop_gain_of_zero_and_may_grow(by: ContractBy) -> None:
    """As couplings are before anybody draws their weights; the iteration begins when there is something to iterate."""
    network, x = chain(HardSigmoid(), scale=0.0), torch.rand(4, 6, dtype=torch.float64, generator=stream(1, "x"))
    settler = EquilibriumPropagation(keep_contracting=0.5, contract_by=by)
    target = one_hot(torch.tensor([0, 1, 2, 3]), 4, torch.float64)
    Contrast().learn(network, settler, x, target, SquaredError())
    held = contraction(network)
    assert held is not None and float(held.scale) == float(held.factor) == 1.0
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert measured(network, x, 1.0) == 0.0
    filled(network, 3.0)
    gains = [float(held.gain(network, x, 1.0)) for _ in range(60)]
    assert gains[-1] == pytest.approx(dense_radius(network, x, 1.0, 1.0) ** 2, rel=1e-4)


def test_a_contracting_network_is_left_alone() -> None:
    network, x, target = large()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.1)
    for settler in (EquilibriumPropagation(keep_contracting=0.8), TwoPhase(keep_contracting=0.8)):
        one, other = copy.deepcopy(network), copy.deepcopy(network)
        Contrast().learn(one, settler, x, target, SquaredError())
        Contrast().learn(other, type(settler)(), x, target, SquaredError())
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True))  # type: ignore[arg-type]


def test_what_holds_it_goes_with_the_weights() -> None:
    network, x, target = large()
    settler = EquilibriumPropagation(keep_contracting=0.8)
    settler.attach_feedback(network)
    learn(network, settler, x, target, 3)
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learn(network, settler, x, target, 3)
    other, _, _ = large()
    settler.attach_feedback(other)
    other.load_state_dict(kept)
    learn(other, settler, x, target, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_the_gradient_is_that_of_the_gain_it_is_held_at() -> None:
    network, x, target = large()
    settler = EquilibriumPropagation(
        keep_contracting=0.5,
        beta=1e-4,
        relax=Zebra(max_steps=500, tolerance=1e-12),
        nudged=Zebra(max_steps=500, tolerance=1e-12),
    )
    given = Contrast().gradients(network, settler.settle(network, x, target, SquaredError()))
    held = settler.gain(network)
    free = copy.deepcopy(network)
    del free.contraction
    assert contraction(free) is None
    exact = exact_settler(EquilibriumPropagation(gamma=held), torch.float64)
    wanted = Contrast().gradients(free, exact.settle(free, x, target, SquaredError()))
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


SCALED = [
    EquilibriumPropagation(keep_contracting=0.3),
    EquilibriumPropagation(keep_contracting=0.3, freeze_mean=False, gamma=0.7),
    EquilibriumPropagation(keep_contracting=0.3, contract_by=ContractBy.WEIGHTS),
    TwoPhase(keep_contracting=0.3),
    TwoPhase(keep_contracting=0.3, contract_by=ContractBy.GAMMA),
]


@pytest.mark.parametrize("settler", SCALED, ids=str)
@pytest.mark.parametrize(
    "dtype, close", [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)], ids=str
)
def test_a_gain_that_is_not_read_gives_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch, settler: EquilibriumPropagation | TwoPhase, dtype: torch.dtype, close: float
) -> None:
    def gradients() -> tuple[list[Tensor], object]:
        network = nets.mlp(HardSigmoid(), norm=0.6)
        settler.attach_feedback(network)
        x, target = (tensor.to(dtype) for tensor in nets.batch(network))
        settler.settle(network, x, target, nets.FROZEN)
        found = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
        return found, settler.gain_on_device(network)

    expected, known = gradients()
    monkeypatch.setattr(reading, "is_free", lambda device: False)
    found, held = gradients()
    assert isinstance(known, float) and isinstance(held, Tensor) and float(held) == known
    assert (known < settler.gamma) == (settler.contract_by is ContractBy.GAMMA)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=close, atol=close * max(1e-2, float(other.abs().max())))


def test_steps_that_were_loaded_are_read_again() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.6)
    x, _ = nets.batch(network)
    held = attach_contraction(network)
    held.gain(network, x, 1.0)
    assert held.begun
    network.load_state_dict(network.state_dict())
    assert not held.begun
    again, before = copy.deepcopy(network), int(held.steps)
    held.gain(network, x, 1.0)
    other = attach_contraction(again)
    other.gain(again, x, 1.0)
    assert other.begun and int(held.steps) == int(other.steps) == before + 1
