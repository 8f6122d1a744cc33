"""The path of the difference down the edges of a network, as settlers use it."""

from __future__ import annotations

from typing import Final, Protocol

from torch import Tensor

from energy.couplings import Linearization
from energy.network import Edge


class Transport(Protocol):
    """The path of the difference δ down the edges of one network."""

    @property
    def reads_output(self) -> bool:
        """True if it depends on the difference of the output itself."""
        ...

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor | None:
        """Return the message down `edge`.

        Args:
            edge: from the layer that receives to the layer that sends.
            delta: δ of the edge's target, (B, *target shape).
            top: δ of the output, (B, *output shape); None unless `reads_output`.
            linear: the edge's coupling, linearized at the mean.

        Returns:
            (B, *source shape), or None for no message.
        """
        ...

    def multiply_adds(self, edge: Edge) -> int:
        """Return the multiply-adds of one `adjoint` per sample."""
        ...


class TiedWeights:
    """A′(m)ᵀδ by the weights themselves."""

    reads_output = False

    def adjoint(self, edge: Edge, delta: Tensor, top: Tensor | None, linear: Linearization) -> Tensor:
        return linear.adjoint(delta)

    def multiply_adds(self, edge: Edge) -> int:
        return edge.multiply_adds


TIED: Final = TiedWeights()
