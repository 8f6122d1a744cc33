"""The loop gain: the factor by which one trip up and down multiplies a disturbance while no unit is at a bound.

With ρ the spectral radius of the linearized response of all layers at once, s ← f(J(s)) at feedback gain γ, every f′
taken at its greatest value, the loop gain is ρ². On a chain ρ² = γρ₀², ρ₀ being that at γ = 1 (Young's theorem). Where
couplings are affine and it is below 1, there is one equilibrium for every input, and on a chain a Gauss–Seidel sweep
contracts by ρ² or faster. Above 1 activity can feed itself until units are at their bounds, and no gradient passes.
With max-pooling or a curved coupling it is the loop gain at one sample, and no guarantee.

J at feedback gain γ is similar to the symmetric S with γ^(span/2) on either direction of an edge, so ‖Sv‖²/‖v‖² rises
to ρ² under v ← Sv. One sample is enough, since weights do not depend on the sample; pooling and curved couplings are
linearized at its activity.

The bound that `keep_contracting` holds is on this gain, every f′ at its greatest value, and not on the rate at the
equilibrium (`energy.relax.spectrum`) or the one that a solve had. A unit at its bound has f′ = 0 there, so growing
weights that drive units to their bounds, where no gradient passes, make both of them better. The loop gain sees the
weights alone; it is known before a batch is settled, and reads nothing from the device.

Reference:
    Young 1971 (consistently ordered matrices); Liu & Chen 2026 (feedback scaled to lower the spectral radius).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from energy.exchange import from_first
from energy.network import Network
from energy.state import State
from energy.stream import stream

FIRST: Final = 20  # steps of an iteration that starts from a random vector
TINY: Final = 1e-30


class ContractBy(enum.Enum):
    """The numbers that are scaled down to hold the loop gain."""

    GAMMA = "γ ← γ·min(1, bound/ρ²), and the weights stay: the gradient is the exact one at that γ"
    WEIGHTS = "W ← W·min(1, √(bound/ρ²)) at every step on the edges that carry feedback, and γ stays"


class Contraction(nn.Module):
    """A running estimate of a network's loop gain, by which its feedback or its weights are scaled down.

    `scale`, which multiplies γ, and the vector of the iteration are buffers: they are saved with the weights, and
    evaluation settles at the gain that training ended with. `factor`, by which the last step multiplied the weights, is
    one that is not saved.
    """

    scale: Tensor
    factor: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.begun = False  # what `steps` says is read once, and after a state dict was loaded
        self.register_load_state_dict_post_hook(_read_again)
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("factor", torch.ones((), dtype=torch.float64), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for k, tensor in enumerate(_start(network)):
            self.register_buffer(f"vector{k}", tensor)

    @torch.no_grad()
    def gain(self, network: Network, x: Tensor, gamma: float) -> Tensor:
        """Return ρ², () on the device, by one step of the iteration from the last call's vector; by 20 at first.

        Args:
            network: the network, whose weights may have moved a little since the last call.
            x: (B, *input shape), whose first sample is used, on several ranks that of rank 0.
            gamma: γ, without `scale`.
        """
        states, gain = (x[:1], *network.activity(x[:1])), self.scale
        vector = [self.get_buffer(f"vector{k}") for k in range(len(network.layers))]
        for _ in range(1 if self.begun or int(self.steps) else FIRST):
            gain, vector = trip(network, states, vector, gamma)
        self.begun = True
        from_first([gain, *vector])
        for k, tensor in enumerate(vector):
            self.get_buffer(f"vector{k}").copy_(tensor)
        self.steps += 1
        return gain

    def hold(self, network: Network, x: Tensor, gamma: float, bound: float, by: ContractBy) -> None:
        """Hold ρ² ≤ `bound` by scaling γ or the weights.

        Args:
            network, x, gamma: as for `gain`.
            bound: of the loop gain, above 0.
            by: the numbers that are scaled.
        """
        scale = self.scale_feedback if by is ContractBy.GAMMA else self.scale_weights
        scale(network, x, gamma, bound)

    def scale_feedback(self, network: Network, x: Tensor, gamma: float, bound: float) -> None:
        """Hold ρ² ≤ `bound` by γ ← γ·min(1, bound/ρ²): exact on a chain, whose ρ² is proportional to γ.

        Args:
            network, x, gamma: as for `gain`.
            bound: of the loop gain, above 0.
        """
        self.scale.copy_((bound / self.gain(network, x, gamma).clamp_min(TINY)).clamp_max(1.0))

    @torch.no_grad()
    def scale_weights(self, network: Network, x: Tensor, gamma: float, bound: float) -> None:
        """Hold ρ² ≤ `bound` by W ← W·min(1, √(bound/ρ²)) on the edges that carry feedback.

        Args:
            network, x, gamma: as for `gain`.
            bound: of the loop gain, above 0.
        """
        factor = (bound / self.gain(network, x, gamma).clamp_min(TINY)).clamp_max(1.0).sqrt()
        for edge in network.edges:
            weight = getattr(edge.coupling, "weight", None)
            if edge.gain(gamma) and isinstance(weight, Tensor):
                weight.mul_(factor.to(weight.dtype))
        self.factor.copy_(factor)


def _read_again(held: nn.Module, keys: Any) -> None:
    assert isinstance(held, Contraction)  # whose hook this is
    held.begun = False


def _start(network: Network) -> list[Tensor]:
    """Draw a vector of one sample per layer, from a stream of its own.

    Its entries are positive, as those of the slowest mode mostly are for positive activity.
    """
    like, generator = next(network.parameters()).detach(), stream(0, "contraction")
    shapes = [(1, *layer.shape) for layer in network.layers]
    if like.is_meta:  # has no numbers
        return [like.new_empty(shape) for shape in shapes]
    return [torch.rand(s, generator=generator, dtype=torch.float64, device="cpu").to(like) for s in shapes]


@torch.no_grad()
def loop_gain(network: Network, x: Tensor, state: State, gamma: float, *, steps: int = FIRST) -> tuple[float, str]:
    """Return ρ², approached from below, and the name of the layer that holds most of the slowest mode.

    Args:
        network: the network.
        x: (B, *input shape), whose first sample is used.
        state: its activity.
        gamma: γ, the feedback gain.
        steps: of the iteration; each applies every coupling up and down to one sample.
    """
    gain, vector = x.new_zeros(()), _start(network)
    for _ in range(steps):
        gain, vector = trip(network, (x[:1], *(t[:1] for t in state)), vector, gamma)
    sizes = [float(tensor.double().square().sum()) for tensor in vector]
    return float(gain), network.layers[sizes.index(max(sizes))].name


def trip(network: Network, states: Sequence[Tensor], vector: list[Tensor], gamma: float) -> tuple[Tensor, list[Tensor]]:
    """Return ‖Sv‖²/‖v‖² and Sv/‖Sv‖; zero and v where Sv is zero, as with weights of zero or no feedback.

    Args:
        network: the network.
        states: the input and the activity of every layer, of one sample.
        vector: v, one tensor per layer.
        gamma: γ, the feedback gain.
    """
    onward = [torch.zeros_like(tensor) for tensor in vector]
    for edge in network.edges:
        gain = edge.gain(gamma) * _slope(network, edge.source) * _slope(network, edge.target)
        if gain:
            below, above = edge.source - 1, edge.target - 1
            linear = edge.coupling.linearize(states[edge.source].to(vector[below].dtype))[1]
            onward[above] += linear.tangent(vector[below]) * gain**0.5
            onward[below] += linear.adjoint(vector[above]) * gain**0.5
    size, before = (torch.stack([t.double().square().sum() for t in some]).sum() for some in (onward, vector))
    root, moves = size.sqrt().clamp_min(TINY), size > 0
    longer = [
        torch.where(moves, tensor / root, held).to(held.dtype) for tensor, held in zip(onward, vector, strict=True)
    ]
    return size / before.clamp_min(TINY), longer


def _slope(network: Network, layer: int) -> float:
    """The greatest f′ of a layer's units."""
    return getattr(network.layers[layer - 1].potential, "lipschitz", 1.0)


def contraction(network: Network) -> Contraction | None:
    """Return the contraction attached to `network`, or None."""
    found = getattr(network, "contraction", None)
    return found if isinstance(found, Contraction) else None


def attach_contraction(network: Network) -> Contraction:
    """Return the contraction of `network`, after attaching one if there is none yet."""
    if (found := contraction(network)) is None:
        network.add_module("contraction", found := Contraction(network))
    return found
