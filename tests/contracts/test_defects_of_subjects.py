"""Planted defects of subjects of any kind: each check notices its own, and says in one line which and whose."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from energy.couplings import Skip
from energy.feedback import Random
from energy.models import MLP
from energy.objectives import SquaredError
from energy.potentials import Identity, Tanh
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.rules import Oja
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation
from energy.spiking.errors import VanRossum
from energy.spiking.neurons import LIF
from energy.spiking.surrogates import Logistic
from energy.testing import (
    check_component,
    check_coupling,
    check_feedback,
    check_model,
    check_neuron,
    check_objective,
    check_plasticity,
    check_potential,
    check_relaxation,
    check_rule,
    check_settler,
    check_spike_error,
    check_surrogate,
)
from tests.contracts.noticing import noticed

CHECKS: list[tuple[Any, tuple[Any, ...], type]] = [
    (check_component, (), Tanh),
    (check_coupling, ((4,),), Skip),
    (check_feedback, (), Random),
    (check_model, (), MLP),
    (check_neuron, (), LIF),
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
        check_relaxation(Relaxation())
    assert isinstance(caught.value.__cause__, NotImplementedError)


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
