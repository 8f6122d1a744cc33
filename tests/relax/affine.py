"""A problem that is affine in its unknowns, G(s) = M s + b of each sample, and GMRES on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from energy.relax.problem import Problem
from energy.state import State


class Affine(Problem):
    """response(s) = M s + b + bend(M s + b), with a matrix per sample.

    Args:
        matrix: M, (B, n, n).
        shift: b, (B, n).
        bend: makes it nonlinear; none unless given.
    """

    def __init__(self, matrix: Tensor, shift: Tensor, bend: Callable[[Tensor], Tensor] | None = None) -> None:
        self.matrix, self.shift, self.bend = matrix, shift, bend
        self.asked = 0

    @property
    def batch(self) -> int:
        return len(self.shift)

    @property
    def device(self) -> torch.device:
        return self.shift.device

    def name(self, index: int) -> str:
        return f"part {index}"

    def response(self, state: State) -> State:
        self.asked += 1
        value = (self.matrix @ flat(state)[:, :, None]).squeeze(2) + self.shift
        return parts(value if self.bend is None else value + self.bend(value))

    @property
    def start(self) -> State:
        """Zeros."""
        return parts(torch.zeros_like(self.shift))

    @property
    def fixed(self) -> Tensor:
        """The solution of s = M s + b, (B, n)."""
        eye = torch.eye(self.shift.shape[1], dtype=self.shift.dtype)
        return torch.linalg.solve(eye - self.matrix, self.shift)

    def gmres(self, steps: int) -> Tensor:
        """The x of x₀ + K that minimizes ‖b − (I − M)x‖, x₀ = 0, K = span(b, (I − M)b, …) of `steps` dimensions."""
        eye = torch.eye(self.shift.shape[1], dtype=self.shift.dtype)
        system, powers = eye - self.matrix, [self.shift]
        for _ in range(steps - 1):
            powers.append((system @ powers[-1][:, :, None]).squeeze(2))
        basis = torch.linalg.qr(torch.stack(powers, 2)).Q
        return (basis @ torch.linalg.lstsq(system @ basis, self.shift[:, :, None]).solution).squeeze(2)


def flat(state: State) -> Tensor:
    """All unknowns of a sample in a row, (B, n)."""
    return torch.cat([tensor.flatten(1) for tensor in state], 1)


def parts(value: Tensor) -> State:
    """Two tensors of unequal size."""
    return State((value[:, :2], value[:, 2:]))


def drawn(samples: int = 3, unknowns: int = 6, norm: float = 0.9, seed: int = 0) -> Affine:
    """Matrices of spectral norm `norm`, in float64."""
    stream = torch.Generator().manual_seed(seed)
    matrix = torch.randn(samples, unknowns, unknowns, generator=stream, dtype=torch.float64)
    matrix = matrix * (norm / torch.linalg.matrix_norm(matrix, 2))[:, None, None]
    return Affine(matrix, torch.randn(samples, unknowns, generator=stream, dtype=torch.float64))
