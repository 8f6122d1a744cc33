"""What `settle` returns can be read any number of times; what `Rule.learn` has read says so."""

import pytest
import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle import (
    Backprop,
    ContrastiveHebbian,
    DualPropagation,
    EquilibriumPropagation,
    Feedforward,
    Settled,
    Settler,
    Spiking,
    SurrogateBackprop,
)
from energy.settle.feedforward import SettledFree
from energy.settle.settled import SettledDyad, SettledTape
from energy.settle.two_phase import TwoPhase
from energy.testing.small import batch, contracting
from tests.settle import nets

DYADS = [DualPropagation(), DualPropagation(nudged=nets.once(3)), EquilibriumPropagation(), ContrastiveHebbian()]
TAPES = [Backprop(), SurrogateBackprop()]
X, TARGET = batch()
SAID = r"were read by Rule\.learn, which frees them: settle again, and keep what settler\.settle returns"


def label(settler: Settler) -> str:
    return settler.name


@pytest.mark.parametrize("settler", [*DYADS, Feedforward(), TwoPhase(), *TAPES, Spiking()], ids=label)
def test_what_settle_returns_is_never_used_up(settler: Settler) -> None:
    network, rule = contracting(), Contrast()
    settled = settler.settle(network, X, TARGET, SquaredError())
    first = [g.clone() for g in rule.gradients(network, settled)]
    for _ in range(2):
        rule.apply(network, settled)
        for parameter, one in zip(network.parameters(), first, strict=True):
            torch.testing.assert_close(parameter.grad, one / len(X))
        for one, other, minus in zip(
            first, rule.gradients(network, settled), rule.update(network, settled), strict=True
        ):
            assert torch.equal(one, other) and torch.equal(one, -minus)


@pytest.mark.parametrize("settler", DYADS, ids=label)
def test_states_after_learn_say_that_they_were_read(settler: Settler) -> None:
    network = contracting()
    learned = Contrast().learn(network, settler, X, TARGET, SquaredError())
    assert isinstance(learned, SettledDyad)
    asked = (
        lambda: learned.mean,
        lambda: learned.delta,
        lambda: learned.linear,
        lambda: next(learned.layers()),
        lambda: Contrast().update(network, learned),
        lambda: Contrast().apply(network, learned),
    )
    for ask in asked:
        for _ in range(2):  # the second time too
            with pytest.raises(ValueError, match=f"the layers of this result {SAID}"):
                ask()
    assert torch.isfinite(learned.output).all()


@pytest.mark.parametrize("settler", TAPES, ids=label)
def test_a_tape_after_learn_says_that_it_was_read(settler: Settler) -> None:
    network = contracting()
    learned = Contrast().learn(network, settler, X, TARGET, SquaredError())
    assert isinstance(learned, SettledTape) and learned.negative_loss is None
    for ask in (Contrast().gradients, Contrast().apply):
        with pytest.raises(ValueError, match=f"the tape of this result {SAID}"):
            ask(network, learned)


@pytest.mark.parametrize("settler", DYADS, ids=label)
@pytest.mark.parametrize("first", ["mean", "delta", "linear"])
def test_states_that_were_looked_at_can_still_be_learned_from(settler: Settler, first: str) -> None:
    """The first look at a state of `settle_once` reads all layers, and keeps them."""
    network, rule = contracting(), Contrast()
    wanted = settler.settle(network, X, TARGET, SquaredError())
    once = settler.settle_once(network, X, TARGET, SquaredError())
    assert isinstance(once, SettledDyad) and isinstance(wanted, SettledDyad)
    getattr(once, first)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(once.mean, wanted.mean, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(once.delta, wanted.delta, strict=True) if a is not None)  # type: ignore[arg-type]
        assert [type(one) for one in once.linear] == [type(one) for one in wanted.linear]
        found = rule.gradients(network, once), rule.gradients(network, wanted)
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_layers_come_from_the_output_down_each_once() -> None:
    settled = DualPropagation().settle_once(contracting(), X, TARGET, SquaredError())
    assert isinstance(settled, SettledDyad)
    layers = list(settled.layers())
    assert [one.layer for one in layers] == [3, 2, 1]
    with pytest.raises(ValueError, match=SAID):
        list(settled.layers())


class Anti(Rule, name=""):
    """Descends along minus the product of what it reads by name, layer by layer: a rule of one's own."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        assert isinstance(settled, SettledDyad)
        states, found = (settled.x, *settled.mean), list[Tensor]()
        for edge in network.edges:
            delta = settled.delta[edge.target - 1]
            assert delta is not None
            found += [delta.T @ states[edge.source], delta.sum(0)]
        return found


def test_a_rule_of_ones_own_reads_the_states_under_learn() -> None:
    """And gives the contrast's gradient at γ = 0 on dense layers, whose products are these."""
    network, other = contracting(), contracting()
    Anti().learn(network, DualPropagation(), X, TARGET, SquaredError())
    Contrast().learn(other, DualPropagation(), X, TARGET, SquaredError())
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert one.grad is not None and one.grad.any()
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-12, atol=1e-14)


class Doubled(DualPropagation, name=""):
    """Overrides `settle` alone: every difference times two."""

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        settled = super().settle(network, x, target, objective, ledger)
        assert isinstance(settled, SettledDyad)
        settled.final = tuple(
            one._replace(delta=None if one.delta is None else 2 * one.delta) for one in settled.layers()
        )
        return settled


class Onward(Doubled, name=""):
    """Derived from one that overrides `settle`."""


@pytest.mark.parametrize("kind", [Doubled, Onward])
def test_a_settler_that_overrides_settle_alone_is_learned_from(kind: type[DualPropagation]) -> None:
    network, other = contracting(), contracting()
    Contrast().learn(network, kind(), X, TARGET, SquaredError())
    Contrast().learn(other, DualPropagation(), X, TARGET, SquaredError())
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None and two.grad.any()
        assert torch.equal(one.grad, 2 * two.grad)


class Silenced(Feedforward, name=""):
    """Settles as its base, and returns a result whose output layer learns nothing."""

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> SettledFree:
        settled = super().settle(network, x, target, objective, ledger)
        settled.final = tuple(one._replace(delta=None) for one in settled.layers())
        return settled


def test_the_floor_keeps_how_it_was_solved_and_what_a_subclass_returns() -> None:
    once = Feedforward(gamma=0.5).settle_once(contracting(), X, TARGET, SquaredError())
    whole = Feedforward(gamma=0.5).settle(contracting(), X, TARGET, SquaredError())
    assert once.solutions["free"].outcome is whole.solutions["free"].outcome
    assert torch.equal(once.solutions["free"].steps, whole.solutions["free"].steps)
    network = contracting()
    settled = Contrast().learn(network, Silenced(), X, TARGET, SquaredError())
    assert isinstance(settled, SettledFree) and settled.drives == []
    assert not any(bool(parameter.grad.any()) for parameter in network.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("settler", DYADS, ids=label)
@pytest.mark.parametrize("change", ["in place", "by an optimizer"])
def test_parameters_that_move_before_a_pending_pass_is_read_are_noticed(settler: Settler, change: str) -> None:
    """Only of a pass that is pending: states that are there do not depend on them any more."""
    network = contracting()
    settled = settler.settle_once(network, X, TARGET, SquaredError())
    first = next(network.parameters())
    if change == "in place":
        with torch.no_grad():
            first.mul_(1.5)
    else:
        first.grad = torch.ones_like(first)
        torch.optim.SGD([first], lr=0.1).step()
    if isinstance(settler, DualPropagation):  # its last half-sweep is pending
        with pytest.raises(ValueError, match="the parameters have moved since these states were settled: settle again"):
            Contrast().apply(network, settled)
    else:
        Contrast().apply(network, settled)
        assert all(p.grad is not None for p in network.parameters())
