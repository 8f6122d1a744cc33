"""Planted defects of couplings: each check notices its own, and says in one line which and whose."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.couplings import Convolution, Dense, Gradients, Module
from energy.couplings.block import Block, BlockLinearization
from energy.couplings.convolution import ConvolutionLinearization
from energy.couplings.dense import DenseLinearization
from energy.potentials import per_sample
from energy.testing import (
    check_coupling,
)
from tests.contracts.noticing import Planted, linearized, noticed


class Stuck(Planted):
    """Takes the product at the point, wherever the state has moved."""

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return super().weight_gradient(self.at, post)

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        return DenseLinearization(self.coupling, self.weight, self.pre).second_gradient(direction, post)


class Deaf(Planted):
    """Pulls errors down by its own weights, whatever feedback weights it is given."""

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        return super().adjoint(post)


class Jumping(Planted):
    """Right near the point, and wrong far away."""

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return super().weight_gradient(torch.where(pre.abs() > 4, 0.0, pre), post)


class Alone(Planted):
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        pulled = super().adjoint(post, weight=weight)
        return pulled if len(post) > 1 else pulled * 0


class Same(Planted):
    def tangent(self, direction: Tensor) -> Tensor:
        return self.adjoint(direction)


class Shared(Planted):
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        learned = self.coupling.weight.requires_grad
        return tuple(g for g in super().weight_gradient(pre, post) if g.requires_grad or learned)


class Coarse(Planted):
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return tuple(g.to(pre.dtype) for g in super().weight_gradient(pre, post))


class Rounding(Planted):
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        pulled = super().adjoint(post, weight=weight)
        return pulled if post.dtype == torch.float64 else pulled.to(torch.bfloat16).to(post.dtype)


class Holding(Planted):
    """Gives the product of what was prepared, whatever it is asked for."""

    held: Tensor | None = None

    def prepare(self, post: Tensor) -> None:
        self.held = post

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return super().weight_gradient(pre, post if self.held is None else self.held)


class Pulling(Planted):
    """The adjoint of the same kind."""

    held: Tensor | None = None

    def prepare(self, post: Tensor) -> None:
        self.held = post

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        return super().adjoint(post if self.held is None else self.held, weight=weight)


class Doubling(Planted):
    """Right until something is prepared."""

    scale = 1

    def prepare(self, post: Tensor) -> None:
        self.scale = 2

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        return super().adjoint(post, weight=weight) * self.scale


class Halving(Planted):
    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        return tuple(g / 2 for g in super().second_gradient(direction, post))


class Bent(Planted):
    def curvature(self, direction: Tensor, post: Tensor) -> Any:
        return self.adjoint(post)


class Quarter(Dense):
    """Right at one state: A(m) = W m where the energy has W m·cos(0) there and W m elsewhere halved."""

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        return -per_sample(post * self(pre)) * torch.where(pre.abs().amax() > 4, 0.5, 1.0)


class Detached(Dense):
    def forward(self, pre: Tensor) -> Tensor:
        return super().forward(pre).detach()


class Numpy(Dense):
    def forward(self, pre: Tensor) -> Any:
        return super().forward(pre).detach().numpy()


class Pair(Dense):
    def forward(self, pre: Tensor) -> Any:
        return super().forward(pre), None


class OneTensorOnly(Dense):
    def linearize(self, pre: Tensor) -> Any:
        return super().linearize(pre)[0]


class OneTensor(Planted):
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Any:
        return super().weight_gradient(pre, post)[0]


class NoAdjoint(Planted):
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Any:
        return None


class Touching(Planted):
    def tangent(self, direction: Tensor) -> Tensor:
        found = super().tangent(direction)
        with torch.no_grad():
            self.coupling.weight.add_(1e-15)
        return found


class Fractional(Dense):
    def multiply_adds(self, pre: tuple[int, ...]) -> Any:
        return 12.0


class Normalized(Dense):
    """By the statistics of the batch."""

    def forward(self, pre: Tensor) -> Tensor:
        return F.batch_norm(super().forward(pre), None, None, training=True)


class Chancy(Dense):
    def forward(self, pre: Tensor) -> Tensor:
        return F.dropout(super().forward(pre), 0.5, training=True)


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
        (linearized(Stuck), "weight_gradient"),
        (linearized(Deaf), "adjoint by feedback weights"),
        (linearized(Jumping), "weight_gradient|far from the point"),
        (linearized(Alone), "adjoint of a batch against its samples alone"),
        (linearized(Same), "tangent against differences"),
        (linearized(Shared), "weight_gradient"),
        (
            linearized(Coarse),
            "weight_gradient of weight of torch.bfloat16 states is torch.bfloat16: must be torch.f",
        ),
        (linearized(Rounding), "adjoint of torch.float32 states"),
        (Quarter(4, 4), "energy against"),
        (Detached(4, 4), "cut from autograd"),
        (Numpy(4, 4), "drive is a ndarray: must be one tensor"),
        (Pair(4, 4), "drive is a tuple: must be one tensor"),
        (OneTensorOnly(4, 4), r"linearize\(pre\) must give \(drive, linearization\)"),
        (linearized(OneTensor), "weight_gradient returns a Tensor: must be a tuple"),
        (linearized(NoAdjoint), "adjoint"),
        (linearized(Holding), "weight_gradient beside what was prepared"),
        (linearized(Pulling), "adjoint beside what was prepared"),
        (linearized(Doubling), "adjoint of what was prepared"),
        (linearized(Halving), "second_gradient"),
        (linearized(Bent), "curvature"),
        (linearized(Touching), "writes to a parameter|differs"),
        (Fractional(4, 4), "multiply_adds is 12.0: must be a whole number"),
        (Normalized(4, 4), r"forward\(pre\) must give one tensor .*ValueError|one sample alone"),
        (Chancy(4, 4), "drive gives something else when asked again"),
        (Module(nn.LSTM(4, 4)), "drive is a tuple"),
        (Module(nn.Linear(5, 4)), r"forward\(pre\) must give one tensor"),
    ],
)
def test_couplings(coupling: Any, words: str) -> None:
    noticed(check_coupling, coupling, words, (4,))


class Still(BlockLinearization):
    """The product of the state at the point, whatever state it is asked for."""

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return self.inner.weight_gradient(self.seen, self._pulled(post))


class Frozen(Block):
    def linearize(self, pre: Tensor) -> tuple[Tensor, Still]:
        drive, true = super().linearize(pre)
        return drive, Still(self, true.pre, true.seen, true.inner, true.competing)


def test_a_block_whose_product_stays_at_the_point() -> None:
    noticed(check_coupling, Frozen(Convolution(3, 4, 3), nn.AvgPool2d(2)), "moved from the point", (3, 8, 8))


class ByRow(ConvolutionLinearization):
    """Reads memory where it should read the tensor."""

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        found = super().adjoint(post, weight=weight)
        return found if post.is_contiguous() else found * 2


class Rowwise(Convolution):
    def linearize(self, pre: Tensor) -> tuple[Tensor, ByRow]:
        drive, true = super().linearize(pre)
        assert isinstance(true, ConvolutionLinearization)
        return drive, ByRow(self, true.weight, true.pre, true.full, true.switches)


def test_a_coupling_that_reads_memory() -> None:
    noticed(check_coupling, Rowwise(3, 4, 3), "adjoint of images with the channel last", (3, 6, 6))
