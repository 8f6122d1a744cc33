"""The contract of an objective: a gradient that is one, and nudges that solve their equations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.objectives import Nudge, Objective
from energy.potentials import HardSigmoid, Identity, Potential, per_sample
from energy.testing.claim import agree, claim, follows, noise, promise, public_check, shuffled, tensor, title

SHARES = ((0.2, 0.3), (0.0, 0.5), (0.5, 0.0))


@public_check(Objective, "derive it from energy.objectives.Objective")
def check_objective(objective: Objective, *, device: str = "cpu") -> list[str]:
    """Check an objective; it must define `value` and `gradient`.

    `gradient` against autograd and finite differences of `value`, sample by sample, with the dtype of its input. Each
    kind of nudge that the objective admits on an identity and on a hard-sigmoid output: linear ones are h − ∇C, the
    proximal one has a lower energy than every other state.
    """
    output, target = noise("output", 6, 4, device=device), noise("target", 6, 4, device=device).softmax(-1)
    _gradient(objective, output, target)
    _predict(objective, output)
    skipped = []
    for potential, nudge in itertools.product((Identity(), HardSigmoid()), Nudge):
        chosen = replace(objective, nudge=nudge)
        try:
            chosen.validate_output(potential)
        except ConfigurationError as error:
            skipped.append(f"{title(objective)}: {nudge.name.lower()} nudge of {title(potential)} not checked: {error}")
            continue
        for shares in SHARES:
            _nudge(chosen, potential, output, target, *shares)
    return skipped


@promise("predict(output) must give the class of each sample, (B,)")
def _predict(objective: Objective, output: Tensor) -> None:
    labels = tensor(objective, "predict", objective.predict(output))
    claim(labels.shape == (len(output),), objective, f"predict has shape {tuple(labels.shape)}: must be (B,)")
    claim(labels.dtype == torch.int64, objective, f"predict gives {labels.dtype}: must be torch.int64, a class each")


@promise("value(output, target) must give one number per sample, gradient(output, target) its derivative")
def _gradient(objective: Objective, output: Tensor, target: Tensor) -> None:
    value = tensor(objective, "value", objective.value(output, target))
    gradient = tensor(objective, "gradient", objective.gradient(output, target))
    claim(value.shape == (len(output),), objective, f"value has shape {tuple(value.shape)}: must be ({len(output)},)")
    leaf = output.clone().requires_grad_()
    traced = objective.value(leaf, target)
    claim(traced.requires_grad, objective, "value is cut from autograd: no detach, no_grad or NumPy in it")
    (expected,) = torch.autograd.grad(traced.sum(), leaf)
    agree(objective, "gradient against autograd of value", gradient, expected)
    direction, step = noise("direction", *output.shape, device=output.device), 1e-6
    ahead, behind = (objective.value(output + s * direction, target) for s in (step, -step))
    agree(
        objective,
        "gradient against differences of value",
        per_sample(gradient * direction),
        (ahead - behind) / (2 * step),
        1e-6,
    )
    order = shuffled(len(output), output.device)
    agree(
        objective,
        "gradient of a permuted batch",
        objective.gradient(output[order], target[order]),
        gradient[order],
        1e-12,
    )
    agree(objective, "value of one sample alone", objective.value(output[:1], target[:1]), value[:1], 1e-12)
    for dtype in (torch.float32, torch.bfloat16):
        low = output.to(dtype)
        follows(objective, "gradient", objective.gradient(low, target.to(dtype)), low)


@promise("nudged(potential, drive, h, target, frozen, beta_plus, beta_minus) must give the drive and difference drive")
def _nudge(
    objective: Objective, potential: Potential, drive: Tensor, target: Tensor, beta_plus: float, beta_minus: float
) -> None:
    h = noise("h", *drive.shape, device=drive.device)
    frozen = noise("frozen", *drive.shape, device=drive.device)
    a, pull = objective.nudged(potential, drive, h, target, frozen, beta_plus, beta_minus)
    kind = objective.nudge.name.lower()
    if objective.nudge is not Nudge.PROXIMAL:
        error = frozen if objective.nudge is Nudge.FROZEN else objective.gradient(potential.response(drive), target)
        agree(objective, f"{kind} nudge: drive", a, drive, 1e-12)
        agree(objective, f"{kind} nudge: difference drive against h − ∇C", pull, h - error, 1e-12)
        return
    for sign, share in ((1, beta_plus), (-1, beta_minus)):
        state = potential.response(a + sign * share * pull)
        lowest = _nudged_energy(objective, potential, state, drive + sign * share * h, target, sign * share)
        for k, near in itertools.product(range(3), (1.0, 0.1, 0.01)):
            rival = potential.response(3 * noise(f"rival{k}", *drive.shape, device=drive.device))
            rival = state + near * (rival - state)
            other = _nudged_energy(objective, potential, rival, drive + sign * share * h, target, sign * share)
            claim(
                (other >= lowest - 1e-10).all(),
                objective,
                f"{kind} nudge on {title(potential)}: another state is better",
            )


def _nudged_energy(
    objective: Objective, potential: Potential, state: Tensor, drive: Tensor, target: Tensor, share: float
) -> Tensor:
    """G(s) − ⟨s, a⟩ + β±C(s)."""
    return potential.value(state) - per_sample(state * drive) + share * objective.value(state, target)
