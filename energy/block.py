"""A block of a feedback-free network: what its neurons see is prepared first, and what they say is centred.

    A(m) = C u      u = W·prepare(m) + b      C u = u − mean of u over the neurons of a place

`prepare` is any chain of modules without weights: pooling of the layer below, normalisation, padding. C is a
projection, so above this coupling a `RePU` of power p is the Triangle activation max(u − ū, 0)^p (Coates, Ng & Lee
2011), and the pair has an energy. With `rectified` the neurons are centred and rectified once before: v = max(Cu, 0),
A(m) = C v.

Source: Journé et al., ICLR 2023 (arXiv:2209.11883), whose blocks normalise, convolve, activate and pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from energy.arguments import named
from energy.couplings import Convolution, Coupling, Dense, Gradients, Shape, Spread, UnitInputs
from energy.errors import UsageError, UsageTypeError
from energy.precision import in_precision
from energy.tape import leaf, pushed, taped

# what is linear once it is known which of its inputs it lets through
SWITCHES: Final = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.ReLU,
    nn.LeakyReLU,
)


class Opening(NamedTuple):
    """Where a block was opened: the layer below, what its neurons saw, the point of the filters, and what the neurons
    compete with.
    """

    pre: Tensor
    seen: Tensor
    inner: Any
    drive: Tensor


class Block(Coupling):
    """A(m) = C[filters(prepare(m))]; without C unless `centred`.

    Normalisation by running statistics inside `prepare` is a fixed affine map except while the network learns
    (`Network.learning`). What switches is fixed at the point: maxima are taken where the point has them and rectifiers
    let through what they let through there, so that drive of a direction, adjoint and products are those of one map.
    Raises ValueError where `prepare` holds parameters."""

    def __init__(
        self,
        filters: Dense | Convolution,
        *prepare: nn.Module,
        centred: bool = False,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        if rectified and not centred:
            raise UsageError("Block(rectified=True): must be centred too")
        if not isinstance(filters, Dense | Convolution):
            raise UsageTypeError(f"Block: filters is {named(filters)}: must be a Dense or a Convolution")
        self.prepare, self.filters = nn.Sequential(*prepare), filters
        if held := [name for name, _ in self.prepare.named_parameters()]:
            raise UsageError(
                f"Block: prepare.{held[0]} is a parameter, which nothing would learn: take affine=False, or "
                "energy.couplings.Module for the whole chain"
            )
        self.centred, self.rectified = centred, rectified
        self.eval()

    @property
    def weight(self) -> nn.Parameter:
        """That of the filters."""
        return self.filters.weight

    def rewired(self, point: Opening, weight: Tensor) -> Opening:
        return point._replace(inner=self.filters.rewired(point.inner, weight))

    def shape(self, pre: Shape) -> Shape:
        return self.filters.shape(self._seen(pre))

    def multiply_adds(self, pre: Shape) -> int:
        return self.filters.multiply_adds(self._seen(pre))

    def _seen(self, pre: Shape) -> Shape:
        with torch.no_grad():
            return tuple(self.prepared(self._zeros(pre)).shape[1:])

    def prepared(self, pre: Tensor) -> Tensor:
        """What the filters see of `pre`, in its precision."""
        return in_precision(self.prepare, pre)

    def _sees(self, pre: Tensor, point: Opening) -> Tensor:
        """What the filters see of `pre` through the map that is fixed at the point."""
        if pre is point.pre:
            return point.seen
        chain = list(_links(self.prepare))
        if not any(isinstance(module, SWITCHES) for module in chain):
            return self.prepared(pre)
        at = point.pre
        for module in chain:
            pre = pushed(module, at, pre) if isinstance(module, SWITCHES) else in_precision(module, pre)
            with torch.no_grad():
                at = in_precision(module, at)
        return pre

    def drive(self, pre: Tensor) -> Tensor:
        return self._said(self._competing(self.filters.drive(self.prepared(pre))))

    def _competing(self, u: Tensor) -> Tensor:
        return centre(u).clamp_min(0) if self.rectified else u

    def _said(self, drive: Tensor) -> Tensor:
        return centre(drive) if self.centred else drive

    def linearise(self, pre: Tensor) -> tuple[Tensor, Opening]:
        with torch.no_grad():
            seen = self.prepared(pre)
            u, inner = self.filters.linearise(seen)
            drive = self._competing(u)
            return self._said(drive), Opening(pre, seen, inner, drive)

    def unit_inputs(self, pre: Tensor, drive: Tensor, point: Opening | Tensor) -> UnitInputs:
        point = point if isinstance(point, Opening) and pre is point.pre else self.linearise(pre)[1]
        return self.filters.unit_inputs(point.seen, point.drive, point.inner)._replace(linear=not self.rectified)

    def _opened(self, point: Opening | Tensor) -> Opening:
        return point if isinstance(point, Opening) else self.linearise(point)[1]

    def _pulled(self, post: Tensor, point: Opening) -> Tensor:
        """What the filters hear of `post`."""
        if self.rectified:
            return centre(centre(post) * (point.drive > 0))
        return self._said(post)

    def adjoint(self, post: Tensor | Spread, point: Opening | Tensor) -> Tensor:
        point = self._opened(point)
        heard = post.full if isinstance(post, Spread) else self._pulled(post, point)
        pulled = self.filters.adjoint(heard, point.inner)
        with taped():
            pre = leaf(point.pre)
            return torch.autograd.grad(self.prepared(pre), pre, pulled.view_as(point.seen))[0]

    def spread(self, post: Tensor, point: Opening) -> Spread:
        return Spread(self._pulled(post, point))

    def hebbian(self, pre: Tensor, post: Tensor | Spread, point: Opening | Tensor | None = None) -> Gradients:
        point = self._opened(pre if point is None else point)
        heard = post.full if isinstance(post, Spread) else self._pulled(post, point)
        with torch.no_grad():
            return self.filters.hebbian(self._sees(pre, point), heard, point.inner)

    def tangent(self, direction: Tensor, point: Opening | Tensor) -> Tensor:
        return super().tangent(direction, self._opened(point).pre)

    def hebbian_tangent(self, direction: Tensor, post: Tensor, point: Opening | Tensor) -> Gradients:
        return super().hebbian_tangent(direction, post, self._opened(point).pre)

    def curvature(self, direction: Tensor, post: Tensor, point: Opening | Tensor) -> Tensor | None:
        return super().curvature(direction, post, self._opened(point).pre)


def _links(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of a chain one by one, those of chains in it too; a chain with hooks of its own as a whole."""
    if type(module) is nn.Sequential and not (module._forward_hooks or module._forward_pre_hooks):
        for child in module:
            yield from _links(child)
    else:
        yield module


def centre(drive: Tensor) -> Tensor:
    """u − ū, the mean over the neurons (axis 1) taken away at every place."""
    return drive - drive.mean(1, keepdim=True)
