"""What became of the neurons that learnt without feedback: norms, winners, the dead and the undecided."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.rules.local import Local, Plasticity
from energy.rules.softhebb import SoftHebb
from energy.settle.settler import Settler

NEAR = 0.01  # |‖w‖/R − 1| within which a neuron has converged


@torch.no_grad()
def units(network: Network, rule: Local, settler: Settler, x: Tensor, labels: Tensor) -> dict[str, dict[str, Any]]:
    """By layer that learns by a local rule, measured on one batch (B, …) with its labels (B,):

    norm: mean ‖w_k‖_p; converged: percent of neurons with |‖w_k‖_p/R − 1| < 0.01, from either side; distance: mean
    |‖w_k‖_p/R − 1|; dead: percent of zero neurons; silent: percent that send nothing up at any place; never: percent
    that win nowhere; entropy: of the winners, nats; winner: mean share of the winner, for a rule with shares; label:
    percent of samples whose class is that of the neuron that wins most places, a neuron standing for the class it wins
    most often.
    """
    top = len(network.layers)
    while top and rule.of(network, top) is None:
        top -= 1
    part = network.up_to(top)
    settled = rule.settle(part, settler, x, labels, Ledger())
    found: dict[str, dict[str, Any]] = {}
    for edge, law, opened in rule.opened(network, settled):
        drive = law.competing(law.drive(opened), opened)
        found[network.layers[edge.target - 1].name] = {
            **_norms(law, opened.filters.weight),
            **_winners(law, drive, labels),
            "silent": _percent((settled.mean[edge.target - 1].movedim(1, 0).flatten(1) == 0).all(1)),
        }
    return found


def _norms(law: Plasticity, weight: Tensor) -> dict[str, float]:
    norms = torch.linalg.vector_norm(weight.flatten(1).double(), law.norm, dim=1)
    distance = (norms / law.radius - 1).abs()
    return {
        "norm": float(norms.mean()),
        "converged": _percent(distance < NEAR),
        "distance": float(distance.mean()),
        "dead": _percent(norms == 0),
    }


def _winners(law: Plasticity, drive: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Of drives (B, places…, groups, K/groups)."""
    counts, (sets, size) = wins(drive), drive.shape[-2:]
    total = counts.sum(0)
    share = total / total.sum()
    classes = int(labels.max()) + 1
    taken = torch.zeros(classes, size * sets, dtype=counts.dtype, device=counts.device).index_add_(0, labels, counts)
    voted = taken.argmax(0)[counts.argmax(1)]
    return {
        "never": _percent(total == 0),
        "entropy": float(-torch.xlogy(share, share).sum()),
        "entropy_limit": math.log(size * sets),
        "winner": float(law.share(drive).amax(-1).mean()) if isinstance(law, SoftHebb) else None,
        "label": 100 * float((voted == labels).float().mean()),
    }


def wins(drive: Tensor) -> Tensor:
    """At how many places each neuron has the greatest drive of its group: (B, places…, groups, K/groups) → (B, K)."""
    winners = drive.max(-1).indices.flatten(1)  # (B, places · groups)
    size, sets = drive.shape[-1], drive.shape[-2]
    winners = winners + torch.arange(sets, device=winners.device).repeat(winners.shape[1] // sets) * size
    counts = torch.zeros(len(winners), size * sets, dtype=torch.float32, device=winners.device)
    return counts.scatter_add_(1, winners, torch.ones_like(winners).float())


def _percent(which: Tensor) -> float:
    return 100 * float(which.double().mean())
