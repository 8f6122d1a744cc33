"""A block of a feedback-free network: what its neurons see is prepared first, and what they say is centred.

    A(m) = C u      u = W·prepare(m) + b      C u = u − mean of u over the neurons of a place

`prepare` is any chain of modules without weights: pooling of the layer below, normalisation, padding. C is a
projection, so above this coupling a `RePU` of power p is the Triangle activation max(u − ū, 0)^p (Coates, Ng & Lee
2011), and the pair has an energy. With `rectified` the neurons are centred and rectified once before: v = max(Cu, 0),
A(m) = C v.

Source: Journé et al., ICLR 2023 (arXiv:2209.11883), whose blocks normalise, convolve, activate and pool."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from energy.couplings import Convolution, Coupling, Dense, Filtered, Gradients, Shape, Spread


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

    Normalisation inside `prepare` is a fixed affine map except while the network learns (`Network.learning`); the
    adjoint, tangent and products are those of the fixed map."""

    def __init__(
        self,
        filters: Dense | Convolution,
        *prepare: nn.Module,
        centred: bool = False,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        if rectified and not centred:
            raise ValueError("Block(rectified=True): must be centred too")
        self.prepare, self.filters = nn.Sequential(*prepare), filters
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
            return tuple(self.prepare(self._zeros(pre)).shape[1:])

    def drive(self, pre: Tensor) -> Tensor:
        return self._said(self._competing(self.filters.drive(self.prepare(pre))))

    def _competing(self, u: Tensor) -> Tensor:
        return centre(u).clamp_min(0) if self.rectified else u

    def _said(self, drive: Tensor) -> Tensor:
        return centre(drive) if self.centred else drive

    def linearise(self, pre: Tensor) -> tuple[Tensor, Opening]:
        with torch.no_grad():
            seen = self.prepare(pre)
            u, inner = self.filters.linearise(seen)
            drive = self._competing(u)
            return self._said(drive), Opening(pre, seen, inner, drive)

    def filtered(self, pre: Tensor, drive: Tensor, point: Opening | Tensor) -> Filtered:
        point = self._opened(point)
        return self.filters.filtered(point.seen, point.drive, point.inner)._replace(linear=not self.rectified)

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
        with torch.enable_grad():
            pre = point.pre.detach().requires_grad_()
            return torch.autograd.grad(self.prepare(pre), pre, pulled.view_as(point.seen))[0]

    def spread(self, post: Tensor, point: Opening) -> Spread:
        return Spread(self._pulled(post, point))

    def hebbian(self, pre: Tensor, post: Tensor | Spread, point: Opening | Tensor | None = None) -> Gradients:
        point = self._opened(pre if point is None else point)
        heard = post.full if isinstance(post, Spread) else self._pulled(post, point)
        return self.filters.hebbian(point.seen, heard, point.inner)

    def tangent(self, direction: Tensor, point: Opening | Tensor) -> Tensor:
        return super().tangent(direction, self._opened(point).pre)

    def hebbian_tangent(self, direction: Tensor, post: Tensor, point: Opening | Tensor) -> Gradients:
        return super().hebbian_tangent(direction, post, self._opened(point).pre)

    def curvature(self, direction: Tensor, post: Tensor, point: Opening | Tensor) -> Tensor | None:
        return super().curvature(direction, post, self._opened(point).pre)


def centre(drive: Tensor) -> Tensor:
    """u − ū, the mean over the neurons (axis 1) taken away at every place."""
    return drive - drive.mean(1, keepdim=True)
