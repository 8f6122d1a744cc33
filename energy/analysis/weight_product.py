"""The norm of the product of a chain's weights, ‖W_L ⋯ W_1‖₂: the greatest factor by which the weights alone, with the
potentials left out, stretch a change of the input. It stands for the Lipschitz constant of a network, which cannot be
computed for more than a few units, and bounds it neither from above nor from below.

Reference:
    Høier & Zach, ICML 2024 (arXiv:2402.08573); their code follows it while a perceptron trains.
"""

from __future__ import annotations

import torch

from energy.couplings.affine import without_switches
from energy.network import Network


@torch.no_grad()
def weight_product_norm(network: Network) -> float | None:
    """Return ‖W_L ⋯ W_1‖₂, pooling by means included, biases left out.

    Each row of the product is one output unit sent down through the transposed couplings, in float64.

    Returns:
        None for a network that is no chain up to a layer without places, or that has a coupling with switches or a
        curved one, and for weights that are not finite.

    Example:
        >>> from energy.couplings import Dense
        >>> from energy.potentials import Identity
        >>> network = Network((1,))
        >>> layers = [network.add(Dense(1, 1), Identity()) for _ in range(2)]
        >>> weights = [torch.nn.init.constant_(edge.coupling.weight, 3.0) for edge in network.edges]
        >>> weight_product_norm(network)
        9.0
    """
    depth = len(network.layers)
    top, links = network.shape(depth), [(edge.source, edge.target) for edge in network.edges]
    chained = links == [(k, k + 1) for k in range(depth)]
    if not chained or len(top) > 1 or not all(without_switches(edge.coupling) for edge in network.edges):
        return None
    like = next(network.parameters()).new_empty(0, dtype=torch.float64)
    rows = torch.eye(*top, dtype=like.dtype, device=like.device)
    for edge in reversed(network.edges):
        zero = like.new_zeros(len(rows), *network.shape(edge.source))
        rows = edge.coupling.linearize(zero)[1].adjoint(rows)
    return float(torch.linalg.matrix_norm(rows.flatten(1), 2)) if bool(rows.isfinite().all()) else None
