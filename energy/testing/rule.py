"""The contract of a rule: a gradient for every parameter, or a local update and a step.

With feedback the gradient is summed over the batch, and its mean is in `.grad`; without, the update of a layer is
local.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor

from energy.couplings import Dense
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.potentials import Identity
from energy.rules.plasticity import Plasticity
from energy.rules.rule import Rule
from energy.rules.step import dual
from energy.settle.dyadic import DualPropagation
from energy.settle.feedforward import Feedforward, settle_free
from energy.settle.settler import Settler
from energy.testing.claim import agree, claim, follows, noise, promise, public_check, tensor
from energy.testing.descent import sharp
from energy.testing.small import BATCH, batch, contracting
from energy.testing.truth import by_layer, cosine_or_zero, exact

NEURONS = 12


@public_check(Rule, "derive it from energy.rules.Rule")
def check_rule(rule: Rule, *, settler: Settler | None = None, device: str = "cpu") -> list[str]:
    """Check a rule on the result of `settler`; it must define `update`.

    One finite tensor per parameter, the sum over the samples alone, the same when asked again; `apply` writes the mean
    over the batch into `.grad`, replacing what was there, and `learn` the same; parameters stay. A class with `exact`,
    such as `Contrast`, gives the exact gradient. Every call is on a network of its own, so that a rule may keep state
    in buffers of the network; for one that does sums are not compared. A rule without feedback is left to
    `check_plasticity`.

    Args:
        rule: the subject.
        settler: dual propagation unless given.
        device: of the check.
    """
    if rule.unit_rules():
        return check_plasticity(rule, device=device)
    settler, network = sharp(settler) if settler else DualPropagation(), contracting(device)
    settler.attach_feedback(network)
    rule.attach(network)
    before = [p.detach().clone() for p in network.parameters()]
    gradients = _sums(rule, settler, network, device)
    _written(rule, settler, network, gradients, device)
    if rule.exact:
        _exact(rule, device)
    for parameter, old in zip(network.parameters(), before, strict=True):
        claim((parameter == old).all(), rule, "a rule must not change the parameters: that is the optimizer's part")
    return []


def _fresh(network: Network) -> Network:
    """A network for one call of a rule, which may write to its buffers."""
    return copy.deepcopy(network)


def _keeps(network: Network, used: Network) -> bool:
    """True if a rule has left a change in the buffers of the network that it used."""
    old, new = dict(network.named_buffers()), dict(used.named_buffers())
    return old.keys() != new.keys() or any(not torch.equal(old[name], new[name]) for name in old)


@promise("update(network, settled) must return one new tensor for each parameter, in their order")
def _sums(rule: Rule, settler: Settler, network: Network, device: str) -> list[Tensor]:
    x, target = batch(device)

    def of(rows: slice) -> tuple[Network, list[Tensor]]:
        used = _fresh(network)
        settled = settler.settle(used, x[rows], target[rows], SquaredError())
        return used, [tensor(rule, "a gradient", one).clone() for one in rule.gradients(used, settled)]

    used, found = of(slice(None))
    sizes = [tuple(p.shape) for p in network.parameters()]
    claim([tuple(one.shape) for one in found] == sizes, rule, "update must give one tensor of each parameter's shape")
    moved = any(not torch.equal(p, old) for p, old in zip(used.parameters(), network.parameters(), strict=True))
    claim(not moved, rule, "a rule must not change the parameters: that is the optimizer's part")
    again, parts = of(slice(None))[1], [of(slice(k, k + 1))[1] for k in range(len(x))]
    for whole, second, *alone in zip(found, again, *parts, strict=True):
        claim(torch.isfinite(whole).all(), rule, "a gradient is not finite")
        claim((whole == second).all(), rule, "update gives something else when asked again")
        if not _keeps(network, used):
            agree(rule, "update of a batch against the sum over its samples", whole, torch.stack(alone).sum(0))
    return found


@promise("apply(network, settled) must write minus the mean update into .grad")
def _written(rule: Rule, settler: Settler, network: Network, gradients: list[Tensor], device: str) -> None:
    x, target = batch(device)
    for name in ("apply", "apply over old gradients", "learn"):
        used = _fresh(network)
        if name != "apply":
            rule.write(used, [torch.ones_like(p) for p in used.parameters()])
        if name == "learn":
            rule.learn(used, settler, x, target, SquaredError())
        else:
            rule.apply(used, settler.settle(used, x, target, SquaredError()))
        moves = name == "learn" and _keeps(network, used)  # its memory may have changed before it learned
        for parameter, old, found in zip(used.parameters(), network.parameters(), gradients, strict=True):
            written = tensor(rule, f".grad of {name}", parameter.grad)
            if not moves:
                agree(rule, f".grad of {name} against the mean over the batch", written, found / len(x), 1e-10)
            claim(torch.equal(parameter, old), rule, f"{name} changes the parameters: that is the optimizer's part")


def _exact(rule: Rule, device: str) -> None:
    network, (x, target) = contracting(device), batch(device)
    settler = DualPropagation(beta=1e-3)
    found = by_layer(network, rule.gradients(network, settler.settle(network, x, target, SquaredError())))
    for name, wanted in exact(SquaredError(), 0.0, device)[1].items():
        ratio = (
            f"cosine {cosine_or_zero(found[name], wanted):.4f}, length ×{float(found[name].norm() / wanted.norm()):.4f}"
        )
        near = float((found[name] - wanted).norm()) <= 1e-2 * float(wanted.norm())
        claim(near, rule, f"gradient of {name} against autograd: {ratio} (a rule of another kind derives from Rule)")


@public_check(Rule, "derive it from energy.rules.Plasticity")
def check_plasticity(rule: Rule, *, device: str = "cpu") -> list[str]:
    """Check a rule without feedback; it must define `postsynaptic_factor`, for up to 12 neurons.

    y = −∂E*/∂u if there is an `energy`. On 12 neurons that learn below an output that does not: Δw is the sum over the
    samples alone, the same when asked again, zero for the output; with the common decay it is tangent to ‖w_k‖_p = R.
    The step in `.grad` is −η_k Δw_k over the largest entry or the batch, finite for states of bfloat16 too, replaces
    what was there, and is None for a frozen layer; parameters stay. Every call is on a network of its own, so that a
    rule may keep state in buffers of the network; for one that does sums are not compared. Of `per_layer`, every rule
    is checked.
    """
    listed = rule.unit_rules()
    claim(bool(listed), rule, "is neither a law of one population nor a list of them: check those that it names")
    return [note for one in listed for note in _check_population(cast(Plasticity, one), device)]


def _check_population(rule: Plasticity, device: str) -> list[str]:
    notes = _slope(rule, device)
    network, x = _population(device), noise("x", BATCH, 5, device=device)
    rule.attach(network)
    target = one_hot(torch.arange(BATCH, device=device), NEURONS, torch.float64)
    found = _changes(rule, network, x, target)
    _steps(rule, network, x, target)
    _sized(rule, network, found, x, target)
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


@promise("postsynaptic_factor(drive, target) must give y, one number per neuron, of the shape of the drive")
def _slope(rule: Plasticity, device: str) -> list[str]:
    drive = noise("drive", BATCH, 1, NEURONS, device=device).requires_grad_()
    target = one_hot(torch.arange(BATCH, device=device), NEURONS, torch.float64)
    if type(rule).postsynaptic_factor is not Plasticity.postsynaptic_factor:
        follows(rule, "postsynaptic_factor", rule.postsynaptic_factor(drive.detach(), target), drive.detach())
    try:
        energy = rule.energy(drive)
    except TypeError:
        return []  # a rule that is not a gradient
    tensor(rule, "energy", energy)
    claim(energy.shape == drive.shape[:-1], rule, f"energy of {tuple(drive.shape)} has shape {tuple(energy.shape)}")
    claim(energy.requires_grad, rule, "energy is cut from autograd: no detach, no_grad or NumPy in it")
    (slope,) = torch.autograd.grad(energy.sum(), drive)
    agree(rule, "postsynaptic_factor against −∂E*/∂u", rule.postsynaptic_factor(drive.detach(), None), -slope)
    return []


def _updates(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    return rule.update(network, settle_free(Feedforward(), network, x, target))


@promise("update(network, settled) must return one new tensor for each parameter, in their order")
def _changes(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> list[Tensor]:
    used = _fresh(network)
    found = [tensor(rule, "a change", one) for one in _updates(rule, used, x, target)]
    sizes = [tuple(p.shape) for p in network.parameters()]
    claim([tuple(one.shape) for one in found] == sizes, rule, "update must give one tensor of each parameter's shape")
    parts = [_updates(rule, _fresh(network), x[k : k + 1], target[k : k + 1]) for k in range(len(x))]
    again = used if rule.memory else _fresh(network)  # what a law remembers moves in `remember`
    second = _updates(rule, again, x, target)
    for whole, same, *alone in zip(found, second, *parts, strict=True):
        claim(torch.isfinite(whole).all(), rule, "the update is not finite")
        claim((whole == same).all(), rule, "update gives something else when asked again")
        if not _keeps(network, used):
            agree(rule, "update of a batch against the sum over its samples", whole, torch.stack(alone).sum(0))
    claim(not any(bool(one.any()) for one in found[1:]), rule, "the output layer has an update but does not learn")
    moved = any(not torch.equal(p, old) for p, old in zip(used.parameters(), network.parameters(), strict=True))
    claim(not moved, rule, "a rule must not change the parameters: that is the optimizer's part")
    return found


def _step(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> Network:
    """A network with the step of `learn` in its gradients."""
    used = _fresh(network)
    rule.learn(used, Feedforward(), x, target, SquaredError())
    moved = any(not torch.equal(p, old) for p, old in zip(used.parameters(), network.parameters(), strict=True))
    claim(not moved, rule, "a rule must not change the parameters: that is the optimizer's part")
    return used


@promise("apply(network, settled) must write minus the step into .grad")
def _steps(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> None:
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        weight, *rest = _step(rule, network, x.to(dtype), target.to(dtype)).parameters()
        step = weight.grad
        claim(step is not None and torch.isfinite(step).all(), rule, f"the step is not finite with {dtype} states")
        claim(all(p.grad is None for p in rest), rule, "apply writes to layers that do not learn")
    steps = []
    for held in (False, True):
        used = _fresh(network)
        weight = next(used.parameters())
        weight.grad = torch.ones_like(weight) if held else None
        rule.apply(used, settle_free(Feedforward(), used, x, target))
        steps.append(tensor(rule, ".grad", weight.grad))
    claim(torch.equal(*steps), rule, "apply adds to .grad")
    used = _fresh(network)
    weight = next(used.parameters()).requires_grad_(False)
    rule.apply(used, settle_free(Feedforward(), used, x, target))
    claim(weight.grad is None, rule, "apply writes to a frozen layer")


@promise("the step must be η_k Δw_k, over its largest entry or the batch")
def _sized(rule: Plasticity, network: Network, found: list[Tensor], x: Tensor, target: Tensor) -> None:
    weight, change = next(network.parameters()).detach(), found[0]
    used = _step(rule, network, x, target)
    if _keeps(network, used):
        return
    step = tensor(rule, ".grad", next(used.parameters()).grad)
    claim((step * change).sum() <= 0, rule, ".grad has the sign of the update: an optimizer would go away from it")
    if type(rule).scaled_update is Plasticity.scaled_update:
        size = change.abs().max() if rule.scaled else len(x)
        agree(rule, ".grad against −η_k Δw_k", step, -rule.rates(weight)[:, None] * change / size)


@promise("decay must keep the norms ‖w‖_p = R")
def _tangency(rule: Plasticity, network: Network, x: Tensor, target: Tensor) -> None:
    network = _fresh(network)
    weight = next(network.parameters())
    with torch.no_grad():
        norms = torch.linalg.vector_norm(weight, rule.p, dim=1, keepdim=True)
        weight.mul_(rule.target_norm / norms)
    along = (dual(weight.detach(), rule.p) * _updates(rule, network, x, target)[0]).sum(1)
    agree(rule, "⟨dual(w), Δw⟩ on the sphere ‖w‖_p = R against 0", along, torch.zeros_like(along))
