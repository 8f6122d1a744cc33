"""`update` and `gradients` leave what was settled; `apply` and `learn` may use it up, and then it says so."""

import pytest
import torch

from energy.objectives import SquaredError
from energy.rules.contrast import Contrast
from energy.settle import Backprop, ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Feedforward, Settler
from energy.settle.two_phase import TwoPhase
from energy.testing.small import batch, contracting

DYADS = [DualPropagation(), EquilibriumPropagation(), ContrastiveHebbian(), Feedforward()]
X, TARGET = batch()


@pytest.mark.parametrize("settler", [*DYADS, Backprop(), TwoPhase()], ids=lambda s: s.label)
def test_update_and_gradients_leave_the_states(settler: Settler) -> None:
    network, rule = contracting(), Contrast()
    settled = settler.settle(network, X, TARGET, SquaredError())
    first, second, third = (
        rule.gradients(network, settled),
        rule.gradients(network, settled),
        rule.update(network, settled),
    )
    for one, other, minus in zip(first, second, third, strict=True):
        assert torch.equal(one, other) and torch.equal(one, -minus)
    rule.apply(network, settled)
    for parameter, one in zip(network.parameters(), first, strict=True):
        torch.testing.assert_close(parameter.grad, one / len(X))


@pytest.mark.parametrize("settler", [*DYADS, Backprop()], ids=lambda s: s.label)
def test_what_was_used_up_says_so(settler: Settler) -> None:
    network, rule = contracting(), Contrast()
    settled = settler.settle(network, X, TARGET, SquaredError())
    rule.apply(network, settled)
    for again in (rule.apply, rule.update, rule.gradients):
        with pytest.raises(ValueError, match=r"used up by Rule\.apply or Rule\.learn: settle again"):
            again(network, settled)


@pytest.mark.parametrize("settler", DYADS, ids=lambda s: s.label)
def test_states_after_learn_say_so(settler: Settler) -> None:
    network = contracting()
    learnt = Contrast().learn(network, settler, X, TARGET, SquaredError())
    for ask in (lambda: learnt.mean[0], lambda: learnt.delta[0], lambda: list(learnt.mean)):  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="used up"):
            ask()
    assert torch.isfinite(learnt.output).all()
