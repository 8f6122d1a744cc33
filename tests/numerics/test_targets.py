"""Targets of three kinds: their vectors, the objectives on them, and gradients that are learned from them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError, choices
from energy.couplings import Dense
from energy.network import Network
from energy.objectives import BinaryCrossEntropy, CrossEntropy, Nudge, Objective, SquaredError
from energy.potentials import HardSigmoid, Identity, Potential, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.settler import Settler
from energy.stream import stream
from energy.targets import TargetKind, class_numbers, from_array, one_hot, target_of

DOUBLE = torch.float64
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64)


def drawn(*shape: int, purpose: str = "drawn") -> Tensor:
    return torch.randn(*shape, generator=stream(3, purpose), dtype=DOUBLE)


@pytest.mark.parametrize("kind", [*WHOLE, torch.bool])
def test_whole_numbers_of_every_type_make_the_same_targets(kind: torch.dtype) -> None:
    labels = torch.tensor([1, 0, 1]).to(kind)
    assert one_hot(labels, 2).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert one_hot(labels.numpy(), 2).tolist() == [[0, 1], [1, 0], [0, 1]]  # type: ignore[arg-type]
    assert class_numbers(labels, 2).dtype is torch.int64


@pytest.mark.parametrize("kind", ["<i2", ">i2", ">u4", ">f8"])
def test_arrays_keep_their_numbers_in_any_byte_order(kind: str) -> None:
    assert from_array(np.array([1, 2, 300], kind)).tolist() == [1, 2, 300]


def test_labels_beyond_what_the_classes_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reach above 9223372036854775807"):
        one_hot(torch.tensor([0, 2**64 - 1], dtype=torch.uint64), 3)
    with pytest.raises(ValueError, match=r"labels reach from 0 to 255: must be in 0 … 2"):
        one_hot(torch.tensor([0, 255], dtype=torch.uint8), 3)
    with pytest.raises(ValueError, match=r"labels reach from -1 to 0"):
        one_hot(torch.tensor([0, -1], dtype=torch.int8), 3)
    with pytest.raises(ValueError, match=r"labels is torch.float32: must be whole numbers; labels.long\(\) makes"):
        one_hot(torch.tensor([0.0, 1.0]), 2)


def test_vectors_are_targets_as_they_are() -> None:
    real = drawn(4, 3)
    assert torch.equal(target_of(real, 3, TargetKind.REAL, DOUBLE), real)
    on = torch.tensor([[1, 0], [0, 0]], dtype=torch.uint8)
    assert target_of(on, 2, TargetKind.LABELS).tolist() == [[1, 0], [0, 0]]
    assert torch.equal(target_of(torch.tensor([2, 0]), 3, TargetKind.CLASSES), one_hot(torch.tensor([2, 0]), 3))


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (torch.zeros(4, 2), TargetKind.REAL, r"shape \(4, 2\): must be \(B, 3\)"),
        (torch.zeros(4), TargetKind.REAL, r"shape \(4,\): must be \(B, 3\)"),
        (torch.zeros(4, 3, dtype=torch.int64), TargetKind.REAL, r"must be floating; labels.double\(\)"),
        (torch.full((4, 3), 2), TargetKind.LABELS, r"must be 0 or 1"),
    ],
)
def test_vectors_of_another_form_are_refused(labels: Tensor, kind: TargetKind, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target_of(labels, 3, kind)


@pytest.mark.parametrize("objective", [SquaredError(), BinaryCrossEntropy(), CrossEntropy(smoothing=0.1)])
def test_gradients_are_those_of_finite_differences(objective: Objective) -> None:
    """(C(s + ε e) − C(s − ε e))/2ε along every axis, with an error of ε²."""
    output, step = 3 * drawn(2, 4), 1e-5
    target = drawn(2, 4, purpose="target").sigmoid()
    gradient = objective.gradient(output, target)
    for sample in range(2):
        for unit in range(4):
            shift = torch.zeros_like(output)
            shift[sample, unit] = step
            ends = [objective.value(output + sign * shift, target)[sample] for sign in (1, -1)]
            assert gradient[sample, unit].item() == pytest.approx(float(ends[0] - ends[1]) / (2 * step), abs=1e-8)


def test_binary_cross_entropy_by_hand() -> None:
    """A logit of 0 costs ln 2 whatever the label, one of ln 3 costs ln(4/3) if it is on and ln 4 if it is off."""
    output, target = torch.tensor([[0.0, math.log(3), math.log(3)]], dtype=DOUBLE), torch.tensor([[1.0, 1.0, 0.0]])
    wanted = math.log(2) + math.log(4 / 3) + math.log(4)
    assert BinaryCrossEntropy().value(output, target.double()).item() == pytest.approx(wanted, rel=1e-14)
    torch.testing.assert_close(
        BinaryCrossEntropy().gradient(output, target.double()), torch.tensor([[-0.5, -0.25, 0.75]], dtype=DOUBLE)
    )


def test_binary_cross_entropy_of_large_logits_is_finite() -> None:
    output, target = torch.tensor([[1e4, -1e4]]), torch.tensor([[0.0, 0.0]])
    assert BinaryCrossEntropy().value(output, target).item() == pytest.approx(1e4)
    assert BinaryCrossEntropy().gradient(output, target).tolist() == [[1.0, 0.0]]


def test_what_an_output_says() -> None:
    output = torch.tensor([[-0.2, 0.4, 0.6]])
    assert SquaredError().answer(output, TargetKind.LABELS).tolist() == [[False, False, True]]
    assert BinaryCrossEntropy().answer(output, TargetKind.LABELS).tolist() == [[False, True, True]]
    assert SquaredError().answer(output, TargetKind.REAL) is output
    assert BinaryCrossEntropy().answer(output, TargetKind.CLASSES).tolist() == [2]


def test_objectives_and_targets_that_do_not_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"objective=cross_entropy: is not for .*diabetes.*take squared_error"):
        CrossEntropy().validate_targets(TargetKind.REAL, "diabetes")
    with pytest.raises(ConfigurationError, match=r"binary_cross_entropy: is not for .*take squared_error"):
        BinaryCrossEntropy().validate_targets(TargetKind.REAL)
    with pytest.raises(ConfigurationError, match=r"take binary_cross_entropy or squared_error"):
        CrossEntropy().validate_targets(TargetKind.LABELS)
    for cls in choices(Objective).values():
        if TargetKind.CLASSES in cls.targets:
            cls().validate_targets(TargetKind.CLASSES)


def test_binary_cross_entropy_needs_logits_and_a_linear_nudge() -> None:
    with pytest.raises(ConfigurationError, match=r"the output must be identity, not HardSigmoid"):
        BinaryCrossEntropy().validate_output(HardSigmoid())
    with pytest.raises(ConfigurationError, match=r"objective.nudge=proximal: binary_cross_entropy defines no"):
        BinaryCrossEntropy(nudge=Nudge.PROXIMAL).validate_output(Identity())


def built(hidden: Potential) -> Network:
    network = Network((6,))
    network.add(Dense(6, 9), hidden, name="hidden")
    network.add(Dense(9, 3), Identity(), name="output")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=stream(5, "weights", len(name))))
    return network.double()


def autograd(network: Network, act: Callable[[Tensor], Tensor], x: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the mean cost of a batch by back-propagation, written out and put in one row."""
    theta = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    w1, b1, w2, b2 = theta
    cost(F.linear(act(F.linear(x, w1, b1)), w2, b2)).backward()
    return torch.cat([one.grad.flatten() for one in theta if one.grad is not None])


def learned(network: Network, settler: Settler, objective: Objective, x: Tensor, target: Tensor) -> Tensor:
    Contrast().learn(network, settler, x, target, objective)
    return torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])


REAL = 2 * drawn(8, 3, purpose="real")
ON = (drawn(8, 3, purpose="on") > 0).double()
CASES = {
    "squared error": (REAL, lambda out: 0.5 * (out - REAL).square().sum() / len(REAL)),
    "binary": (ON, lambda out: F.binary_cross_entropy_with_logits(out, ON, reduction="sum") / len(ON)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("nudge", [Nudge.LIVE, Nudge.FROZEN])
def test_dual_propagation_learns_what_back_propagation_does(case: str, nudge: Nudge) -> None:
    """Without feedback and with units that are linear in pieces a small nudge crosses no corner: the same at any β.

    Live, the error is that at the free output, which no nudge moves where α = ½; so both are exact.
    """
    target, cost = CASES[case]
    objective = SquaredError(nudge=nudge) if case == "squared error" else BinaryCrossEntropy(nudge=nudge)
    network, x = built(HardSigmoid()), drawn(8, 6, purpose="x")
    wanted = autograd(network, lambda a: a.clamp(0, 1), x, cost)
    found = learned(network, DualPropagation(beta=1e-6), objective, x, target)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_gap_of_a_smooth_network_falls_with_the_square_of_the_nudge(case: str) -> None:
    target, cost = CASES[case]
    objective = SquaredError(nudge=Nudge.FROZEN) if case == "squared error" else BinaryCrossEntropy()
    network, x = built(Tanh()), drawn(8, 6, purpose="x")
    wanted = autograd(network, torch.tanh, x, cost)
    gaps = [
        float((learned(network, DualPropagation(beta=beta), objective, x, target) - wanted).norm())
        for beta in (0.2, 0.1)
    ]
    assert 3.5 < gaps[0] / gaps[1] < 4.5


@pytest.mark.parametrize("case", CASES)
def test_equilibrium_propagation_learns_the_gradient_at_its_equilibrium(case: str) -> None:
    """Against autograd through the equilibrium itself, found by iterating s ← f(Wx + b + Aᵀs_above) to rest."""
    target, cost = CASES[case]
    objective = SquaredError(nudge=Nudge.FROZEN) if case == "squared error" else BinaryCrossEntropy()
    network, x, gamma = built(Tanh()), drawn(8, 6, purpose="x"), 0.3
    theta = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    w1, b1, w2, b2 = theta
    hidden, output = torch.zeros(8, 9, dtype=DOUBLE), torch.zeros(8, 3, dtype=DOUBLE)
    for _ in range(200):
        hidden = torch.tanh(F.linear(x, w1, b1) + gamma * output @ w2)
        output = F.linear(hidden, w2, b2)
    cost(output).backward()
    exact = Sweep(max_steps=2000, tolerance=1e-14)
    settler = EquilibriumPropagation(gamma=gamma, beta=1e-5, relax=exact, nudged=exact)
    found = learned(network, settler, objective, x, target)
    wanted = torch.cat([one.grad.flatten() for one in theta if one.grad is not None])
    cosine = float(F.cosine_similarity(found, wanted, dim=0))
    assert cosine > 1 - 1e-6


def test_a_class_is_the_case_of_a_real_target_that_is_one_hot() -> None:
    """Squared error on class 2 and on the real vector (0, 0, 1): the same value, gradient and learned product."""
    labels = torch.arange(8) % 3
    target = target_of(labels, 3, TargetKind.CLASSES, DOUBLE)
    real = target_of(torch.eye(3, dtype=DOUBLE)[labels], 3, TargetKind.REAL, DOUBLE)
    network, x = built(HardSigmoid()), drawn(8, 6, purpose="x")
    products = [learned(network, DualPropagation(beta=0.5), SquaredError(), x, one).clone() for one in (target, real)]
    assert torch.equal(*products)
    assert products[0].norm() > 0
