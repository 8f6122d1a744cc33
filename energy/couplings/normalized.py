"""A normalized coupling at one state m: N by a tape of its own, the filters by their linearization.

With A = P ∘ N ∘ filters and u = filters(m), the adjoint and the product at m are

    A′(m)ᵀ v = filters′(m)ᵀ w,      ∂θ⟨v, A(m)⟩ = ∂θ⟨w, filters(m)⟩,      w = N′(u)ᵀ Pᵀ v

Autograd gives w once for both, through the statistics, and the filters have closed forms of their own: the products of
back-propagation. Away from m, where the mean of a dyad ends, the statistics have moved, and the product applies the
filters anew; a settler with `freeze_mean=true` stays at m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

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


class NormalizedLinearization(AutogradLinearization):
    """A `Normalization` linearized at one state: N by a tape of its own, the filters by their linearization.

    Tangent, second product and curvature, which only networks with feedback read, are those of autograd.

    Args:
        coupling: the coupling.
        forward: the whole map, by the statistics that are due here.
        normalize: N by these statistics.
        pre: the state m, (B, *pre shape).
        filters: the filters' linearization at m.
        seen: u, the filters' drive at m.
    """

    def __init__(
        self,
        coupling: Normalizing,
        forward: Callable[[Tensor], Tensor],
        normalize: Callable[[Tensor], Tensor],
        pre: Tensor,
        filters: Linearization,
        seen: Tensor,
    ) -> None:
        super().__init__(cast(nn.Module, coupling), forward, pre)
        self.normalization, self.normalize = coupling, normalize
        self.filters, self.seen = filters, seen
        self._tape: tuple[Tensor, Tensor] | None = None  # u, and N(u) that leads back to it
        self._switches: Tensor | None = None
        self._prepared: tuple[Tensor, Tensor, Gradients] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tape": None}  # who takes this apart gets tensors, and writes the tape anew

    def drive(self) -> Tensor:
        """Return A(m)."""
        full = self._taped()[1].detach()
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
        pool, (seen, normalized) = self.normalization.pool, self._taped()
        full = post if pool is None else pool.adjoint(post, self._switches, normalized.shape)
        held = [p for p in (self.normalization.scale, self.normalization.shift) if p is not None]
        with taped():
            learned = [seen, *(p for p in held if p.requires_grad)]
            pulled, *found = torch.autograd.grad(normalized, learned, full, retain_graph=True)
        given = iter(found)
        return pulled, tuple(next(given) if p.requires_grad else torch.zeros_like(p) for p in held)

    def _taped(self) -> tuple[Tensor, Tensor]:
        if self._tape is None:
            with taped():
                seen = leaf(self.seen)
                self._tape = (seen, self.normalize(seen))
        return self._tape
