"""Newton's method with a Krylov solver of its corrections, per sample: another principle to check equilibria by.

It is no component of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Final, NamedTuple

import torch
from torch import Tensor

from energy.component import require
from energy.relax.anderson import inner_for, padded, require_memoryless
from energy.relax.least_squares import solve_gram
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.state import State

FALL: Final = 0.5  # least fall of ‖r‖ for which a correction is taken


class Progress(NamedTuple):
    """The end of a Newton step.

    Attributes:
        received: x.
        sent: G(x).
        least: the smallest ‖r‖² at which a sample has taken a correction, (B,).
    """

    received: State
    sent: State
    least: Tensor


class NewtonKrylov(Relaxation):
    """Inexact Newton steps on r(x) = G(x) − x = 0, with x the argument of another relaxation's step G, per sample.

    A step takes the d that minimizes ‖r − (I − J)d‖ in a Krylov space of `krylov` dimensions, with J the derivative of
    G, whose products J v are differences of G (GMRES). It goes on from G(x + d) if ‖r‖ there is below half of the
    smallest of the sample so far, otherwise from G(x): so it takes few corrections that lead nowhere, and then is the
    plain relaxation. If G is piecewise linear this is the semismooth method, which ends after finitely many steps. A
    step costs `krylov` + 2 steps of the inner relaxation, the first one more. It is made for problems that are nearly
    linear, such as δ about a held mean (`freeze_mean`), the adjoint as β → 0.

    Attributes:
        inner: the relaxation that gives G, without momentum; its budget and tolerance are not used. A problem without
        layers is stepped synchronously in place of `sweep` and `zebra`.
        krylov: dimensions of the Krylov space; each keeps two copies of x.
        difference: the length of the step of a difference over that of x, in units of the square root of the rounding.

    Reference:
        Knoll & Keyes, J. Comput. Phys. 193 (2004), §2–3; Qi & Sun, Math. Program. 58 (1993), for nonsmooth G.
    """

    inner: Relaxation = field(default_factory=Sweep)
    krylov: int = 4
    difference: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.krylov >= 1, self, "krylov", ">= 1")
        require(0 < self.difference < float("inf"), self, "difference", "> 0 and finite")
        require_memoryless(self, self.inner)

    def step(self, problem: Problem, state: State, memory: Progress | None) -> tuple[State, Progress | None]:
        inner = inner_for(problem, self.inner)
        before = inner.argument(problem, state) if memory is None else memory.received
        if memory is None:
            state, _ = inner.step(problem, state, None)
        sent = inner.argument(problem, state)
        if not len(sent):  # one step is exact
            return state, None
        before = padded(before, sent)

        def image(argument: State) -> tuple[State, State]:
            after, _ = inner.step(problem, inner.replace_argument(problem, state, argument), None)
            return after, inner.argument(problem, after)

        least = (sent - before).dot(sent - before) if memory is None else memory.least
        onward, least = self._corrected(lambda x: image(x)[1], before, sent, least)
        state, sent = image(onward)
        return state, Progress(onward, sent, least)

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return inner_for(problem, self.inner).residual(problem, before, after)

    def _corrected(
        self, image: Callable[[State], State], received: State, sent: State, least: Tensor
    ) -> tuple[State, Tensor]:
        """Return G(x + d), and G(x) for the samples whose residual d does not lower enough; and the smallest ‖r‖².

        Args:
            image: G.
            received: x.
            sent: G(x).
            least: the smallest ‖r‖² so far, (B,).
        """
        moved = received + self._correction(image, received, sent)
        after = image(moved)
        left = (after - moved).dot(after - moved)
        fell = left < FALL**2 * least
        return after.where(fell, sent), torch.where(fell, left, least)

    def _correction(self, image: Callable[[State], State], received: State, sent: State) -> State:
        """Return d, of a Krylov space built by Arnoldi's method."""
        residual = sent - received
        basis, columns = [_unit(residual)], list[State]()
        length = _step_length(received, sent) * self.difference
        for j in range(self.krylov):
            onward = image(received + basis[j].weighted(length))
            columns.append(basis[j] - (onward - sent).weighted(1 / length))
            rest = columns[j]
            for one in basis:
                rest = rest - one.weighted(one.dot(rest))
            basis.append(_unit(rest))
        weights = _least_squares(columns, residual)
        found = basis[0].weighted(weights[:, 0])
        for j in range(1, self.krylov):
            found = found + basis[j].weighted(weights[:, j])
        return found


def _least_squares(columns: list[State], wanted: State) -> Tensor:
    """Return the y of each sample that minimizes ‖wanted − Σ_j y_j columns_j‖, (B, columns)."""
    gram = torch.stack([torch.stack([a.dot(b) for b in columns], 1) for a in columns], 1)
    products = torch.stack([column.dot(wanted) for column in columns], 1)
    rounding = torch.finfo(wanted[0].dtype).eps
    return solve_gram(gram, products, torch.ones_like(products, dtype=torch.bool), rounding)


def _unit(state: State) -> State:
    """Return each sample at length 1; zero stays zero."""
    length = state.dot(state).sqrt()
    return state.weighted(torch.where(length > 0, 1 / length, 0.0))


def _step_length(received: State, sent: State) -> Tensor:
    """Return the square root of the rounding times the length of a sample, (B,); 1 for a sample of zeros."""
    length = torch.maximum(received.dot(received), sent.dot(sent)).sqrt() * torch.finfo(sent[0].dtype).eps ** 0.5
    return torch.where(length > 0, length, 1.0)
