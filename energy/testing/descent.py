"""How the contrast of a settler lies to the exact gradient, which is found without any settler."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.feedback import Tied
from energy.objectives import CrossEntropy, Objective, SquaredError
from energy.rules.contrast import Contrast
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.settle.spiking_settler import SpikingSettler
from energy.testing.claim import agree, claim, promise, title
from energy.testing.small import batch, coding, contracting
from energy.testing.truth import by_layer, cosine_or_zero, exact

SMALL: Final = 1e-3  # the nudge at which a contrast is compared with its limit
CLOSE: Final = 1e-2  # relative error of a layer's gradient there,
NEAR: Final = 0.2  # and where the settler has no `beta` to make small
OTHER: Final = 0.5  # a gain beside the settler's own


@promise("settle must work at every gain and objective that the settler admits")
def check_descent(settler: Settler, device: str) -> list[str]:
    """Hold a settler to its `alignment`; what could not be compared is returned."""
    if isinstance(settler, EnergyTwoPhase):
        return _energies(settler, device)
    if not settler.rates:
        return _spiking(settler, device)
    for one in _gains(settler):
        _compare(one, SquaredError(), device, settled_as_given=True)
        for objective in (SquaredError(), CrossEntropy()) if one.alignment == 1 else (SquaredError(),):
            if _admits(one, objective):
                _compare(sharp(one), objective, device)
    return []


def _energies(settler: EnergyTwoPhase, device: str) -> list[str]:
    """Compare the contrast of minima with back-propagation through the feedforward pass, which the minimum is."""
    network, (x, target) = coding(device), batch(device)
    for objective in (SquaredError(), CrossEntropy()):
        if not _admits(settler, objective):
            continue
        output = x
        for weight in network.parameters():
            output = torch.tanh(output @ weight.T)
        wanted = torch.autograd.grad(objective.value(output, target).sum(), list(network.parameters()))
        found = Contrast().gradients(network, sharp(settler).settle(network, x, target, objective))
        names = [name for name, _ in network.named_parameters()]
        mine, theirs = (dict(zip(names, map(torch.flatten, some), strict=True)) for some in (found, wanted))
        _equal(settler, f"at its minimum with {objective.name}", mine, theirs, CLOSE)
    return []


def _gains(settler: Settler) -> Iterator[Settler]:
    """The settler, the same with the weights as its wires, and at another gain if it takes one."""
    yield settler
    if not isinstance(getattr(settler, "feedback", None), Tied | None):
        yield _changed(settler, feedback=Tied())
    try:
        other = _changed(settler, gamma=OTHER)
    except ConfigurationError:
        return
    yield other


def _changed(settler: Settler, **fields: Any) -> Settler:
    return dataclasses.replace(settler, **fields)


def _admits(settler: Settler, objective: Objective) -> bool:
    try:
        settler.validate_nudge(objective)
    except ConfigurationError:
        return False
    return True


def sharp(settler: Settler) -> Settler:
    """The same with a small nudge, and every relaxation run to its end."""
    names = {field.name for field in dataclasses.fields(settler)} & {"relax", "nudged"}
    long = {"max_steps": 3000, "tolerance": 1e-10, "check_every": 1}
    fields = {name: dataclasses.replace(getattr(settler, name), **long) for name in names}
    if _nudge(settler) > SMALL:
        try:
            return _changed(settler, beta=SMALL, **fields)
        except ConfigurationError:
            pass
    return _changed(settler, **fields)


def _nudge(settler: Settler) -> float:
    return getattr(settler, "beta", 0.0)


def _compare(settler: Settler, objective: Objective, device: str, *, settled_as_given: bool = False) -> None:
    network, (x, target) = contracting(device), batch(device)
    settler.attach_feedback(network)
    output, wanted = exact(objective, settler.gamma, device)
    settled = settler.settle(network, x, target, objective)
    where = f"at gamma={settler.gamma:g} with {objective.name}"
    if not settled_as_given:
        agree(settler, f"free output {where} against the equilibrium s = f(J(s))", settled.output, output, 1e-6)
    found = by_layer(network, Contrast().gradients(network, settled))
    known = hasattr(settler, "beta") and _nudge(settler) <= SMALL
    if settler.alignment == 1 and not settled_as_given:
        _equal(settler, where, found, wanted, CLOSE if known else NEAR)
    _downhill(settler, where, found, wanted)


def _equal(settler: Settler, where: str, found: dict[str, Tensor], wanted: dict[str, Tensor], room: float) -> None:
    for name, one in wanted.items():
        gap = float((found[name] - one).norm() / one.norm())
        likeness, length = cosine_or_zero(found[name], one), float(found[name].norm() / one.norm())
        claim(
            gap <= room,
            settler,
            f"gradient of {name} {where} against autograd: cosine {likeness:.4f}, length ×{length:.4f} "
            "(a method that is no gradient says so in `alignment`)",
        )


def _downhill(settler: Settler, where: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    *_, top = wanted
    for name, one in wanted.items():
        least = max(0.0 if name == top else -1.0, min(0.5, settler.alignment))
        likeness = cosine_or_zero(found[name], one)
        claim(
            likeness >= least - 1e-9 or not bool(found[name].any()),
            settler,
            f"gradient of {name} {where} has cosine {likeness:.4f} with the exact one: must be at least {least:g}",
        )


def _spiking(settler: Settler, device: str) -> list[str]:
    """Compare a spiking settler with its reference, the tape."""
    if not isinstance(settler, SpikingSettler):
        return [f"{title(settler)}: not compared with a gradient: its activity is not what the potentials respond"]
    network, (x, target), reference = contracting(device), batch(device), exact_settler(settler)
    settler.attach_feedback(network)
    wanted, found = (
        by_layer(network, Contrast().gradients(network, one.settle(network, x, target, SquaredError())))
        for one in (reference, sharp(settler))
    )
    where = f"after {settler.steps} steps"
    if settler.alignment == 1:
        _equal(settler, where, found, wanted, CLOSE)
    _downhill(settler, where, found, wanted)
    return []
