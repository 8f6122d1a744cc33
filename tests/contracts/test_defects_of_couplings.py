"""Planted defects of couplings: each check notices its own, and says in one line which and whose."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.couplings import Convolution, Dense, Gradients, Module
from energy.couplings.block import Block
from energy.potentials import per_sample
from energy.testing import (
    check_coupling,
)
from tests.contracts.noticing import noticed


class Stuck(Dense):
    """Takes the product at the point, wherever the state has moved."""

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return super().hebbian(pre if point is None else self.at, post, point)

    def linearise(self, pre: Tensor) -> tuple[Tensor, Any]:
        self.at = pre
        return super().linearise(pre)


class Jumping(Dense):
    """Right near the point, and wrong far away."""

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return super().hebbian(torch.where(pre.abs() > 4, 0.0, pre), post, point)


class Alone(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        pulled = super().adjoint(post, point)
        return pulled if len(post) > 1 else pulled * 0


class Same(Dense):
    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        return self.adjoint(direction, point)


class Shared(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return tuple(g for g in super().hebbian(pre, post, point) if g.requires_grad or self.weight.requires_grad)


class Coarse(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return tuple(g.to(pre.dtype) for g in super().hebbian(pre, post, point))


class Rounding(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        pulled = super().adjoint(post, point)
        return pulled if post.dtype == torch.float64 else pulled.to(torch.bfloat16).to(post.dtype)


class Quarter(Dense):
    """Right at one state: A(m) = W m where the energy has W m·cos(0) there and W m elsewhere halved."""

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        return -per_sample(post * self.drive(pre)) * torch.where(pre.abs().amax() > 4, 0.5, 1.0)


class Detached(Dense):
    def drive(self, pre: Tensor) -> Tensor:
        return super().drive(pre).detach()


class Numpy(Dense):
    def drive(self, pre: Tensor) -> Any:
        return super().drive(pre).detach().numpy()


class Pair(Dense):
    def drive(self, pre: Tensor) -> Any:
        return super().drive(pre), None


class OnePoint(Dense):
    def linearise(self, pre: Tensor) -> Any:
        return super().linearise(pre)[0]


class OneTensor(Dense):
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Any:
        return super().hebbian(pre, post, point)[0]


class NoAdjoint(Dense):
    def adjoint(self, post: Tensor, point: Any) -> Any:
        return None


class Touching(Dense):
    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        found = super().tangent(direction, point)
        with torch.no_grad():
            self.weight.add_(1e-15)
        return found


class Fractional(Dense):
    def multiply_adds(self, pre: tuple[int, ...]) -> Any:
        return 12.0


class Normalised(Dense):
    """By the statistics of the batch."""

    def drive(self, pre: Tensor) -> Tensor:
        return F.batch_norm(super().drive(pre), None, None, training=True)


class Chancy(Dense):
    def drive(self, pre: Tensor) -> Tensor:
        return F.dropout(super().drive(pre), 0.5, training=True)


@pytest.mark.parametrize("module", [nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4, track_running_stats=False)])
def test_modules_that_depend_on_the_batch_or_on_chance_pass_or_are_refused_in_one_line(module: nn.Module) -> None:
    try:
        coupling = Module(module)
    except (TypeError, ValueError):
        return  # refused before any check
    try:
        check_coupling(coupling, (4,))
    except AssertionError as error:
        assert "\n" not in str(error) and str(error).startswith("Module: ")


@pytest.mark.parametrize(
    ("coupling", "words"),
    [
        (Stuck(4, 4), "hebbian"),
        (Jumping(4, 4), "hebbian|far from the point"),
        (Alone(4, 4), "adjoint of a batch against its samples alone"),
        (Same(4, 4), "tangent against differences"),
        (Shared(4, 4), "hebbian"),
        (Coarse(4, 4), "hebbian of weight of torch.bfloat16 states is torch.bfloat16: must be torch.float32"),
        (Rounding(4, 4), "adjoint of torch.float32 states"),
        (Quarter(4, 4), "energy against"),
        (Detached(4, 4), "cut from autograd"),
        (Numpy(4, 4), "drive is a ndarray: must be one tensor"),
        (Pair(4, 4), "drive is a tuple: must be one tensor"),
        (OnePoint(4, 4), r"linearise\(pre\) must give \(drive, point\)"),
        (OneTensor(4, 4), "hebbian returns a Tensor: must be a tuple"),
        (NoAdjoint(4, 4), "adjoint"),
        (Touching(4, 4), "writes to a parameter|differs"),
        (Fractional(4, 4), "multiply_adds is 12.0: must be a whole number"),
        (Normalised(4, 4), r"drive\(pre\) must give one tensor .*ValueError|one sample alone"),
        (Chancy(4, 4), "drive gives something else when asked again"),
        (Module(nn.LSTM(4, 4)), "drive is a tuple"),
        (Module(nn.Linear(5, 4)), r"drive\(pre\) must give one tensor"),
    ],
)
def test_couplings(coupling: Any, words: str) -> None:
    noticed(check_coupling, coupling, words, (4,))


class Frozen(Block):
    """The product of the state at the point, whatever state it is asked for."""

    def hebbian(self, pre: Tensor, post: Any, point: Any = None) -> Gradients:
        point = self._opened(pre if point is None else point)
        heard = post.full if hasattr(post, "full") else self._pulled(post, point)
        return self.filters.hebbian(point.seen, heard, point.inner)


def test_a_block_whose_product_stays_at_the_point() -> None:
    noticed(check_coupling, Frozen(Convolution(3, 4, 3), nn.AvgPool2d(2)), "moved from the point", (3, 8, 8))


class Rowwise(Convolution):
    """Reads memory where it should read the tensor."""

    def adjoint(self, post: Any, point: Any) -> Tensor:
        found = super().adjoint(post, point)
        return found if not isinstance(post, Tensor) or post.is_contiguous() else found * 2


def test_a_coupling_that_reads_memory() -> None:
    noticed(check_coupling, Rowwise(3, 4, 3), "adjoint of images with the channel last", (3, 6, 6))
