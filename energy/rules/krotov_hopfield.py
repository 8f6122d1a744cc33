"""The rule of Krotov and Hopfield: the winner learns, the k-th in rank unlearns.

    Δw_i = Σ g_i (R^p x − u_i w_i)      u_i = ⟨sign(w_i)|w_i|^(p−1), x⟩      g = 1 for rank 1, −Δ for rank k, else 0

For every p > 1 this is R^p times the natural gradient of −E*(u) = u₍₁₎ − Δ·u₍ₖ₎ on {‖w_i‖_p = R}, in the metric of
‖w‖_p^p/p, away from ties and from weights that are zero. Off that sphere d‖w_i‖_p^p/dt = p·E[g_i u_i](R^p − ‖w_i‖_p^p):
norms go to R as long as winning pays.

Reference:
    Krotov & Hopfield, PNAS 116 (2019) 7723.
"""

from __future__ import annotations

import math

from torch import Tensor

from energy.component import require
from energy.rules.plasticity import Plasticity
from energy.rules.softhebb import margin, ranked


class KrotovHopfield(Plasticity, name="krotov_hopfield"):
    """Δw_i = Σ g_i (R^p x − u_i w_i), g = 1 for the winner, −Δ for the unit of rank k, else 0.

    `p` and `target_norm`, R, are those of `Plasticity`. One rate for all units.

    Attributes:
        rank: k, at least 2.
        anti_hebbian: Δ, at least 0.

    Reference:
        Krotov & Hopfield, PNAS 116 (2019) 7723.
    """

    rank: int = 2
    anti_hebbian: float = 0.4
    rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rank >= 2, self, "rank", "at least 2: at 1 the winner would learn and unlearn")
        require(0 <= self.anti_hebbian < math.inf, self, "anti_hebbian", "at least 0 and finite")

    def energy(self, drive: Tensor) -> Tensor:
        return margin(drive, self.rank, self.anti_hebbian)

    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return ranked(drive, self.rank, self.anti_hebbian)
