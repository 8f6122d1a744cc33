"""Feedback weights that lead from the output to every layer."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from energy.couplings import Linearization
from energy.feedback.feedback import Feedback, FeedbackSlot
from energy.network import Edge, Network


class DirectFeedback(Feedback, name="direct"):
    """h_k = D_kᵀ δ_L, D_k fixed of shape (outputs, *shape of layer k): direct feedback alignment.

    A layer receives the output's difference alone, whatever couplings lie between, for outputs × units multiply-adds.

    Reference:
        Nøkland, NeurIPS 2016.
    """

    reads_output: ClassVar[bool] = True
    direct: ClassVar[bool] = True

    def slot(self, network: Network, edge: Edge) -> FeedbackSlot | None:
        # one message per layer: along the first edge out of it, if a path leads on to the output
        if edge is not network.out_of(edge.source)[0] or edge.source not in leading(network):
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


def leading(network: Network) -> set[int]:
    """Return the layers from which a path leads to the output, the output and the input included."""
    found = {len(network.layers)}
    for edge in reversed(network.edges):
        if edge.target in found:
            found.add(edge.source)
    return found
