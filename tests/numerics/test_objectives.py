"""Objectives by hand: values, gradients, the proximal step, and what they refuse."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError, choices, from_dict
from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.objectives import CrossEntropy, Nudge, Objective, SquaredError, one_hot
from energy.potentials import (
    Clamp,
    ClippedReLU,
    HalfHardSigmoid,
    HardSigmoid,
    Identity,
    Potential,
    ReLU,
    RePU,
    Softmax,
    Tanh,
    per_sample,
)
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase

DOUBLE = torch.float64


def test_values_by_hand() -> None:
    output, target = torch.tensor([[1.0, 2.0]], dtype=DOUBLE), torch.tensor([[0.0, 1.0]], dtype=DOUBLE)
    assert SquaredError().value(output, target).item() == 1.0
    assert SquaredError().gradient(output, target).tolist() == [[1.0, 1.0]]
    assert CrossEntropy().value(output, target).item() == pytest.approx(math.log(1 + math.exp(-1)))
    share = 1 / (1 + math.exp(1))
    torch.testing.assert_close(CrossEntropy().gradient(output, target), torch.tensor([[share, -share]], dtype=DOUBLE))


def test_cross_entropy_of_targets_that_are_no_distribution() -> None:
    """C = −Σ y ln p has ∇C = p Σy − y: here p = (½, ½) and Σy = 3, so C = 3 ln 2."""
    output, target = torch.zeros(1, 2, dtype=DOUBLE), torch.tensor([[2.0, 1.0]], dtype=DOUBLE)
    assert CrossEntropy().value(output, target).item() == pytest.approx(3 * math.log(2))
    torch.testing.assert_close(CrossEntropy().gradient(output, target), torch.tensor([[-0.5, 0.5]], dtype=DOUBLE))


def test_cross_entropy_of_large_logits_is_finite() -> None:
    output = torch.tensor([[1e4, 0.0]])
    target = one_hot(torch.tensor([1]), 2)
    assert CrossEntropy().value(output, target).item() == pytest.approx(1e4)
    assert CrossEntropy().gradient(output, target).tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("potential", [Identity(), ReLU(), HardSigmoid(), ClippedReLU()])
@pytest.mark.parametrize(("beta_plus", "beta_minus"), [(0.25, 0.25), (0.0, 0.5), (0.5, 0.0), (2.0, 0.9)])
def test_the_proximal_step_solves_its_problem(potential: Potential, beta_plus: float, beta_minus: float) -> None:
    """s± = clamp((a ± β±h ± β± y)/(1 ± β±)), the closed form on a quadratic with bounds."""
    a, h, y = (
        torch.tensor([row], dtype=DOUBLE)
        for row in ([-2.0, 0.3, 0.9, 5.0], [1.0, -0.5, 0.2, -3.0], [0.0, 1.0, 0.0, 1.0])
    )
    drive, pull = SquaredError(nudge=Nudge.PROXIMAL).nudged(potential, a, h, y, None, beta_plus, beta_minus)
    for sign, share in ((1, beta_plus), (-1, beta_minus)):
        expected = ((a + sign * share * (h + y)) / (1 + sign * share)).clamp(potential.lower, potential.upper)
        torch.testing.assert_close(potential.response(drive + sign * share * pull), expected)


@pytest.mark.parametrize(
    ("beta_plus", "beta_minus"), [(0.5, 1.0), (0.5, 1.5), (-1.0, 0.5), (math.nan, 0.5), (0.5, math.nan)]
)
def test_a_singular_proximal_step_is_refused(beta_plus: float, beta_minus: float) -> None:
    one = torch.ones(1, 2)
    with pytest.raises(ConfigurationError, match=r"^beta: .* singular: must be "):
        SquaredError(nudge=Nudge.PROXIMAL).nudged(Identity(), one, one, one, None, beta_plus, beta_minus)


def test_what_an_output_layer_does_not_admit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"objective\.nudge=proximal.*Tanh"):
        SquaredError(nudge=Nudge.PROXIMAL).validate_output(Tanh())
    with pytest.raises(ConfigurationError, match=r"objective\.nudge=proximal.*live or frozen"):
        CrossEntropy(nudge=Nudge.PROXIMAL).validate_output(Identity())
    with pytest.raises(ConfigurationError, match=r"objective=cross_entropy.*identity"):
        CrossEntropy().validate_output(HardSigmoid())


def test_frozen_and_live_nudges() -> None:
    a, h, y, frozen = (torch.tensor([[v]], dtype=DOUBLE) for v in (2.0, 0.5, 1.0, 7.0))
    assert SquaredError(nudge=Nudge.FROZEN).nudged(Identity(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5 - 7
    assert SquaredError(nudge=Nudge.LIVE).nudged(Identity(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5 - 1
    assert (
        SquaredError(nudge=Nudge.LIVE).nudged(HardSigmoid(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5
    )  # f(2) = 1 = y


def test_one_hot() -> None:
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(torch.tensor([1]), 2, DOUBLE).dtype == DOUBLE


class TestClassesLieAlongAxisOne:
    """As in torch: (B, C, …), whatever follows."""

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    @pytest.mark.parametrize("places", [(), (5,), (4, 6), (3, 2, 2)])
    def test_cross_entropy_is_that_of_torch(self, places: tuple[int, ...], smoothing: float) -> None:
        stream = torch.Generator().manual_seed(0)
        output = torch.randn(3, 7, *places, generator=stream, dtype=DOUBLE, requires_grad=True)
        target = torch.randn(3, 7, *places, generator=stream, dtype=DOUBLE).softmax(1)
        wanted = F.cross_entropy(output, target, reduction="none", label_smoothing=smoothing)
        smoothed = CrossEntropy(smoothing=smoothing)
        value = smoothed.value(output, target)
        torch.testing.assert_close(value, per_sample(wanted) if places else wanted)
        (slope,) = torch.autograd.grad(value.sum(), output)
        torch.testing.assert_close(smoothed.gradient(output.detach(), target), slope)
        for objective in (CrossEntropy(), SquaredError()):
            assert torch.equal(objective.predict(output), output.argmax(1))

    def test_a_softmax_layer_shares_one_winner_among_channels(self) -> None:
        drive, h = torch.randn(2, 3, 4, 5, dtype=DOUBLE), torch.randn(2, 3, 4, 5, dtype=DOUBLE)
        rows, errors = (t.movedim(1, -1).reshape(-1, 3) for t in (drive, h))
        for found, wanted in (
            (Softmax().response(drive), rows.softmax(1)),
            (Softmax().tangent(drive, h), Softmax().tangent(rows, errors)),
            (Softmax().secant(drive, h, 0.1, 0.3), Softmax().secant(rows, errors, 0.1, 0.3)),
            (Softmax().secant(drive, h, 9.0), Softmax().secant(rows, errors, 9.0)),
        ):
            torch.testing.assert_close(found.movedim(1, -1).reshape(-1, 3), wanted)

    def test_the_first_of_equals_is_predicted(self) -> None:
        assert SquaredError().predict(torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).tolist() == [1, 0]

    def test_a_network_whose_output_is_an_image_learns_the_gradient(self) -> None:
        network = Network((2, 4, 4))
        network.add(Convolution(2, 3, 3, padding=1), Tanh())
        network.add(Convolution(3, 5, 3, padding=1), Identity())
        network.double()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
        x = torch.randn(2, 2, 4, 4, dtype=DOUBLE)
        target = F.one_hot(torch.randint(5, (2, 4, 4)), 5).movedim(-1, 1).to(DOUBLE)
        wanted = torch.autograd.grad(F.cross_entropy(network(x), target, reduction="sum"), list(network.parameters()))
        settled = from_dict(Settler, {"name": "dual_propagation", "beta": 0.0}).settle(
            network, x, target, CrossEntropy()
        )
        for mine, theirs in zip(Contrast().gradients(network, settled), wanted, strict=True):
            torch.testing.assert_close(mine, theirs)


class OwnAbsolute(Objective):
    """An objective that knows value and gradient alone."""

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return per_sample((output - target).abs())

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).sign()


def plain() -> Network:
    network = Network((3,))
    network.add(Dense(3, 4), HardSigmoid())
    network.add(Dense(4, 2), Identity())
    return network


class TestModesThatAreNotThere:
    @pytest.mark.parametrize("name", [n for n, s in choices(Settler).items() if s.__module__.startswith("energy.")])
    def test_an_objective_without_a_proximal_step_is_refused(self, name: str) -> None:
        objective = OwnAbsolute(nudge=Nudge.PROXIMAL)
        x, target = torch.rand(5, 3), torch.rand(5, 2)
        with pytest.raises(
            ConfigurationError, match=r"objective\.nudge=proximal: OwnAbsolute defines no proximal step"
        ):
            from_dict(Settler, name).settle(plain(), x, target, objective)

    def test_one_that_checks_its_output_by_itself_is_refused_where_it_matters(self) -> None:
        class Unchecked(OwnAbsolute):
            def validate_output(self, potential: Potential) -> None:
                pass

        class Delegating(Unchecked):
            def nudged(  # pyright: ignore[reportIncompatibleMethodOverride]
                self, *given: object
            ) -> tuple[Tensor, Tensor]:
                return super().nudged(*given)  # type: ignore[arg-type]

        for kind in (Unchecked, Delegating):
            with pytest.raises(ConfigurationError, match="defines no proximal step"):
                one = torch.ones(1, 2)
                kind(nudge=Nudge.PROXIMAL).nudged(Identity(), one, one, one, None, 0.1, 0.1)

    def test_one_that_defines_its_step_is_taken(self) -> None:
        class Pulled(OwnAbsolute):
            def nudged(  # pyright: ignore[reportIncompatibleMethodOverride]
                self, potential: Potential, drive: Tensor, h: Tensor, *rest: object
            ) -> tuple[Tensor, Tensor]:
                return drive, h - drive

        Pulled(nudge=Nudge.PROXIMAL).validate_output(Identity())
        EquilibriumPropagation().settle(plain(), torch.rand(5, 3), torch.rand(5, 2), Pulled(nudge=Nudge.PROXIMAL))

    @pytest.mark.parametrize("objective", [SquaredError(nudge=Nudge.FROZEN), CrossEntropy(), OwnAbsolute()])
    def test_a_frozen_nudge_needs_its_error(self, objective: Objective) -> None:
        one = torch.ones(1, 2)
        with pytest.raises(ValueError, match=r"frozen=None: objective\.nudge=frozen needs the gradient"):
            objective.nudged(Identity(), one, one, one, None, 0.1, 0.1)

    @pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 3), (3, 4)])
    def test_a_target_is_not_broadcast(self, shape: tuple[int, ...]) -> None:
        for objective in (SquaredError(), CrossEntropy()):
            for method in (objective.value, objective.gradient):
                with pytest.raises(ValueError, match=r"target has shape .* one_hot\(labels, classes\) makes it"):
                    method(torch.zeros(4, 3), torch.zeros(shape))


class Gentle(Clamp):
    """f(a) = clamp(a/4, −1, 2)."""

    slope = 0.25
    lower, upper = -1.0, 2.0


class Steep(Clamp):
    """f(a) = clamp(3a, −1, 2)."""

    slope = 3.0
    lower, upper = -1.0, 2.0


QUADRATIC = [Identity(), ReLU(), HardSigmoid(), ClippedReLU(), HalfHardSigmoid(), Gentle(), Steep(), RePU(power=1.0)]


class TestTheProximalStepOfEverySlope:
    @pytest.mark.parametrize("potential", QUADRATIC, ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize(
        ("beta_plus", "beta_minus"), [(0.25, 0.25), (0.0, 0.3), (0.5, 0.0), (-0.3, 0.2), (2.0, 0.3)]
    )
    def test_both_replicas_are_where_a_search_finds_the_least(
        self, potential: Potential, beta_plus: float, beta_minus: float
    ) -> None:
        """Golden-section search for the least of G(s) − ⟨s, a ± β±h⟩ ± β±C(s) on [lower, upper], unit by unit."""
        objective, stream = SquaredError(), torch.Generator().manual_seed(0)
        objective.validate_output(potential)
        a, h, y = (2 * torch.randn(1, 200, generator=stream, dtype=DOUBLE) for _ in range(3))
        drive, pull = objective.nudged(potential, a, h, y, None, beta_plus, beta_minus)
        for share in (beta_plus, -beta_minus):
            found = potential.response(drive + share * pull)
            low = torch.full_like(a, max(potential.lower, -40.0))
            high = torch.full_like(a, min(potential.upper, 40.0))

            def cost(s: Tensor, share: float = share) -> Tensor:
                slope = getattr(potential, "slope", 1.0)
                return s.square() / (2 * slope) - s * (a + share * h) + share * (s - y).square() / 2

            for _ in range(120):
                left, right = high - (high - low) / 1.618033988749895, low + (high - low) / 1.618033988749895
                less = cost(left) < cost(right)
                low, high = torch.where(less, low, left), torch.where(less, right, high)
            torch.testing.assert_close(found, (low + high) / 2, rtol=0, atol=1e-6)

    def test_that_of_the_half_hard_sigmoid_by_hand(self) -> None:
        """s = clamp((a + βy)/(2 + β)) with the whole nudge on one side and no h."""
        a, y = torch.tensor([[-3.0, 0.4, 1.0, 9.0]], dtype=DOUBLE), torch.tensor([[0.0, 1.0, 0.25, 1.0]], dtype=DOUBLE)
        for beta in (0.1, 1.5, -0.5):
            drive, pull = SquaredError().nudged(HalfHardSigmoid(), a, torch.zeros_like(a), y, None, beta, 0.0)
            found = HalfHardSigmoid().response(drive + beta * pull)
            torch.testing.assert_close(found, ((a + beta * y) / (2 + beta)).clamp(0, 1))

    @pytest.mark.parametrize("potential", QUADRATIC, ids=lambda p: type(p).__name__)
    def test_it_is_singular_at_its_own_strength(self, potential: Potential) -> None:
        """G − β₋C is convex while β₋ < 1/σ, G + β₊C while β₊ > −1/σ."""
        edge, one = 1 / potential.quadratic, torch.ones(1, 2, dtype=DOUBLE)
        for beta_plus, beta_minus in ((0.0, 0.999 * edge), (-0.999 * edge, 0.0)):
            drive, pull = SquaredError().nudged(potential, one, one, one, None, beta_plus, beta_minus)
            assert bool(torch.isfinite(drive + pull).all())
        for beta_plus, beta_minus in ((0.0, edge), (-edge, 0.0)):
            with pytest.raises(ConfigurationError, match=f"must be above {-edge:g} and below {edge:g}"):
                SquaredError().nudged(potential, one, one, one, None, beta_plus, beta_minus)
            with pytest.raises(ConfigurationError, match="singular"):
                SquaredError().validate_nudge(beta_plus, beta_minus, potential)

    @pytest.mark.parametrize("output", [HalfHardSigmoid(), Gentle()], ids=lambda p: type(p).__name__)
    def test_a_dyad_is_two_replicas(self, output: Potential) -> None:
        """α = ½ at γ = 1 and two phases at ±β/2 settle to the same pair."""
        network = Network((4,))
        network.add(Dense(4, 6), HardSigmoid())
        network.add(Dense(6, 3), output)
        network.double()
        for k, parameter in enumerate(network.parameters()):
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(k))
        x, target = torch.randn(6, 4, dtype=DOUBLE), torch.rand(6, 3, dtype=DOUBLE)
        tight = Sweep(max_steps=400, tolerance=1e-14)
        ep = EquilibriumPropagation(beta=0.8, freeze_mean=False, relax=tight, nudged=tight)
        dyad = Contrast().gradients(network, ep.settle(network, x, target, SquaredError()))
        phases = TwoPhase(beta=0.4, relax=tight, nudged=tight).settle(network, x, target, SquaredError())
        for mine, theirs in zip(dyad, Contrast().gradients(network, phases), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-11)


class TestLabels:
    @pytest.mark.parametrize(
        "dtype",
        [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.bool],
    )
    def test_whole_numbers_of_any_width(self, dtype: torch.dtype) -> None:
        assert one_hot(torch.tensor([1, 0, 1]).to(dtype), 2).tolist() == [[0, 1], [1, 0], [0, 1]]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (torch.arange(10) + 1, r"labels reach from 1 to 10: must be in 0 … 9 for 10 classes"),
            (torch.tensor([0, -1]), r"labels reach from -1 to 0: must be in 0 … 9"),
            (torch.tensor([200], dtype=torch.uint8), r"labels reach from 200 to 200"),
            (torch.tensor([[1], [2]]), r"labels has shape \(2, 1\): must be \(B,\); squeeze\(1\) makes it so"),
            (torch.tensor(3), r"labels has shape \(\): must be \(B,\)$"),
            (torch.zeros(2, 3, 4).long(), r"labels has shape \(2, 3, 4\): must be \(B,\)$"),
            (torch.tensor([1.0, 2.0]), r"labels is torch.float32: must be whole numbers; labels.long\(\)"),
            (torch.tensor([math.nan]), r"labels is torch.float32"),
        ],
        ids=str,
    )
    def test_others_are_named(self, labels: Tensor, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}"):
            one_hot(labels, 10)

    def test_none_are_none(self) -> None:
        assert one_hot(torch.zeros(0, dtype=torch.long), 3).shape == (0, 3)
        with pytest.raises(ValueError, match="classes=0: must be at least 1"):
            one_hot(torch.zeros(0, dtype=torch.long), 0)

    def test_those_of_a_device_are_not_read(self) -> None:
        assert one_hot(torch.zeros(4, dtype=torch.int32, device="meta"), 3).device.type == "meta"
