"""Angles of gradients against numpy and against autograd."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from energy.analysis.gradient_alignment import angles, cosine, gradient_alignment
from energy.objectives import CrossEntropy, SquaredError, one_hot
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.reference import exact_settler, further
from energy.train.run import Run

Maker = Callable[..., Run]


def _numpy_cosine(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    a, b = (np.concatenate([t.double().numpy().ravel() for t in tensors]) for tensors in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_cosine_is_numpys() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = ([torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)] for _ in range(2))
    assert cosine(one, other) == pytest.approx(_numpy_cosine(one, other), rel=1e-12)
    assert cosine(one, one) == pytest.approx(1.0, abs=1e-15)
    assert cosine(one, [-tensor for tensor in one]) == pytest.approx(-1.0, abs=1e-15)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_there_is_no_angle_with_what_is_not_finite(bad: float) -> None:
    assert cosine([torch.full((3,), bad)], [torch.ones(3)]) is None
    assert cosine([torch.zeros(3)], [torch.full((3,), bad)]) is None


def test_nothing_learned_is_at_a_right_angle_unless_there_is_nothing_to_learn() -> None:
    assert cosine([torch.zeros(3)], [torch.ones(3)]) == 0.0
    assert cosine([torch.ones(3)], [torch.zeros(3)]) is None


def test_layers_and_the_worst_of_them(make_run: Maker) -> None:
    network = make_run().network()
    wanted = [torch.ones_like(parameter) for parameter in network.parameters()]
    given = [tensor.clone() for tensor in wanted]
    given[2][0] = -1.0  # one row of ten in the output layer: (108 + 10 - 2 * 12) / 130 over weights and biases
    found = angles(network, given, wanted)
    assert found["cosines"]["dense1"] == pytest.approx(1.0)
    assert found["cosines"]["output"] == pytest.approx(1 - 2 * 12 / 130)
    assert (found["cosine_worst_layer"], found["cosine_worst"]) == ("output", found["cosines"]["output"])
    assert found["cosine_whole"] == pytest.approx(_numpy_cosine(given, wanted))


def test_the_exact_gradient_at_gamma_zero_is_autograd(make_run: Maker) -> None:
    run = make_run(precision="float64")
    network = run.network()
    x, labels = run.data.load("cpu", 0, torch.float64).train.take(slice(0, 16))
    target = one_hot(labels, 10, torch.float64)
    settled = exact_settler(DualPropagation(), torch.float64).settle(network, x, target, CrossEntropy())
    wanted = torch.autograd.grad(CrossEntropy().value(network(x), target).sum(), list(network.parameters()))
    for one, other in zip(Contrast().gradients(network, settled), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_reference_runs_the_same_relaxation_on() -> None:
    settler = EquilibriumPropagation(gamma=0.25, relax=Zebra(max_steps=7, tolerance=0.0))
    exact = exact_settler(settler)
    assert exact.gamma == 0.25
    assert isinstance(exact.relax, Zebra)
    assert exact.relax.max_steps >= 300
    assert 0 < exact.relax.tolerance <= 1e-6
    assert further(Sweep(max_steps=1000), torch.float32).max_steps == 5000


def test_equilibrium_propagation_with_little_nudge_is_close_at_its_own_gamma(make_run: Maker) -> None:
    run = make_run(precision="float64", model={"hidden": {"name": "tanh"}, "gain": 0.3})
    network = run.network()
    x, labels = run.data.load("cpu", 0, torch.float64).train.take(slice(0, 16))
    settled = Sweep(max_steps=300, tolerance=1e-10)
    settler = EquilibriumPropagation(gamma=0.7, beta=1e-3, relax=settled, nudged=settled)
    found = gradient_alignment(network, settler, Contrast(), SquaredError(), x, one_hot(labels, 10, torch.float64))
    assert found["cosine_worst"] > 1 - 1e-6
    other = gradient_alignment(
        network, Feedforward(), Contrast(), SquaredError(), x, one_hot(labels, 10, torch.float64)
    )
    assert other["cosines"]["dense1"] == 0.0  # nothing is learnt there, though there is something to learn
    assert other["cosine_worst_layer"] != "output"


def test_probing_changes_neither_weights_nor_grads(make_run: Maker) -> None:
    run = make_run()
    network = run.network()
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    x, labels = run.data.load("cpu", 0).train.take(slice(0, 8))
    gradient_alignment(network, Backprop(), Contrast(), CrossEntropy(), x, one_hot(labels, 10))
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert torch.equal(parameter.grad, torch.full_like(old, 3.0))  # type: ignore[arg-type]
