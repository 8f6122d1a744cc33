"""SoftHebb: soft competition for the right to learn.

Neurons of a place hold s = softmax(u/T), the minimizer of the energy T Σ s ln s − ⟨s, u⟩ on the simplex, whose minimum
is E*(u) = −T·logsumexp(u/T). Since −∂E*/∂W = s xᵀ exactly, `soft` descends E* on the sphere ‖w_k‖ = 1. `sparse` holds
the minimizer of T/2 Σ s² − ⟨s, u⟩ instead. `hard` is T → 0, E* = −max u: spherical k-means. `self_contrast` descends
T·logsumexp(u/T) − max u ≥ 0, the free state against the layer's own winner. `softkrotov`, which the published deep
networks learn by, turns the sign of every loser; its y is the gradient of no function of the drives:
y = (onehot − s) + (2 s_winner − 1)·onehot, of which the first part is `self_contrast`.

With a bias b_k = T·ln of a prior, Δb follows the share of the data that a neuron takes.

Reference:
    Moraitis et al., Neuromorph. Comput. Eng. 2 (2022) 044017; Journé et al., ICLR 2023 (arXiv:2209.11883).
"""

from __future__ import annotations

import enum
import math
from typing import Final

import torch
from torch import Tensor

from energy.component import require
from energy.couplings import UnitInputs
from energy.errors import UsageError
from energy.kernels import Kernel
from energy.rules.plasticity import Plasticity
from energy.rules.step import TINY, constants


class Variant(enum.Enum):
    """The postsynaptic factor of a unit, s being its share of the competition."""

    SOFT = "s"
    SPARSE = "the sparsemax of u/T, which is zero for most"
    SOFTKROTOV = "s for the winner, −s for every other"
    HARD = "1 for the winner, 0 for every other"
    HARDKROTOV = "1 for the winner, −anti_hebbian for the one ranked `rank`"
    SELF_CONTRAST = "1 − s for the winner, −s for every other"
    SUPERVISED = "1 for the neuron of the label, 0 for every other: a Hebbian output layer"


# (a, b, c): the winner's factor is a + b·s, that of every other unit c·s
SIGNED: Final = {Variant.SOFTKROTOV: (0, 1, -1), Variant.SELF_CONTRAST: (1, -1, -1)}


class SoftHebb(Plasticity, name="softhebb"):
    """Δw_k = Σ y_k (x − u_k w_k), y by `variant`, η_k = η (|‖w_k‖ − 1| + 1e-10)^q.

    Attributes:
        variant: the postsynaptic factor.
        temperature: T, of the competition.
        normalized: neurons compete with u_k/‖w_k‖ (with norm p, ⟨…, x⟩/‖w_k‖_p^(p−1)), biases as they are, so that T
            means the same at every norm.
        rank: of the neuron that unlearns, for `hardkrotov`.
        anti_hebbian: its factor, for `hardkrotov`.

    Reference:
        Moraitis et al., Neuromorph. Comput. Eng. 2 (2022) 044017; Journé et al., ICLR 2023.
    """

    variant: Variant = Variant.SOFTKROTOV
    temperature: float = 1.0
    normalized: bool = False
    rank: int = 3
    anti_hebbian: float = 2.0
    rate: float = 0.05
    exponent: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.temperature < math.inf, self, "temperature", "above 0 and finite")
        require(self.rank >= 2, self, "rank", "at least 2")
        require(0 <= self.anti_hebbian < math.inf, self, "anti_hebbian", "at least 0 and finite")

    def energy(self, drive: Tensor) -> Tensor:
        if self.variant is Variant.SOFT:
            return -self._free(drive)
        if self.variant is Variant.SPARSE:
            s = self.share(drive)
            return self.temperature / 2 * s.square().sum(-1) - (s * drive).sum(-1)
        if self.variant is Variant.HARD:
            return -drive.amax(-1)
        if self.variant is Variant.SELF_CONTRAST:
            return self._free(drive) - drive.amax(-1)
        if self.variant is Variant.HARDKROTOV:
            return margin(drive, self.rank, self.anti_hebbian)
        return super().energy(drive)

    def _free(self, drive: Tensor) -> Tensor:
        return self.temperature * torch.logsumexp(drive / self.temperature, -1)

    def share(self, drive: Tensor) -> Tensor:
        """Return s = softmax(u/T) over the last axis, or its sparsemax for `sparse`; float32 or wider."""
        wide = drive.to(torch.promote_types(drive.dtype, torch.float32)) / self.temperature
        return sparsemax(wide) if self.variant is Variant.SPARSE else torch.softmax(wide, -1)

    def winner_share(self, logits: Tensor) -> Tensor:
        return self.share(logits).amax(-1)

    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        variant = self.variant
        if variant is Variant.SUPERVISED:
            return supervised(drive, target)
        if variant is Variant.HARDKROTOV:
            return ranked(drive, self.rank, self.anti_hebbian)
        if variant is Variant.HARD:
            return torch.zeros_like(drive).scatter_(-1, drive.max(-1, keepdim=True).indices, 1)
        if variant in SIGNED:
            return _SIGNED((drive, constants((self.temperature, *SIGNED[variant]), drive)))
        return self.share(drive).to(drive.dtype)

    def competition_logits(self, inputs: UnitInputs) -> Tensor:
        if self.normalized:
            u, bias = inputs.drive, inputs.filters.bias
            flat = inputs.filters.weight.flatten(1)
            norms = torch.linalg.vector_norm(flat, self.p, dim=1).clamp_min(TINY).pow(self.p - 1)
            prior = torch.zeros_like(norms) if bias is None else bias
            prior, norms = (one.to(u.dtype).view(-1, *[1] * (u.ndim - 2)) for one in (prior, norms))
            inputs = inputs._replace(drive=(u - prior) / norms + prior)
        return super().competition_logits(inputs)

    @property
    def unit(self) -> float:
        return self.temperature

    def bias_update(self, drive: Tensor, bias: Tensor) -> Tensor:
        """Return Δb_k = Σ s_k e^{−b_k/T} − N over N samples and places, in units of T: at rest Σ s_k/N = e^{b_k/T}."""
        share = self.share(drive.to(bias.dtype)).flatten(-2).flatten(0, -2)
        return share.sum(0) * torch.exp(-bias / self.temperature) - len(share)


def _signed(drive: Tensor, numbers: Tensor) -> Tensor:
    """The factor a + b·s for the winner, the first of equals, and c·s for every other; numbers are T, a, b, c."""
    temperature, start, rise, others = numbers.unbind()
    wide = drive.to(numbers.dtype)
    top = wide.amax(-1, keepdim=True)
    places = torch.arange(drive.shape[-1], dtype=wide.dtype, device=drive.device)
    winner = torch.where(wide == top, places, math.inf).amin(-1, keepdim=True)
    weights = torch.exp((wide - top) / temperature)  # softmax by hand: it and the winner share the search for the top
    share = weights / weights.sum(-1, keepdim=True)
    return torch.where(places == winner, start + rise * share, others * share).to(drive.dtype)


_SIGNED = Kernel(_signed)


def sparsemax(z: Tensor) -> Tensor:
    """Return the nearest point of the simplex to z over the last axis, max(z − τ, 0) with τ such that it sums to 1.

    Example:
        >>> sparsemax(torch.tensor([2.0, 1.5, 0.0]))
        tensor([0.7500, 0.2500, 0.0000])

    Reference:
        Martins & Astudillo, ICML 2016 (arXiv:1602.02068), section 2.
    """
    z = z - z.amax(-1, keepdim=True)
    falling = z.sort(-1, descending=True).values
    above = falling.cumsum(-1) - 1
    counts = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device)
    last = (counts * falling > above).sum(-1, keepdim=True) - 1  # those above τ come first; the greatest always is
    return (z - above.gather(-1, last) / (last + 1)).clamp_min(0)


def margin(drive: Tensor, rank: int, anti_hebbian: float) -> Tensor:
    """Return E* = anti_hebbian·u₍rank₎ − u₍₁₎ over the last axis, whose negative gradient is `ranked`.

    Args:
        drive: u, (…, K).
        rank: at least 2.
        anti_hebbian: Δ.

    Raises:
        ValueError: if K is below `rank`.
    """
    top = drive.topk(_enough(rank, drive), -1).values
    return anti_hebbian * top[..., -1] - top[..., 0]


def ranked(drive: Tensor, rank: int, anti_hebbian: float) -> Tensor:
    """Return 1 for the greatest drive, −anti_hebbian for the one ranked `rank`, 0 otherwise, over the last axis.

    The first of equals comes first.

    Args:
        drive: u, (…, K).
        rank: at least 2.
        anti_hebbian: Δ.

    Raises:
        ValueError: if K is below `rank`.
    """
    first = at = drive.argmax(-1, keepdim=True)  # not topk or sort: their order of equals depends on the device
    for _ in range(_enough(rank, drive) - 1):
        drive = drive.scatter(-1, at, -math.inf)
        at = drive.argmax(-1, keepdim=True)
    return torch.zeros_like(drive).scatter_(-1, at, -anti_hebbian).scatter_(-1, first, 1)


def _enough(rank: int, drive: Tensor) -> int:
    if rank > drive.shape[-1]:
        raise UsageError(f"rank={rank}: there are {drive.shape[-1]} neurons that compete")
    return rank


def supervised(drive: Tensor, target: Tensor | None) -> Tensor:
    """Return the target itself as y, one neuron per class.

    Raises:
        ValueError: if its shape is not that of the drives.
    """
    wanted = None if target is None else target.reshape(len(target), 1, -1)
    if wanted is None or wanted.shape != drive.shape:
        shape = None if target is None else tuple(target.shape)
        raise UsageError(f"target of shape {shape} cannot teach neurons with drives of shape {tuple(drive.shape)}")
    return wanted.to(drive.dtype)
