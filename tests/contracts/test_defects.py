"""Planted defects: each exported check notices the ones it is there for, and says in one line which and whose."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energy.block import Block
from energy.couplings import Convolution, Dense, Filtered, Gradients, Module, Skip
from energy.feedback import Feedback, Random, Site
from energy.ledger import Ledger
from energy.model import Model
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.potentials import Clamp, Gated, Identity, Potential, Tanh, per_sample
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.rules import Hebb, Oja, SoftHebb, Variant
from energy.rules.contrast import Contrast
from energy.rules.local import Local
from energy.rules.rule import Rule
from energy.settle.backprop import Backprop, SettledTape
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.settler import Settled, SettledDyad, SettledPhases, Settler
from energy.settle.spiking import Credit, SettledSpikes, SettledTrial, Spiking
from energy.settle.surrogate import SurrogateBackprop
from energy.settle.two_phase import CoupledLearning, TwoPhase, TwoPhaseContrastiveHebbian
from energy.spiking.errors import VanRossum
from energy.spiking.surrogates import Logistic
from energy.state import State
from energy.testing import (
    check_component,
    check_coupling,
    check_feedback,
    check_model,
    check_objective,
    check_plasticity,
    check_potential,
    check_relaxation,
    check_rule,
    check_settler,
    check_spike_error,
    check_surrogate,
)
from models import MLP


def noticed(check: Any, subject: Any, words: str, *arguments: Any) -> None:
    """The check raises one line that begins with the subject and says `words`."""
    with pytest.raises(AssertionError, match=words) as caught:
        check(subject, *arguments)
    text = str(caught.value)
    name = getattr(subject, "label", "") or type(subject).__name__
    assert "\n" not in text and len(text) < 400 and text.startswith(f"{name}: ")


# ---- settlers

Args = tuple[Network, Tensor, Tensor, Objective]


def factors(kind: str, settled: SettledDyad) -> list[float]:
    hidden = len(settled.delta) - 1
    return {
        "all negated": [-1.0] * (hidden + 1),
        "hidden negated": [-1.0] * hidden + [1.0],
        "output negated": [1.0] * hidden + [-1.0],
        "doubled": [2.0] * (hidden + 1),
        "one dropped": [0.0] + [1.0] * hidden,
    }[kind]


def spoil(settled: Settled, kind: str) -> Settled:
    """What was settled, with its difference turned into something else."""
    if isinstance(settled, SettledDyad):
        pairs = zip(settled.delta, factors(kind, settled), strict=True)
        return dataclasses.replace(settled, delta=[None if d is None else d * f for d, f in pairs])
    if isinstance(settled, SettledPhases):
        by = {"all negated": -1.0, "doubled": 2.0}[kind]
        return dataclasses.replace(
            settled, phases=[dataclasses.replace(one, weight=one.weight * by) for one in settled.phases]
        )
    if isinstance(settled, SettledTape):
        return dataclasses.replace(settled, merit=settled.merit * {"all negated": -1.0, "doubled": 2.0}[kind])
    if isinstance(settled, SettledSpikes):
        signs = {"all negated": (-1.0, -1.0), "hidden negated": (-1.0, 1.0), "doubled": (2.0, 2.0)}[kind]
        delta = [d * (signs[1] if k == len(settled.delta) - 1 else signs[0]) for k, d in enumerate(settled.delta)]
        return dataclasses.replace(settled, delta=delta)
    assert isinstance(settled, SettledTrial)
    return dataclasses.replace(settled, products=[-one for one in settled.products])


def spoilt(base: type[Settler], kind: str) -> type[Settler]:
    def settle(self: Any, *args: Any, **kwargs: Any) -> Settled:
        return spoil(base.settle(self, *args, **kwargs), kind)

    def deliver(self: Any, *args: Any, to: Any, **kwargs: Any) -> Settled:
        return self.settle(*args, **kwargs)

    return type("Spoilt", (base,), {"settle": settle, "deliver": deliver})


DYADS = ("all negated", "hidden negated", "output negated", "doubled", "one dropped")


@pytest.mark.parametrize("kind", DYADS)
@pytest.mark.parametrize("base", [DualPropagation, EquilibriumPropagation, Implicit])
def test_a_dyad_that_is_not_the_gradient(base: type[Settler], kind: str) -> None:
    noticed(check_settler, spoilt(base, kind)(), r"gradient of (first|second|output) .*(against autograd|cosine)")


@pytest.mark.parametrize("base", [TwoPhase, Backprop, SurrogateBackprop])
@pytest.mark.parametrize("kind", ["all negated", "doubled"])
def test_phases_and_tapes_that_are_not_the_gradient(base: type[Settler], kind: str) -> None:
    noticed(check_settler, spoilt(base, kind)(), r"gradient of (first|second|output) .*(against autograd|cosine)")


@pytest.mark.parametrize("kind", ["all negated", "hidden negated", "doubled"])
def test_spikes_that_are_not_the_gradient(kind: str) -> None:
    noticed(check_settler, spoilt(Spiking, kind)(), "gradient of .* after 5 steps against autograd")


def test_spikes_credited_by_traces_still_go_downhill() -> None:
    assert check_settler(Spiking(credit=Credit.CAUSAL)) == []
    noticed(check_settler, spoilt(Spiking, "all negated")(credit=Credit.CAUSAL), "gradient of output .* has cosine")


@pytest.mark.parametrize("kind", ["all negated", "hidden negated", "output negated"])
def test_a_clamped_dyad_that_goes_uphill(kind: str) -> None:
    noticed(check_settler, spoilt(ContrastiveHebbian, kind)(), "has cosine -.*with the exact one: must be at least")


@pytest.mark.parametrize("base", [TwoPhaseContrastiveHebbian, CoupledLearning])
def test_clamped_phases_that_go_uphill(base: type[Settler]) -> None:
    noticed(check_settler, spoilt(base, "all negated")(), "has cosine -.*with the exact one: must be at least")


@pytest.mark.parametrize("kind", ["hidden negated", "one dropped"])
def test_hidden_layers_under_wires_of_their_own(kind: str) -> None:
    """With random wires no sign is wrong in itself; with the weights as wires it is."""
    noticed(check_settler, spoilt(DualPropagation, kind)(feedback=Random()), "gradient of first")


class GainIgnored(DualPropagation):
    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return DualPropagation().settle(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return DualPropagation().predict(*args, **kwargs)

    def deliver(self, *args: Any, to: Any, **kwargs: Any) -> Settled:
        return self.settle(*args, **kwargs)


class OrderLost(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle(network, x, target.flip(0), objective, ledger)

    def deliver(self, *args: Any, to: Any, **kwargs: Any) -> Settled:
        return self.settle(*args, **kwargs)


class ObjectiveIgnored(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle(network, x, target, SquaredError(), ledger)

    def deliver(self, *args: Any, to: Any, **kwargs: Any) -> Settled:
        return self.settle(*args, **kwargs)


class Undelivered(DualPropagation):
    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        settled = super().settle(*args, **kwargs)
        assert isinstance(settled, SettledDyad)
        return dataclasses.replace(settled, delta=[None if d is None else d * 1.0001 for d in settled.delta])


class Nothing(Settler):
    def settle(self, *args: Any, **kwargs: Any) -> Any:
        return None


class Raising(Settler):
    def settle(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyError("a\nb")


class Bare(DualPropagation):
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Any:
        return network(x)


class ShortOutput(DualPropagation):
    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return dataclasses.replace(super().settle(*args, **kwargs), output=[1.0])


@pytest.mark.parametrize(
    ("settler", "words"),
    [
        (GainIgnored(gamma=1.0), "free output at gamma=1 .* against the equilibrium"),
        (GainIgnored(), "free output at gamma=0.5 .* against the equilibrium"),
        (OrderLost(), "gradient of"),
        (ObjectiveIgnored(), "gradient of .* with cross_entropy against autograd"),
        (Undelivered(), "learn gives other gradients than settle"),
        (Nothing(), "settle returns a NoneType: must be a Settled"),
        (Raising(), r"settle\(network, x, target, objective, ledger\) must return .*KeyError"),
        (Bare(), r"predict\(network, x, ledger\) must return a Prediction"),
        (ShortOutput(), "settled.output is a list: must be one tensor"),
        (Settler(), "must define settle"),
    ],
)
def test_settlers(settler: Settler, words: str) -> None:
    noticed(check_settler, settler, words)


class Perturbed(DualPropagation):
    """A method that is no gradient, and says so."""

    @property
    def alignment(self) -> float:
        return -1.0

    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return spoil(super().settle(*args, **kwargs), "hidden negated")

    def deliver(self, *args: Any, to: Any, **kwargs: Any) -> Settled:
        return self.settle(*args, **kwargs)


def test_a_method_that_claims_no_gradient_is_held_to_its_output_layer_alone() -> None:
    assert check_settler(Perturbed()) == []
    noticed(check_settler, spoilt(Perturbed, "all negated")(), "gradient of output .* has cosine -1")


# ---- couplings


class Stuck(Dense):
    """Takes the product at the point, wherever the state has moved."""

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return super().hebbian(pre if point is None else self.at, post, point)

    def linearise(self, pre: Tensor) -> tuple[Tensor, Any]:
        self.at = pre
        return super().linearise(pre)


class Jumping(Dense):
    """Right near the point, and wrong far away."""

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return super().hebbian(torch.where(pre.abs() > 4, 0.0, pre), post, point)


class Alone(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        pulled = super().adjoint(post, point)
        return pulled if len(post) > 1 else pulled * 0


class Same(Dense):
    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        return self.adjoint(direction, point)


class Shared(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return tuple(g for g in super().hebbian(pre, post, point) if g.requires_grad or self.weight.requires_grad)


class Coarse(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return tuple(g.to(pre.dtype) for g in super().hebbian(pre, post, point))


class Rounding(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        pulled = super().adjoint(post, point)
        return pulled if post.dtype == torch.float64 else pulled.to(torch.bfloat16).to(post.dtype)


class Quarter(Dense):
    """Right at one state: A(m) = W m where the energy has W m·cos(0) there and W m elsewhere halved."""

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        return -per_sample(post * self.drive(pre)) * torch.where(pre.abs().amax() > 4, 0.5, 1.0)


class Detached(Dense):
    def drive(self, pre: Tensor) -> Tensor:
        return super().drive(pre).detach()


class Numpy(Dense):
    def drive(self, pre: Tensor) -> Any:
        return super().drive(pre).detach().numpy()


class Pair(Dense):
    def drive(self, pre: Tensor) -> Any:
        return super().drive(pre), None


class OnePoint(Dense):
    def linearise(self, pre: Tensor) -> Any:
        return super().linearise(pre)[0]


class OneTensor(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Any:
        return super().hebbian(pre, post, point)[0]


class NoAdjoint(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Any:
        return None


class Touching(Dense):
    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        found = super().tangent(direction, point)
        with torch.no_grad():
            self.weight.add_(1e-15)
        return found


class Fractional(Dense):
    def multiply_adds(self, pre: tuple[int, ...]) -> Any:
        return 12.0


@pytest.mark.parametrize(
    ("coupling", "words"),
    [
        (Stuck(4, 4), "hebbian"),
        (Jumping(4, 4), "hebbian|far from the point"),
        (Alone(4, 4), "adjoint of a batch against its samples alone"),
        (Same(4, 4), "tangent against differences"),
        (Shared(4, 4), "hebbian"),
        (Coarse(4, 4), "hebbian of weight of torch.bfloat16 states is torch.bfloat16: must be torch.float32"),
        (Rounding(4, 4), "adjoint of torch.float32 states"),
        (Quarter(4, 4), "energy against"),
        (Detached(4, 4), "cut from autograd"),
        (Numpy(4, 4), "drive is a ndarray: must be one tensor"),
        (Pair(4, 4), "drive is a tuple: must be one tensor"),
        (OnePoint(4, 4), r"linearise\(pre\) must give \(drive, point\)"),
        (OneTensor(4, 4), "hebbian returns a Tensor: must be a tuple"),
        (NoAdjoint(4, 4), "adjoint"),
        (Touching(4, 4), "writes to a parameter|differs"),
        (Fractional(4, 4), "multiply_adds is 12.0: must be a whole number"),
        (Module(nn.BatchNorm1d(4)), "drive"),
        (Module(nn.Dropout(0.5)), "drive gives something else when asked again"),
        (Module(nn.LSTM(4, 4)), "drive is a tuple"),
        (Module(nn.Linear(5, 4)), r"drive\(pre\) must give one tensor"),
    ],
)
def test_couplings(coupling: Any, words: str) -> None:
    noticed(check_coupling, coupling, words, (4,))


class Frozen(Block):
    """The product of the state at the point, whatever state it is asked for."""

    def hebbian(self, pre: Tensor, post: Any, point: Any = None) -> Gradients:
        point = self._opened(pre if point is None else point)
        heard = post.full if hasattr(post, "full") else self._pulled(post, point)
        return self.filters.hebbian(point.seen, heard, point.inner)


def test_a_block_whose_product_stays_at_the_point() -> None:
    noticed(check_coupling, Frozen(Convolution(3, 4, 3), nn.AvgPool2d(2)), "moved from the point", (3, 8, 8))


class Rowwise(Convolution):
    """Reads memory where it should read the tensor."""

    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        found = super().adjoint(post, point)
        return found if not isinstance(post, Tensor) or post.is_contiguous() else found * 2


def test_a_coupling_that_reads_memory() -> None:
    noticed(check_coupling, Rowwise(3, 4, 3), "adjoint of images with the channel last", (3, 6, 6))


# ---- potentials


class FalselyQuadratic(Tanh):
    quadratic: ClassVar[bool] = True


class NoValueQuadratic(Potential):
    quadratic: ClassVar[bool] = True

    def response(self, drive: Tensor) -> Tensor:
        return drive / (1 + drive.abs())


class Stretched(Clamp):
    """G = s² on [0, ∞), which is not s²/2."""

    slope: ClassVar[float] = 0.5
    lower: ClassVar[float] = 0.0
    lipschitz: ClassVar[float] = 0.5
    quadratic: ClassVar[bool] = True


class Shifted(Tanh):
    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        return super().gate(drive, error, plus) + 0.01


class UpsideDown(Tanh):
    def value(self, state: Tensor) -> Tensor:
        return -super().value(state)


class Total(Tanh):
    def value(self, state: Tensor) -> Tensor:
        return super().value(state).sum()


class Torn(Tanh):
    def pair(self, drive: Tensor, h: Tensor, beta: float, plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        mean, delta = super().pair(drive, h, beta, plus, alpha)
        return delta, mean


class Arrays(Tanh):
    def response(self, drive: Tensor) -> Any:
        return np.tanh(drive.detach().double().numpy())


class Failing(Gated):
    def response(self, drive: Tensor) -> Tensor:
        raise KeyError("nothing")


@pytest.mark.parametrize(
    ("potential", "words"),
    [
        (FalselyQuadratic(), "`quadratic` must be False"),
        (NoValueQuadratic(), "`quadratic` must be False"),
        (Shifted(), "tangent against differences of the response"),
        (UpsideDown(), "another state has a lower"),
        (Total(), r"value has shape \(\): must be \(24,\)"),
        (Torn(), "of pair at"),
        (Arrays(), "response is a ndarray: must be one tensor"),
        (Failing(), "response.*KeyError"),
        (Potential(), "must define response"),
    ],
)
def test_potentials(potential: Potential, words: str) -> None:
    noticed(check_potential, potential, words)


def test_a_quadratic_of_another_curvature() -> None:
    """What `quadratic` promises is the step of squared error: where it is offered, it must be the minimiser."""
    try:
        SquaredError().check(Stretched())
    except ValueError:
        return
    try:
        check_potential(Stretched())
    except AssertionError as error:
        assert "`quadratic` must be False" in str(error)
        return
    target, drive = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)
    a, pull = SquaredError().nudged(Stretched(), drive, drive * 0, target, None, 0.5, 0.0)
    # s = f(a − β(s − y)) with f(a) = a/2: s = (a + βy)/(2 + β)
    assert float(Stretched().response(a + 0.5 * pull)) == pytest.approx((1 + 0.5 * 0.7) / 2.5)


# ---- relaxations


class Forgetful(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return problem.response(state)


class ListOf(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return list(problem.response(state)), None


class Silent(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        problem.response(state)


class Mistaken(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return problem.respond_to(state), None  # pyright: ignore[reportAttributeAccessIssue]


class Remembering(Sweep):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        after, memory = super().step(problem, state, memory)
        return State(t * 0.99 for t in after), memory


class Untrue(Sweep):
    def residual(self, problem: Problem, before: State, after: State) -> Any:
        return 0.0


@pytest.mark.parametrize(
    ("relaxation", "words"),
    [
        (Forgetful(), r"step must return \(State, memory\), and returns a State"),
        (ListOf(), r"step must return \(State, memory\), and returns a tuple that begins with a list"),
        (Silent(), r"step must return \(State, memory\), and returns a NoneType"),
        (Mistaken(), r"step\(problem, state, memory\) must return .*AttributeError"),
        (Relaxation(), "must define step"),
        (Remembering(), "against a long sweep|has not converged"),
        (Untrue(), "equilibrium|residual"),
    ],
)
def test_relaxations(relaxation: Relaxation, words: str) -> None:
    noticed(check_relaxation, relaxation, words)


# ---- objectives


class Summed(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return super().value(output, target).sum()


class Plain(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Any:
        return float(super().value(output, target).sum())


class Cut(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return super().value(output.detach(), target)


class Uphill(SquaredError):
    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return target - output


class Scores(SquaredError):
    def predict(self, output: Tensor) -> Tensor:
        return output.amax(1)


class NoStep(SquaredError):
    def nudged(self, *args: Any) -> Any:
        return args[1]


class NotProximal(SquaredError):
    """Says that it takes the proximal step, and takes the linear one."""

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        plus: float,
        minus: float,
    ) -> tuple[Tensor, Tensor]:
        return drive, h - self.gradient(potential.response(drive), target)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Summed(), r"value has shape \(\): must be \(6,\)"),
        (Plain(), "value is a float: must be one tensor"),
        (Cut(), "value is cut from autograd"),
        (Uphill(), "gradient against autograd"),
        (Scores(), "predict gives torch.float64: must be torch.int64"),
        (NoStep(), r"nudged\(potential, drive"),
        (NotProximal(), "another state is better"),
        (Objective(), "value"),
    ],
)
def test_objectives(objective: Objective, words: str) -> None:
    noticed(check_objective, objective, words)


# ---- feedback


class Itself(Feedback):
    def matrix(self, weight: Tensor, wires: Tensor) -> Tensor:
        return weight


class Unseeded(Feedback):
    def draw(self, site: Site, seed: int, step: int, like: Tensor) -> Tensor:
        return super().draw(site, 0, step, like)


class Misread(Feedback):
    """Gives other wires to the record than to the way down."""

    def matrix(self, weight: Tensor, wires: Tensor) -> Tensor:
        return wires

    def adjoint(self, *args: Any) -> Any:
        found = super().adjoint(*args)
        return None if found is None else found * float("nan")


class WrongShape(Feedback):
    def matrix(self, weight: Tensor, wires: Tensor) -> Tensor:
        return wires.T.contiguous()


class Undrawn(Feedback):
    def draw(self, site: Site, seed: int, step: int, like: Tensor) -> Any:
        return None


class Global(Feedback):
    def draw(self, site: Site, seed: int, step: int, like: Tensor) -> Tensor:
        return torch.randn(site.shape).to(like)


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        (Itself(), "is the weight itself: that is `tied`"),
        (Unseeded(), "another seed draws the same wires"),
        (Misread(), "nan|not finite|differs"),
        (WrongShape(), "B of|matrix"),
        (Undrawn(), "wires|draw"),
        (Global(), "draws from the global generator"),
    ],
)
def test_feedback(feedback: Feedback, words: str) -> None:
    noticed(check_feedback, feedback, words)


# ---- models


class Seedless(MLP):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        return super().build(shape, classes, seed=0)


class HalfSeeded(MLP):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fixed = (super(HalfSeeded, self).build(shape, classes, seed=one) for one in (seed, 0))
        with torch.no_grad():
            for here, there in zip(network.couplings[0].parameters(), fixed.couplings[0].parameters(), strict=True):
                here.copy_(there)
        return network


class Unbuilt(Model):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Any:
        return nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Seedless(sizes=[6]), "another seed gives the same weights"),
        (HalfSeeded(sizes=[6]), r"another seed gives the same weights couplings\.0\.weight"),
        (Unbuilt(), "build returns a Linear: must be a Network"),
        (Model(), "must define build"),
    ],
)
def test_models(model: Model, words: str) -> None:
    noticed(check_model, model, words, (1, 4, 4), 3)


# ---- rules


class Meaned(Contrast):
    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        return [one / len(settled.x) for one in super().spend(network, settled, scale)]


class Twice(Contrast):
    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        return super().spend(network, settled, 2 * scale)

    def learn(self, *args: Any, **kwargs: Any) -> Settled:
        return Rule.learn(self, *args, **kwargs)


class Forgotten(Contrast):
    """`learn` of the base knows nothing of what `spend` does here."""

    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        return [one.clamp(-1e-3, 1e-3) for one in super().spend(network, settled, scale)]


class OfRule(Rule):
    """Divides by the batch."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one / len(settled.x) for one in Contrast().update(network, settled)]


class Dictionary(Rule):
    def update(self, network: Network, settled: Settled) -> Any:
        return dict.fromkeys(["weight"], 1.0)


class Unpaired(Rule):
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return Contrast().update(network, settled)[:-1]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Meaned(), "sum over its samples"),
        (OfRule(), "sum over its samples"),
        (Twice(), "against autograd"),
        (Forgotten(), "sum over its samples|mean over the batch"),
        (Dictionary(), "update"),
        (Unpaired(), "one tensor of each parameter's shape"),
        (Rule(), "must define update"),
    ],
)
def test_rules(rule: Rule, words: str) -> None:
    noticed(check_rule, rule, words)


class Flat(Hebb):
    def plastic(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return drive.sum(-1)


class Numbers(Hebb):
    def plastic(self, drive: Tensor, target: Tensor | None) -> Any:
        return drive.tolist()


class Backwards(Oja):
    def step(self, *args: Any) -> Any:
        step, bias = super().step(*args)
        return -step, bias


class Slower(Oja):
    def _scaled(self, *args: Any) -> Tensor:
        return super()._scaled(*args) / 2


class Loud(SoftHebb):
    def energy(self, drive: Tensor) -> Tensor:
        return super().energy(drive).detach()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Flat(), r"plastic has shape \(5, 1\) for \(5, 1, 12\)"),
        (Numbers(), "plastic is a list: must be one tensor"),
        (Backwards(), "sign of the update"),
        (Slower(), "against −η_k Δw_k"),
        (Loud(variant=Variant.SOFT), "energy is cut from autograd"),
    ],
)
def test_rules_without_feedback(rule: Local, words: str) -> None:
    noticed(check_plasticity, rule, words)
    noticed(check_rule, rule, words)


class Running(Rule):
    """Subtracts a running mean of the output's error, which it keeps in a buffer of the network."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        found = Contrast().update(network, settled)
        held = getattr(network, "running", torch.zeros_like(found[-1]))
        network.register_buffer("running", 0.9 * held + 0.1 * found[-1] / len(settled.x))
        found[-1] = found[-1] - network.running * len(settled.x)
        return found


class Threshold(Oja):
    """A sliding threshold: the running mean square of what is seen divides what is learnt."""

    decayed: ClassVar[bool] = False

    def change(self, opened: Filtered, settled: Settled) -> tuple[Tensor, Tensor | None]:
        held = getattr(opened.filters, "level", torch.tensor(0.0))
        level = 0.9 * held + 0.1 * opened.seen.double().square().mean()
        opened.filters.register_buffer("level", level)
        change, bias = super().change(opened, settled)
        return change / (1 + level), bias


def test_rules_may_keep_state_in_buffers_of_the_network() -> None:
    assert check_rule(Running()) == []
    assert check_plasticity(Threshold()) == []


# ---- spiking parts


class Negative(Logistic):
    def slope(self, v: Tensor) -> Tensor:
        return -super().slope(v)


class Listed(Logistic):
    def slope(self, v: Tensor) -> Any:
        return v.tolist()


class Away(VanRossum):
    def cost(self, *args: Any) -> Tensor:
        return super().cost(*args).detach()


@pytest.mark.parametrize(("surrogate", "words"), [(Negative(), "negative"), (Listed(), "slope is a list")])
def test_surrogates(surrogate: Logistic, words: str) -> None:
    noticed(check_surrogate, surrogate, words)


def test_spike_errors() -> None:
    noticed(check_spike_error, Away(), "cut from autograd")


# ---- all of them

CHECKS: list[tuple[Any, tuple[Any, ...], type]] = [
    (check_component, (), Tanh),
    (check_coupling, ((4,),), Skip),
    (check_feedback, (), Random),
    (check_model, (), MLP),
    (check_objective, (), SquaredError),
    (check_plasticity, (), Oja),
    (check_potential, (), Tanh),
    (check_relaxation, (), Sweep),
    (check_rule, (), Contrast),
    (check_settler, (), DualPropagation),
    (check_spike_error, (), VanRossum),
    (check_surrogate, (), Logistic),
]


@pytest.mark.parametrize(("check", "arguments", "cls"), CHECKS)
def test_another_thing_or_a_class_is_refused_in_words(check: Any, arguments: tuple[Any, ...], cls: type) -> None:
    for subject, words in ((nn.Linear(4, 4), "is no "), (None, "is no "), (cls, "is a class: check an instance")):
        with pytest.raises(AssertionError, match=words) as caught:
            check(subject, *arguments)
        assert "\n" not in str(caught.value)


def test_the_cause_is_kept() -> None:
    with pytest.raises(AssertionError) as caught:
        check_relaxation(Mistaken())
    assert isinstance(caught.value.__cause__, AttributeError)


def test_chance_is_noticed_and_put_back() -> None:
    class Chancy(Identity):
        def response(self, drive: Tensor) -> Tensor:
            torch.rand(1)
            return drive

    held = torch.get_rng_state()
    noticed(check_potential, Chancy(), "draws from the global generator")
    assert torch.equal(held, torch.get_rng_state())


def test_a_component_that_a_second_decorator_has_spoilt() -> None:
    spoilt = dataclasses.dataclass(type("Spoilt", (Tanh,), {}))
    noticed(check_component, spoilt(), "copied and hashed by its fields")
