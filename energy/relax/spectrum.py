"""The spectrum of the linearized response at a state, from which follows how fast a relaxation contracts there.

One synchronous update s ← f(J(s)) multiplies a small deviation by D·M, D = f′(J(s)) and M = J′(s). With γ^(span/2) on
either direction of an edge M becomes a symmetric S (as in `energy.relax.contraction`), and D is symmetric without
negative eigenvalues, since G is convex. So S·D is self-adjoint in ⟨u, D v⟩, its eigenvalues are those of D·M, and
Lanczos' recursion finds their two ends without a square root of D. A unit at a bound has f′ = 0 and takes no part;
pooling switches are those of the state. On a chain the eigenvalues come in pairs ±λ.

An energy of one's own responds by s − ∂E/∂s, whose Jacobian 1 − ∂²E/∂s² is symmetric by itself.

Reference:
    Lanczos 1950; Parlett, The symmetric eigenvalue problem, 1998, section 13.2 (the error of a Ritz value).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from energy.network import Network
from energy.potentials import Potential, Softmax
from energy.potentials.gated import Gated
from energy.relax.custom import EnergyProblem
from energy.state import State
from energy.stream import stream
from energy.tape import leaf, taped

LOOK: Final = 10  # steps between two looks at the error, each of which reads the device
TINY: Final = 1e-30

Basis = tuple[State, State, Tensor, Tensor]  # q, D q, ⟨q, K q⟩, and the size of what is left of K q


class Spectrum(NamedTuple):
    """The two ends of a spectrum, of every sample.

    Attributes:
        lowest, highest: the least and the greatest eigenvalue, (B,), approached from inside.
        error: an eigenvalue lies no further than this from either, (B,).
        steps: those of the recursion.
    """

    lowest: Tensor
    highest: Tensor
    error: Tensor
    steps: int

    @property
    def radius(self) -> Tensor:
        """The spectral radius ρ, (B,)."""
        return torch.maximum(self.lowest.abs(), self.highest.abs())


class Jacobian(Protocol):
    """The linearized response as a product of two symmetric maps."""

    def slope(self, vector: State) -> State:
        """Return D v."""
        ...

    def couple(self, vector: State) -> State:
        """Return S v, up to what D takes to zero."""
        ...

    def seen(self, vector: State) -> State:
        """Return v without what D takes to zero."""
        ...


class NetworkJacobian:
    """The Jacobian of a network's response.

    Args:
        network: the network, in evaluation mode.
        x: (B, *input shape).
        state: the activity of every layer, at which all is linearized.
        gamma: γ, the feedback gain.
    """

    def __init__(self, network: Network, x: Tensor, state: State, gamma: float) -> None:
        self.network, self.state = network, (x, *state)
        self.drives = network.drive(x, state, gamma)
        self.gains = [edge.gain(gamma) for edge in network.edges]
        self.linear = [
            edge.coupling.linearize(self.state[edge.source])[1] if gain else None
            for edge, gain in zip(network.edges, self.gains, strict=True)
        ]

    def slope(self, vector: State) -> State:
        layers = zip(self.network.layers, self.drives, vector, strict=True)
        return State(layer.potential.tangent(drive, tensor) for layer, drive, tensor in layers)

    def couple(self, vector: State) -> State:
        onward = [torch.zeros_like(tensor) for tensor in vector]
        for edge, gain, linear in zip(self.network.edges, self.gains, self.linear, strict=True):
            if linear is not None:
                below, above = edge.source - 1, edge.target - 1
                onward[above] += linear.tangent(vector[below]) * gain**0.5
                onward[below] += linear.adjoint(vector[above]) * gain**0.5
                bent = linear.curvature(vector[below], self.state[edge.target])
                if bent is not None:
                    onward[below] += bent * gain
        return self.seen(State(onward))

    def seen(self, vector: State) -> State:
        """Return the vector without the part that D takes to zero, which the recursion would let grow."""
        layers = zip(self.network.layers, self.drives, vector, strict=True)
        return State(visible(layer.potential, drive, tensor) for layer, drive, tensor in layers)


class EnergyJacobian:
    """The Jacobian of the response s − ∂E/∂s of any energy.

    Args:
        problem: gives the energy.
        state: the point of linearization.
    """

    def __init__(self, problem: EnergyProblem, state: State) -> None:
        with taped():
            self.leaves = [leaf(tensor) for tensor in state]
            total = problem.value(State(self.leaves)).sum()
            found = torch.autograd.grad(
                total, self.leaves, create_graph=True, allow_unused=True, materialize_grads=True
            )
            *hidden, output = found
            if problem.nudge is not None:
                output = output + problem.nudge.beta * problem.nudge.error(self.leaves[-1])
        self.slopes = [*hidden, output]

    def slope(self, vector: State) -> State:
        return vector

    def seen(self, vector: State) -> State:
        return vector

    def couple(self, vector: State) -> State:
        pairs = [(one, v) for one, v in zip(self.slopes, vector, strict=True) if one.requires_grad]
        if not pairs:  # an energy that is linear in every state
            return vector
        slopes, along = zip(*pairs, strict=True)
        bent = torch.autograd.grad(
            slopes, self.leaves, along, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return vector - State(bent)


def visible(potential: Potential, drive: Tensor, vector: Tensor) -> Tensor:
    """Return the vector without what f′ takes to zero at `drive`."""
    if isinstance(potential, Softmax):
        return vector - vector.mean(1, keepdim=True)
    if isinstance(potential, Gated):
        return vector * (potential.tangent(drive, torch.ones_like(drive)) != 0)
    return vector


def spectral_radius(network: Network, x: Tensor, state: State, gamma: float, *, steps: int = 100) -> Tensor:
    """Return the spectral radius ρ of the linearized response at `state`, (B,), approached from below.

    At γ it is that at this γ: √γ times the one at γ = 1 on a chain whose f′ do not depend on γ.

    Args:
        network, x, state, gamma, steps: as for `spectrum`.
    """
    return spectrum(network, x, state, gamma, steps=steps).radius


@torch.no_grad()
def spectrum(
    network: Network, x: Tensor, state: State, gamma: float, *, steps: int = 100, tolerance: float = 1e-2
) -> Spectrum:
    """Return the ends of the spectrum of the linearized response at `state`, of every sample by itself.

    Args:
        network: the network, in evaluation mode; the feedback that reaches the mean is that of the weights themselves.
        x: (B, *input shape).
        state: such as the equilibrium: the activity of every layer.
        gamma: γ, the feedback gain; takes no part for an energy of one's own.
        steps: the budget; a step applies every coupling up and down once, to every sample.
        tolerance: the error, in units of ρ, at which no further step is taken; eigenvalues are then closer by a power
            of two.

    Example:
        >>> from energy.couplings import Dense
        >>> from energy.potentials import Identity
        >>> network = Network((1,))
        >>> numbers = [network.add(Dense(1, 1, bias=False), Identity()) for _ in range(2)]
        >>> weights = [torch.nn.init.constant_(weight, 0.5) for weight in network.parameters()]
        >>> x = torch.ones(1, 1)
        >>> spectrum(network, x, network.activity(x), gamma=1.0).radius  # of [[0, ½], [½, 0]]
        tensor([0.5000])
    """
    return lanczos(*_linearized(network, x, state, gamma), steps, tolerance)[0]


@torch.no_grad()
def slowest_mode(
    network: Network, x: Tensor, state: State, gamma: float, *, steps: int = 100, tolerance: float = 1e-2
) -> tuple[Spectrum, Tensor]:
    """Return the spectrum, and the share that each layer has of the mode whose eigenvalue is ρ or −ρ, (B, layers).

    It takes twice the steps, so that no more than three vectors are held.

    Args:
        network, x, state, gamma, steps, tolerance: as for `spectrum`.
    """
    jacobian, start = _linearized(network, x, state, gamma)
    found, weights = lanczos(jacobian, start, steps, tolerance)
    mode, sloped = start * 0.0, start * 0.0
    for (q, image, _, _), weight in zip(_basis(jacobian, start), weights.unbind(1), strict=False):
        mode, sloped = mode + q.weighted(weight), sloped + image.weighted(weight)
    shares = torch.stack([(a * b).flatten(1).sum(1) for a, b in zip(mode, sloped, strict=True)], 1).clamp_min(0)
    return found, shares / shares.sum(1, keepdim=True).clamp_min(TINY)


def _linearized(network: Network, x: Tensor, state: State, gamma: float) -> tuple[Jacobian, State]:
    """The Jacobian, and a vector to start from, in the precision of the weights.

    The entries of the vector are positive, as those of the slowest mode mostly are for positive activity.
    """
    like = next(network.parameters(), x).detach()
    x, state = x.to(like.dtype), state.map(lambda tensor: tensor.to(like.dtype))
    generator = stream(0, "spectrum")
    drawn = [torch.rand(t.shape[1:], generator=generator, dtype=torch.float64, device="cpu") for t in state]
    start = State(one.to(like).expand_as(t) for one, t in zip(drawn, state, strict=True))
    if (problem := getattr(network, "problem", None)) is not None:  # an energy of one's own
        return EnergyJacobian(problem(x), state), start
    return NetworkJacobian(network, x, state, gamma), start


def lanczos(jacobian: Jacobian, start: State, steps: int, tolerance: float) -> tuple[Spectrum, Tensor]:
    """Return the ends of the spectrum, and the coordinates (B, steps) of the slowest mode among the basis vectors.

    Args:
        jacobian: the linear map.
        start: the vector that the recursion starts from.
        steps, tolerance: as for `spectrum`.
    """
    diagonal, beside = list[Tensor](), list[Tensor]()
    for _, _, alpha, beta in islice(_basis(jacobian, start), steps):
        diagonal.append(alpha)
        beside.append(beta)
        if len(diagonal) % LOOK == 0:
            found, _ = _ritz(diagonal, beside)
            if not bool((found.error > tolerance * found.radius).any()):
                break
    return _ritz(diagonal, beside)


def _basis(jacobian: Jacobian, start: State) -> Iterator[Basis]:
    """Lanczos' vectors q, orthonormal in ⟨u, D v⟩.

    They are zero once less is left of a sample than √ε of the largest number: its eigenvalues are then known to ε.
    """
    before, floor = start * 0.0, torch.full_like(start[0].flatten(1)[:, 0], TINY)
    q, image, beta = _normalized(jacobian, jacobian.seen(start), floor)
    small = torch.finfo(beta.dtype).eps ** 0.5
    while True:
        onward = jacobian.couple(image)
        alpha = onward.dot(image)
        left = onward - q.weighted(alpha) - before.weighted(beta)
        floor = torch.maximum(floor, small * alpha.abs())
        before, sloped = q, image
        q, image, beta = _normalized(jacobian, left, floor)
        floor = torch.maximum(floor, small * beta)
        yield before, sloped, alpha, beta


def _normalized(jacobian: Jacobian, vector: State, floor: Tensor) -> tuple[State, State, Tensor]:
    """q = v/‖v‖, D q and ‖v‖ in the norm ⟨v, D v⟩; zero where that is at most `floor`."""
    image = jacobian.slope(vector)
    size = vector.dot(image).clamp_min(0).sqrt()
    size = torch.where(size > floor, size, size * 0)
    inverse = torch.where(size > 0, 1 / size, size)
    return vector.weighted(inverse), image.weighted(inverse), size


def _ritz(diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Spectrum, Tensor]:
    """The ends of the spectrum from the tridiagonal matrix, and the coordinates of the slowest mode."""
    alpha, beta = torch.stack(diagonal, 1).double(), torch.stack(beside, 1).double()
    ended = torch.cumsum(beta[:, :-1] == 0, 1) > 0  # places without a vector repeat a number from inside
    alpha = torch.cat((alpha[:, :1], torch.where(ended, alpha[:, :1], alpha[:, 1:])), 1)
    across = torch.diag_embed(beta, offset=1)[:, :-1, :-1]
    matrix = torch.diag_embed(alpha) + across + across.mT
    lost = ~matrix.isfinite().all(2).all(1)  # of a state that is not finite itself
    values, vectors = torch.linalg.eigh(torch.where(lost[:, None, None], torch.zeros_like(matrix), matrix))
    values = torch.where(lost[:, None], torch.nan, values)
    lowest, highest = values[:, 0], values[:, -1]
    error = beta[:, -1] * vectors[:, -1, [0, -1]].abs().amax(1)
    mode = torch.where((lowest.abs() > highest.abs())[:, None], vectors[:, :, 0], vectors[:, :, -1])
    return Spectrum(lowest, highest, error, len(diagonal)), mode
