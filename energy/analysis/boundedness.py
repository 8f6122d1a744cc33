"""The boundedness of a network's energy, and the number of its equilibria, decided by bounds that hold at every state.

With f_k of Lipschitz constant L_k, G_k grows at least as fast as s²/(2L_k). So with S as in `energy.relax.spectrum`,
but D = L_k at every unit, and the couplings fixed linear maps:

    every layer bounded                            a minimum exists
    ρ(S·D) of the unbounded layers below 1         the energy grows in every direction: a minimum exists
    ρ(S·D) of all layers below 1                   the energy is strictly convex: one equilibrium for every input
    ⟨v, S v⟩ > ⟨v, v⟩ for a v that units can follow  the energy falls without end along v: no minimum

v is one of units that are linear where they are free (identity, ReLU), with v ≥ 0 where a unit has a lower bound. Max
pooling is no fixed map, so equilibria may be several; where it lies between unbounded layers ρ is bounded by the norms
of the filters. With anything else nothing is decided.
"""

from __future__ import annotations

import copy
import enum
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from energy.couplings import Affine, Convolution
from energy.couplings.affine import without_switches
from energy.couplings.linearization import Linearization
from energy.graph import Edge
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Clamp
from energy.relax.spectrum import Jacobian, lanczos
from energy.state import State
from energy.stream import stream

STEPS: Final = 40  # of every recursion and iteration
MARGIN: Final = 1e-3  # within which a bound counts as 1


class Verdict(enum.Enum):
    """The answer to a question of existence."""

    YES = "yes"
    NO = "no"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Boundedness:
    """The bounds of a network at a feedback gain.

    Attributes:
        unbounded: the names of the layers in the dynamics whose units lack a bound.
        minimum: whether the energy has a minimum, or at γ = 0 the network an equilibrium, for every input.
        unique: whether there is one equilibrium for every input.
        bound: ρ(S·D)² of all layers, every f′ at its greatest value; None where the couplings give none.
        reason: the grounds of both verdicts, in words.
    """

    unbounded: tuple[str, ...]
    minimum: Verdict
    unique: Verdict
    bound: float | None
    reason: str


class BoundJacobian:
    """The linearized response with every f′ at its greatest value, of one sample at zero activity.

    Args:
        network: the network, with fixed linear couplings between the layers.
        gamma: γ, the feedback gain.
        layers: the numbers of the layers that move; all others are held.
    """

    def __init__(self, network: Network, gamma: float, layers: Collection[int]) -> None:
        like = next(network.parameters())
        self.edges = [edge for edge in _live(network, gamma) if {edge.source, edge.target} <= set(layers)]
        self.gains = [edge.gain(gamma) ** 0.5 for edge in self.edges]
        zero = [like.new_zeros(1, *layer.shape) for layer in network.layers]
        self.linear = [edge.coupling.linearize(zero[edge.source - 1])[1] for edge in self.edges]
        self.slopes = [_lipschitz(network, k) if k in layers else 0.0 for k in range(1, len(zero) + 1)]
        drawn = stream(0, "bound")
        self.start = State(torch.rand(t.shape, generator=drawn, dtype=torch.float64, device="cpu").to(t) for t in zero)

    def slope(self, vector: State) -> State:
        """Return D v."""
        return State(v * slope for v, slope in zip(vector, self.slopes, strict=True))

    def couple(self, vector: State) -> State:
        """Return S v."""
        onward = [torch.zeros_like(tensor) for tensor in vector]
        for edge, gain, linear in zip(self.edges, self.gains, self.linear, strict=True):
            onward[edge.target - 1] += linear.tangent(vector[edge.source - 1]) * gain
            onward[edge.source - 1] += linear.adjoint(vector[edge.target - 1]) * gain
        return self.seen(State(onward))

    def seen(self, vector: State) -> State:
        """Return v in the layers that move."""
        return State(v * float(slope > 0) for v, slope in zip(vector, self.slopes, strict=True))


@torch.no_grad()
def boundedness(network: Network, gamma: float) -> Boundedness:
    """Decide whether the energy has a minimum, and whether there is one equilibrium, by bounds that hold everywhere.

    Args:
        network: the network.
        gamma: γ, the feedback gain.
    """
    every = [k for k in range(1, len(network.layers) + 1) if not network.readout(k)]
    free = [k for k in every if not _bounded(network, k)]
    names = tuple(network.layers[k - 1].name for k in free)
    if not _live(network, gamma):
        return Boundedness(names, Verdict.YES, Verdict.YES, 0.0, "no activity comes back: one pass is the equilibrium")
    bound = radius(network, gamma, every) if _fixed(network, gamma, every) else None
    if bound is not None and bound < 1 - MARGIN:
        said = f"the loop gain is at most {bound**2:.3g} at every state, so the energy is strictly convex"
        return Boundedness(names, Verdict.YES, Verdict.YES, bound**2, said)
    squared = None if bound is None else bound**2
    several = "the loop gain with every unit free is not below 1" if bound is not None else "no bound holds everywhere"
    if not free:
        said = f"every layer is bounded, so a minimum exists; {several}, so there may be several"
        return Boundedness(names, Verdict.YES, Verdict.UNDECIDED, squared, said)
    alone = radius(network, gamma, free)
    if alone is not None and alone < 1 - MARGIN:
        itself = f"its own loop gain is at most {alone**2:.3g}" if alone else "all that it reads and feeds is bounded"
        said = f"{_some(names)} has no bound, but {itself}, so a minimum exists; {several}, so there may be several"
        return Boundedness(names, Verdict.YES, Verdict.UNDECIDED, squared, said)
    if falls(network, gamma, free):
        said = f"the energy falls without end along a direction in {_some(names)}, which has no bound"
        return Boundedness(names, Verdict.NO, Verdict.NO, squared, said)
    return Boundedness(
        names, Verdict.UNDECIDED, Verdict.UNDECIDED, squared, f"{_some(names)} has no bound, and {several}"
    )


def radius(network: Network, gamma: float, layers: Collection[int]) -> float | None:
    """Return a bound on ρ(S·D) of some layers that holds at every state; None where there is none.

    Args:
        network: the network.
        gamma: γ, the feedback gain.
        layers: the numbers of the layers that move.
    """
    inside = [edge for edge in _live(network, gamma) if {edge.source, edge.target} <= set(layers)]
    if not inside:
        return 0.0
    moving = {k for edge in inside for k in (edge.source, edge.target)}
    if not all(math.isfinite(_lipschitz(network, k)) for k in moving):
        return None
    if all(without_switches(edge.coupling) for edge in inside):
        jacobian = BoundJacobian(network, gamma, moving)
        return _above(jacobian, jacobian.start)
    norms = torch.zeros(len(network.layers), len(network.layers), dtype=torch.float64)
    for edge in inside:
        if (norm := _norm(network, edge)) is None:
            return None
        both = edge.gain(gamma) * _lipschitz(network, edge.source) * _lipschitz(network, edge.target)
        norms[edge.source - 1, edge.target - 1] = norms[edge.target - 1, edge.source - 1] = norm * both**0.5
    return float(torch.linalg.eigvalsh(norms)[-1])


def falls(network: Network, gamma: float, layers: Collection[int]) -> bool:
    """Return True if a direction is found along which the energy falls without end.

    It is looked for by a power iteration that keeps what units can follow: zero or more where they have a lower bound.

    Args:
        network: the network.
        gamma: γ, the feedback gain.
        layers: the numbers of the layers that may move without bound.
    """
    free = [k for k in layers if isinstance(one := network.layers[k - 1].potential, Clamp) and one.upper == math.inf]
    if not free or not _fixed(network, gamma, free):
        return False
    jacobian = BoundJacobian(network, gamma, free)
    vector, quotient = jacobian.seen(jacobian.start), 0.0
    for _ in range(STEPS):
        onward = jacobian.couple(jacobian.slope(vector))
        size = float(vector.dot(jacobian.slope(vector)))
        if not size > 0:
            return False
        quotient = max(quotient, float(onward.dot(jacobian.slope(vector))) / size)
        moved = (onward + vector) * (1 / size**0.5)
        pairs = zip(moved, network.layers, strict=True)
        vector = State(t.clamp_min(0) if layer.potential.lower > -math.inf else t for t, layer in pairs)
    return quotient > 1 + MARGIN


def _above(jacobian: Jacobian, start: State) -> float:
    """ρ and the error within which it is known."""
    found = lanczos(jacobian, start, STEPS, MARGIN)[0]
    return float((found.radius + found.error).max())


def _live(network: Network, gamma: float) -> list[Edge]:
    """The edges down which activity passes."""
    return [edge for edge in network.edges if edge.gain(gamma)]


def _bounded(network: Network, layer: int) -> bool:
    potential = network.layers[layer - 1].potential
    return math.isfinite(potential.lower) and math.isfinite(potential.upper)


def _lipschitz(network: Network, layer: int) -> float:
    """The greatest f′ of a layer's units; infinite where the potential does not say."""
    return getattr(network.layers[layer - 1].potential, "lipschitz", math.inf)


def _fixed(network: Network, gamma: float, layers: Collection[int]) -> bool:
    """True if all couplings among some layers are fixed linear maps."""
    return all(without_switches(e.coupling) for e in _live(network, gamma) if {e.source, e.target} <= set(layers))


def _norm(network: Network, edge: Edge) -> float | None:
    """A number c with ‖A(s) − A(0)‖ ≤ c‖s‖ for a coupling that may pool by maxima."""
    coupling, size = edge.coupling, 1.0
    if not isinstance(coupling, Affine):
        return None
    if isinstance(coupling, Convolution) and isinstance(coupling.pool, MaxPool):
        size = float(-(-coupling.pool.size // coupling.pool.stride))  # windows that may hold one number, per side
        coupling = copy.deepcopy(coupling)
        coupling.pool = None
    elif not without_switches(coupling):
        return None
    zero = next(network.parameters()).new_zeros(1, *network.shape(edge.source))
    drive, linear = coupling.linearize(zero)
    return size * _above(_Pair(linear), _drawn(zero, drive))


class _Pair:
    """A linear map and its transpose, of two layers of f′ = 1."""

    def __init__(self, linear: Linearization) -> None:
        self.linear = linear

    def slope(self, vector: State) -> State:
        return vector

    def seen(self, vector: State) -> State:
        return vector

    def couple(self, vector: State) -> State:
        return State([self.linear.adjoint(vector[1]), self.linear.tangent(vector[0])])


def _drawn(*like: Tensor) -> State:
    drawn = stream(0, "bound")
    return State(torch.rand(t.shape, generator=drawn, dtype=torch.float64, device="cpu").to(t) for t in like)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
