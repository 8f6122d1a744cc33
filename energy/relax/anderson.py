"""Anderson acceleration of another relaxation's step, per sample."""

from __future__ import annotations

from dataclasses import field
from typing import Final, NamedTuple

import torch
from torch import Tensor

from energy.component import require
from energy.errors import FieldError
from energy.relax.layered import Layered
from energy.relax.least_squares import solve_gram
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.state import State

ROUNDING: Final = 8.0  # least ridge, in units of the rounding of the states


class Secants(NamedTuple):
    """The last steps of a solve, newest first.

    Attributes:
        onward: x, the argument of the next step.
        sent: g, the argument that the last step led to.
        residual: f = g − x of the last step.
        changes: f_i − f_{i−1} of the last m steps.
        moves: g_i − g_{i−1} of the last m steps.
        gram: the inner products of `changes`, (B, m, m).
        age: the number of changes that each sample still trusts, (B,).
    """

    onward: State
    sent: State
    residual: State
    changes: tuple[State, ...]
    moves: tuple[State, ...]
    gram: Tensor
    age: Tensor


class Anderson(Relaxation, name="anderson"):
    """Anderson acceleration (type II) of the step of another relaxation, per sample.

    With x the argument of the inner step (`Relaxation.argument`), g = G(x) and f = g − x,

        x ← g − Σ_j c_j (g_j − g_{j−1}),   c = argmin ‖f − Σ_j c_j (f_j − f_{j−1})‖²

    over the last `window` steps. For an affine G and a window as long as the solve this is GMRES on (I − G)x = 0. For
    a sweep x are the downward messages, so that extrapolation costs no coupling application. The state that is
    returned is the inner step's own and stays in the units' range, x need not.

    Attributes:
        inner: the relaxation that is accelerated, without momentum; its budget and tolerance are not used. A problem
        without layers is stepped synchronously in place of `sweep` and `zebra`.
        window: m, the number of steps that are looked back on; each keeps two copies of x.
        ridge: the Tikhonov term, relative to the length of each column; at least a few roundings are taken.
        limit: the largest Σ|c_j|; a sample beyond it, or with no finite solution, takes the plain step x ← g.
        restart: a sample whose ‖f‖ grew by more than this factor forgets its history and takes the plain step.

    Reference:
        Walker & Ni, SIAM J. Numer. Anal. 49 (2011), §2; Toth & Kelley, SIAM J. Numer. Anal. 53 (2015), for the bound on
        the coefficients.
    """

    inner: Relaxation = field(default_factory=Sweep)
    window: int = 5
    ridge: float = 1e-6
    limit: float = 100.0
    restart: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window >= 1, self, "window", ">= 1")
        require(0 <= self.ridge < float("inf"), self, "ridge", "at least 0 and finite")
        require(self.limit > 0, self, "limit", "> 0")
        require(self.restart > 0, self, "restart", "> 0")
        require_memoryless(self, self.inner)

    def step(self, problem: Problem, state: State, memory: Secants | None) -> tuple[State, Secants | None]:
        inner = inner_for(problem, self.inner)
        begin = state if memory is None else inner.replace_argument(problem, state, memory.onward)
        received = inner.argument(problem, begin)
        state, _ = inner.step(problem, begin, None)
        sent = inner.argument(problem, state)
        if not len(sent):  # one step is exact
            return state, None
        residual = sent - padded(received, sent)
        history = self._first(sent, residual) if memory is None else self._next(memory, sent, residual)
        inner.replace_argument(problem, state, history.onward)
        return state, history

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return inner_for(problem, self.inner).residual(problem, before, after)

    def _first(self, sent: State, residual: State) -> Secants:
        """Take the plain step, and make room for the steps to come."""
        size = sent.dot(sent)
        empty = [tuple(sent.map(torch.zeros_like) for _ in range(self.window)) for _ in range(2)]
        gram = size.new_zeros(len(size), self.window, self.window)
        return Secants(sent, sent, residual, *empty, gram=gram, age=torch.zeros_like(size))

    def _next(self, memory: Secants, sent: State, residual: State) -> Secants:
        """Extrapolate from the last steps and this one."""
        changes = (residual - memory.residual, *memory.changes[:-1])
        moves = (sent - memory.sent, *memory.moves[:-1])
        row = torch.stack([changes[0].dot(one) for one in changes], 1)
        gram = torch.cat((row[:, None], torch.cat((row[:, 1:, None], memory.gram[:, :-1, :-1]), 2)), 1)
        grew = residual.dot(residual) > self.restart**2 * memory.residual.dot(memory.residual)
        age = torch.where(grew, 0.0, memory.age + 1)
        weights = self._coefficients(changes, residual, gram, age)
        onward = sent
        for j, move in enumerate(moves):
            onward = onward - move.weighted(weights[:, j])
        return Secants(onward, sent, residual, changes, moves, gram, age)

    def _coefficients(self, changes: tuple[State, ...], residual: State, gram: Tensor, age: Tensor) -> Tensor:
        """Return c, (B, m); zero for a sample that goes on plainly."""
        products = torch.stack([change.dot(residual) for change in changes], 1)
        held = torch.arange(self.window, device=gram.device) < age[:, None]
        ridge = max(self.ridge, ROUNDING * torch.finfo(residual[0].dtype).eps)
        found = solve_gram(gram, products, held, ridge)
        return torch.where((found.abs().sum(1) <= self.limit)[:, None], found, 0.0)


def padded(received: State, sent: State) -> State:
    """Return `received` with zeros for the tensors at its end that were not there yet: messages not yet sent."""
    return State((*received, *(torch.zeros_like(tensor) for tensor in sent.tensors[len(received) :])))


def inner_for(problem: Problem, inner: Relaxation) -> Relaxation:
    """Return the relaxation that steps `problem`: synchronous in place of one by layers if it has none."""
    return Synchronous() if isinstance(inner, Sweep | Zebra) and not isinstance(problem, Layered) else inner


def require_memoryless(relax: Relaxation, inner: Relaxation) -> None:
    """Check that a relaxation's step depends on its argument alone.

    Raises:
        ConfigurationError: naming `inner`.
    """
    if getattr(inner, "momentum", 0.0) or hasattr(inner, "inner"):
        given = f"{inner.name} with momentum={inner.momentum}" if getattr(inner, "momentum", 0.0) else inner.name  # pyright: ignore[reportAttributeAccessIssue]
        raise FieldError(relax.name, f"inner={given}: must be a plain relaxation, which {relax.name} accelerates")
