"""Scores against scikit-learn's and by hand, joined from parts, and kept through a checkpoint."""

import math

import pytest
import torch
from sklearn.metrics import mean_squared_error, r2_score

from energy.stream import stream
from energy.targets import TargetKind
from energy.train.metrics import EpochMetrics
from energy.train.scores import LabelScores, RealScores, Scores, main_score_of

CPU = torch.device("cpu")


def pairs(offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.randn(50, 3, generator=stream(0, "y"), dtype=torch.float64) * torch.tensor([1.0, 5.0, 0.1]) + offset
    return y + 0.3 * torch.randn(50, 3, generator=stream(0, "error"), dtype=torch.float64), y


def filled(scores: Scores, answer: torch.Tensor, labels: torch.Tensor, sizes: list[int]) -> Scores:
    for one, other in zip(answer.split(sizes), labels.split(sizes), strict=True):
        scores.add(one, other)
    return scores


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("sizes", [[50], [20, 29, 1]])
def test_real_scores_are_those_of_scikit_learn(offset: float, sizes: list[int]) -> None:
    answer, y = pairs(offset)
    found = filled(RealScores(CPU, 3), answer, y, sizes).read(50)
    assert found["r2"] == pytest.approx(r2_score(y.numpy(), answer.numpy()), rel=1e-7)
    assert found["mean_squared_error"] == pytest.approx(mean_squared_error(y.numpy(), answer.numpy()), rel=1e-7)


def test_the_mean_has_a_score_of_0_and_targets_that_do_not_vary_none() -> None:
    _, y = pairs()
    assert filled(RealScores(CPU, 3), y.mean(0).expand(50, 3), y, [50]).read(50)["r2"] == pytest.approx(0, abs=1e-12)
    still = torch.ones(50, 3, dtype=torch.float64)
    assert filled(RealScores(CPU, 3), y, still, [50]).read(50)["r2"] is None
    lost = torch.full_like(y, math.inf)
    assert filled(RealScores(CPU, 3), lost, y, [50]).read(50) == {"r2": None, "mean_squared_error": None}


def test_labels_by_hand() -> None:
    """Of 2 × 3 labels five are right; of two samples one is right as a whole."""
    answer = torch.tensor([[True, False, True], [False, False, True]])
    labels = torch.tensor([[1, 0, 1], [1, 0, 1]], dtype=torch.uint8)
    found = filled(LabelScores(CPU, 3), answer, labels, [1, 1]).read(2)
    assert found == {"label_accuracy": pytest.approx(100 * 5 / 6), "exact_match": 50.0}


@pytest.mark.parametrize("kind", [TargetKind.REAL, TargetKind.LABELS])
def test_parts_of_two_processes_join_to_the_whole(kind: TargetKind) -> None:
    answer, y = pairs()
    if kind is TargetKind.LABELS:
        answer, y = answer > 0, (y > 0).to(torch.uint8)
    whole, first, second = (EpochMetrics(CPU, kind, 3) for _ in range(3))
    cost = torch.arange(50, dtype=torch.float64)
    whole.add(cost, answer, y, {})
    first.add(cost[:17], answer[:17], y[:17], {})
    second.add(cost[17:], answer[17:], y[17:], {})
    first._take_in(second.tensors(), second.facts(), shared=False)
    assert first.scores() == pytest.approx(whole.scores())
    assert first.scores().keys() == {
        "objective",
        *({"r2", "mean_squared_error"} if kind is TargetKind.REAL else {"label_accuracy", "exact_match"}),
    }


@pytest.mark.parametrize("kind", [TargetKind.REAL, TargetKind.LABELS])
def test_an_epoch_goes_on_from_a_checkpoint_bit_for_bit(kind: TargetKind) -> None:
    answer, y = pairs()
    if kind is TargetKind.LABELS:
        answer, y = answer > 0, (y > 0).to(torch.uint8)
    cost = torch.arange(50, dtype=torch.float64)
    whole, before, after = (EpochMetrics(CPU, kind, 3) for _ in range(3))
    for metrics in (whole, before):
        metrics.add(cost[:20], answer[:20], y[:20], {})
    after.restore({name: one.clone() for name, one in before.tensors().items()}, before.facts())
    for metrics in (whole, after):
        metrics.add(cost[20:], answer[20:], y[20:], {})
    assert after.scores() == whole.scores()


def test_classes_have_the_accuracy_that_they_had() -> None:
    metrics = EpochMetrics(CPU)
    metrics.add(torch.ones(4), torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 0]), {})
    assert metrics.quality() == (1.0, 75.0)
    assert metrics.scores() == {"objective": 1.0, "accuracy": 75.0}
    assert [main_score_of(kind).test for kind in TargetKind] == ["test_accuracy", "test_r2", "test_label_accuracy"]
