"""What a rule promises: a gradient for every parameter, summed over the batch, and its mean in `.grad`; or, without
feedback, an update that is local and a step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.potentials import Identity
from energy.rules.local import Local, PerLayer, Plasticity
from energy.rules.rule import Rule
from energy.settle.dyadic import DualPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.testing.claim import agree, claim, noise
from energy.testing.small import BATCH, batch, contracting

NEURONS = 12


def check_rule(rule: Rule, *, settler: Settler | None = None, device: str = "cpu") -> list[str]:
    """Check a rule on what `settler` (dual propagation unless given) leaves behind; `update` is all it must define.

    One finite tensor for each parameter, the sum of what the samples give alone (for a linear rule such as contrast),
    the same when asked again; `apply` writes the mean over the batch into `.grad`, replacing what was there;
    parameters stay. A rule without feedback is left to `check_plasticity`."""
    if isinstance(rule, Local):
        return check_plasticity(rule, device=device)
    settler, network, (x, target) = settler or DualPropagation(), contracting(device), batch(device)
    settler.wire(network)
    rule.attach(network)
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


def check_plasticity(rule: Local, *, device: str = "cpu") -> list[str]:
    """Check a rule without feedback; `plastic` is all it must define. It may ask for up to 12 neurons.

    y = −∂E*/∂u where there is an `energy`. On 12 neurons that learn below an output that does not: Δw is the sum of
    what the samples give alone, the same when asked again, zero for the output; with the common decay it is tangent to
    ‖w_k‖_p = R. The step in `.grad` is finite, for states of bfloat16 too, replaces what was there, and is None for a
    frozen layer; parameters stay. What it remembers moves with `learn` alone. Of `per_layer`, every rule is checked."""
    if not isinstance(rule, Plasticity):
        listed = rule.rules if isinstance(rule, PerLayer) else []
        claim(bool(listed), rule, "is neither a law of one population nor a list of them: check those that it names")
        return [note for one in listed for note in check_plasticity(one, device=device)]
    notes = _slope(rule, device)
    network, x = _population(device), noise("x", BATCH, 5, device=device)
    rule.attach(network)
    target = one_hot(torch.arange(BATCH, device=device), NEURONS, torch.float64)
    before = [p.detach().clone() for p in network.parameters()]
    _changes(rule, network, x, target)
    _steps(rule, network, x, target)
    for parameter, old in zip(network.parameters(), before, strict=True):
        claim((parameter == old).all(), rule, "a rule must not change the parameters: that is the optimiser's part")
    if rule.decayed and type(rule).decay is Plasticity.decay:
        _tangency(rule, network, x, target)
    return notes


def _population(device: str) -> Network:
    network = Network((5,))
    network.add(Dense(5, NEURONS, bias=False), Identity(), name="hidden")
    network.add(Dense(NEURONS, NEURONS), Identity(), name="output")
    network.to(device, torch.float64)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(noise(name, *parameter.shape, device=device))
    return network


def _slope(rule: Plasticity, device: str) -> list[str]:
    drive = noise("drive", BATCH, 1, NEURONS, device=device).requires_grad_()
    try:
        energy = rule.energy(drive)
    except TypeError:
        return []  # the gradient of nothing, and says so
    claim(energy.shape == drive.shape[:-1], rule, f"energy of {tuple(drive.shape)} has shape {tuple(energy.shape)}")
    (slope,) = torch.autograd.grad(energy.sum(), drive)
    agree(rule, "plastic against −∂E*/∂u", rule.plastic(drive.detach(), None), -slope)
    return []


def _updates(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    return rule.update(network, rule.settle(network, Feedforward(), x, target, Ledger()))


def _changes(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> None:
    found = _updates(rule, network, x, target)
    sizes = [tuple(p.shape) for p in network.parameters()]
    claim([tuple(one.shape) for one in found] == sizes, rule, "update must give one tensor of each parameter's shape")
    parts = [_updates(rule, network, x[k : k + 1], target[k : k + 1]) for k in range(len(x))]
    for whole, again, *alone in zip(found, _updates(rule, network, x, target), *parts, strict=True):
        claim(torch.isfinite(whole).all(), rule, "the update is not finite")
        claim((whole == again).all(), rule, "update gives something else when asked again")
        agree(rule, "update of a batch against the sum over its samples", whole, torch.stack(alone).sum(0))
    claim(not any(bool(one.any()) for one in found[1:]), rule, "the output layer has an update but does not learn")


def _steps(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> None:
    weight, *rest = network.parameters()
    held = copy.deepcopy(network.state_dict())  # with what a rule remembers, which `learn` takes on
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        network.load_state_dict(held)
        rule.learn(network, Feedforward(), x.to(dtype), target.to(dtype), SquaredError())
        step = weight.grad
        claim(step is not None and torch.isfinite(step).all(), rule, f"the step is not finite with {dtype} states")
        claim(all(p.grad is None for p in rest), rule, "apply writes to layers that do not learn")
    network.load_state_dict(held)
    settled = rule.settle(network, Feedforward(), x, target, Ledger())
    first = None if weight.grad is None else weight.grad.clone()
    rule.apply(network, settled)
    claim(first is not None and weight.grad is not None and (first == weight.grad).all(), rule, "apply adds to .grad")
    weight.requires_grad_(False)
    rule.apply(network, settled)
    claim(weight.grad is None, rule, "apply writes to a frozen layer")
    weight.requires_grad_(True)


def _tangency(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> None:
    weight = next(network.parameters())
    with torch.no_grad():
        norms = torch.linalg.vector_norm(weight, rule.norm, dim=1, keepdim=True)
        weight.mul_(rule.radius / norms)
    along = (rule.dual(weight.detach()) * _updates(rule, network, x, target)[0]).sum(1)
    agree(rule, "⟨dual(w), Δw⟩ on the sphere ‖w‖_p = R against 0", along, torch.zeros_like(along))
