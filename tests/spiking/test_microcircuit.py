"""The circuit cell by cell is the settler, and Dale's law holds before and after training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import from_dict
from energy.feedback import Feedback
from energy.objectives import CrossEntropy
from energy.pooling import AveragePool
from energy.rules.contrast import Contrast
from energy.settle.spiking import Spiking, TemporalCredit
from energy.spiking.microcircuit import Microcircuit, dale, pathways, reciprocity
from energy.train.evaluate import load_run
from energy.train.fit import fit
from tests.spiking.oracle import STEPS, batch, convolutional, dense


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["tied", "sign", "sign_unit", "random"])
def test_the_circuit_cell_by_cell_is_the_settler(kind: str, bias: bool) -> None:
    network, feedback = dense(bias=bias), from_dict(Feedback, kind)
    feedback.attach(network, seed=1)
    x, target = batch(network)
    settler = Spiking(beta=0.5, credit=TemporalCredit.INSTANT, feedback=feedback)
    wanted = Contrast().update(network, settler.settle(network, x, target, CrossEntropy()))
    circuit = Microcircuit(network, settler.neuron, settler.surrogate, settler.beta)
    total = [torch.zeros_like(edge.coupling.get_parameter("weight")) for edge in network.edges]
    for t in range(STEPS):
        error = lambda trace, t=t: -settler.error.at(trace, target, t, STEPS, settler.neuron.decay)  # type: ignore[attr-defined]  # noqa: E731
        total = [one + other for one, other in zip(total, circuit.step(x, error), strict=True)]
    for one, other in zip(total, wanted[:: 2 if bias else 1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_no_synapse_is_negative() -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).double()
    direct, relayed = pathways(weight)
    assert bool((direct >= 0).all()) and bool((relayed >= 0).all()) and not (direct * relayed).any()
    below, above = torch.rand(3, 7).double(), torch.rand(3, 5).double()
    torch.testing.assert_close(pathways(weight).carry(below), below @ weight.T)
    torch.testing.assert_close(pathways(weight).return_(above), above @ weight)


@pytest.mark.parametrize("kind", ["tied", "sign", "sign_unit", "sign_batch"])
def test_sign_concordant_wires_obey_dales_law(kind: str) -> None:
    for network in (dense(), convolutional(AveragePool(2))):
        from_dict(Feedback, kind).attach(network, seed=2)
        assert dale(network) == []
        assert set(reciprocity(network).values()) == {1.0}


@pytest.mark.parametrize("kind", ["random", "kolen_pollack"])
def test_wires_with_signs_of_their_own_do_not(kind: str) -> None:
    network = dense()
    from_dict(Feedback, kind).attach(network, seed=2)
    assert [fault.partition(":")[0] for fault in dale(network)] == ["layer2", "layer3"]
    assert all(0.3 < share < 0.7 for share in reciprocity(network).values())


def test_the_share_of_agreement_is_what_is_measured() -> None:
    network = dense()
    from_dict(Feedback, {"name": "sign", "sign_agreement": 0.75}).attach(network, seed=2)
    assert reciprocity(network) == {"layer2": 0.75, "layer3": 0.75}


@pytest.mark.parametrize(("kind", "obeyed"), [("sign", True), ("random", False)])
def test_dales_law_after_training(make_run: Callable[..., Any], kind: str, obeyed: bool) -> None:
    """Weights change sign while they learn; wires whose sign is read from them follow, others do not."""
    run = make_run(settler={"name": "spiking", "feedback": {"name": kind}})
    before = [edge.coupling.get_parameter("weight").detach().clone() for edge in run.network().edges]
    fit(run)
    network = load_run(Path(run.out))[1]
    after = [edge.coupling.get_parameter("weight").detach() for edge in network.edges]
    assert any(bool((one.sign() != other.sign()).any()) for one, other in zip(before, after, strict=True))
    assert (dale(network) == []) == obeyed


def test_a_circuit_needs_two_cells_to_compare() -> None:
    with pytest.raises(ValueError, match="beta=0: must be above 0"):
        Microcircuit(dense(), Spiking().neuron, Spiking().surrogate, 0)
