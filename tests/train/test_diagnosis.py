"""One thing is made bad on purpose, and the probe must name it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.analysis.gradient_alignment import gradient_alignment
from energy.cautions import Caution, told
from energy.couplings import Dense
from energy.feedback import Random
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.potentials import Identity, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation
from energy.settle.settler import Settler
from energy.settle.two_phase import PhaseContrast, TwoPhase
from energy.stream import stream

SETTLED = Sweep(max_steps=400, tolerance=1e-8, check_every=1)
EXACT = EquilibriumPropagation(beta=1e-3, freeze_mean=False, relax=SETTLED, nudged=SETTLED)


def network(scale: float, dtype: torch.dtype = torch.float64) -> Network:
    made = Network((6,))
    for fan_in, size in ((6, 12), (12, 12), (12, 4)):
        made.add(Dense(fan_in, size), Tanh() if size == 12 else Identity())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            size = parameter[0].numel() if parameter.ndim == 2 else 1
            parameter.copy_(scale * torch.randn(parameter.shape, generator=stream(0, name)) / size**0.5)
    return made.to(dtype)


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.randn(16, 6, generator=stream(1, "x")).to(dtype), one_hot(torch.arange(16) % 4, 4, dtype)


def found(
    settler: Settler, scale: float = 0.55, dtype: torch.dtype = torch.float64
) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    with told(said.append):
        return gradient_alignment(network(scale, dtype), settler, Contrast(), SquaredError(), *batch(dtype)), said


def test_a_good_gradient_needs_no_explanation() -> None:
    result, said = found(EXACT)
    assert result["cosine_worst"] > 0.999 and result["cosine_binds"] is None and said == []
    assert result["reference"] == {"free": "converged", "nudged": "converged"}


BAD: dict[str, tuple[Settler, float, torch.dtype]] = {
    "nudge": (replace(EXACT, beta=1.9), 0.55, torch.float64),
    "mean": (replace(EXACT, relax=Sweep(max_steps=1, tolerance=0.0), freeze_mean=True), 0.75, torch.float64),
    "difference": (replace(EXACT, nudged=Sweep(max_steps=1, tolerance=0.0), freeze_mean=True), 1.3, torch.float64),
    "feedback_weights": (DualPropagation(beta=1e-3, feedback=Random()), 0.55, torch.float64),
    "rounding": (TwoPhase(beta=1e-8, kind=PhaseContrast.CENTERED, relax=SETTLED, nudged=SETTLED), 0.55, torch.float32),
}


@pytest.mark.parametrize("name", BAD)
def test_the_one_bad_thing_is_named(name: str) -> None:
    settler, scale, dtype = BAD[name]
    made = network(scale, dtype)
    settler.attach_feedback(made, seed=0)
    said: list[str] = []
    with told(said.append):
        result = gradient_alignment(made, settler, Contrast(), SquaredError(), *batch(dtype))
    assert result["cosine_worst"] < 0.9
    assert result["cosine_binds"] == name


def test_a_low_cosine_is_said_with_its_cure() -> None:
    settler, scale, dtype = BAD["rounding"]
    with pytest.warns(Caution, match=r"worst cosine .* at layer layer\d: digits are lost"):
        gradient_alignment(network(scale, dtype), settler, Contrast(), SquaredError(), *batch(dtype))


def test_a_reference_that_is_not_settled_is_said() -> None:
    """A linear chain that contracts by .999 a sweep leaves .74 of its residual after the 300 of a reference."""
    made = Network((6,))
    made.add(Dense(6, 4), Identity())
    made.add(Dense(4, 4), Identity())
    with torch.no_grad():
        made.get_parameter("couplings.0.weight").copy_(torch.randn(4, 6, generator=stream(0, "weight")))
        made.get_parameter("couplings.1.weight").copy_(0.999**0.5 * torch.eye(4))
    made.double()
    hasty = EquilibriumPropagation(relax=Sweep(max_steps=10), nudged=Sweep(max_steps=10))
    with pytest.warns(Caution, match=r"the exact gradient is not settled \(free phase: budget\)"):
        result = gradient_alignment(made, hasty, Contrast(), SquaredError(), *batch())
    assert result["reference"]["free"] == "budget"
    assert result["cosine_worst"] >= 0.9 or result["cosine_binds"] == "reference"


@pytest.mark.parametrize("settler", [EquilibriumPropagation(keep_contracting=0.3), TwoPhase(keep_contracting=0.3)])
def test_probing_moves_neither_weights_nor_what_holds_them(settler: Settler) -> None:
    made, (x, target) = network(1.2), batch()
    settler.settle(made, x, target, SquaredError())
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    with told(lambda text: None):
        gradient_alignment(made, settler, Contrast(), SquaredError(), x, target)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())


def test_contrastive_hebbian_learning_is_judged_too() -> None:
    result, _ = found(ContrastiveHebbian(relax=SETTLED, nudged=SETTLED))
    assert result["cosine_worst"] is not None
    assert (result["cosine_binds"] is None) == (result["cosine_worst"] >= 0.9)
