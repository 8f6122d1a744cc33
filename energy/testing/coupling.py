"""The contract of a coupling: every map that learning needs of A agrees with A itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from energy.couplings import Affine, Coupling
from energy.potentials import per_sample
from energy.testing.claim import agree, brief, claim, follows, noise, promise, public_check, shuffled, tensor, title
from energy.testing.feedback_weights import adjoint_by_feedback_weights

BATCH = 3
STEP = 1e-6
PER_SAMPLE = ("drive", "adjoint", "tangent")


@public_check(Coupling, "Module(...) of energy.couplings makes one of an nn.Module")
def check_coupling(coupling: Coupling, pre_shape: Sequence[int], *, device: str = "cpu") -> list[str]:
    """Check a coupling that reads layers of `pre_shape`; it must define `forward`, or `energy` and `shape`.

    `pre_shape` has no batch axis. `energy` = −⟨post, drive⟩ and linear in post; `shape`; `adjoint` and `tangent`
    against autograd, finite differences and each other, also after `prepare`, of the prepared post and of another;
    `adjoint` by feedback weights if the coupling takes them; `weight_gradient`, also at a state that has moved away,
    `second_gradient` and `curvature` against derivatives of the drive; `multiply_adds` against a count of the
    operations; sample by sample, the same twice, for a batch of one, for images with the channel last, with frozen
    parameters; nothing written to. A float64 copy is checked, then float32 and bfloat16 states; parameters that are all
    zero get random values.
    """
    subject = copy.deepcopy(coupling).to(device, torch.float64)
    _fill(subject)
    pre = noise("pre", BATCH, *pre_shape, device=device)
    weights = [p.detach().clone() for p in subject.parameters()]
    for at in (pre, 3 * noise("elsewhere", BATCH, *pre_shape, device=device)):
        _drive(subject, at)
        _energy(subject, at)
        _linear_maps(subject, at)
        _products(subject, at)
    _second_order(subject, pre)
    adjoint_by_feedback_weights(subject, pre, *_others(subject, pre))
    _moved(subject, pre)
    _layouts(subject, pre)
    _frozen(subject, pre)
    left_out = [*_price(subject, tuple(pre_shape)), *_dtypes(coupling, pre)]
    same = all(bool((p == old).all()) for p, old in zip(subject.parameters(), weights, strict=True))
    claim(same, coupling, "a map writes to a parameter")
    return left_out


@torch.no_grad()
def _fill(coupling: Coupling) -> None:
    for name, parameter in coupling.named_parameters():
        if parameter.numel() and not bool(parameter.any()):
            parameter.copy_(noise(name, *parameter.shape) / max(1, parameter[0].numel()) ** 0.5)


def _others(coupling: Coupling, pre: Tensor) -> tuple[Tensor, Tensor]:
    """A state of the upper layer, and a direction in the lower one."""
    post = noise("post", len(pre), *coupling.shape(tuple(pre.shape[1:])), device=pre.device)
    return post, noise("direction", *pre.shape, device=pre.device)


@promise("forward(pre) must give one tensor (B, *shape) of the dtype of pre, each sample's from that sample alone")
def _drive(coupling: Coupling, pre: Tensor) -> None:
    before = pre.clone()
    drive = tensor(coupling, "drive", coupling(pre)).detach()
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
        (coupling(pre) == drive).all(),
        coupling,
        "drive gives something else when asked again (chance, or hidden state)",
    )
    order = shuffled(len(pre), pre.device)
    agree(coupling, "drive of a permuted batch", coupling(pre[order]), drive[order], 1e-12)
    agree(coupling, "drive of one sample alone", coupling(pre[:1]), drive[:1], 1e-12)


@promise("energy(pre, post) must give −⟨post, forward(pre)⟩ of each sample, (B,), differentiable")
def _energy(coupling: Coupling, pre: Tensor) -> None:
    post, _ = _others(coupling, pre)
    drive = coupling(pre).detach()
    post.requires_grad_()
    energy = tensor(coupling, "energy", coupling.energy(pre, post))
    claim(energy.requires_grad, coupling, "energy is cut from autograd: no detach, no_grad or NumPy in it")
    claim(energy.shape == (len(pre),), coupling, f"energy has shape {tuple(energy.shape)}: must be ({len(pre)},)")
    agree(coupling, "energy against −⟨post, drive⟩ (it must be linear in post)", energy, -per_sample(post * drive))
    (slope,) = torch.autograd.grad(energy.sum(), post)
    agree(coupling, "drive against −∂energy/∂post", drive, -slope)


@promise("linearize(pre) must give (drive, linearization), adjoint(post) the shape of pre, tangent(direction) of post")
def _linear_maps(coupling: Coupling, pre: Tensor) -> None:
    post, direction = _others(coupling, pre)
    drive, linear = coupling.linearize(pre)
    claim(not drive.requires_grad, coupling, "linearize returns a drive with an autograd tape")
    agree(coupling, "drive of linearize", drive, coupling(pre), 1e-12)
    pulled, pushed = linear.adjoint(post).detach(), linear.tangent(direction).detach()
    for name, found, like in (("adjoint", pulled, pre), ("tangent", pushed, post)):
        follows(coupling, name, found, like)
    leaf = pre.clone().requires_grad_()
    traced = coupling(leaf)
    claim(traced.requires_grad, coupling, "drive is cut from autograd: no detach, no_grad or NumPy in it")
    (expected,) = torch.autograd.grad(traced, leaf, post, materialize_grads=True)
    agree(coupling, "adjoint against autograd of the drive", pulled, expected)
    linear.prepare(post)
    agree(coupling, "adjoint of what was prepared", linear.adjoint(post).detach(), pulled, 1e-12)
    agree(coupling, "adjoint beside what was prepared", linear.adjoint(-2 * post).detach(), -2 * pulled, 1e-12)
    ahead, behind = (coupling(pre + step * direction).detach() for step in (STEP, -STEP))
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
    learned = [p for p in parameters if p.requires_grad]
    total = (post * coupling(pre)).sum()
    if not learned or not total.requires_grad:
        return tuple(torch.zeros_like(p) for p in parameters)
    found = iter(torch.autograd.grad(total, learned, allow_unused=True, materialize_grads=True))
    return tuple(next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters)


def _aligned(
    coupling: Coupling, what: str, found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float
) -> None:
    names = [name for name, _ in coupling.named_parameters()]
    claim(isinstance(found, tuple | list), coupling, f"{what} returns a {type(found).__name__}: must be a tuple")
    claim(len(found) == len(names), coupling, f"{what} returns {len(found)} tensors for {len(names)} parameters")
    for name, mine, theirs in zip(names, found, expected, strict=True):
        agree(coupling, f"{what} of {name}", mine, theirs, tolerance)


@promise("weight_gradient(pre, post) must give one tensor for each parameter")
def _products(coupling: Coupling, pre: Tensor) -> None:
    post, _ = _others(coupling, pre)
    linear, expected = coupling.linearize(pre)[1], _autograd_product(coupling, pre, post)
    _aligned(coupling, "weight_gradient", linear.weight_gradient(pre, post), expected, 1e-9)
    linear.prepare(post)
    _aligned(coupling, "weight_gradient of what was prepared", linear.weight_gradient(pre, post), expected, 1e-9)
    beside = linear.weight_gradient(pre, -2 * post)
    _aligned(coupling, "weight_gradient beside what was prepared", beside, [-2 * one for one in expected], 1e-9)
    claim(all(p.grad is None for p in coupling.parameters()), coupling, "weight_gradient writes to .grad")


@promise("second_gradient and curvature(direction, post) must be derivatives of the drive")
def _second_order(coupling: Coupling, pre: Tensor) -> None:
    """The change of the product and of the adjoint as the point moves along the direction."""
    post, direction = _others(coupling, pre)
    linear, other = coupling.linearize(pre)[1], post.roll(1, 0)
    ahead, behind = pre + STEP * direction, pre - STEP * direction
    second = linear.second_gradient(direction, post)
    _aligned(coupling, "second_gradient", second, _change(coupling, ahead, behind, post), 1e-6)
    both = [a + 0.3 * b for a, b in zip(linear.weight_gradient(pre, other), second, strict=True)]
    _aligned(coupling, "products", linear.products(pre, other, direction, post, 0.3), both, 1e-9)
    bent = (_pull(coupling, post, ahead) - _pull(coupling, post, behind)) / (2 * STEP)
    found = linear.curvature(direction, post)
    agree(coupling, "curvature", torch.zeros_like(pre) if found is None else found, bent, 1e-6)


def _change(coupling: Coupling, ahead: Tensor, behind: Tensor, post: Tensor) -> list[Tensor]:
    """The derivative of the product from one state to the other, 2 STEP away."""
    forth, back = _autograd_product(coupling, ahead, post), _autograd_product(coupling, behind, post)
    return [(a - b) / (2 * STEP) for a, b in zip(forth, back, strict=True)]


@promise("weight_gradient(pre, post) must take another pre than that of the linearization")
def _moved(coupling: Coupling, pre: Tensor) -> None:
    """Away from the point, as the mean of a dyad is, the product is ∂θ⟨post, A(pre)⟩ to first order at least.

    It is exactly ∂θ⟨post, A_point(pre)⟩ of a coupling that is affine in θ and, given the point, in pre.
    """
    post, direction = _others(coupling, pre)
    linear = coupling.linearize(pre)[1]
    ahead, behind = pre + STEP * direction, pre - STEP * direction
    for prepared in (False, True):
        if prepared:
            linear.prepare(post)
        forth, back = linear.weight_gradient(ahead, post), linear.weight_gradient(behind, post)
        change = [(a - b) / (2 * STEP) for a, b in zip(forth, back, strict=True)]
        what = "weight_gradient at a state that has moved from the point: its change"
        _aligned(coupling, what, change, _change(coupling, ahead, behind, post), 1e-5)
    if isinstance(coupling, Affine):
        far = pre + 5 * direction
        gained = zip(linear.weight_gradient(far, post), linear.weight_gradient(pre, post), strict=True)
        pairs = zip(gained, coupling.parameters(), strict=True)
        found = sum((((a - b) * p).sum() for (a, b), p in pairs), torch.zeros_like(post.sum()))
        wanted = 5 * (post * linear.tangent(direction)).sum()
        if next(coupling.parameters(), None) is not None:
            agree(coupling, "⟨θ, weight_gradient⟩ far from the point against ⟨post, tangent⟩", found, wanted)


@promise("every map must take a batch of one, and images in either memory layout")
def _layouts(coupling: Coupling, pre: Tensor) -> None:
    post, direction = _others(coupling, pre)
    whole = _maps(coupling, pre, post, direction)
    rows = [_maps(coupling, pre[k : k + 1], post[k : k + 1], direction[k : k + 1]) for k in range(len(pre))]
    for name, found in whole.items():
        parts = [row[name] for row in rows]
        alone = torch.cat(parts) if name in PER_SAMPLE else torch.stack(parts).sum(0)
        agree(coupling, f"{name} of a batch against its samples alone", found, alone)
    if pre.ndim == 4:
        last = [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in (pre, post, direction)]
        for name, found in _maps(coupling, *last).items():
            agree(coupling, f"{name} of images with the channel last", found, whole[name])


def _maps(coupling: Coupling, pre: Tensor, post: Tensor, direction: Tensor) -> dict[str, Tensor]:
    """Drive, adjoint, tangent and the product of every parameter."""
    drive, linear = coupling.linearize(pre)
    names = [f"weight_gradient of {name}" for name, _ in coupling.named_parameters()]
    products = dict(zip(names, linear.weight_gradient(pre, post), strict=True))
    linear = {"adjoint": linear.adjoint(post), "tangent": linear.tangent(direction)}
    return {"drive": drive, **linear, **products}


@promise("weight_gradient must give one tensor for each parameter, frozen ones included")
def _frozen(coupling: Coupling, pre: Tensor) -> None:
    post, _ = _others(coupling, pre)
    frozen, expected = copy.deepcopy(coupling), _autograd_product(coupling, pre, post)
    learned = [parameter.requires_grad for parameter in coupling.parameters()]
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
        found = frozen.linearize(pre)[1].weight_gradient(pre, post)
        claim(len(found) == len(expected), coupling, f"weight_gradient returns {len(found)} tensors if some are frozen")
        for (name, one), mine, wanted, was in zip(frozen.named_parameters(), found, expected, learned, strict=True):
            if one.requires_grad and was:
                agree(coupling, f"weight_gradient of {name} beside frozen parameters", mine, wanted)


def _pull(coupling: Coupling, post: Tensor, at: Tensor) -> Tensor:
    return coupling.linearize(at)[1].adjoint(post)


@promise("multiply_adds(shape) must be a whole number, that of one sample")
def _price(coupling: Coupling, shape: tuple[int, ...]) -> list[str]:
    cost: Any = coupling.multiply_adds(shape)
    claim(isinstance(cost, int) and cost >= 0, coupling, f"multiply_adds is {cost!r}: must be a whole number")
    sample = noise("pre", 1, *shape, device=next(coupling.parameters(), torch.zeros(())).device)
    with FlopCounterMode(display=False) as counter:
        coupling(sample)
    counted = counter.get_total_flops() // 2
    if not counted:
        return (
            [f"{title(coupling)}: multiply_adds={cost} not checked: the drive runs no operation that torch counts"]
            if cost
            else []
        )
    claim(cost == counted, coupling, f"multiply_adds says {cost}, one application runs {counted}")
    return []


@promise("states may be of another precision than the weights")
def _dtypes(coupling: Coupling, pre: Tensor) -> list[str]:
    """States of other precisions over float32 weights, as in training."""
    subject = copy.deepcopy(coupling).to(pre.device, torch.float32)
    _fill(subject)
    exact = copy.deepcopy(subject).to(torch.float64)
    for dtype in (torch.float32, torch.bfloat16):
        low = pre.to(dtype)
        try:
            found = subject(low).dtype
        except (RuntimeError, NotImplementedError) as error:
            claim(dtype == torch.bfloat16, coupling, f"fails for {dtype}: {brief(error)}")
            hint = "weight.to(pre.dtype) in forward would allow them"
            return [f"{title(coupling)}: bfloat16 states over float32 weights not checked; {hint} ({brief(error)})"]
        claim(found == dtype, coupling, f"drive of {dtype} states is {found}: the dtype must follow the input")
        post, direction = (one.to(dtype) for one in _others(coupling, pre))
        wanted = _maps(exact, low.double(), post.double(), direction.double())
        for name, one in _maps(subject, low, post, direction).items():
            kind = torch.float32 if name.startswith("weight_gradient") else dtype
            claim(one.dtype == kind, coupling, f"{name} of {dtype} states is {one.dtype}: must be {kind}")
            claim(torch.isfinite(one).all(), coupling, f"{name} of {dtype} states is not finite")
            if dtype == torch.float32:
                agree(coupling, f"{name} of {dtype} states", one.double(), wanted[name], 1e-4)
    return []
