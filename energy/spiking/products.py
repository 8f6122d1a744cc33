"""Weight gradients of a whole simulation: Σ_t δ[t] x[t]ᵀ, one product over time and batch per edge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from energy.kernels import active
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.spiking.activity import Activity
from energy.spiking.lateral import lateral_product


def products(network: Network, activity: Activity, delta: Sequence[Tensor], ledger: Ledger) -> list[Tensor]:
    """Return Σ_t ∂θ⟨δ[t], A(x[t])⟩, one tensor per parameter in the order of `network.parameters()`.

    Args:
        network: the network that was simulated.
        activity: of every layer, all of them kept.
        delta: δ of each layer, (T·B, …).
        ledger: counts the products.
    """
    update: list[Tensor] = []
    for edge in network.edges:
        pre, post = activity.source(edge.source), delta[edge.target - 1]
        if len(pre) < len(post):  # the same at every step
            post = activity.folded(post).total() if active() else activity.unfold(post).sum(0)
        ledger.apply("products", edge.multiply_adds, len(pre))
        found = [*activity.linear[edge.index].weight_gradient(pre, post)]
        recurrent = _recurrent(edge, activity, delta[edge.target - 1], ledger)
        if recurrent is not None:
            found[-1] = recurrent
        update += found
    return update


def _recurrent(edge: Edge, activity: Activity, delta: Tensor, ledger: Ledger) -> Tensor | None:
    """Σ_{t ≥ 1} δ[t] x[t−1]ᵀ of a layer with itself."""
    pre = activity.traces[edge.target - 1][: len(delta) - activity.samples]
    product = lateral_product(edge, pre, delta[activity.samples :])
    if product is not None:
        ledger.apply("products", product.numel(), len(pre))
    return product
