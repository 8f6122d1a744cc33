"""Which wires carry the difference down: A′(m)ᵀδ with the weight W, or with other wires B in W's place.

    h_k = A′_{k+1}(m; B)ᵀ δ_{k+1} + γ A_k δ_{k−1}      B has the shape of W; pooling, switches and flattening stay exact

Only the path of δ from above reads B: drives, means and weight products keep W, so β → 0 gives back-propagation whose
backward pass reads B. With B ≠ W this is no longer the stationarity of F, and no energy decreases.

    random          B = R                                   feedback alignment (Lillicrap et al. 2016)
    direct          h_k = D_kᵀ δ_L                          direct feedback alignment (Nøkland 2016)
    sign            B = sign(W)∘|R|                         sign-concordant (Liao, Leibo & Poggio 2016: frSF)
    sign_batch      the same, R drawn for every step        brSF
    sign_unit       B = sign(W)·σ√(2/π)                     uSF, at the mean magnitude of a Gaussian
    kolen_pollack   B = R, which takes W's steps            Kolen & Pollack 1994; Akrout et al. 2019

R ~ N(0, σ²) with σ the root mean square of W when the wires are laid; D_k ~ N(0, 1/outputs)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import torch
from torch import Tensor, nn

from energy.component import Component, ConfigurationError, require
from energy.couplings import Linearization, Shape
from energy.network import Edge, Network
from energy.stream import stream


class Transport(Protocol):
    """What carries the difference δ down the edges of one network."""

    @property
    def reads_output(self) -> bool:
        """Whether it depends on the difference of the output itself."""
        ...

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor | None:
        """The message down `edge`: (B, *source shape), or None for nothing."""
        ...

    def multiply_adds(self, edge: Edge) -> int:
        """Of one `adjoint` of one sample."""
        ...


class TiedWeights:
    """A′(m)ᵀδ by the weights themselves."""

    reads_output = False

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor:
        return linear.adjoint(delta)

    def multiply_adds(self, edge: Edge) -> int:
        return edge.multiply_adds


TIED: Final = TiedWeights()


@dataclass(frozen=True)
class FeedbackSlot:
    """Wires to be laid: the name that they draw by, their shape, and σ."""

    name: str
    shape: Shape
    scale: float

    def noise(self, seed: int, step: int, like: Tensor) -> Tensor:
        """N(0, σ²) of the stream (seed, feedback/<name>, step), on the device of `like`; what a GPU draws is another
        sample than what the CPU does.
        """
        device = like.device if like.is_cuda else torch.device("cpu")
        generator = stream(seed, f"feedback/{self.name}", step=step, device=device)
        drawn = torch.randn(self.shape, generator=generator, device=device, dtype=like.dtype) * self.scale
        return drawn.to(like.device)


class Feedback(Component):
    """A kind of wires. `attach` lays them in a network, beside the weights; `Run.network` does it for every run.

    A kind of your own defines `draw`, and `matrix` where B is not what was drawn."""

    group: ClassVar[str] = "feedback"
    mirrors_updates: ClassVar[bool] = False  # the wires take the steps of the weights
    resampled_each_step: ClassVar[bool] = False  # they are drawn again for every step
    reads_output: ClassVar[bool] = False  # what is sent down depends on the difference of the output itself

    def attach(self, network: Network, *, seed: int = 0) -> None:
        """Lay the wires of `network`, in place of any it has: buffers under `feedback_weights`, hence in its
        `state_dict`.

        Call it once the weights are initialised: σ is taken from them.

        Raises:
            ConfigurationError: where a coupling with parameters has no weight that wires could stand in for, or its
                weight is zero.
        """
        network.add_module("feedback_weights", FeedbackWeights(self, network, seed))

    def attached(self, network: Network) -> Transport:
        """What carries the difference down in a settling of `network`.

        Raises:
            ConfigurationError: where the network has no wires, or those of another kind.
        """
        found = feedback_weights(network)
        if found is None or found.feedback != self:
            has = "no wires" if found is None else f"those of {found.feedback}"
            raise ConfigurationError(
                f"feedback={self}: the network has {has}; call attach(network, seed=...) of it first"
            )
        return found

    def slot(self, network: Network, edge: Edge) -> FeedbackSlot | None:
        """The wires that an edge needs, None where it has no weight and stays exact."""
        if next(edge.coupling.parameters(), None) is None:
            return None
        name, kind = f"couplings.{edge.index}", type(edge.coupling)
        weight = getattr(edge.coupling, "weight", None)
        if not kind.takes_feedback_weights or not isinstance(weight, Tensor):
            raise ConfigurationError(
                f"feedback={self}: must be tied or direct: {name} is a {kind.__name__}, which has no weight "
                "that others could replace"
            )
        if weight.is_meta:
            return FeedbackSlot(
                f"{name}.weight", tuple(weight.shape), 1.0
            )  # a network without numbers: the shape is all
        scale = float(weight.detach().double().square().mean().sqrt())
        if not scale > 0:
            raise ConfigurationError(
                f"feedback={self}: {name}.weight is zero: must be initialised before wires are laid"
            )
        return FeedbackSlot(f"{name}.weight", tuple(weight.shape), scale)

    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        """What is kept for B: a tensor of `slot.shape`, of the dtype and on the device of `like`, which is the CPU
        wherever the network is, so that the wires are the same.
        """
        return slot.noise(seed, step, like)

    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        """B, of the shape of `weight`."""
        return feedback_weight

    def adjoint(
        self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization, feedback_weight: Tensor | None
    ) -> Tensor | None:
        """The message down `edge` about the difference `delta` of its target, (B, *source shape), or None for nothing.
        `top` is the difference of the output, None unless `reads_output`.
        """
        if feedback_weight is None:
            return linear.adjoint(delta)
        weight: Any = edge.coupling.weight
        return linear.adjoint(delta, weight=self.matrix(weight.detach(), feedback_weight))

    def multiply_adds(self, edge: Edge, feedback_weight: Tensor | None) -> int:
        """Of one `adjoint` of one sample."""
        return edge.multiply_adds


class Tied(Feedback, name="tied"):
    """B = W: the adjoint itself, and nothing to lay."""

    def attach(self, network: Network, *, seed: int = 0) -> None:
        if feedback_weights(network) is not None:
            del network.feedback_weights

    def attached(self, network: Network) -> Transport:
        return TIED


class Random(Feedback, name="random"):
    """B = R, fixed: feedback alignment (Lillicrap et al. 2016)."""


class DirectFeedback(Feedback, name="direct"):
    """h_k = D_kᵀ δ_L, D_k fixed of shape (outputs, *shape of layer k): direct feedback alignment (Nøkland 2016). A
    layer hears the output alone, whatever couplings lie between, for outputs × units multiply-adds.
    """

    reads_output: ClassVar[bool] = True

    def slot(self, network: Network, edge: Edge) -> FeedbackSlot | None:
        if edge is not network.out_of(edge.source)[0] or not _leads(network, edge.source):
            return None
        outputs = math.prod(network.output.shape)
        return FeedbackSlot(network.layers[edge.source - 1].name, (outputs, *network.shape(edge.source)), outputs**-0.5)

    def adjoint(
        self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization, feedback_weight: Tensor | None
    ) -> Tensor | None:
        if feedback_weight is None or top is None:
            return None
        return (top.flatten(1) @ feedback_weight.flatten(1).to(top.dtype)).view(len(top), *feedback_weight.shape[1:])

    def multiply_adds(self, edge: Edge, feedback_weight: Tensor | None) -> int:
        return 0 if feedback_weight is None else feedback_weight.numel()


def _leads(network: Network, layer: int) -> bool:
    """Whether a path goes from a layer to the output."""
    found = {len(network.layers)}
    for edge in reversed(network.edges):
        if edge.target in found:
            found.add(edge.source)
    return layer in found


class Sign(Feedback, name="sign"):
    """B = sign(W)∘|R|, R fixed: the signs of the weights, magnitudes of their own; sign(0) = 0. Source: Liao, Leibo &
    Poggio 2016 (arXiv 1510.05067), fixed random magnitudes.

    sign_agreement: the share of the entries that have the sign of their weight; the rest, drawn once, has the other
    one."""

    sign_agreement: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.sign_agreement <= 1, self, "sign_agreement", "in [0, 1]")

    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        magnitude, size = self.magnitude(slot, seed, step, like), math.prod(slot.shape)
        if self.sign_agreement == 1:
            return magnitude
        generator = stream(seed, f"feedback/{slot.name}/agreement", device=like.device)
        flipped = torch.randperm(size, generator=generator, device=like.device)[round(self.sign_agreement * size) :]
        signs = torch.ones(size, dtype=like.dtype, device=like.device).index_fill_(0, flipped, -1.0)
        return magnitude * signs.view(slot.shape)

    def magnitude(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        return slot.noise(seed, step, like).abs()

    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        return weight.sign() * feedback_weight


class SignUnit(Sign, name="sign_unit"):
    """B = sign(W)·σ√(2/π): nothing but the signs, at the mean magnitude that |R| has (the uniform form of the same
    source).
    """

    def magnitude(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        return torch.full(slot.shape, slot.scale * math.sqrt(2 / math.pi), dtype=like.dtype, device=like.device)


class SignBatch(Sign, name="sign_batch"):
    """`sign` with R drawn again for every optimiser step (`resample`) and used throughout it (the batch form of the
    same source); which entries disagree stays. A step's R is drawn where the network is: a run on a GPU has other
    magnitudes of the same law than one on the CPU, which would take longer to draw them than the step takes.
    """

    resampled_each_step: ClassVar[bool] = True


class KolenPollack(Random, name="kolen_pollack"):
    """B = R, which receives the increments and the decay of W: W − R shrinks by Π(1 − ηλ) whatever the data are, under
    SGD and AdamW; with momentum by the same linear recursion as W. Without decay it stays. Adam with the decay in its
    gradient divides it by each tensor's own scale, and knows no such law. Source: Kolen & Pollack 1994; Akrout et al.
    2019 (arXiv 1904.05391).
    """

    mirrors_updates: ClassVar[bool] = True


class FeedbackWeights(nn.Module):
    """The wires of one network: one buffer an edge that has any, `feedback_weight<edge>`."""

    def __init__(self, feedback: Feedback, network: Network, seed: int) -> None:
        super().__init__()
        self.feedback, self.seed = feedback, seed
        weight = next(network.parameters()).detach()
        like = torch.empty(0, dtype=weight.dtype, device="cpu")
        found = {edge.index: feedback.slot(network, edge) for edge in network.edges if edge.source}
        self.slots = {index: slot for index, slot in found.items() if slot is not None}
        for index, slot in self.slots.items():
            bare = weight.is_meta  # has no numbers
            feedback_weight = (
                weight.new_empty(slot.shape) if bare else feedback.draw(slot, seed, 0, like).to(weight.device)
            )
            self.register_buffer(f"edge{index}", feedback_weight)

    def for_edge(self, edge: Edge) -> Tensor | None:
        return self.get_buffer(f"edge{edge.index}") if edge.index in self.slots else None

    @property
    def reads_output(self) -> bool:
        return self.feedback.reads_output

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor | None:
        """The message down `edge` about `delta`: see `Feedback.adjoint`."""
        return self.feedback.adjoint(edge, delta, top, linear, self.for_edge(edge))

    def multiply_adds(self, edge: Edge) -> int:
        """Of one `adjoint` of one sample."""
        return self.feedback.multiply_adds(edge, self.for_edge(edge))

    def matrices(self, network: Network) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(layer whose drive it belongs to, W, B) of every edge whose wires stand in for a weight; of direct ones only
        those below a dense output, which do.
        """
        for edge in network.edges:
            feedback_weight, weight = self.for_edge(edge), getattr(edge.coupling, "weight", None)
            direct = isinstance(self.feedback, DirectFeedback) and edge.target < len(network.layers)
            if (
                feedback_weight is not None
                and isinstance(weight, Tensor)
                and feedback_weight.shape == weight.shape
                and not direct
            ):
                name, weight = network.layers[edge.target - 1].name, weight.detach()
                yield name, weight, self.feedback.matrix(weight, feedback_weight)


def feedback_weights(network: Network) -> FeedbackWeights | None:
    """The wires of a network; None where the weights serve."""
    found = getattr(network, "feedback_weights", None)
    return found if isinstance(found, FeedbackWeights) else None


@torch.no_grad()
def resample(network: Network, step: int) -> None:
    """Draw anew what is drawn for every optimiser step; a function of seed and step."""
    found = feedback_weights(network)
    if found is not None and found.feedback.resampled_each_step:
        for index, slot in found.slots.items():
            feedback_weight = found.get_buffer(f"edge{index}")
            feedback_weight.copy_(slot.noise(found.seed, step, feedback_weight).copysign(feedback_weight))


def mirrored_parameters(network: Network) -> list[tuple[nn.Parameter, Tensor]]:
    """(weight, wires) of all wires that take the steps of a weight: an optimiser of one must have the other."""
    found = feedback_weights(network)
    if found is None or not found.feedback.mirrors_updates:
        return []
    return [(network.get_parameter(slot.name), found.get_buffer(f"edge{i}")) for i, slot in found.slots.items()]
