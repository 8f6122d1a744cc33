"""The same numbers on a GPU as on the CPU, and no wait for the device inside a step."""

import pytest
import torch

from energy.couplings import Convolution, Dense
from energy.models.vgg import VGG16
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.pooling import AveragePool, MaxPool
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, TwoPhase, TwoPhaseContrastiveHebbian
from energy.stream import stream

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SETTLERS = [
    Backprop(),
    DualPropagation(),
    DualPropagation(alpha=1.0),
    EquilibriumPropagation(),
    Implicit(),
    ContrastiveHebbian(),
    TwoPhase(),
    TwoPhaseContrastiveHebbian(),
    CoupledLearning(),
    Feedforward(),
]


def small(pool: AveragePool | MaxPool) -> Network:
    network = Network((3, 8, 8))
    network.add(Convolution(3, 6, 3, padding=1, pool=pool), HardSigmoid())
    network.add(Convolution(6, 8, 3, padding=1, pool=AveragePool(2)), Tanh())
    network.add(Dense(32, 5), Identity())
    for name, parameter in network.named_parameters():
        parameter.data.normal_(0, 0.3 / parameter[0].numel() ** 0.5, generator=stream(0, name))
    return network.double()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=stream(1, "x"))
    return x, one_hot(torch.arange(4), 5, torch.float64)


@pytest.mark.parametrize("settler", SETTLERS, ids=lambda settler: settler.name)
@pytest.mark.parametrize("pool", [AveragePool(2), MaxPool(2)], ids=lambda pool: type(pool).__name__)
def test_gradients_agree_with_those_of_the_cpu(settler: Settler, pool: AveragePool | MaxPool) -> None:
    x, target = batch()
    rule, objective = Contrast(), SquaredError()
    here, there = small(pool), small(pool).cuda()
    expected = rule.gradients(here, settler.settle(here, x, target, objective))
    found = rule.gradients(there, settler.settle(there, x.cuda(), target.cuda(), objective))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-9, atol=1e-11)


def test_a_step_of_dual_propagation_never_waits_for_the_device() -> None:
    network = small(MaxPool(2)).cuda()
    x, target = (tensor.cuda() for tensor in batch())
    rule, objective, settler = Contrast(), SquaredError(), DualPropagation()
    rule.apply(network, settler.settle(network, x, target, objective))
    torch.cuda.set_sync_debug_mode("error")
    try:
        rule.apply(network, settler.settle(network, x, target, objective))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_fixed_number_of_sweeps_never_waits_for_the_device() -> None:
    network = small(MaxPool(2)).cuda()
    x, target = (tensor.cuda() for tensor in batch())
    fixed = Sweep(max_steps=5, tolerance=0.0)
    settler = EquilibriumPropagation(relax=fixed, nudged=fixed)
    settler.settle(network, x, target, SquaredError())
    torch.cuda.set_sync_debug_mode("error")
    try:
        settler.settle(network, x, target, SquaredError())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("settler", [Backprop(), DualPropagation(), Feedforward()], ids=lambda settler: settler.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_vgg16_takes_a_step(settler: Settler, dtype: torch.dtype) -> None:
    network = VGG16().build((3, 32, 32), 10, seed=0).cuda()
    x = torch.randn(8, 3, 32, 32, generator=stream(1, "x")).to("cuda", dtype)
    Contrast().apply(network, settler.settle(network, x, one_hot(torch.arange(8), 10, dtype).cuda(), SquaredError()))
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)
