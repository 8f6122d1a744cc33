"""Diagnostics of layers trained by a local rule: weight norms, win counts, inactive and zero-weight units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.rules.linearized import linearized_layers
from energy.rules.rule import Rule
from energy.rules.unit_rule import UnitRule
from energy.settle.feedforward import settle_free
from energy.settle.settler import Settler

NEAR = 0.01  # |‖w‖/R − 1| within which a neuron has converged


@torch.no_grad()
def unit_diagnostics(
    network: Network, rule: Rule, settler: Settler, x: Tensor, labels: Tensor
) -> dict[str, dict[str, Any]]:
    """Measure the layers that have a unit rule (`Rule.rule_for`) on one batch.

    Args:
        network: the network.
        rule: gives the unit rule of a layer.
        settler: settles the free phase.
        x: (B, *input shape).
        labels: (B,), class numbers.

    Returns:
        By layer name (empty if no layer has a unit rule): `norm`, mean ‖w_k‖_p; `converged`, percent of neurons with
        |‖w_k‖_p/R − 1| < 0.01, from either side; `distance`, mean |‖w_k‖_p/R − 1|; `zero_weight`, percent of neurons
        with zero weights; `inactive`, percent with zero activation at every position; `never_win`, percent that win
        nowhere; `entropy`, of the winners, in nats, and `entropy_limit`, its maximum; `winner`, mean share of the
        winner, for a rule with shares; `label`, percent of samples whose class is that of the neuron that wins most
        positions, a neuron standing for the class it wins most often.
    """
    top = len(network.layers)
    while top and rule.rule_for(network, top) is None:
        top -= 1
    if not top:
        return {}
    settled = settle_free(settler, network.subnetwork(top), x, labels, Ledger())
    found: dict[str, dict[str, Any]] = {}
    for edge, law, inputs in linearized_layers(rule, network, settled):
        found[network.layers[edge.target - 1].name] = {
            **_norms(law, inputs.filters.weight),
            **_winners(law, law.competition_logits(inputs), labels),
            "inactive": _percent((settled.mean[edge.target - 1].movedim(1, 0).flatten(1) == 0).all(1)),
        }
    return found


def _norms(law: UnitRule, weight: Tensor) -> dict[str, float]:
    norms = torch.linalg.vector_norm(weight.flatten(1).double(), law.p, dim=1)
    distance = (norms / law.target_norm - 1).abs()
    return {
        "norm": float(norms.mean()),
        "converged": _percent(distance < NEAR),
        "distance": float(distance.mean()),
        "zero_weight": _percent(norms == 0),
    }


def _winners(law: UnitRule, logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Statistics of the competition from logits (B, positions…, groups, K/groups)."""
    counts, (sets, size) = wins(logits), logits.shape[-2:]
    winner = law.winner_share(logits)
    total = counts.sum(0)
    share = total / total.sum()
    classes = int(labels.max()) + 1
    taken = torch.zeros(classes, size * sets, dtype=counts.dtype, device=counts.device).index_add_(0, labels, counts)
    voted = taken.argmax(0)[counts.argmax(1)]
    return {
        "never_win": _percent(total == 0),
        "entropy": float(-torch.xlogy(share, share).sum()),
        "entropy_limit": math.log(size * sets),
        "winner": None if winner is None else float(winner.mean()),
        "label": 100 * float((voted == labels).float().mean()),
    }


def wins(drive: Tensor) -> Tensor:
    """Count the positions at which each neuron has the greatest drive of its group.

    Args:
        drive: (B, positions…, groups, K/groups).

    Returns:
        (B, K), float32.
    """
    winners = drive.max(-1).indices.flatten(1)  # (B, places · groups)
    size, sets = drive.shape[-1], drive.shape[-2]
    winners = winners + torch.arange(sets, device=winners.device).repeat(winners.shape[1] // sets) * size
    counts = torch.zeros(len(winners), size * sets, dtype=torch.float32, device=winners.device)
    return counts.scatter_add_(1, winners, torch.ones_like(winners).float())


def _percent(which: Tensor) -> float:
    return 100 * float(which.double().mean())
