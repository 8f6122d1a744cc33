"""The interface of a kind of feedback weights, and the kind that needs none."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from energy.component import Component, ConfigurationError
from energy.couplings import Linearization
from energy.feedback.transport import TIED, Transport
from energy.feedback.weights import FeedbackSlot, FeedbackWeights, feedback_weights
from energy.network import Edge, Network


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
