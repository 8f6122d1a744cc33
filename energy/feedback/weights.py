"""The feedback weights of one network, as buffers of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from energy.couplings import Linearization, Shape
from energy.network import Edge, Network
from energy.stream import stream

if TYPE_CHECKING:
    from energy.feedback.feedback import Feedback


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
        device = like.device if like.is_cuda else torch.device("cpu")
        generator = stream(seed, f"feedback/{self.name}", step=step, device=device)
        drawn = torch.randn(self.shape, generator=generator, device=device, dtype=like.dtype) * self.scale
        return drawn.to(like.device)


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
    return [(network.get_parameter(slot.name), found.get_buffer(f"edge{i}")) for i, slot in found.slots.items()]
