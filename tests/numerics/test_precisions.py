"""States in the precision of x over weights of another, targets of any, autocast, and autograd switched off."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from energy.couplings import Convolution, Coupling, Dense, Module
from energy.couplings.block import Block
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Identity, Potential, RePU, Tanh
from energy.rules.contrast import Contrast
from energy.rules.softhebb import SoftHebb
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking
from energy.settle.surrogate import SurrogateBackprop
from energy.settle.two_phase import CoupledLearning, Phases, TwoPhase
from tests.settle import nets
from tests.settle.oracles import gap


class Softsign(Potential):
    """A response by autograd."""

    def response(self, drive: Tensor) -> Tensor:
        return drive / (1 + drive.abs())


class Soft(Coupling):
    """−⟨post, W tanh(pre)⟩ as an energy alone."""

    def __init__(self, cast: bool = True) -> None:
        super().__init__()
        self.weight, self.cast = nn.Parameter(torch.zeros(5, 6)), cast

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        weight = self.weight.to(pre.dtype) if self.cast else self.weight
        return -torch.einsum("bi,ij,bj->b", post, weight, pre.tanh())

    def shape(self, pre: tuple[int, ...]) -> tuple[int, ...]:
        return (5,)


def mixed() -> Network:
    """Every kind of coupling, weights in float32."""
    network = Network((2, 4, 4))
    first = network.add(Convolution(2, 4, 3, padding=1, pool=MaxPool(2)), Tanh())
    second = network.add(Module(nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.LayerNorm(6), nn.Tanh())), Softsign())
    prepare = (nn.Flatten(), nn.BatchNorm1d(16, affine=False))
    network.add({second: Soft(), first: Block(Dense(16, 5), *prepare, centered=True)}, Softsign())
    network.add(Dense(5, 3), Identity())
    return nets.draw(network, 0.5, 0).float()


FEW: dict[str, Any] = {"relax": nets.once(3), "nudged": nets.once(3)}
SETTLERS: list[Settler] = [
    DualPropagation(),
    EquilibriumPropagation(gamma=0.5, beta=0.1, **FEW),
    EquilibriumPropagation(gamma=0.5, beta=0.1, freeze_mean=False, **FEW),
    ContrastiveHebbian(gamma=0.5, **FEW),
    Implicit(gamma=0.5, **FEW),
    TwoPhase(gamma=0.5, **FEW),
    CoupledLearning(gamma=0.5, **FEW),
    Feedforward(),
    Spiking(),
    Backprop(),
    SurrogateBackprop(),
]
IDS = (
    "dual",
    "held",
    "joint",
    "clamped",
    "implicit",
    "phases",
    "coupled",
    "feedforward",
    "spiking",
    "tape",
    "unrolled",
)
settlers = pytest.mark.parametrize("settler", SETTLERS, ids=IDS)


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("target_dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-6), (torch.bfloat16, 0.25)], ids=str)
@settlers
def test_states_have_the_precision_of_x(
    settler: Settler, dtype: torch.dtype, limit: float, target_dtype: torch.dtype
) -> None:
    """Against the same network in float64: weights are cast exactly, gradients rounded to float32."""
    network, exact = mixed(), mixed().double()
    x, target = nets.batch(network, dtype=dtype)
    settled: Any = settler.settle(network, x, target.to(target_dtype), nets.FROZEN)
    states = [*getattr(settled, "mean", ()), *(d for d in getattr(settled, "delta", ()) if d is not None)]
    for phase in getattr(settled, "phases", ()):
        states += phase.state
    assert {state.dtype for state in (settled.output, *states)} == {dtype}
    found = Contrast().gradients(network, settled)
    assert {gradient.dtype for gradient in found} == {torch.float32}
    assert settler.predict(network, x).output.dtype is dtype
    if not isinstance(settler, Spiking | SurrogateBackprop | Phases):  # thresholds, and differences of stored products
        wanted = Contrast().gradients(exact, settler.settle(exact, x.double(), target.double(), nets.FROZEN))
        assert gap(found, wanted) < limit


@settlers
def test_numbers_that_no_unit_has_stay_refused(settler: Settler) -> None:
    network = mixed()
    x, target = nets.batch(network, dtype=torch.float32)
    for dtype in (torch.int64, torch.bool, torch.complex64):
        with pytest.raises(ValueError, match=rf"^x is {dtype}: must be floating point"):
            settler.settle(network, x.to(dtype), target, nets.FROZEN)
        with pytest.raises(ValueError, match=rf"^target is {dtype}: must be floating point"):
            settler.settle(network, x, target.to(dtype), nets.FROZEN)


@settlers
def test_autocast_is_refused_with_its_cure(settler: Settler) -> None:
    network = mixed()
    x, target = nets.batch(network, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for go in (
            lambda: Contrast().learn(network, settler, x, target, nets.FROZEN),
            lambda: settler.predict(network, x),
            lambda: network(x),
        ):
            with pytest.raises(ValueError, match=r"^torch\.autocast is on: must be off.*give x\.bfloat16\(\)"):
                go()
        with torch.autocast("cpu", enabled=False):
            network(x)


def test_a_coupling_that_cannot_hear_a_precision_is_named() -> None:
    class Scaled(Coupling):
        """Answers in the wider of two precisions."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, pre: Tensor) -> Tensor:
            return pre * self.weight

    for coupling, reason in (
        (Soft(cast=False), "expected|same dtype|scalar type"),
        (Scaled(), r"returns torch\.float32"),
    ):
        network = Network((6,))
        network.add(coupling, Tanh())
        network.add(Dense(torch.Size(network.shape(1)).numel(), 3), Identity())
        x, target = nets.batch(network)
        for settler in (DualPropagation(), EquilibriumPropagation(), Backprop()):
            with pytest.raises(
                ValueError, match=rf"x is torch\.bfloat16: couplings\.0, a \w+, cannot read it.*({reason})"
            ):
                settler.settle(network, x.bfloat16(), target, nets.FROZEN)
            settler.settle(network, x.float(), target, nets.FROZEN)
        network.bfloat16()
        network(x.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_statistics_are_remembered_in_every_precision(dtype: torch.dtype) -> None:
    """A tenth of the way to the mean of the batch."""
    norm, network = nn.BatchNorm1d(6, affine=False), Network((6,))
    network.add(Block(Dense(6, 5), norm, centered=True), RePU())
    network.add(Dense(5, 3), Identity())
    nets.draw(network, 1.0, 0).float()
    x, target = nets.batch(network, samples=8, dtype=dtype)
    SoftHebb().learn(network, DualPropagation(), x, target, nets.FROZEN)
    assert norm.running_mean is not None and norm.running_mean.dtype is torch.float32
    torch.testing.assert_close(norm.running_mean, 0.1 * x.float().mean(0), rtol=1e-2, atol=1e-3)


Context = Callable[[], contextlib.AbstractContextManager[Any]]


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("made", ["outside", "inside"])
@settlers
def test_learning_needs_no_tape_from_outside(settler: Settler, made: str, within: Context) -> None:
    """Bit for bit what is learnt without the context, whether x was made within or not; a tape says that it cannot."""
    network, inference = mixed().double(), within is torch.inference_mode
    x, target = nets.batch(network)
    wanted = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
    with within() if made == "inside" else contextlib.nullcontext():
        x, target = x.clone(), target.clone()
    with within():
        if inference and isinstance(settler, Backprop | SurrogateBackprop):
            with pytest.raises(
                ValueError, match=rf"settler={settler.name} walks back.*inference_mode.*leave that mode"
            ):
                settler.settle(network, x, target, nets.FROZEN)
        else:
            found = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
            assert all(map(torch.equal, found, wanted))
        predicted = settler.predict(network, x).output
    torch.testing.assert_close(settler.predict(network, x).output, predicted, rtol=0, atol=0)
    found = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
    assert all(map(torch.equal, found, wanted))


def test_weights_made_without_autograd_are_refused() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match=r"layer 1: made under torch\.inference_mode"):
        Network((4,)).add(Dense(4, 3), Identity())
