"""The contract of a potential: its response is the minimizer, and the secant the difference of two responses."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.objectives import SquaredError
from energy.potentials import Gated, Potential, per_sample
from energy.testing.claim import (
    agree,
    between,
    brief,
    claim,
    follows,
    noise,
    promise,
    public_check,
    shuffled,
    tensor,
    title,
)

SHARES = (0.0, 0.3, 0.5, 1.0)
KINKS = (-1.0, 0.0, 1.0, 2.0, 6.0)
STEP = 1e-6


@public_check(Potential, "derive it from energy.potentials.Potential")
def check_potential(potential: Potential, *, device: str = "cpu") -> list[str]:
    """Check a potential; it must define `response`.

    Response: follows shape, dtype and device, acts sample by sample, stays in [lower, upper], is monotone and the
    gradient of a function (symmetric tangent). With `value`: no other state has a lower G(s) − ⟨s, a⟩, and ∇G* = f.
    `tangent` against finite differences, kinks included; `secant` against two responses, at β = 0 and near it; `mean`
    against its definition, and `pair` against both. With `gate`: within [0, lipschitz], and no digits lost in float32
    at β = 1e-6. If squared error has a closed step on it (`quadratic`), that step is the minimizer.
    """
    drive, h = 4 * noise("drive", 24, 6, device=device), 2 * noise("h", 24, 6, device=device)
    skipped = _dtypes(potential, drive, h)
    _response(potential, drive)
    skipped += _value(potential, drive)
    _tangent(potential, drive, h)
    _secant(potential, drive, h)
    _limit(potential, drive, h)
    _mean(potential, drive, h)
    _proximal(potential, drive, h)
    if callable(getattr(potential, "gate", None)):
        _gate(cast(Gated, potential), drive, h)
    return skipped


@promise("response, tangent, secant and mean must give a state of the shape and dtype of the drive")
def _dtypes(potential: Potential, drive: Tensor, h: Tensor) -> list[str]:
    skipped = []
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        a, e = drive.to(dtype), h.to(dtype)
        try:
            follows(potential, "response", potential.response(a), a)
            follows(potential, "tangent", potential.tangent(a, e), a)
            for beta, r_plus in itertools.product((1.0, 0.1, 0.0), SHARES):
                follows(potential, "secant", potential.secant(a, e, beta, r_plus), a)
                follows(potential, "mean", potential.mean(a, e, e, beta, r_plus, 0.5), a)
        except (RuntimeError, NotImplementedError) as error:
            claim(dtype == torch.bfloat16, potential, f"fails for {dtype}: {brief(error)}")
            skipped.append(f"{title(potential)}: bfloat16 not checked: {brief(error)}")
    return skipped


@promise("response(drive) must give one tensor of the shape and dtype of the drive")
def _response(potential: Potential, drive: Tensor) -> None:
    before = drive.clone()
    state = tensor(potential, "response", potential.response(drive))
    claim(torch.isfinite(state).all(), potential, "response is not finite")
    claim((drive == before).all(), potential, "response writes to its drive")
    low, high = float(state.min()), float(state.max())
    claim(
        low >= potential.lower and high <= potential.upper,
        potential,
        f"response reaches [{low:g}, {high:g}], outside [lower, upper] = [{potential.lower:g}, {potential.upper:g}]",
    )
    order = shuffled(len(drive), drive.device)
    agree(potential, "response of a permuted batch", potential.response(drive[order]), state[order], 1e-12)
    agree(potential, "response of one sample alone", potential.response(drive[:1]), state[:1], 1e-12)
    image = drive.view(6, 4, 3, 2)
    follows(potential, "response to an image", potential.response(image), image)
    for size in (1.0, 1e-3):
        other = drive + size * noise("other", *drive.shape, device=drive.device)
        slope = per_sample((potential.response(other) - state) * (other - drive))
        claim((slope >= -1e-12).all(), potential, "response is not monotone, so it minimizes no convex G")


@promise("value(state) must give one number per sample, (B,)")
def _value(potential: Potential, drive: Tensor) -> list[str]:
    state = potential.response(drive)
    if not potential.has_value:
        return [
            f"{title(potential)}: value is not defined: the response is not compared with other states, nor with ∇G*"
        ]
    value = potential.value(state)
    tensor(potential, "value", value)
    claim(value.shape == (len(drive),), potential, f"value has shape {tuple(value.shape)}: must be ({len(drive)},)")
    lowest = value - per_sample(state * drive)
    room = 1e-10 * max(1.0, float(lowest.abs().max()))
    for k, share in itertools.product(range(4), (1.0, 0.3, 0.01)):
        rival = potential.response(4 * noise(f"rival{k}", *drive.shape, device=drive.device))
        rival = state + share * (rival - state)
        excess = potential.value(rival) - per_sample(rival * drive) - lowest
        claim(
            (excess >= -room).all(),
            potential,
            f"another state has a lower G(s) − ⟨s, a⟩ than the response, by {-float(excess.min()):.1e}",
        )
    direction = noise("direction", *drive.shape, device=drive.device)
    slope = (_conjugate(potential, drive + STEP * direction) - _conjugate(potential, drive - STEP * direction)) / (
        2 * STEP
    )
    agree(potential, "∇G* against the response", slope, per_sample(state * direction), 1e-6)
    return []


def _conjugate(potential: Potential, drive: Tensor) -> Tensor:
    """G*(a) = ⟨f(a), a⟩ − G(f(a))."""
    state = potential.response(drive)
    return per_sample(state * drive) - potential.value(state)


@promise("tangent(drive, direction) must give the derivative of the response along the direction")
def _tangent(potential: Potential, drive: Tensor, direction: Tensor) -> None:
    edges = drive.new_tensor(KINKS).expand(len(drive), -1)
    padded = torch.cat((edges, drive[:, -1:]), 1)
    for at in (drive, padded):
        here = potential.response(at)
        right = (potential.response(at + STEP * direction) - here) / STEP
        left = (here - potential.response(at - STEP * direction)) / STEP
        between(
            potential,
            "tangent against differences of the response",
            potential.tangent(at, direction),
            (left, right),
            2e-5,
        )
    other = noise("other", *drive.shape, device=drive.device)
    forth = per_sample(other * potential.tangent(drive, direction))
    back = per_sample(direction * potential.tangent(drive, other))
    agree(potential, "tangent is not symmetric, so the response is no gradient", forth, back, 1e-9)
    claim(
        (per_sample(other * potential.tangent(drive, other)) >= -1e-12).all(),
        potential,
        "tangent is not positive: G is not convex",
    )


def _replicas(potential: Potential, drive: Tensor, h: Tensor, beta: float, r_plus: float) -> tuple[Tensor, Tensor]:
    """s⁺ and s⁻, from the definition."""
    return potential.response(drive + r_plus * beta * h), potential.response(drive - (1 - r_plus) * beta * h)


@promise("secant(drive, h, beta, r_plus) must give the difference of two responses over beta")
def _secant(potential: Potential, drive: Tensor, h: Tensor) -> None:
    for beta, r_plus, size in itertools.product((1.0, 0.1, -0.1), SHARES, (1.0, 20.0)):
        high, low = _replicas(potential, drive, size * h, beta, r_plus)
        delta = potential.secant(drive, size * h, beta, r_plus)
        agree(
            potential,
            f"secant at beta={beta:g}, r_plus={r_plus:g} against two responses",
            delta,
            (high - low) / beta,
            1e-9,
        )


@promise("secant(drive, h, beta, r_plus) must give the tangent at beta=0")
def _limit(potential: Potential, drive: Tensor, h: Tensor) -> None:
    """Near β = 0 the secant lies between the slopes at the ends of its interval, and at β = 0 it is the tangent."""
    for r_plus in SHARES:
        slope, beta = potential.tangent(drive, h), 1e-5
        agree(potential, "secant at beta=0 against the tangent", potential.secant(drive, h, 0.0, r_plus), slope, 1e-12)
        ends = [potential.tangent(drive + share * beta * h, h) for share in (r_plus, r_plus - 1)]
        near = potential.secant(drive, h, beta, r_plus)
        between(potential, "secant at beta=1e-5 against the tangent", near, (slope, *ends), 1e-5)


@promise("mean(drive, h, delta, beta, r_plus, alpha) must give α s⁺ + (1 − α) s⁻, and pair both mean and difference")
def _mean(potential: Potential, drive: Tensor, h: Tensor) -> None:
    for beta, alpha, flip in itertools.product((1.0, 0.1, 0.0), (0.0, 0.25, 0.5, 1.0), (False, True)):
        r_plus = 1 - alpha if flip else alpha
        high, low = _replicas(potential, drive, h, beta, r_plus)
        delta = potential.secant(drive, h, beta, r_plus)
        found = potential.mean(drive, h, delta, beta, r_plus, alpha)
        agree(
            potential,
            f"mean at alpha={alpha:g}, r_plus={r_plus:g}, beta={beta:g}",
            found,
            alpha * high + (1 - alpha) * low,
            1e-9,
        )
        both = potential.pair(drive, h, beta, r_plus, alpha)
        for name, one, other in zip(("mean", "secant"), both, (found, delta), strict=True):
            agree(potential, f"{name} of pair at alpha={alpha:g}, r_plus={r_plus:g}, beta={beta:g}", one, other, 1e-9)


@promise("squared error must have the closed step that `quadratic` promises")
def _proximal(potential: Potential, drive: Tensor, h: Tensor) -> None:
    """Each replica is stationary: s± = f(a ± β±h ∓ β±(s± − y)), which for a convex G makes it the minimizer."""
    objective = SquaredError()
    try:
        objective.validate_output(potential)
    except ConfigurationError:
        return
    target = noise("target", *drive.shape, device=drive.device)
    for beta_plus, beta_minus in ((0.2, 0.3), (0.0, 0.5), (0.5, 0.0)):
        a, pull = objective.nudged(potential, drive, h, target, None, beta_plus, beta_minus)
        for sign, share in ((1, beta_plus), (-1, beta_minus)):
            state = potential.response(a + sign * share * pull)
            answer = potential.response(drive + sign * share * (h - objective.gradient(state, target)))
            what = "proximal step of squared error is not its minimum, so `quadratic` must be False: response"
            agree(potential, what, state, answer, 1e-9)


@promise("gate(drive, error, r_plus) must give the average of f′ over the interval")
def _gate(potential: Gated, drive: Tensor, h: Tensor) -> None:
    top = potential.lipschitz * (1 + 1e-12)
    for size, r_plus in itertools.product((0.0, 1e-6, 0.1, 1.0, 30.0), SHARES):
        gate = potential.gate(drive, size * h, r_plus)
        reach = f"gate reaches [{float(gate.min()):g}, {float(gate.max()):g}]"
        claim((gate >= 0).all() and (gate <= top).all(), potential, f"{reach}: must be within [0, lipschitz]")
    flat = potential.gate(drive, torch.zeros_like(drive), 0.5)
    agree(potential, "gate at e=0 against the tangent", flat * h, potential.tangent(drive, h), 1e-12)
    a, e = drive.float(), h.float()
    for r_plus in SHARES:
        exact = potential.secant(a.double(), e.double(), 1e-6, r_plus)
        coarse = potential.secant(a, e, 1e-6, r_plus).double()
        agree(potential, "secant in float32 at beta=1e-6 loses digits", coarse, exact, 1e-5)
