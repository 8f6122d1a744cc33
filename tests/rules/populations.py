"""One population of neurons in float64, and the update of each rule written out from its definition."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings import Affine, Convolution, Coupling, Dense
from energy.network import Network
from energy.potentials import Identity, Potential
from energy.rules import SoftHebb, Variant
from energy.rules.local import Local
from energy.settle.feedforward import Feedforward, SettledFree, settle_free

SAMPLES = 4
LAYOUTS = ("dense", "convolution", "strided", "wide", "groups")


@dataclass(frozen=True)
class Population:
    """A hidden layer that learns, below an output that does not, with inputs for both."""

    network: Network
    x: Tensor
    target: Tensor

    @property
    def filters(self) -> Affine:
        coupling = self.network.edges[0].coupling
        found = getattr(coupling, "filters", coupling)
        assert isinstance(found, Affine)
        return found

    @property
    def groups(self) -> int:
        return getattr(self.filters, "groups", 1)

    def settle(self, x: Tensor | None = None) -> SettledFree:
        part = slice(len(self.target) if x is None else len(x))
        return settle_free(Feedforward(), self.network, self.x if x is None else x, self.target[part])

    def update(self, rule: Local, x: Tensor | None = None) -> list[Tensor]:
        """Δw, Δb where there is one."""
        found = rule.update(self.network, self.settle(x))
        return found[: len(list(self.filters.parameters()))]

    def columns(self, x: Tensor | None = None) -> Tensor:
        """(groups, B · places, fan-in): what each neuron of a group sees, sample by sample and place by place."""
        x = self.x if x is None else x
        filters = self.filters
        if not isinstance(filters, Convolution):
            return x.flatten(1)[None]
        kernel = filters.weight.shape[-1]
        found = F.unfold(x, kernel, padding=filters.padding, stride=filters.stride)  # (B, C·k·k, places)
        return found.transpose(1, 2).flatten(0, 1).unflatten(1, (self.groups, -1)).transpose(0, 1)

    def rows(self) -> Tensor:
        """(groups, K/groups, fan-in): the weights, neuron by neuron."""
        return self.filters.weight.detach().flatten(1).unflatten(0, (self.groups, -1))

    def on_the_sphere(self, radius: float = 1.0, norm: float = 2.0) -> Population:
        with torch.no_grad():
            weight = self.filters.weight
            sizes = torch.linalg.vector_norm(weight.flatten(1), norm, dim=1)
            weight.mul_((radius / sizes).view(-1, *[1] * (weight.ndim - 1)))
        return self


def population(
    layout: str = "dense", *, bias: bool = False, seed: int = 0, potential: Potential | None = None
) -> Population:
    """One layer: 7 inputs to 6 neurons; or 4, 32 or 2 × 2 channels of 6 × 6 to 6 of 3 × 3."""
    shape = (7,) if layout == "dense" else (32 if layout == "wide" else 4, 6, 6)
    couplings: dict[str, Coupling] = {
        "dense": Dense(7, 6, bias=bias),
        "convolution": Convolution(4, 6, 3, padding=1, bias=bias),
        "strided": Convolution(4, 6, 3, stride=2, bias=bias),
        "wide": Convolution(32, 6, 3, stride=2, padding=1, bias=bias),
        "groups": Convolution(4, 6, 3, groups=2, bias=bias),
    }
    return placed(couplings[layout], shape, seed=seed, potential=potential)


def placed(
    coupling: Coupling, shape: tuple[int, ...], *, seed: int = 0, potential: Potential | None = None, classes: int = 3
) -> Population:
    """A coupling as the first of a network, all weights normal, ‖w‖ about 1."""
    network = Network(shape)
    network.add(coupling, potential or Identity(), name="hidden")
    network.add(Dense(math.prod(network.shape(1)), classes), Identity(), name="output")
    stream = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=stream, dtype=torch.float64) / fan_in**0.5)
    x = torch.randn((SAMPLES, *shape), generator=stream, dtype=torch.float64)
    return Population(network, x, F.one_hot(torch.arange(SAMPLES) % classes, classes).double())


def factor(rule: SoftHebb, u: Tensor) -> Tensor:
    """y (…, K) of drives (…, K), from sorted ranks: an oracle that shares nothing with the code but exp."""
    share = (u / rule.temperature - (u / rule.temperature).amax(-1, keepdim=True)).exp()
    share = share / share.sum(-1, keepdim=True)
    rank = (u[..., None, :] > u[..., None]).sum(-1)  # how many are greater
    won = (rank == 0).double()
    return {
        Variant.SOFT: share,
        Variant.SPARSE: projected(u / rule.temperature),
        Variant.SOFTKROTOV: share * (2 * won - 1),
        Variant.HARD: won,
        Variant.HARDKROTOV: won - rule.anti_hebbian * (rank == rule.rank - 1).double(),
        Variant.SELF_CONTRAST: won - share,
    }[rule.variant]


def projected(z: Tensor) -> Tensor:
    """The nearest point of the simplex: τ of max(z − τ, 0) by bisection."""
    low, high = z.amin(-1, keepdim=True) - 1, z.amax(-1, keepdim=True)
    for _ in range(200):
        middle = (low + high) / 2
        over = (z - middle).clamp_min(0).sum(-1, keepdim=True) > 1
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return (z - high).clamp_min(0)


def dual(weight: Tensor, norm: float) -> Tensor:
    return weight.sign() * weight.abs() ** (norm - 1)


def change(x: Tensor, weight: Tensor, y: Tensor, u: Tensor, norm: float = 2.0, radius: float = 1.0) -> Tensor:
    """Σ_n y_nk (R^p x_n − u_nk w_k), one sample after the other: (groups, N, n), (groups, K, n), … → (groups, K, n)."""
    total = torch.zeros_like(weight)
    for n in range(x.shape[1]):
        total += y[:, n, :, None] * (radius**norm * x[:, n, None] - u[:, n, :, None] * weight)
    return total
