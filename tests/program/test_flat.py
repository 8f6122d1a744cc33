"""Objects taken apart into tensors, and put together around others."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any
from weakref import ref

import pytest
import torch

from energy.ledger import Ledger
from energy.potentials import Tanh
from energy.program.flat import take_apart
from energy.program.record import Untraceable, tensors_of
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import solve
from energy.state import State
from tests.program.cases import NETWORKS
from tests.settle import nets


@dataclass
class Held:
    """Any attributes."""

    one: Any = None
    other: Any = None


def settled(kind: str = "mlp") -> tuple[SinglePhase, State]:
    network = NETWORKS[kind]()
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, Ledger(), "free")
    state = solve(problem, problem.initial_state(), nets.once(2)).state
    return problem, problem.bottom_up(state)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_problem_goes_on_from_where_it_was(kind: str) -> None:
    """Two more steps of the copy are those of the original; costs go to the ledger that it is given."""
    problem, state = settled(kind)
    known, ledger = tensors_of(problem.network), Ledger()
    skeleton, tensors = take_apart((problem, state), known)
    copy, start = skeleton.around([tensor.clone() for tensor in tensors], known, ledger)
    before = problem.ledger.multiply_adds
    wanted, found = (solve(p, s, nets.once(2)).state for p, s in ((problem, state), (copy, start)))
    assert all(map(torch.equal, wanted, found))
    assert ledger.multiply_adds == problem.ledger.multiply_adds - before > 0
    assert copy.network is problem.network


def test_identity_is_kept() -> None:
    problem, state = settled()
    assert problem.messages.sent_by is state
    skeleton, tensors = take_apart((problem, state), tensors_of(problem.network))
    copy, start = skeleton.around(tensors, tensors_of(problem.network), Ledger())
    assert copy.messages.sent_by is start
    assert copy.bottom_up(start) is start  # nothing is sent again
    assert all(one is other for one, other in zip(start, state, strict=True))


def test_each_tensor_comes_once_and_those_of_the_network_never() -> None:
    problem, state = settled()
    known = tensors_of(problem.network)
    _, tensors = take_apart((problem, state, problem.x, known), known)
    assert len({id(tensor) for tensor in tensors}) == len(tensors)
    assert not {id(tensor) for tensor in tensors} & {id(tensor) for tensor in known}
    assert {id(problem.x), *map(id, state)} <= {id(tensor) for tensor in tensors}


def test_alike_is_what_differs_in_tensors_alone() -> None:
    one, two = torch.zeros(2), torch.ones(2)
    base = take_apart(Held(one, Tanh()), [])[0]
    assert base.alike(take_apart(Held(two, Tanh()), [])[0])
    for other in (Held(two, None), Held(None, Tanh()), Held([two], Tanh()), Held(two, torch.relu)):
        assert not base.alike(take_apart(other, [])[0])
    assert not take_apart(Held(one, one), [])[0].alike(take_apart(Held(one, two), [])[0])
    assert not take_apart(Held(one, 0.1), [])[0].alike(take_apart(Held(one, 0.2), [])[0])


def test_the_ledger_is_the_one_that_is_given() -> None:
    """Also the one of a method that is bound to it."""
    held = Ledger()
    skeleton, _ = take_apart(Held(held, held.apply), [])
    ledger = Ledger()
    found = skeleton.around([], [], ledger)
    found.other("free", 3, 2)
    assert found.one is ledger and ledger.multiply_adds == 6 and held.multiply_adds == 0


@pytest.mark.parametrize("value", [Ledger(), torch.zeros(1)], ids=["ledger", "tensor"])
def test_a_function_over_what_another_batch_would_replace_is_refused(value: Any) -> None:
    with pytest.raises(Untraceable, match=r"the function .*<lambda> of a problem encloses a (Ledger|Tensor)"):
        take_apart(Held(lambda: value), [])


def test_what_cannot_be_taken_apart_is_refused_in_words() -> None:
    with pytest.raises(Untraceable, match=r"a part of the problem cannot be taken apart: .*generator"):
        take_apart(Held(k for k in range(3)), [])


def test_a_skeleton_keeps_no_module_and_no_tensor() -> None:
    problem, state = settled("pooled")
    gone = [ref(problem.network), ref(problem.x), *map(ref, state), *map(ref, problem.network.parameters())]
    skeleton = take_apart((problem, state), tensors_of(problem.network))[0]
    del problem, state
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
    assert skeleton.kept
