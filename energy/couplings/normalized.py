"""A normalized coupling at one state m: N by a tape of its own, the filters by their linearization.

With A = P ∘ N ∘ filters, u = filters(m), v = filters′(m)d and w = Pᵀ p,

    A′(m) d = P N′(u)v,        A′(m)ᵀ p = filters′(m)ᵀ N′(u)ᵀw,        ∂θ⟨p, A(m)⟩ = ∂θ⟨N′(u)ᵀw, filters(m)⟩

and with the curvature c = ∂u⟨w, N′(u)v⟩ of the normalization alone

    ∂m⟨p, A′(m) d⟩ = filters′(m)ᵀ c (+ the curvature of filters that are curved)
    ∂θ⟨p, A′(m) d⟩ = ∂θ⟨c, filters(m)⟩ + ∂θ⟨N′(u)ᵀw, filters′(m)d⟩

Autograd gives N′ and c, through the statistics, and the filters have closed forms of their own: at γ = 0 the products
of back-propagation. Away from m, where the mean of a dyad ends, the statistics have moved, and the product applies the
filters anew; a settler with `freeze_mean=true` stays at m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from energy import foreach
from energy.couplings.affine import AffineLinearization
from energy.couplings.linearization import AutogradLinearization, Gradients, Linearization, gradients_or_none
from energy.pooling import Pool
from energy.tape import leaf, plain, pushed, taped


class Normalizing(Protocol):
    """The parts of a normalization that are read here."""

    scale: nn.Parameter | None
    shift: nn.Parameter | None
    pool: Pool | None


class NormalizedLinearization(AutogradLinearization):
    """A `Normalization` linearized at one state: N by a tape of its own, the filters by their linearization.

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

    def products_cost(self, pre: Tensor, both: bool) -> int:
        anew = pre is not self.pre  # the filters are applied once more, and the curvature has a product of its own
        return (5 if both else 2) if anew else (3 if both else 1)

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        if pre is not self.pre:
            return super().weight_gradient(pre, post)
        pulled, own = self._pulled(post)
        return (*own, *self.filters.weight_gradient(pre, pulled))

    def tangent(self, direction: Tensor) -> Tensor:
        pushed, pool = self.push(self.filters.tangent(direction)), self.normalization.pool
        return pushed if pool is None else pool.tangent(pushed, self._switches)

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        opened = self._opened(post)
        bent, own = self.bend(self.filters.tangent(direction), opened)
        found = self.filters.second_gradient(direction, self._pull(opened)[0])
        if bent is not None:
            foreach.add_(found, self.filters.weight_gradient(self.pre, bent), 1.0)
        return (*own, *found)

    def products(self, pre: Tensor, post: Tensor, direction: Tensor, above: Tensor, gain: float | Tensor) -> Gradients:
        if pre is not self.pre:
            return super().products(pre, post, direction, above, gain)
        opened, (pulled, own) = self._opened(above), self._pulled(post)
        bent, second = self.bend(self.filters.tangent(direction), opened)
        pulled = pulled if bent is None else pulled + gain * bent
        found = self.filters.products(pre, pulled, direction, self._pull(opened)[0], gain)
        return (*(a + gain * b for a, b in zip(own, second, strict=True)), *found)

    def curvature(self, direction: Tensor, post: Tensor) -> Tensor | None:
        opened = self._opened(post)
        bent, _ = self.bend(self.filters.tangent(direction), opened)
        flat = isinstance(self.filters, AffineLinearization)
        below = None if flat else self.filters.curvature(direction, self._pull(opened)[0])
        if bent is None:
            return below
        sent = self.filters.adjoint(bent)
        return sent if below is None else sent + below

    def push(self, direction: Tensor) -> Tensor:
        """Return N′(u) direction, of the shape of u."""
        return pushed(self.normalize, self.seen, direction)

    def bend(self, direction: Tensor, post: Tensor) -> tuple[Tensor | None, Gradients]:
        """Return ∂⟨post, N′(u) direction⟩ by u, or None where N is affine, and by scale and shift.

        Args:
            direction, post: of the shape of u.
        """
        with taped():
            seen = leaf(self.seen)
            (pulled,) = torch.autograd.grad(self.normalize(seen), seen, plain(post), create_graph=True)
            slope = (pulled * plain(direction)).sum()
            own = self._own()
            bent, *found = gradients_or_none(slope, [seen, *own])
        return bent, tuple(torch.zeros_like(p) if g is None else g for p, g in zip(own, found, strict=True))

    def _own(self) -> list[nn.Parameter]:
        return [p for p in (self.normalization.scale, self.normalization.shift) if p is not None]

    def _opened(self, post: Tensor) -> Tensor:
        """Pᵀ post."""
        pool = self.normalization.pool
        return post if pool is None else pool.adjoint(post, self._switches, self.seen.shape)

    def _pulled(self, post: Tensor) -> tuple[Tensor, Gradients]:
        """N′(u)ᵀ Pᵀ post, and the gradients of scale and shift."""
        if self._prepared is not None and self._prepared[0] is post:
            return self._prepared[1:]
        return self._pull(self._opened(post))

    def _pull(self, opened: Tensor) -> tuple[Tensor, Gradients]:
        (seen, normalized), held = self._taped(), self._own()
        with taped():
            learned = [seen, *(p for p in held if p.requires_grad)]
            pulled, *found = torch.autograd.grad(normalized, learned, opened, retain_graph=True)
        given = iter(found)
        return pulled, tuple(next(given) if p.requires_grad else torch.zeros_like(p) for p in held)

    def _taped(self) -> tuple[Tensor, Tensor]:
        if self._tape is None:
            with taped():
                seen = leaf(self.seen)
                self._tape = (seen, self.normalize(seen))
        return self._tape
