"""Learning rates against closed forms."""

import math

import pytest

from energy.component import ConfigurationError
from energy.train.schedule import Constant, Cosine, Exponential, LinearDecay, Schedule


@pytest.mark.parametrize("schedule", [Constant(), Cosine(), LinearDecay(), Exponential()])
def test_without_warm_up_every_schedule_begins_at_the_peak(schedule: Schedule) -> None:
    assert schedule.rate(0.3, 0.0, 10) == pytest.approx(0.3, rel=1e-15)


@pytest.mark.parametrize("schedule", [Cosine(floor=1e-3), LinearDecay(floor=1e-3)])
def test_the_floor_is_reached_at_the_end_and_half_way_down_is_half_way(schedule: Schedule) -> None:
    assert schedule.rate(0.3, 10.0, 10) == pytest.approx(1e-3, rel=1e-12)
    assert schedule.rate(0.3, 5.0, 10) == pytest.approx((0.3 + 1e-3) / 2, rel=1e-12)


def test_cosine_is_the_closed_form_of_pytorch() -> None:
    """CosineAnnealingLR: eta = floor + (peak - floor)(1 + cos(pi t / T)) / 2."""
    schedule = Cosine(floor=2e-6)
    for epoch in range(100):
        expected = 2e-6 + (0.0625 - 2e-6) * (1 + math.cos(math.pi * epoch / 100)) / 2
        assert schedule.rate(0.0625, epoch, 100) == pytest.approx(expected, rel=1e-12)


def test_warm_up_is_a_straight_line_from_start_to_peak() -> None:
    schedule = Cosine(warmup=10, start=0.001)
    assert schedule.rate(0.025, 0.0, 130) == pytest.approx(0.001)
    assert schedule.rate(0.025, 2.5, 130) == pytest.approx(0.001 + 0.25 * 0.024)
    assert schedule.rate(0.025, 10.0, 130) == pytest.approx(0.025)
    assert schedule.rate(0.025, 70.0, 130) == pytest.approx(0.0125)  # half of the 120 epochs after the warm-up


def test_until_ends_the_decay_early_and_holds_the_floor() -> None:
    """The 2024 dual propagation recipe: .001 to .025 in 10 epochs, cosine to 2e-6 at epoch 120 of 130, then flat."""
    schedule = Cosine(warmup=10, start=0.001, floor=2e-6, until=120)
    assert schedule.rate(0.025, 65.0, 130) == pytest.approx((0.025 + 2e-6) / 2)
    assert schedule.rate(0.025, 120.0, 130) == schedule.rate(0.025, 129.9, 130) == pytest.approx(2e-6)


def test_exponential_by_epoch_and_by_step() -> None:
    assert Exponential(factor=0.99).rate(0.2, 3.7, 10) == pytest.approx(0.2 * 0.99**3)
    assert Exponential(factor=0.99, staircase=False).rate(0.2, 3.7, 10) == pytest.approx(0.2 * 0.99**3.7)


def test_a_warm_up_as_long_as_the_run_never_divides_by_zero() -> None:
    assert Cosine(warmup=5).rate(0.1, 5.0, 5) == 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cosine(warmup=-1),
        lambda: Cosine(start=math.nan),
        lambda: Cosine(floor=math.inf),
        lambda: Cosine(warmup=5, until=5),
        lambda: LinearDecay(floor=-0.1),
        lambda: Exponential(factor=0.0),
        lambda: Exponential(factor=math.nan),
        lambda: Constant(warmup=math.nan),
    ],
)
def test_what_makes_no_sense_is_refused(make: object) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        make()  # type: ignore[operator]
