"""What a rule promises: a gradient for every parameter, summed over the batch, and its mean in `.grad`."""

from __future__ import annotations

import torch

from energy.objectives import SquaredError
from energy.rules.rule import Rule
from energy.settle.dyadic import DualPropagation
from energy.settle.settler import Settler
from energy.testing.claim import agree, claim
from energy.testing.small import batch, contracting


def check_rule(rule: Rule, *, settler: Settler | None = None, device: str = "cpu") -> list[str]:
    """Check a rule on what `settler` (dual propagation unless given) leaves behind; `update` is all it must define.

    One finite tensor for each parameter, the sum of what the samples give alone (for a linear rule such as contrast),
    the same when asked again; `apply` writes the mean over the batch into `.grad`, replacing what was there;
    parameters stay."""
    settler, network, (x, target) = settler or DualPropagation(), contracting(device), batch(device)
    settler.wire(network)
    before = [p.detach().clone() for p in network.parameters()]
    settled = settler.settle(network, x, target, SquaredError())
    gradients = [g.clone() for g in rule.gradients(network, settled)]
    claim(len(gradients) == len(before), rule, f"{len(gradients)} gradients for {len(before)} parameters")
    for found, parameter in zip(gradients, before, strict=True):
        claim(
            found.shape == parameter.shape,
            rule,
            f"a gradient has shape {tuple(found.shape)}, not {tuple(parameter.shape)}",
        )
        claim(torch.isfinite(found).all(), rule, "a gradient is not finite")
    for _ in range(2):
        rule.apply(network, settler.settle(network, x, target, SquaredError()))
        for parameter, found in zip(network.parameters(), gradients, strict=True):
            claim(parameter.grad is not None, rule, "apply leaves .grad empty")
            if parameter.grad is not None:
                agree(rule, ".grad against the mean over the batch", parameter.grad, found / len(x), 1e-12)
    for parameter, old in zip(network.parameters(), before, strict=True):
        claim((parameter == old).all(), rule, "a rule must not change the parameters: that is the optimiser's part")
    return []
