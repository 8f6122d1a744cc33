"""Errors on their way down one edge: A′ᵀδ by the weight, or Bᵀδ by feedback weights in its place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from energy.couplings import Linearization
from energy.feedback import Transport
from energy.ledger import Ledger
from energy.network import Edge


def pull_back(
    edge: Edge, feedback_weights: Transport, delta: Sequence[Tensor | None], linear: Linearization, ledger: Ledger
) -> Tensor | None:
    """Return the apical current that an edge contributes to its source.

    Args:
        edge: the edge.
        feedback_weights: the transport of errors: the weights, or feedback weights of the network.
        delta: δ of every layer, None for one that no error has reached yet.
        linear: the coupling, linearized at the activity of the forward pass.
        ledger: counts the application in the nudged phase.

    Returns:
        (B, *source shape), or None if no error comes down.
    """
    above, top = delta[edge.target - 1], delta[-1]
    if top is None or (above is None and not feedback_weights.reads_output):
        return None
    ledger.apply("nudged", feedback_weights.multiply_adds(edge), len(top))
    return feedback_weights.adjoint(edge, top if above is None else above, top, linear)
