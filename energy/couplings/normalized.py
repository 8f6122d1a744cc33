"""A normalized coupling at one state m: N by a tape of its own, the filters by their linearization.

With A = P ∘ N ∘ filters and u = filters(m), the adjoint and the product at m are

    A′(m)ᵀ v = filters′(m)ᵀ w,      ∂θ⟨v, A(m)⟩ = ∂θ⟨w, filters(m)⟩,      w = N′(u)ᵀ Pᵀ v

Autograd gives w once for both, through the statistics, and the filters have closed forms of their own: the products of
back-propagation. Away from m, where the mean of a dyad ends, the statistics have moved, and the product applies the
filters anew; a settler with `freeze_mean=true` stays at m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from energy.couplings.linearization import AutogradLinearization, Gradients, Linearization
from energy.pooling import Pool
from energy.tape import leaf, taped


class Normalizing(Protocol):
    """The parts of a normalization that are read here."""

    scale: nn.Parameter | None
    shift: nn.Parameter | None
    pool: Pool | None

    def normalize(self, drive: Tensor) -> Tensor: ...


class NormalizedLinearization(AutogradLinearization):
    """A `Normalization` linearized at one state: N by a tape of its own, the filters by their linearization.

    Tangent, second product and curvature, which only networks with feedback read, are those of autograd.

    Args:
        coupling: the coupling.
        forward: the whole map, by the statistics that are due here.
        pre: the state m, (B, *pre shape).
        filters: the filters' linearization at m.
        drive: u, the filters' drive at m.
    """

    def __init__(
        self,
        coupling: Normalizing,
        forward: Callable[[Tensor], Tensor],
        pre: Tensor,
        filters: Linearization,
        drive: Tensor,
    ) -> None:
        super().__init__(cast(nn.Module, coupling), forward, pre)
        self.normalization = coupling
        self.filters = filters
        self.own = [p for p in (coupling.scale, coupling.shift) if p is not None and p.requires_grad]
        with taped():
            self._drive = leaf(drive)
            self._normalized = coupling.normalize(self._drive)
        self._switches: Tensor | None = None
        self._prepared: tuple[Tensor, Tensor, Gradients] | None = None

    def drive(self) -> Tensor:
        """Return A(m)."""
        full = self._normalized.detach()
        if self.normalization.pool is None:
            return full
        pooled, self._switches = self.normalization.pool.open(full)
        return pooled

    def prepare(self, post: Tensor) -> None:
        self._prepared = (post, *self._pulled(post))

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        pulled, _ = self._pulled(post)
        return self.filters.adjoint(pulled, weight=weight)

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        if pre is not self.pre:
            return super().weight_gradient(pre, post)
        pulled, own = self._pulled(post)
        return (*own, *self.filters.weight_gradient(pre, pulled))

    def _pulled(self, post: Tensor) -> tuple[Tensor, Gradients]:
        """N′(u)ᵀ Pᵀ post, and the gradients of scale and shift."""
        if self._prepared is not None and self._prepared[0] is post:
            return self._prepared[1:]
        pool = self.normalization.pool
        full = post if pool is None else pool.adjoint(post, self._switches, self._normalized.shape)
        with taped():
            learned = [self._drive, *self.own]
            pulled, *found = torch.autograd.grad(self._normalized, learned, full, retain_graph=True)
        given = iter(found)
        held = [p for p in (self.normalization.scale, self.normalization.shift) if p is not None]
        return pulled, tuple(next(given) if p.requires_grad else torch.zeros_like(p) for p in held)
