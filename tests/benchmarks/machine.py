"""What a machine can do at most: a large product, the convolutions of a network one by one, a copy of memory."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.couplings import Affine, Convolution, Dense
from energy.network import Edge, Network
from tests.benchmarks.timing import Step, interleaved


@dataclass(frozen=True)
class Kernel:
    """One call of a library: which edge and which of its three maps, and the multiply-adds of the batch."""

    edge: Edge
    form: str
    multiply_adds: int
    call: Step


def median_seconds(step: Step) -> float:
    """Of one call."""
    return statistics.median(interleaved({"": step})[""])


def product(side: int, dtype: torch.dtype, device: str = "cpu") -> tuple[Step, int]:
    """The product of two square matrices, and its operations, two a multiply-add."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2 * side**3


def copy(mebibytes: int, device: str = "cpu") -> tuple[Step, int]:
    """A copy of a block larger than the caches, and the bytes it reads and writes."""
    source = torch.zeros(mebibytes * 2**18, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 2 * source.numel() * 4


@torch.no_grad()
def kernels(network: Network, x: Tensor) -> Iterator[Kernel]:
    """The products of a step of back-propagation, each alone, on the states of one bottom-up pass; without pooling."""
    states = (x, *network.activity(x))
    for edge in network.edges:
        if not isinstance(edge.coupling, Convolution | Dense):
            continue
        for form, call in _maps(_bare(edge.coupling), states[edge.source]).items():
            if form != "adjoint" or edge.source:
                yield Kernel(edge, form, edge.multiply_adds * len(x), call)


def _bare(coupling: Convolution | Dense) -> Affine:
    """The coupling without its pooling."""
    if isinstance(coupling, Dense) or coupling.pool is None:
        return coupling
    channels, fan_in, kernel, _ = coupling.weight.shape
    stride, padding, groups = coupling.stride, coupling.padding, coupling.groups
    bare = Convolution(fan_in * groups, channels, kernel, stride=stride, padding=padding, groups=groups)
    bare.weight, bare.bias = coupling.weight, coupling.bias
    return bare


def _maps(coupling: Affine, below: Tensor) -> dict[str, Step]:
    """Drive, adjoint and weight product."""
    above, linear = coupling.linearize(below)
    return {
        "drive": lambda: coupling.linearize(below),
        "adjoint": lambda: linear.adjoint(above),
        "product": lambda: linear.weight_gradient(below, above),
    }
