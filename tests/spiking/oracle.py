"""A spiking network written out from its equations, step by step with autograd, sharing no code with the library.

Weights may be read by other values on the way back, which is what wires of their own amount to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.couplings import Convolution, Dense
from energy.couplings.recurrent import Recurrent
from energy.feedback import Feedback, Tied, feedback_weights
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.pooling import AveragePool, MaxPool, Pool
from energy.potentials import Identity, ReLU
from energy.rules.contrast import Contrast
from energy.settle.settler import Settler

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": lambda v: torch.sigmoid(v / 0.2) * torch.sigmoid(-v / 0.2) / 0.2,
    "arctangent": lambda v: 1 / (1 + (math.pi * v) ** 2),
    "fast_sigmoid": lambda v: 2.5 / (1 + 5 * v.abs()) ** 2,
}
TAU_M, TAU_S, STEPS = 5.0, 3.0, 5


class Step(torch.autograd.Function):
    """1{v > 0} with a given slope on the way back."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(v)
        ctx.slope = slope
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        return above[0] * ctx.slope(*ctx.saved_tensors), None


class Swapped(torch.autograd.Function):
    """operation(x, W), whose gradient with respect to x is that of operation(x, B)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, back: Tensor, operation: Callable[..., Tensor]) -> Tensor:
        ctx.save_for_backward(x, weight, back)
        ctx.operation = operation
        return operation(x, weight)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, back = (t.detach().requires_grad_() for t in ctx.saved_tensors)
        with torch.enable_grad():
            (to_x,) = torch.autograd.grad(ctx.operation(x, back), x, above[0])
            (to_weight,) = torch.autograd.grad(ctx.operation(x, weight), weight, above[0])
        return to_x, to_weight, None, None


def drive(coupling: Dense | Convolution, x: Tensor, back: Tensor | None) -> Tensor:
    """The current into a layer, from torch's own operations."""

    def linear(x: Tensor, weight: Tensor) -> Tensor:
        if isinstance(coupling, Dense):
            return F.linear(x.flatten(1), weight)
        return F.conv2d(x, weight, None, coupling.stride, coupling.padding, groups=coupling.groups)

    out = Swapped.apply(x, coupling.weight, coupling.weight if back is None else back, linear)
    if coupling.bias is not None:
        out = out + coupling.bias.view(-1, *[1] * (out.ndim - 2))
    pool = getattr(coupling, "pool", None)
    if isinstance(pool, MaxPool):
        return F.max_pool2d(out, pool.size, pool.stride)
    return F.avg_pool2d(out, pool.size, pool.stride) if isinstance(pool, AveragePool) else out


class Unrolled:
    """A chain of layers on inputs (T, B, …), step after step; then currents, spikes and traces by layer and step."""

    def __init__(
        self,
        network: Network,
        inputs: Sequence[Tensor],
        *,
        slope: str = "logistic",
        back: dict[int, Tensor] | None = None,
        reset: str = "zero",
        detach: bool = True,
        tau_m: float = TAU_M,
        tau_s: float = TAU_S,
        cut: bool = False,
        tau_a: float = 1.0,
        strength: float = 0.0,
    ) -> None:
        depth, keep, smooth = len(network.layers), 1 - 1 / tau_m, 1 - 1 / tau_s
        self.currents: list[list[Tensor]] = [[] for _ in range(depth)]
        self.membranes: list[list[Tensor]] = [[] for _ in range(depth)]
        self.spikes: list[list[Tensor]] = [[] for _ in range(depth)]
        self.traces: list[list[Tensor]] = [[] for _ in range(depth)]
        raised: list[Any] = [0.0] * depth  # how often each unit has fired, faded
        for shown in inputs:
            below = shown
            for k, edge in enumerate(network.edges):
                feedback_weight = None if back is None else back.get(edge.index)
                current = drive(edge.coupling, below.detach() if cut else below, feedback_weight)  # type: ignore[arg-type]
                if isinstance(edge.coupling, Recurrent) and self.traces[k]:
                    current = current + self.traces[k][-1] @ edge.coupling.lateral.weight.T
                u = current
                if self.membranes[k]:
                    raised[k] = raised[k] * (1 - 1 / tau_a) + self.spikes[k][-1]
                    before, fired = self.membranes[k][-1], self.spikes[k][-1]
                    fired = fired.detach() if detach else fired
                    rest = {
                        "zero": keep * before * (1 - fired),
                        "subtract": keep * before - fired,
                        "none": keep * before,
                    }
                    u = rest[reset] + current
                s = Step.apply(u - 1.0 - strength * raised[k], SLOPES[slope])
                x = (1 - smooth) * s + (smooth * self.traces[k][-1] if self.traces[k] else 0.0)
                for kept, one in zip(
                    (self.currents, self.membranes, self.spikes, self.traces), (current, u, s, x), strict=True
                ):
                    kept[k].append(one)
                below = x

    def van_rossum(self, target: Tensor, pattern: Sequence[int] = (0, 1, 1, 1, 1), tau_s: float = TAU_S) -> Tensor:
        """½ Σ_t |x − x*|², summed over the batch."""
        wanted, total = torch.zeros_like(target), torch.zeros(())
        for t, trace in enumerate(self.traces[-1]):
            wanted = (1 - 1 / tau_s) * wanted + target * pattern[t % len(pattern)] / tau_s
            total = total + (trace - wanted).square().sum() / 2
        return total


def chain(*couplings: Any, shape: Sequence[int], seed: int = 0, gain: float = 1.6, bias: float = 0.1) -> Network:
    """Layers in a row, float64, W ~ N(0, gain²/fan-in), b ~ N(0, bias²)."""
    network = Network(shape)
    for coupling in couplings:
        network.add(coupling, Identity() if coupling is couplings[-1] else ReLU())
    network.double()
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            noise = torch.randn(p.shape, generator=stream, dtype=torch.float64)
            p.copy_(noise * (bias if p.ndim == 1 else gain / math.sqrt(p[0].numel())))
    return network


def dense(seed: int = 0, bias: bool = True, gain: float = 1.6) -> Network:
    """8 – 20 – 15 – 4."""
    sizes = (8, 20, 15, 4)
    layers = [Dense(a, b, bias=bias) for a, b in itertools.pairwise(sizes)]
    return chain(*layers, shape=(8,), seed=seed, gain=gain)


def recurrent(seed: int = 0, bias: bool = True, gain: float = 1.2) -> Network:
    """8 – 20 – 15 – 4, the hidden layers hearing themselves."""
    layers = [Recurrent(8, 20, bias=bias), Recurrent(20, 15, bias=bias), Dense(15, 4, bias=bias)]
    return chain(*layers, shape=(8,), seed=seed, gain=gain)


def convolutional(pool: Pool | None, seed: int = 0) -> Network:
    """(2, 8, 8) – 4 channels, pooled – 6 channels, stride 2, two groups – 4."""
    side = 4 if pool is None else 2
    return chain(
        Convolution(2, 4, 3, padding=1, pool=pool),
        Convolution(4, 6, 3, stride=2, padding=1, groups=2),
        Dense(6 * side * side, 4),
        shape=(2, 8, 8),
        seed=seed,
        gain=2.0,
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "dense": dense,
    "convolution": lambda: convolutional(None),
    "average pooling": lambda: convolutional(AveragePool(2)),
    "max-pooling": lambda: convolutional(MaxPool(2)),
}


def batch(network: Network, samples: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs in [0, 2], which make units fire, and one-hot targets."""
    stream = torch.Generator().manual_seed(100 + seed)
    x = 2 * torch.rand((samples, *network.input_shape), generator=stream, dtype=torch.float64)
    classes = network.output.shape[0]
    return x, nn.functional.one_hot(torch.arange(samples) % classes, classes).double()


def gradients(settler: Settler, network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    """The library's gradient of the summed error."""
    return Contrast().gradients(network, settler.settle(network, x, target, CrossEntropy()))


def autograd(total: Tensor, network: Network) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(network.parameters()), materialize_grads=True))


def gap(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Relative difference of two lists of tensors, taken as vectors."""
    a, b = (torch.cat([t.detach().flatten() for t in tensors]) for tensors in (found, wanted))
    assert b.norm() > 0
    return float((a - b).norm() / b.norm())


def angle(one: Tensor, other: Tensor) -> float:
    """In degrees."""
    cosine = (one * other).sum() / (one.norm() * other.norm())
    return math.degrees(math.acos(float(cosine.clamp(-1, 1))))


def wired(network: Network, feedback: Feedback, seed: int = 3) -> dict[int, Tensor]:
    """Lay wires; B of every edge that has any in its weight's place."""
    feedback.attach(network, seed=seed)
    if isinstance(feedback, Tied):
        return {}
    laid = feedback_weights(network)
    assert laid is not None
    found: dict[int, Tensor] = {}
    for edge in network.edges:
        feedback_weight = laid.for_edge(edge)
        if feedback_weight is not None:
            found[edge.index] = feedback.matrix(edge.coupling.get_parameter("weight").detach(), feedback_weight)
    return found
