"""Tiny networks in float64 with weights drawn here, not by the library's own initialisation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.network import Network
from energy.objectives import CrossEntropy, Nudge, SquaredError
from energy.pooling import AveragePool, MaxPool, Pool
from energy.potentials import Identity, Potential
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep

Build = Callable[..., Network]
FIXED = Sweep(max_steps=400, tolerance=1e-14, check_every=10)  # to rounding, on the contracting networks below
PROXIMAL = SquaredError(nudge=Nudge.PROXIMAL)
LIVE = SquaredError(nudge=Nudge.LIVE)
FROZEN = SquaredError(nudge=Nudge.FROZEN)
CROSS = CrossEntropy(nudge=Nudge.FROZEN)
CROSS_LIVE = CrossEntropy(nudge=Nudge.LIVE)


def once(sweeps: int = 1) -> Relaxation:
    """A fixed number of sweeps."""
    return Sweep(max_steps=sweeps, tolerance=0.0)


def draw(network: Network, gain: float, seed: int, bias: float = 0.1, norm: float = 0.0) -> Network:
    """float64, W ~ N(0, gain²/fan-in), b ~ N(0, bias²); with `norm`, every weight matrix is then scaled to that
    spectral norm,
    which is how a test makes s = f(J(s)) contract on purpose: on a chain of L layers ‖J‖ = 2 norm cos(π/(L + 1))."""
    network.double()
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=stream, dtype=torch.float64)
            parameter.copy_(noise * (bias if parameter.ndim == 1 else gain / math.sqrt(parameter[0].numel())))
            if norm and parameter.ndim > 1:
                parameter.mul_(norm / torch.linalg.matrix_norm(parameter.flatten(1), 2))
    return network


def mlp(
    hidden: Potential,
    *,
    sizes: Sequence[int] = (6, 7, 5, 4, 3),
    gain: float = 1.0,
    seed: int = 0,
    bias: float = 0.1,
    output: Potential | None = None,
    readout: bool = False,
    norm: float = 0.0,
) -> Network:
    """Dense layers; with `readout` the last edge carries no feedback."""
    network = Network(sizes[:1])
    for fan_in, size in itertools.pairwise(sizes[:-1]):
        network.add(Dense(fan_in, size), hidden)
    network.add(Dense(sizes[-2], sizes[-1]), output or Identity(), feedback=not readout)
    return draw(network, gain, seed, bias, norm)


def cnn(
    hidden: Potential, pool: Pool | None, *, gain: float = 1.0, seed: int = 0, bias: float = 0.1, norm: float = 0.0
) -> Network:
    """(2, 6, 6) – 3 channels pooled – 4 channels, stride 2 – dense 5 – 3."""
    network = Network((2, 6, 6))
    network.add(Convolution(2, 3, 3, padding=1, pool=pool), hidden)
    side = network.shape(1)[1]
    network.add(Convolution(3, 4, 3, padding=1, stride=2 if side > 3 else 1), hidden)
    network.add(Dense(math.prod(network.shape(2)), 5), hidden)
    network.add(Dense(5, 3), Identity())
    return draw(network, gain, seed, bias, norm)


def pooled(
    hidden: Potential, pool: Pool, *, gain: float = 1.0, seed: int = 0, bias: float = 0.1, norm: float = 0.0
) -> Network:
    """(2, 4, 4) – 3 channels – 4 channels pooled – 3: what is pooled is a state, so switches change as it settles; in
    `cnn` they are those of the input."""
    network = Network((2, 4, 4))
    network.add(Convolution(2, 3, 3, padding=1), hidden)
    network.add(Convolution(3, 4, 3, padding=1, pool=pool), hidden)
    network.add(Dense(16, 3), Identity())
    return draw(network, gain, seed, bias, norm)


def skips(
    hidden: Potential, *, gain: float = 1.0, seed: int = 0, bias: float = 0.1, norm: float = 0.0, identity: bool = True
) -> Network:
    """A graph: the input jumps to layer 2, layer 1 to layer 3 (by the identity or by weights), and layer 2 to the
    output."""
    network = Network((6,))
    first = network.add(Dense(6, 5), hidden)
    second = network.add({first: Dense(5, 4), 0: Dense(6, 4)}, hidden)
    into: dict[int, Coupling] = {second: Dense(4, 5), first: Skip() if identity else Dense(5, 5)}
    third = network.add(into, hidden)
    network.add({third: Dense(5, 3), second: Dense(4, 3)}, Identity())
    return draw(network, gain, seed, bias, norm)


def curved(hidden: Potential, *, gain: float = 1.0, seed: int = 0, bias: float = 0.1, norm: float = 0.0) -> Network:
    """The middle coupling is A(m) = V tanh(W m + b): its transposed Jacobian depends on m."""
    network = Network((6,))
    network.add(Dense(6, 5), hidden)
    network.add(Module(nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))), hidden)
    network.add(Dense(4, 3), Identity())
    return draw(network, gain, seed, bias, norm)


POOLS: dict[str, Pool] = {"max": MaxPool(2), "average": AveragePool(2)}


def batch(
    network: Network, samples: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Inputs ~ N(0, 1) and one-hot targets."""
    stream = torch.Generator().manual_seed(1000 + seed)
    x = torch.randn((samples, *network.input_shape), generator=stream, dtype=torch.float64)
    classes = network.output.shape[0]
    labels = torch.randint(classes, (samples,), generator=stream)
    return x.to(dtype), nn.functional.one_hot(labels, classes).to(dtype)
