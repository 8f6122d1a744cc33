"""A block of a feedback-free network: the input of its neurons is prepared first, and their drive is centered.

    A(m) = C u      u = W·prepare(m) + b      C u = u − mean of u over the neurons of a place

`prepare` is any chain of modules without weights: pooling of the layer below, normalization, padding. C is a
projection, so above this coupling a `RePU` of power p is the Triangle activation max(u − ū, 0)^p (Coates, Ng & Lee
2011), and the pair has an energy. With `rectified` the drive is centered and rectified once before: v = max(Cu, 0),
A(m) = C v.

Reference:
    Journé et al., ICLR 2023 (arXiv:2209.11883), whose blocks normalize, convolve, activate and pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from energy.arguments import named
from energy.couplings.convolution import Convolution
from energy.couplings.coupling import Coupling
from energy.couplings.dense import Dense
from energy.couplings.linearization import AutogradLinearization, Gradients, Linearization, Shape
from energy.couplings.units import UnitInputs
from energy.errors import UsageError, UsageTypeError
from energy.kernels import Kernel
from energy.precision import in_precision
from energy.tape import leaf, pushed, taped

# what is linear once it is known which of its inputs it lets through
SWITCHES: Final = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd, nn.ReLU, nn.LeakyReLU)


class BlockLinearization(Linearization):
    """A block linearized at one state.

    Args:
        block: the coupling.
        pre: the state of the layer below, (B, *pre shape).
        seen: that state prepared, the input of the filters.
        inner: the filters linearized there.
        competing: the drives that the neurons compete with.
    """

    def __init__(self, block: Block, pre: Tensor, seen: Tensor, inner: Linearization, competing: Tensor) -> None:
        self.block, self.pre = block, pre
        self.seen, self.inner = seen, inner
        self.competing = competing
        self._exact = AutogradLinearization(block, block, pre)
        self._prepared: tuple[Tensor, Tensor] | None = None

    def prepare(self, post: Tensor) -> None:
        self._prepared = (post, self._pulled(post))

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        pulled = self.inner.adjoint(self._pulled(post), weight=weight)
        with taped():
            pre = leaf(self.pre)
            return torch.autograd.grad(self.block.prepared(pre), pre, pulled.view_as(self.seen))[0]

    def tangent(self, direction: Tensor) -> Tensor:
        return self._exact.tangent(direction)

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        pulled = self._pulled(post)
        with torch.no_grad():
            return self.inner.weight_gradient(self._sees(pre), pulled)

    def products_cost(self, pre: Tensor, both: bool) -> int:
        return self._exact.products_cost(pre, both)

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        return self._exact.second_gradient(direction, post)

    def curvature(self, direction: Tensor, post: Tensor) -> Tensor | None:
        return self._exact.curvature(direction, post)

    def _pulled(self, post: Tensor) -> Tensor:
        """`post` pulled back through centering and rectification, as it reaches the filters."""
        if self._prepared is not None and self._prepared[0] is post:
            return self._prepared[1]
        if self.block.rectified:
            return center(center(post) * (self.competing > 0))
        return center(post) if self.block.centered else post

    def _sees(self, pre: Tensor) -> Tensor:
        """The filters' input for `pre`, through the preparation whose switches are fixed at this state."""
        if pre is self.pre:
            return self.seen
        chain = list(_links(self.block.prepare))
        if not any(isinstance(module, SWITCHES) for module in chain):
            return self.block.prepared(pre)
        at = self.pre
        for module in chain:
            pre = pushed(module, at, pre) if isinstance(module, SWITCHES) else in_precision(module, pre)
            with torch.no_grad():
                at = in_precision(module, at)
        return pre


class Block(Coupling):
    """A(m) = C[filters(prepare(m))]; without C unless `centered`.

    Normalization by running statistics inside `prepare` is a fixed affine map except while the network learns
    (`Network.learning`). Switches are fixed at the state of the linearization: maxima are taken at its places, and
    rectifiers pass the units that they pass there, so that tangent, adjoint and gradients are those of one map.

    Args:
        filters: the weights.
        prepare: modules without parameters, applied in order before the filters.
        centered: subtract the mean over the neurons (axis 1) at every place.
        rectified: center and rectify once before; needs `centered`.

    Raises:
        ValueError: if `prepare` holds parameters, or for `rectified` without `centered`.
        TypeError: for filters of another kind.
    """

    takes_feedback_weights: ClassVar[bool] = True

    def __init__(
        self, filters: Dense | Convolution, *prepare: nn.Module, centered: bool = False, rectified: bool = False
    ) -> None:
        super().__init__()
        if rectified and not centered:
            raise UsageError("Block(rectified=True): must be centered too")
        if not isinstance(filters, Dense | Convolution):
            raise UsageTypeError(f"Block: filters is {named(filters)}: must be a Dense or a Convolution")
        self.prepare, self.filters = nn.Sequential(*prepare), filters
        if held := [name for name, _ in self.prepare.named_parameters()]:
            raise UsageError(
                f"Block: prepare.{held[0]} is a parameter, which nothing would learn: take affine=False, or "
                "energy.couplings.Module for the whole chain"
            )
        self.centered, self.rectified = centered, rectified
        self.eval()

    @property
    def weight(self) -> nn.Parameter:
        """The weight of the filters."""
        return self.filters.weight

    def shape(self, pre: Shape) -> Shape:
        return self.filters.shape(self._seen(pre))

    def multiply_adds(self, pre: Shape) -> int:
        return self.filters.multiply_adds(self._seen(pre))

    def _seen(self, pre: Shape) -> Shape:
        with torch.no_grad():
            return tuple(self.prepared(self._zeros(pre)).shape[1:])

    def prepared(self, pre: Tensor) -> Tensor:
        """Return the filters' input for `pre`, in its dtype."""
        return in_precision(self.prepare, pre)

    def forward(self, pre: Tensor) -> Tensor:
        return self._centered(self._competing(self.filters(self.prepared(pre))))

    def _competing(self, u: Tensor) -> Tensor:
        return center(u).clamp_min(0) if self.rectified else u

    def _centered(self, drive: Tensor) -> Tensor:
        return center(drive) if self.centered else drive

    def linearize(self, pre: Tensor) -> tuple[Tensor, BlockLinearization]:
        with torch.no_grad():
            seen = self.prepared(pre)
            u, inner = self.filters.linearize_to_learn(seen) if self.training else self.filters.linearize(seen)
            competing = self._competing(u)
            drive = centered_last(competing) if self.centered else competing
            return drive, BlockLinearization(self, pre, seen, inner, competing)

    def unit_inputs(self, pre: Tensor, drive: Tensor, linear: Linearization | None) -> UnitInputs:
        if not (isinstance(linear, BlockLinearization) and pre is linear.pre):
            linear = self.linearize(pre)[1]
        inputs = self.filters.unit_inputs(linear.seen, linear.competing, linear.inner)
        return inputs._replace(linear=not self.rectified)


def _links(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of a chain one by one, nested chains included; a chain with hooks of its own as a whole."""
    if type(module) is nn.Sequential and not (module._forward_hooks or module._forward_pre_hooks):
        for child in module:
            yield from _links(child)
    else:
        yield module


def center(drive: Tensor) -> Tensor:
    """Return u − ū, ū being the mean over the neurons (axis 1) at every place."""
    return drive - drive.mean(1, keepdim=True)


def centered_last(drive: Tensor) -> Tensor:
    """Return `center` of a drive outside of autograd, in one compiled pass inside `energy.kernels.fused`."""
    return _CENTER((drive.movedim(1, -1),)).movedim(-1, 1) if _CENTER.ready(drive) else center(drive)


def _center(drive: Tensor) -> Tensor:
    return drive - drive.mean(-1, keepdim=True)


_CENTER: Final = Kernel(_center)
