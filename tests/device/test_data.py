"""A rehearsal of the ways that data take: batches, targets, a whole epoch's evaluation, and features."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from energy.data.augment import Augment
from energy.data.images import Images
from energy.feedback import SignBatch, resample
from energy.ledger import Ledger
from energy.models import MLP
from energy.objectives import SquaredError, one_hot
from energy.potentials import HardSigmoid
from energy.readout.features import batch_features
from energy.relax.sweep import Sweep
from energy.settle import DualPropagation, EquilibriumPropagation
from energy.train.evaluate import score
from energy.train.metrics import EpochMetrics
from energy.train.run import Run
from tests.device import cases
from tests.device.spy import META, Spy, Stall
from tests.device.test_steps import LOOK, session

HOST = {"energy.data.images:Images.batches", "energy.data.images:Images._augmented"}
WAYS = [Augment(), Augment(crop=2), Augment(flip=True), Augment(cutout=3), Augment(crop=2, flip=True, cutout=3)]


def images(augment: Augment, dtype: torch.dtype = torch.float32, pixels: torch.dtype = torch.uint8) -> Images:
    number = torch.empty(1, 1, 1, device=META)
    shown = torch.empty(11, 1, 8, 8, dtype=pixels, device=META)
    return Images(shown, torch.empty(11, dtype=torch.int64, device=META), number, number, 10, augment, dtype)


@pytest.mark.parametrize("augment", WAYS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_batches_send_their_order_once_and_what_augments_them_once_each(augment: Augment, dtype: torch.dtype) -> None:
    with Spy(sends=HOST) as spy:
        found = list(images(augment, dtype).batches(4, seed=0, epoch=0, train=True))
    assert spy.sent == 1 + (len(found) if augment != Augment() else 0)
    assert [(x.shape, x.dtype, y.shape) for x, y in found] == [((4, 1, 8, 8), dtype, (4,))] * 2


@pytest.mark.parametrize("pixels", [torch.uint8, torch.float32], ids=str)
def test_batches_to_score_send_nothing(pixels: torch.dtype) -> None:
    with Spy() as spy:
        found = list(images(Augment(crop=2), pixels=pixels).batches(4, seed=0, epoch=0, train=False))
        assert [len(one_hot(labels, 10)) for _, labels in found] == [4, 4, 3]
    assert not spy.sent


RUNS = {name: run for name, run in cases.every().items() if name.endswith("asked") and name.count("-") == 2}


@pytest.mark.parametrize("name", RUNS)
def test_a_score_waits_at_its_end_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(EpochMetrics, "scores", lambda metrics: {})
    monkeypatch.setattr(EpochMetrics, "settling", lambda metrics: {})
    monkeypatch.setattr(EpochMetrics, "spike_counts", lambda metrics: {})
    run = dataclasses.replace(RUNS[name], train=dataclasses.replace(RUNS[name].train, evaluate_batch=4))
    network = cases.drafted(run)
    with Spy(strict=False):
        score(run, network, images(Augment()))
    with Spy({LOOK}) as spy:
        found = score(run, network, images(Augment()))
    assert found["examples"] == 11
    solves = 0 if run.settler.gamma == 0 and "energy" not in name else 3
    assert spy.reads[LOOK] == 3 * solves


def test_features_wait_for_nothing() -> None:
    run = RUNS["dual_propagation-conv-asked"]
    network, x = cases.drafted(run), torch.empty(4, 1, 8, 8, device=META)
    with Spy():
        assert batch_features(network, run.settler, x, Ledger()).shape[0] == 4


def test_feedback_weights_are_drawn_again_on_the_device() -> None:
    network = session(_run(DualPropagation(feedback=SignBatch()))).network
    with Spy() as spy:
        resample(network, 3)
    assert "randn" in spy.names


def test_a_bound_on_the_loop_gain_is_held_without_a_read() -> None:
    """But for one at the first batch of a process, which may be a continued run's."""
    bounded = EquilibriumPropagation(relax=Sweep(max_steps=2, tolerance=0.0), keep_contracting=0.5)
    one = session(_run(bounded))
    x = torch.empty(4, 1, 8, 8, device=META)
    target = torch.empty(4, 10, device=META)
    first = "energy.relax.contraction:Contraction.gain"
    for reads in (1, 0):
        with Spy({LOOK, first}) as spy:
            bounded.settle(one.network, x, target, SquaredError())
        assert spy.reads[first] == reads
    one.network.load_state_dict(one.network.state_dict(), strict=True)
    with pytest.raises(Stall, match=r"_local_scalar_dense reads the device, in .*Contraction\.gain"), Spy({LOOK}):
        bounded.settle(one.network, x, target, SquaredError())


def _run(settler: EquilibriumPropagation | DualPropagation) -> Run:
    run = cases.fitting(
        {"settler": settler, "model": MLP(sizes=[6, 5], hidden=HardSigmoid()), "objective": SquaredError()}
    )
    assert run is not None
    return run
