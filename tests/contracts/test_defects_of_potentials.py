"""Planted defects of potentials and objectives: each check notices its own, and says in one line which and whose."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from energy.objectives import Objective, SquaredError
from energy.potentials import Clamp, Gated, Potential, Tanh
from energy.testing import (
    check_objective,
    check_potential,
)
from tests.contracts.noticing import noticed


class FalselyQuadratic(Tanh):
    quadratic: ClassVar[bool] = True  # pyright: ignore[reportIncompatibleMethodOverride]


class NoValueQuadratic(Potential):
    quadratic: ClassVar[bool] = True  # pyright: ignore[reportIncompatibleMethodOverride]

    def response(self, drive: Tensor) -> Tensor:
        return drive / (1 + drive.abs())


class Stretched(Clamp):
    """G = s² on [0, ∞), which is not s²/2."""

    slope: ClassVar[float] = 0.5
    lower: ClassVar[float] = 0.0
    lipschitz: ClassVar[float] = 0.5
    quadratic: ClassVar[bool] = True  # pyright: ignore[reportIncompatibleMethodOverride]


class Shifted(Tanh):
    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return super().gate(drive, error, r_plus) + 0.01


class UpsideDown(Tanh):
    def value(self, state: Tensor) -> Tensor:
        return -super().value(state)


class Total(Tanh):
    def value(self, state: Tensor) -> Tensor:
        return super().value(state).sum()


class Torn(Tanh):
    def pair(self, drive: Tensor, h: Tensor, beta: float, r_plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        mean, delta = super().pair(drive, h, beta, r_plus, alpha)
        return delta, mean


class Arrays(Tanh):
    def response(self, drive: Tensor) -> Any:
        return np.tanh(drive.detach().double().numpy())


class Failing(Gated):
    def response(self, drive: Tensor) -> Tensor:
        raise KeyError("nothing")


@pytest.mark.parametrize(
    ("potential", "words"),
    [
        (FalselyQuadratic(), "`quadratic` must be False"),
        (NoValueQuadratic(), "`quadratic` must be False"),
        (Shifted(), "tangent against differences of the response"),
        (UpsideDown(), "another state has a lower"),
        (Total(), r"value has shape \(\): must be \(24,\)"),
        (Torn(), "of pair at"),
        (Arrays(), "response is a ndarray: must be one tensor"),
        (Failing(), "response.*KeyError"),
        (Potential(), "must define response"),
    ],
)
def test_potentials(potential: Potential, words: str) -> None:
    noticed(check_potential, potential, words)


def test_a_quadratic_of_another_curvature() -> None:
    """What `quadratic` promises is the step of squared error: where it is offered, it must be the minimiser."""
    try:
        SquaredError().validate_output(Stretched())
    except ValueError:
        return
    try:
        check_potential(Stretched())
    except AssertionError as error:
        assert "`quadratic` must be False" in str(error)
        return
    target, drive = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)
    a, pull = SquaredError().nudged(Stretched(), drive, drive * 0, target, None, 0.5, 0.0)
    # s = f(a − β(s − y)) with f(a) = a/2: s = (a + βy)/(2 + β)
    assert float(Stretched().response(a + 0.5 * pull)) == pytest.approx((1 + 0.5 * 0.7) / 2.5)


class Summed(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return super().value(output, target).sum()


class Plain(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Any:
        return float(super().value(output, target).sum())


class Cut(SquaredError):
    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return super().value(output.detach(), target)


class Uphill(SquaredError):
    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return target - output


class Scores(SquaredError):
    def predict(self, output: Tensor) -> Tensor:
        return output.amax(1)


class NoStep(SquaredError):
    def nudged(self, *args: Any, **kwargs: Any) -> Any:
        return args[1]


class NotProximal(SquaredError):
    """Says that it takes the proximal step, and takes the linear one."""

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        beta_plus: float,
        beta_minus: float,
    ) -> tuple[Tensor, Tensor]:
        return drive, h - self.gradient(potential.response(drive), target)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Summed(), r"value has shape \(\): must be \(6,\)"),
        (Plain(), "value is a float: must be one tensor"),
        (Cut(), "value is cut from autograd"),
        (Uphill(), "gradient against autograd"),
        (Scores(), "predict gives torch.float64: must be torch.int64"),
        (NoStep(), r"nudged\(potential, drive"),
        (NotProximal(), "another state is better"),
        (Objective(), "value"),
    ],
)
def test_objectives(objective: Objective, words: str) -> None:
    noticed(check_objective, objective, words)
