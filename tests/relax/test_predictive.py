"""The predictive-coding problems: E and its gradient by autograd, closed forms of linear networks, one equilibrium."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.errors import UsageError
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.potentials import HalfHardSigmoid, HardSigmoid, Identity, LeakyReLU, Potential, ReLU, Softmax, Tanh
from energy.relax.custom import EnergyProblem
from energy.relax.dyad import Nudging
from energy.relax.prediction_errors import ErrorDyad
from energy.relax.predictive import PredictiveDyad, SiteUpdate, pushed_pair
from energy.relax.predictive_states import PredictiveStates, predictive_energy
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.state import State
from energy.tape import leaf
from tests.settle import nets

NETWORKS = {
    "mlp": lambda: nets.mlp(Tanh(), norm=0.6),
    "cnn": lambda: nets.cnn(Tanh(), nets.POOLS["max"], norm=0.6),
    "graph": lambda: nets.skips(Tanh(), norm=0.5),
    "curved": lambda: nets.curved(Tanh(), norm=0.6),
    "softmax": lambda: nets.mlp(Softmax(), norm=0.6),
}
FREE = SiteUpdate.UNCONSTRAINED
LONG: dict[str, Relaxation] = {
    "zebra": Zebra(max_steps=500, tolerance=1e-14, check_every=10),
    "sweep": Sweep(max_steps=500, tolerance=1e-14, check_every=10),
    "synchronous": Synchronous(max_steps=2000, tolerance=1e-14, check_every=10),
}
every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def bottom_up(network: Network, x: Tensor) -> tuple[SinglePhase, State]:
    free = SinglePhase(network, x, 0.0, Ledger())
    return free, free.initial_state()


def states(network: Network, x: Tensor, objective: Objective | None = None, **given: object) -> PredictiveStates:
    """The problem in the activities with messages of the bottom-up pass; β = 0.3."""
    _, target = nets.batch(network, samples=len(x))
    nudge = None if objective is None else PhaseNudge(0.3, objective, target)
    problem = PredictiveStates(network, x, Ledger(), nudge=nudge, **given)  # type: ignore[arg-type]
    free, state = bottom_up(network, x)
    problem.initial_state(state, free)
    return problem


def dyad(network: Network, x: Tensor, beta: float = 0.3, site: SiteUpdate = FREE) -> tuple[PredictiveDyad, State]:
    _, target = nets.batch(network, samples=len(x))
    problem = PredictiveDyad(network, x, Ledger(), Nudging(nets.LIVE, target, beta=beta), site=site)
    free, state = bottom_up(network, x)
    return problem, problem.initial_state(state, free)


def moved(state: State, seed: int = 3) -> State:
    stream = torch.Generator().manual_seed(seed)
    return state.map(lambda s: s + 0.3 * torch.randn(s.shape, generator=stream, dtype=s.dtype))


def slope_of(network: Network, x: Tensor, state: State) -> list[Tensor]:
    """∂E/∂s by autograd."""
    leaves = [leaf(tensor) for tensor in state]
    return list(torch.autograd.grad(predictive_energy(network, x, State(leaves)).sum(), leaves))


def close(some: State | list[Tensor], others: State | list[Tensor], room: float = 1e-12) -> None:
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, rtol=room, atol=room)


@every_network
def test_the_bottom_up_pass_is_the_free_equilibrium(build: nets.Build) -> None:
    network = build()
    x, _ = nets.batch(network)
    _, state = bottom_up(network, x)
    assert predictive_energy(network, x, state).max() < 1e-28  # the plain forward map may round otherwise
    problem = states(network, x)
    assert not (problem.response(state) - state).norms().any()


@every_network
def test_the_response_is_the_state_less_the_gradient_of_the_energy(build: nets.Build) -> None:
    network = build()
    x, _ = nets.batch(network)
    state = moved(network.activity(x))
    close(states(network, x, site=FREE).response(state), state - State(slope_of(network, x, state)))


@every_network
def test_the_energy_of_ones_own_gives_the_same_response(build: nets.Build) -> None:
    network = build()
    x, target = nets.batch(network)
    state = moved(network.activity(x))
    nudge = PhaseNudge(0.3, nets.LIVE, target)
    own = EnergyProblem(lambda x, s, theta: predictive_energy(network, x, s), x, {}, nudge=nudge)
    found = states(network, x, nets.PROXIMAL).response(state)
    close(list(found)[:-1], list(own.response(state))[:-1])
    *_, prediction = [s - e for s, e in zip(state, _errors(network, x, state), strict=True)]
    torch.testing.assert_close(found[-1], (prediction + 0.3 * target) / 1.3)  # the proximal step


def _errors(network: Network, x: Tensor, state: State) -> list[Tensor]:
    """ε of every layer, from the definition."""
    everything, found = (x, *state), []
    for k, layer in enumerate(network.layers, start=1):
        drive = sum((e.coupling(everything[e.source]) for e in network.into(k)), torch.zeros((), dtype=x.dtype))
        found.append((everything[k] - layer.potential.response(drive)).detach())
    return found


@every_network
def test_the_energy_is_half_the_square_of_the_errors(build: nets.Build) -> None:
    network = build()
    x, _ = nets.batch(network)
    state = moved(network.activity(x))
    expected = sum(e.flatten(1).square().sum(1) for e in _errors(network, x, state))
    torch.testing.assert_close(predictive_energy(network, x, state), expected / 2)


@pytest.mark.parametrize("relax", LONG.values(), ids=LONG)
@every_network
def test_the_nudged_equilibrium_is_stationary_for_the_energy(build: nets.Build, relax: Relaxation) -> None:
    network = build()
    x, target = nets.batch(network)
    problem, start = dyad(network, x)
    state = solve(problem, start, relax).state
    mean = State(state.tensors[: len(network.layers)])
    slope = slope_of(network, x, mean)
    close(slope[:-1], [torch.zeros_like(s) for s in slope[:-1]], 1e-9)
    prediction = mean[-1] - _errors(network, x, mean)[-1]
    torch.testing.assert_close(slope[-1], -0.3 * (prediction - target))  # the live nudge is taken at the prediction


@pytest.mark.parametrize("site", [SiteUpdate.PROJECTED, SiteUpdate.MODIFIED, FREE])
@pytest.mark.parametrize("hidden", [ReLU(), HardSigmoid(), HalfHardSigmoid(), LeakyReLU(slope=0.2)])
def test_activities_and_pairs_have_the_same_zebra_on_a_chain(hidden: Potential, site: SiteUpdate) -> None:
    network = nets.mlp(hidden, gain=1.2)
    x, target = nets.batch(network)
    problem, state = dyad(network, x, site=site)
    free, mean = bottom_up(network, x)
    plain = PredictiveStates(network, x, Ledger(), nudge=PhaseNudge(0.3, nets.LIVE, target), site=site)
    mean, relax = plain.initial_state(mean, free), Zebra()
    for _ in range(6):
        state, _ = relax.step(problem, state, None)
        mean, _ = relax.step(plain, mean, None)
        close(state.tensors[: len(mean)], mean, 1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", [0.3, -0.3])
def test_a_sign_on_the_device_is_that_of_beta(beta: float) -> None:
    network = nets.mlp(HardSigmoid(), gain=1.2)
    x, target = nets.batch(network)
    free, mean = bottom_up(network, x)
    sign = torch.tensor(math.copysign(1.0, beta), dtype=x.dtype)
    found = []
    for size, factor in ((beta, None), (0.3, sign)):
        problem = PredictiveDyad(network, x, Ledger(), Nudging(nets.PROXIMAL, target, beta=size), sign=factor)
        found.append(solve(problem, problem.initial_state(mean, free), Zebra(max_steps=5, tolerance=0.0)).state)
    close(found[0], found[1], 0.0)


@pytest.mark.parametrize("site", SiteUpdate)
@pytest.mark.parametrize("hidden", [ReLU(), HardSigmoid(), HalfHardSigmoid(), Identity(), Tanh()])
def test_a_push_has_no_difference_of_activities_and_equals_it(hidden: Potential, site: SiteUpdate) -> None:
    stream = torch.Generator().manual_seed(0)
    drive, h = (2 * torch.randn(500, 3, generator=stream, dtype=torch.float64) for _ in range(2))
    low, high = site.interval(hidden)
    for beta in (0.7, 1e-2):
        s, delta = pushed_pair(drive, h, hidden, beta, site)
        wanted = (site.origin(hidden, drive) + beta * h).clamp(low, high)
        torch.testing.assert_close(s, wanted)
        slope = hidden.tangent(drive, (wanted - hidden.response(drive)) / beta)
        torch.testing.assert_close(delta, slope, rtol=1e-11, atol=1e-11)
    tiny = pushed_pair(drive.float(), h.float(), hidden, 1e-12, site)[1]  # where a difference would be zero
    assert torch.isfinite(tiny).all() and tiny.any()


def test_modified_is_the_response_to_the_pushed_drive() -> None:
    drive, h = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None], torch.full((9, 1), 0.8, dtype=torch.float64)
    for hidden, slope in ((ReLU(), 1.0), (HardSigmoid(), 1.0), (HalfHardSigmoid(), 0.5)):
        found, _ = pushed_pair(drive, h, hidden, 0.5, SiteUpdate.MODIFIED)
        torch.testing.assert_close(found, hidden.response(drive + 0.5 * h / slope))


def linear_equilibrium(weights: list[Tensor], x: Tensor, target: Tensor, beta: float) -> list[Tensor]:
    """argmin ½ Σ‖s_k − W_k s_{k−1}‖² + β/2 ‖s_L − y‖² by a linear system over all layers."""
    sizes = [len(weight) for weight in weights]
    total, starts = sum(sizes), [sum(sizes[:k]) for k in range(len(sizes))]
    errors = torch.eye(total, dtype=x.dtype)  # ε = errors·s − given
    for k in range(1, len(sizes)):
        rows, columns = slice(starts[k], starts[k] + sizes[k]), slice(starts[k - 1], starts[k])
        errors[rows, columns] = -weights[k]
    matrix, right = errors.T @ errors, torch.zeros(total, len(x), dtype=x.dtype)
    right[: sizes[0]] = weights[0] @ x.T
    right = errors.T @ right
    matrix[starts[-1] :, starts[-1] :] += beta * torch.eye(sizes[-1], dtype=x.dtype)
    right[starts[-1] :] += beta * target.T
    return list(torch.linalg.solve(matrix, right).T.split(sizes, dim=1))


@pytest.mark.parametrize("relax", LONG.values(), ids=LONG)
@pytest.mark.parametrize("beta", [0.5, -0.2])
def test_a_linear_network_ends_in_the_solution_of_its_linear_system(relax: Relaxation, beta: float) -> None:
    network = nets.mlp(Identity(), bias=0.0, norm=0.7)
    x, target = nets.batch(network)
    weights = [parameter.detach() for parameter in network.parameters() if parameter.ndim == 2]
    wanted = linear_equilibrium(weights, x, target, beta)
    nudging = Nudging(SquaredError(), target, beta=beta)
    problem = PredictiveDyad(network, x, Ledger(), nudging)
    free, mean = bottom_up(network, x)
    state = solve(problem, problem.initial_state(mean, free), relax).state
    close(list(state)[: len(wanted)], wanted, 1e-10)


def test_errors_and_activities_end_in_one_equilibrium() -> None:
    for build in (NETWORKS["mlp"], NETWORKS["graph"], NETWORKS["cnn"], NETWORKS["curved"]):
        network = build()
        x, target = nets.batch(network)
        wanted = linearly_nudged(network, x, target)
        free, mean = bottom_up(network, x)
        problem = ErrorDyad(network, x, Ledger(), _frozen(mean, target), rate=0.7)
        state = solve(problem, problem.initial_state(mean, free), LONG["sweep"]).state
        found = problem.bottom_up(state)
        close(list(found)[: len(mean)], wanted, 1e-10)


def _frozen(mean: State, target: Tensor) -> Nudging:
    return Nudging(nets.FROZEN, target, beta=0.3, frozen=mean[-1] - target)


def linearly_nudged(network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    """The activities of the nudged equilibrium by zebra."""
    free, mean = bottom_up(network, x)
    problem = PredictiveDyad(network, x, Ledger(), _frozen(mean, target), site=FREE)
    state = solve(problem, problem.initial_state(mean, free), LONG["zebra"]).state
    return list(state)[: len(mean)]


def test_a_clamped_output_has_the_energy_of_its_target() -> None:
    network = nets.mlp(Tanh(), norm=0.6)
    x, target = nets.batch(network)
    free, mean = bottom_up(network, x)
    nudge = PhaseNudge(1.0, SquaredError(), target)
    problem = PredictiveStates(network, x, Ledger(), nudge=nudge, clamped=True)
    state = solve(problem, problem.initial_state(mean, free), LONG["zebra"]).state
    assert torch.equal(state[-1], target)
    close(slope_of(network, x, state)[:-1], [torch.zeros_like(s) for s in list(state)[:-1]], 1e-9)


def test_gradient_steps_of_the_clamped_energy_are_those_of_autograd() -> None:
    network = nets.skips(Tanh())
    x, target = nets.batch(network)
    free, mean = bottom_up(network, x)
    nudge = PhaseNudge(1.0, SquaredError(), target)
    problem = PredictiveStates(network, x, Ledger(), nudge=nudge, clamped=True)
    state = expected = problem.initial_state(mean, free)
    relax = Synchronous(damping=0.9)
    for _ in range(5):
        state, _ = relax.step(problem, state, None)
        *hidden, _ = slope_of(network, x, expected)
        expected = expected - State([*hidden, torch.zeros_like(target)]) * 0.1
    close(state, expected)


def test_errors_cannot_move_layer_by_layer() -> None:
    network = nets.mlp(Tanh())
    x, target = nets.batch(network)
    free, mean = bottom_up(network, x)
    problem = ErrorDyad(network, x, Ledger(), Nudging(nets.LIVE, target, beta=0.1))
    with pytest.raises(UsageError, match="must be relaxed by a sweep"):
        Zebra().step(problem, problem.initial_state(mean, free), None)
