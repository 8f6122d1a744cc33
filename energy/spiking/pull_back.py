"""An error on its way down one edge: A′ᵀδ by the weight, or Bᵀδ by feedback weights in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from energy.feedback import Direct, Wiring
from energy.ledger import Ledger
from energy.network import Edge


def pull_back(
    edge: Edge, wiring: Wiring | None, delta: Sequence[Tensor | None], point: Any, ledger: Ledger
) -> Tensor | None:
    """The apical current that an edge contributes to its source.

    Args:
        wiring: the feedback weights of the network; None where the weights serve.
        delta: δ of every layer, None for one that no error has reached yet.
        point: where the coupling was linearised.
        ledger: counts it as part of the nudged phase.

    Returns:
        (B, *source shape), or None where nothing comes down.
    """
    above, top = delta[edge.target - 1], delta[-1]
    direct = wiring is not None and isinstance(wiring.feedback, Direct)
    if top is None or (above is None and not direct):
        return None
    ledger.apply("nudged", edge.multiply_adds if wiring is None else wiring.multiply_adds(edge), len(top))
    if wiring is None:
        return edge.coupling.adjoint(above, point)  # type: ignore[arg-type]
    return wiring.adjoint(edge, above, top, point)
