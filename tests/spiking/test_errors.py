"""Spike-train errors: values by hand, gradients by autograd through the trace, and by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, choices, from_dict
from energy.spiking.errors import (
    FirstSpike,
    LocalError,
    RateCrossEntropy,
    SpikeCount,
    SpikeError,
    SpikeTrain,
    VanRossum,
)
from energy.testing import check_spike_error

KAPPA = 2 / 3


def trains(spikes: list[list[int]]) -> SpikeTrain:
    """One sample; one list of spikes a unit."""
    s = torch.tensor(spikes, dtype=torch.float64).T.unsqueeze(1)
    trace, rows = torch.zeros(1, len(spikes)).double(), []
    for now in s:
        trace = KAPPA * trace + (1 - KAPPA) * now
        rows.append(trace)
    return SpikeTrain(s, torch.stack(rows), KAPPA)


FIRST = torch.tensor([[1.0, 0.0]]).double()


@pytest.mark.parametrize("error", [cls() for cls in choices(SpikeError).values()], ids=lambda e: e.name)
def test_the_contract(error: SpikeError) -> None:
    assert check_spike_error(error) == []


def test_van_rossum_by_hand() -> None:
    """Wanted 0 1 1 1 1; fired 0 1 1 1 1 and, where silence is wanted, once at the end."""
    assert float(VanRossum().value(trains([[0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]), FIRST)) == 0
    assert float(VanRossum().value(trains([[0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]), FIRST)) == pytest.approx(1 / 18)
    late = trains([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])  # the missing spike leaves κ^t/3 behind
    assert float(VanRossum().value(late, FIRST)) == pytest.approx(sum(KAPPA ** (2 * t) for t in range(4)) / 18)


def test_the_desired_train_is_that_of_the_lab() -> None:
    assert VanRossum().wanted(3, 0.0) == (0, 1, 1)
    assert VanRossum().wanted(7, 0.0) == (0, 1, 1, 1, 1, 0, 1)
    assert VanRossum().wanted(10, 0.0) == (0, 1) * 5
    assert VanRossum(pattern=[1, 0, 0]).wanted(4, 0.0) == (1, 0, 0, 1)


def test_a_dead_zone_leaves_alone_what_is_on_the_right_side() -> None:
    error = SpikeCount(desired=3, undesired=1)
    right = trains([[1, 1, 1, 1, 0], [0, 1, 0, 0, 0]])
    assert float(error.value(right, FIRST)) == 0 and not error.gradient(right, FIRST).any()
    wrong = trains([[0, 0, 0, 1, 0], [1, 1, 1, 0, 0]])
    assert float(error.value(wrong, FIRST)) == (1 - 3) ** 2 / 2 + (3 - 1) ** 2 / 2
    assert error.on_spikes(wrong.spikes, FIRST)[2].tolist() == [[-2, 2]]


def test_rate_cross_entropy_by_hand() -> None:
    found = RateCrossEntropy(scale=0.5).value(trains([[1, 1, 0], [0, 0, 1]]), FIRST)
    assert float(found) == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_first_spikes_by_hand() -> None:
    train = trains([[0, 1, 0, 1], [0, 0, 0, 0]])
    assert FirstSpike().times(train.spikes).tolist() == [[1, 4]]  # T for silence
    assert float(FirstSpike().value(train, FIRST)) == pytest.approx(math.log(1 + math.exp(-3)))


def test_the_earlier_the_first_spike_of_the_class_the_better() -> None:
    early, late = (trains([s, [0, 0, 0, 0]]) for s in ([1, 0, 0, 0], [0, 0, 0, 1]))
    assert float(FirstSpike().value(early, FIRST)) < float(FirstSpike().value(late, FIRST))


def test_only_local_errors_are_known_at_each_step() -> None:
    assert [name for name, cls in choices(SpikeError).items() if issubclass(cls, LocalError)] == ["van_rossum"]


class Halved(VanRossum):
    def gradient(self, train: SpikeTrain, target: Tensor) -> Tensor:
        return super().gradient(train, target) / 2


class Unlike(VanRossum):
    def at(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        return super().at(trace, target, t, steps, decay) * (1 + t)

    def cost(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        return VanRossum().cost(trace, target, t, steps, decay)


@pytest.mark.parametrize("error", [Halved(), Unlike()])
def test_a_wrong_gradient_is_noticed(error: SpikeError) -> None:
    with pytest.raises(AssertionError, match="gradient against autograd of value"):
        check_spike_error(error)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({"name": "van_rossum", "pattern": [0, 2]}, "pattern=.*: must be zeros and ones"),
        ({"name": "spike_count", "desired": 1, "undesired": 2}, "desired=1.*: must be above undesired"),
        ({"name": "rate_cross_entropy", "scale": 0}, "scale=0.*: must be above 0"),
        ({"name": "first_spike", "scale": -1}, "scale=-1.*: must be above 0"),
    ],
)
def test_what_is_refused(plain: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        from_dict(SpikeError, plain)
