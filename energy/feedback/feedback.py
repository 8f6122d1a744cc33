"""A kind of feedback weights, the weights of one network as buffers of it, and the kind that needs none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from energy.component import Component, ConfigurationError
from energy.couplings import Linearization, Shape
from energy.feedback.transport import TIED, Transport
from energy.network import Edge, Network
from energy.stream import stream


class Feedback(Component):
    """A kind of feedback weights. `attach` adds them to a network, beside the weights; `Run.network` does it per run.

    A kind of your own defines `draw`, and `matrix` if B is not the tensor that was drawn.
    """

    group: ClassVar[str] = "feedback"
    mirrors_updates: ClassVar[bool] = False  # they take the steps of the weights
    resampled_each_step: ClassVar[bool] = False  # they are drawn again for every step
    reads_output: ClassVar[bool] = False  # the message depends on the difference of the output itself
    direct: ClassVar[bool] = False  # they lead from the output to each layer, past the couplings between

    def attach(self, network: Network, *, seed: int = 0) -> None:
        """Add feedback weights to `network` in place of any it has: buffers under `feedback_weights`, hence in its
        `state_dict`.

        Call it once the weights are initialized: σ is taken from them.

        Raises:
            ConfigurationError: if a coupling with parameters has no weight that feedback weights could replace, or its
                weight is zero.
        """
        network.add_module("feedback_weights", FeedbackWeights(self, network, seed))

    def attached(self, network: Network) -> Transport:
        """Return the path of the difference down in a settling of `network`.

        Raises:
            ConfigurationError: if the network has no feedback weights, or those of another kind.
        """
        found = feedback_weights(network)
        if found is None or found.feedback != self:
            has = "no feedback weights" if found is None else f"those of {found.feedback}"
            raise ConfigurationError(
                f"feedback={self}: the network has {has}; call attach(network, seed=...) of it first"
            )
        return found

    def slot(self, network: Network, edge: Edge) -> FeedbackSlot | None:
        """Return the slot that an edge needs, None if it has no weight and stays exact."""
        if next(edge.coupling.parameters(), None) is None:
            return None
        name, kind = f"couplings.{edge.index}", type(edge.coupling)
        weight = getattr(edge.coupling, "weight", None)
        if not kind.takes_feedback_weights or not isinstance(weight, Tensor):
            raise ConfigurationError(
                f"feedback={self}: must be tied or direct: {name} is a {kind.__name__}, which has no weight "
                "that others could replace"
            )
        shape = tuple(weight.shape)
        if weight.is_meta:  # a network without numbers: the shape is all
            return FeedbackSlot(f"{name}.weight", shape, 1.0)
        scale = float(weight.detach().double().square().mean().sqrt())
        if not scale > 0:
            raise ConfigurationError(
                f"feedback={self}: {name}.weight is zero: must be initialized before feedback weights are attached"
            )
        return FeedbackSlot(f"{name}.weight", shape, scale)

    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        """Draw the tensor that is kept for B.

        Args:
            slot: gives the shape and σ.
            seed: of the run.
            step: of the optimizer, 0 before the first.
            like: a tensor whose dtype and device the result has: the CPU wherever the network is, so that the numbers
                are the same.

        Returns:
            A tensor of `slot.shape`.
        """
        return slot.noise(seed, step, like)

    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        """Return B, of the shape of `weight`."""
        return feedback_weight

    def adjoint(
        self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization, feedback_weight: Tensor | None
    ) -> Tensor | None:
        """Return the message down `edge`.

        Args:
            edge: from the layer that receives to the layer that sends.
            delta: δ of the edge's target, (B, *target shape).
            top: δ of the output, (B, *output shape); None unless `reads_output`.
            linear: the edge's coupling, linearized at the mean.
            feedback_weight: the tensor that was drawn for the edge, None if it has no slot.

        Returns:
            (B, *source shape), or None for no message.
        """
        if feedback_weight is None:
            return linear.adjoint(delta)
        weight: Any = edge.coupling.weight
        return linear.adjoint(delta, weight=self.matrix(weight.detach(), feedback_weight))

    def multiply_adds(self, edge: Edge, feedback_weight: Tensor | None) -> int:
        """Return the multiply-adds of one `adjoint` per sample."""
        return edge.multiply_adds


class Tied(Feedback, name="tied"):
    """B = W: the adjoint itself, and no feedback weights."""

    def attach(self, network: Network, *, seed: int = 0) -> None:
        if feedback_weights(network) is not None:
            del network.feedback_weights

    def attached(self, network: Network) -> Transport:
        return TIED


@dataclass(frozen=True)
class FeedbackSlot:
    """Feedback weights to be drawn.

    Attributes:
        name: the key of their random stream, the name of the weight that they replace or of the layer they lead to.
        shape: their shape.
        scale: σ, the standard deviation that they are drawn with.
    """

    name: str
    shape: Shape
    scale: float

    def noise(self, seed: int, step: int, like: Tensor) -> Tensor:
        """Draw N(0, σ²) from the stream (seed, feedback/<name>, step).

        Args:
            seed: of the run.
            step: of the optimizer, 0 before the first.
            like: a tensor whose dtype and device the result has. A GPU draws another sample than the CPU.
        """
        generator = stream(seed, f"feedback/{self.name}", step=step, device=like.device)
        return torch.randn(self.shape, generator=generator, device=like.device, dtype=like.dtype) * self.scale


class FeedbackWeights(nn.Module):
    """The feedback weights of one network: one buffer per edge that has any, `edge<index>`.

    Args:
        feedback: the kind, which draws them.
        network: gives the weights that they stand in for.
        seed: of the run.
    """

    def __init__(self, feedback: Feedback, network: Network, seed: int) -> None:
        super().__init__()
        self.feedback, self.seed = feedback, seed
        weight = next(network.parameters()).detach()
        like = torch.empty(0, dtype=weight.dtype, device="cpu")
        found = {edge.index: feedback.slot(network, edge) for edge in network.edges if edge.source}
        self.slots = {index: slot for index, slot in found.items() if slot is not None}
        for index, slot in self.slots.items():
            # a network on the meta device has no numbers, and there is nothing to draw
            drawn = weight.new_empty(slot.shape) if weight.is_meta else feedback.draw(slot, seed, 0, like)
            self.register_buffer(f"edge{index}", drawn.to(weight.device))

    def for_edge(self, edge: Edge) -> Tensor | None:
        return self.get_buffer(f"edge{edge.index}") if edge.index in self.slots else None

    @property
    def reads_output(self) -> bool:
        return self.feedback.reads_output

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor | None:
        return self.feedback.adjoint(edge, delta, top, linear, self.for_edge(edge))

    def multiply_adds(self, edge: Edge) -> int:
        """Return the multiply-adds of one `adjoint` per sample."""
        return self.feedback.multiply_adds(edge, self.for_edge(edge))

    def matrices(self, network: Network) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name of the target layer, W, B) of every edge whose feedback weights stand in for a weight; of direct
        ones only those below a dense output, which do.
        """
        for edge in network.edges:
            feedback_weight, weight = self.for_edge(edge), getattr(edge.coupling, "weight", None)
            if feedback_weight is None or not isinstance(weight, Tensor) or feedback_weight.shape != weight.shape:
                continue
            if not self.feedback.direct or edge.target == len(network.layers):
                weight = weight.detach()
                yield network.layers[edge.target - 1].name, weight, self.feedback.matrix(weight, feedback_weight)


def feedback_weights(network: Network) -> FeedbackWeights | None:
    """Return the feedback weights of a network; None if the weights themselves serve."""
    found = getattr(network, "feedback_weights", None)
    return found if isinstance(found, FeedbackWeights) else None


@torch.no_grad()
def resample(network: Network, step: int) -> None:
    """Draw anew the feedback weights that are drawn for every optimizer step; a function of seed and step."""
    found = feedback_weights(network)
    if found is not None and found.feedback.resampled_each_step:
        for index, slot in found.slots.items():
            feedback_weight = found.get_buffer(f"edge{index}")
            feedback_weight.copy_(slot.noise(found.seed, step, feedback_weight).copysign(feedback_weight))


def mirrored_parameters(network: Network) -> list[tuple[nn.Parameter, Tensor]]:
    """Return (weight, feedback weight) of all that take the steps of a weight: an optimizer of one needs the other."""
    found = feedback_weights(network)
    if found is None or not found.feedback.mirrors_updates:
        return []
    weights = dict(network.named_parameters())
    return [(weights[slot.name], found.get_buffer(f"edge{i}")) for i, slot in found.slots.items()]
