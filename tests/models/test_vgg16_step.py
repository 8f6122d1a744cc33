"""The network of the papers takes a training step under every settler that needs no feedback."""

import pytest
import torch

from energy.models.vgg import VGG16
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.relax.dyad import NudgeForm
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.stream import stream

pytestmark = pytest.mark.slow  # 34 million weights

SETTLERS = {
    "backprop": Backprop(),
    "adjoint ½": DualPropagation(beta=0.02),
    "adjoint 0": DualPropagation(beta=0.02, alpha=0.0),
    "adjoint 1": DualPropagation(beta=0.02, alpha=1.0),
    "saddle 0": DualPropagation(beta=0.02, alpha=0.0, form=NudgeForm.SADDLE),
    "equilibrium propagation": EquilibriumPropagation(gamma=0.0, beta=0.02, nudged=DualPropagation().nudged),
    "implicit": Implicit(gamma=0.0, nudged=DualPropagation().nudged),
    "feedforward": Feedforward(),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return VGG16().build((3, 32, 32), 10, seed=0)


@pytest.fixture(scope="module")
def exact(network: Network) -> list[torch.Tensor]:
    x, target = batch()
    return Contrast().gradients(network, Backprop().settle(network, x, target, CrossEntropy()))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3, 32, 32, generator=stream(0, "x")), one_hot(torch.tensor([3, 7]), 10)


@pytest.mark.parametrize("name", SETTLERS)
def test_a_step_at_no_feedback(name: str, network: Network, exact: list[torch.Tensor]) -> None:
    settler: Settler = SETTLERS[name]
    x, target = batch()
    settled = settler.settle(network, x, target, CrossEntropy())
    gradients = Contrast().gradients(network, settled)
    assert settled.ledger.backprop_steps(network, 2) == pytest.approx(1.0 if name != "feedforward" else 0.334, abs=2e-3)
    cosine = torch.nn.functional.cosine_similarity
    for gradient, other in zip(gradients, exact, strict=True):
        assert torch.isfinite(gradient).all()
        if name != "feedforward":
            assert cosine(gradient.flatten(), other.flatten(), dim=0) > 0.95
