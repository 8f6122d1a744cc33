"""What a coupling promises: every map that learning needs of A agrees with A itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from energy.couplings import Coupling
from energy.potentials import per_sample
from energy.testing.claim import agree, claim, follows, noise, shuffled, title

BATCH = 3
STEP = 1e-6


def check_coupling(coupling: Coupling, pre_shape: Sequence[int], *, device: str = "cpu") -> list[str]:
    """Check a coupling that reads layers of `pre_shape` (no batch axis); `drive`, or `energy` with `shape`, is all it
    must define.

    `energy` = −⟨post, drive⟩ and linear in post; `shape`; `adjoint` and `tangent` against autograd, finite
    differences and each other; `hebbian`, `hebbian_tangent` and `curvature` against derivatives of the drive;
    `multiply_adds` against a count of the operations; sample by sample, the same twice, nothing written to. A float64
    copy is checked; parameters that are all zero get random values."""
    subject = copy.deepcopy(coupling).to(device, torch.float64)
    _fill(subject)
    pre = noise("pre", BATCH, *pre_shape, device=device)
    _drive(subject, pre)
    _energy(subject, pre)
    _linear_maps(subject, pre)
    _products(subject, pre)
    _second_order(subject, pre)
    return [*_price(subject, tuple(pre_shape)), *_dtypes(coupling, pre)]


@torch.no_grad()
def _fill(coupling: Coupling) -> None:
    for name, parameter in coupling.named_parameters():
        if parameter.numel() and not bool(parameter.any()):
            parameter.copy_(noise(name, *parameter.shape) / max(1, parameter[0].numel()) ** 0.5)


def _others(coupling: Coupling, pre: Tensor) -> tuple[Tensor, Tensor]:
    """A state of the upper layer, and a direction in the lower one."""
    post = noise("post", len(pre), *coupling.shape(tuple(pre.shape[1:])), device=pre.device)
    return post, noise("direction", *pre.shape, device=pre.device)


def _drive(coupling: Coupling, pre: Tensor) -> None:
    before = pre.clone()
    drive = coupling.drive(pre).detach()
    claim(
        len(drive) == len(pre) and drive.ndim > 1,
        coupling,
        f"drive of {len(pre)} samples has shape {tuple(drive.shape)}",
    )
    expected = tuple(coupling.shape(tuple(pre.shape[1:])))
    claim(expected == tuple(drive.shape[1:]), coupling, f"shape says {expected}, drive gives {tuple(drive.shape[1:])}")
    claim(
        drive.dtype == pre.dtype and drive.device == pre.device,
        coupling,
        "dtype and device of the drive must follow the input",
    )
    claim((pre == before).all(), coupling, "drive writes to its input")
    claim(torch.isfinite(drive).all(), coupling, "drive is not finite")
    claim(
        (coupling.drive(pre) == drive).all(),
        coupling,
        "drive gives something else when asked again (chance, or hidden state)",
    )
    order = shuffled(len(pre), pre.device)
    agree(coupling, "drive of a permuted batch", coupling.drive(pre[order]), drive[order], 1e-12)
    agree(coupling, "drive of one sample alone", coupling.drive(pre[:1]), drive[:1], 1e-12)


def _energy(coupling: Coupling, pre: Tensor) -> None:
    post, _ = _others(coupling, pre)
    drive = coupling.drive(pre).detach()
    post.requires_grad_()
    energy = coupling.energy(pre, post)
    claim(energy.shape == (len(pre),), coupling, f"energy has shape {tuple(energy.shape)}: must be ({len(pre)},)")
    agree(coupling, "energy against −⟨post, drive⟩ (it must be linear in post)", energy, -per_sample(post * drive))
    (slope,) = torch.autograd.grad(energy.sum(), post)
    agree(coupling, "drive against −∂energy/∂post", drive, -slope)


def _linear_maps(coupling: Coupling, pre: Tensor) -> None:
    post, direction = _others(coupling, pre)
    drive, point = coupling.linearise(pre)
    claim(not drive.requires_grad, coupling, "linearise returns a drive with an autograd tape")
    agree(coupling, "drive of linearise", drive, coupling.drive(pre), 1e-12)
    pulled, pushed = coupling.adjoint(post, point).detach(), coupling.tangent(direction, point).detach()
    for name, found, like in (("adjoint", pulled, pre), ("tangent", pushed, post)):
        follows(coupling, name, found, like)
    leaf = pre.clone().requires_grad_()
    (expected,) = torch.autograd.grad(coupling.drive(leaf), leaf, post)
    agree(coupling, "adjoint against autograd of the drive", pulled, expected)
    spread = coupling.spread(post, point)
    agree(coupling, "adjoint of what spread gives", coupling.adjoint(spread, point).detach(), pulled, 1e-12)
    ahead, behind = (coupling.drive(pre + step * direction).detach() for step in (STEP, -STEP))
    agree(coupling, "tangent against differences of the drive", pushed, (ahead - behind) / (2 * STEP), 1e-6)
    agree(
        coupling,
        "⟨post, tangent⟩ against ⟨adjoint, direction⟩",
        per_sample(post * pushed),
        per_sample(pulled * direction),
    )


def _autograd_product(coupling: Coupling, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
    """∂θ⟨post, A(pre)⟩ by autograd."""
    parameters = tuple(coupling.parameters())
    learnt = [p for p in parameters if p.requires_grad]
    total = (post * coupling.drive(pre)).sum()
    if not learnt or not total.requires_grad:
        return tuple(torch.zeros_like(p) for p in parameters)
    found = iter(torch.autograd.grad(total, learnt, allow_unused=True, materialize_grads=True))
    return tuple(next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters)


def _aligned(
    coupling: Coupling, what: str, found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float
) -> None:
    names = [name for name, _ in coupling.named_parameters()]
    claim(len(found) == len(names), coupling, f"{what} returns {len(found)} tensors for {len(names)} parameters")
    for name, mine, theirs in zip(names, found, expected, strict=True):
        agree(coupling, f"{what} of {name}", mine, theirs, tolerance)


def _products(coupling: Coupling, pre: Tensor) -> None:
    post, _ = _others(coupling, pre)
    point, expected = coupling.linearise(pre)[1], _autograd_product(coupling, pre, post)
    _aligned(coupling, "hebbian", coupling.hebbian(pre, post), expected, 1e-9)
    _aligned(coupling, "hebbian at a point", coupling.hebbian(pre, post, point), expected, 1e-9)
    spread = coupling.spread(post, point)
    _aligned(coupling, "hebbian of what spread gives", coupling.hebbian(pre, spread, point), expected, 1e-9)
    claim(all(p.grad is None for p in coupling.parameters()), coupling, "hebbian writes to .grad")


def _second_order(coupling: Coupling, pre: Tensor) -> None:
    """What changes when the point moves along the direction: of the product, and of the adjoint."""
    post, direction = _others(coupling, pre)
    point = coupling.linearise(pre)[1]
    ahead, behind = pre + STEP * direction, pre - STEP * direction
    forth, back = _autograd_product(coupling, ahead, post), _autograd_product(coupling, behind, post)
    expected = [(a - b) / (2 * STEP) for a, b in zip(forth, back, strict=True)]
    _aligned(coupling, "hebbian_tangent", coupling.hebbian_tangent(direction, post, point), expected, 1e-6)
    bent = (_pull(coupling, post, ahead) - _pull(coupling, post, behind)) / (2 * STEP)
    found = coupling.curvature(direction, post, point)
    agree(coupling, "curvature", torch.zeros_like(pre) if found is None else found, bent, 1e-6)


def _pull(coupling: Coupling, post: Tensor, at: Tensor) -> Tensor:
    return coupling.adjoint(post, coupling.linearise(at)[1])


def _price(coupling: Coupling, shape: tuple[int, ...]) -> list[str]:
    cost: Any = coupling.multiply_adds(shape)
    claim(isinstance(cost, int) and cost >= 0, coupling, f"multiply_adds is {cost!r}: must be a whole number")
    sample = noise("pre", 1, *shape, device=next(coupling.parameters(), torch.zeros(())).device)
    with FlopCounterMode(display=False) as counter:
        coupling.drive(sample)
    counted = counter.get_total_flops() // 2
    if not counted:
        return (
            [f"{title(coupling)}: multiply_adds={cost} not checked: the drive runs no operation that torch counts"]
            if cost
            else []
        )
    claim(cost == counted, coupling, f"multiply_adds says {cost}, one application runs {counted}")
    return []


def _dtypes(coupling: Coupling, pre: Tensor) -> list[str]:
    """States of other precisions over float32 weights, as in training."""
    subject = copy.deepcopy(coupling).to(pre.device, torch.float32)
    for dtype in (torch.float32, torch.bfloat16):
        try:
            found = subject.drive(pre.to(dtype)).dtype
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            claim(dtype == torch.bfloat16, coupling, f"fails for {dtype}: {reason}")
            hint = "weight.to(pre.dtype) in drive would allow them"
            return [f"{title(coupling)}: bfloat16 states over float32 weights not checked; {hint} ({reason})"]
        claim(found == dtype, coupling, f"drive of {dtype} states is {found}: the dtype must follow the input")
    return []
