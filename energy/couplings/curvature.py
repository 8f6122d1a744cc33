"""The curvature of a batch normalization, in closed form.

N(u) = g·û + shift with û = r(u − μ), r = 1/√(σ² + ε) is, but for the shift, the gradient of n·g·√(σ² + ε), n being the
count of samples and places of a channel; so N′ is symmetric, and what follows is symmetric in v and w. A bar is the
mean over those n:

    N′(u)v         = g·r·[v − v̄ − û·b],        a = mean(û w),  b = mean(û v),  c = mean((v − v̄)(w − w̄))
    ⟨w, N′(u)v⟩    = n·g·r·(c − ab)
    ∂u⟨w, N′(u)v⟩  = −g·r²·[û(c − 3ab) + b(w − w̄) + a(v − v̄)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from energy.couplings.linearization import Gradients
from energy.couplings.normalized import NormalizedLinearization
from energy.exchange import sum_of_all
from energy.kernels import Kernel


class BatchLinearization(NormalizedLinearization):
    """A `BatchNorm` linearized at one state, by the statistics that are due there."""

    def __init__(self, coupling: Any, *parts: Any) -> None:
        super().__init__(coupling, *parts)
        self.by_batch, self.eps = coupling.training, coupling.eps

    def push(self, direction: Tensor) -> Tensor:
        return self._pull(direction)[0]  # N′(u) is its own transpose

    def bend(self, direction: Tensor, post: Tensor) -> tuple[Tensor | None, Gradients]:
        if not self.by_batch:
            return super().bend(direction, post)
        bent, of_scale = batch_curvature(self.seen, direction, post, self.normalization.scale, self.eps)
        return bent, tuple(torch.zeros_like(p) if k else of_scale.to(p.dtype) for k, p in enumerate(self._own()))


def batch_curvature(u: Tensor, v: Tensor, w: Tensor, scale: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Return ∂u⟨w, N′(u)v⟩ in the dtype of u, and ∂g⟨w, N′(u)v⟩ of this rank's samples, (C,), in float32 or wider.

    Args:
        u: the drive that is normalized, (B, C, …).
        v, w: a direction and a tensor above, of the same shape.
        scale: g, (C,); None for 1.
        eps: ε.
    """
    wide = torch.promote_types(u.dtype, torch.float32)
    given = torch.ones(u.shape[1], dtype=wide, device=u.device) if scale is None else scale.to(wide)
    count, *sums = _totals([_wide_count(u, wide), *_SUMS((u, v, w))])
    center = [one / count for one in sums]
    moments = [one / count for one in _totals(_MOMENTS((u, v, w, *center)))]
    return _CURVATURE((u, v, w, *center, *moments, given, torch.full_like(given[0], eps)))


def _wide_count(u: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.full((u.shape[1],), u.numel() / u.shape[1], dtype=dtype, device=u.device)


def _totals(parts: Sequence[Tensor]) -> list[Tensor]:
    """The sums over all ranks."""
    return list(sum_of_all([part.clone() for part in parts]))


def _axes(u: Tensor) -> list[int]:
    return [0, *range(2, u.ndim)]


def _spread(u: Tensor, *of_channels: Tensor) -> list[Tensor]:
    """Tensors (C,) in a form that meets u."""
    return [tensor.view(1, -1, *[1] * (u.ndim - 2)) for tensor in of_channels]


def _wide(*tensors: Tensor) -> list[Tensor]:
    return [tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]


def _sums(u: Tensor, v: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.sum(_axes(u)) for tensor in _wide(u, v, w))


def _away(*tensors_and_means: Tensor) -> list[Tensor]:
    """u, v and w, each less its mean."""
    tensors, means = tensors_and_means[:3], tensors_and_means[3:]
    return [tensor - mean for tensor, mean in zip(_wide(*tensors), _spread(tensors[0], *means), strict=True)]


def _moments(*tensors_and_means: Tensor) -> tuple[Tensor, ...]:
    """Σ of u², uv, uw and vw, each less its mean."""
    away = _away(*tensors_and_means)
    pairs = ((0, 0), (0, 1), (0, 2), (1, 2))
    return tuple((away[i] * away[k]).sum(_axes(away[0])) for i, k in pairs)


def _curvature(u: Tensor, v: Tensor, w: Tensor, *of_channels: Tensor) -> tuple[Tensor, Tensor]:
    *means, var, uv, uw, vw, scale, eps = of_channels
    r, n = (var + eps).rsqrt(), u.numel() / u.shape[1]
    a, b = r * uw, r * uv
    of_scale = n * r * (vw - a * b)
    along = -scale * r**3 * (vw - 3 * a * b)
    factors = _spread(u, along, -scale * r.square() * a, -scale * r.square() * b)
    terms = [factor * tensor for factor, tensor in zip(factors, _away(u, v, w, *means), strict=True)]
    return (terms[0] + terms[1] + terms[2]).to(u.dtype), of_scale


_SUMS, _MOMENTS = Kernel(_sums), Kernel(_moments)
_CURVATURE = Kernel(_curvature)
