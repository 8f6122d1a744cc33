"""The activity of all free layers: a tuple of tensors with the arithmetic of a vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from energy import foreach


class State:
    """Tensors of shape (B, …), one per free layer (for a dyad two per layer: all means, then all differences).

    `a + b`, `a - b` and `a * number` act tensor by tensor and return a new state; a state and its tensors are never
    written to.

    Example:
        >>> (State([torch.ones(1, 2)]) * 3 - State([torch.ones(1, 2)]))[0]
        tensor([[2., 2.]])
    """

    __slots__ = ("tensors",)

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors: tuple[Tensor, ...] = tuple(tensors)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: int) -> Tensor:
        return self.tensors[index]

    def __add__(self, other: State) -> State:
        return State(foreach.add(self.tensors, other.tensors))

    def __sub__(self, other: State) -> State:
        return State(foreach.subtract(self.tensors, other.tensors))

    def __mul__(self, scale: float) -> State:
        return State(foreach.multiply(self.tensors, scale))

    __rmul__ = __mul__

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """Return the state of `function` of every tensor."""
        return State(map(function, self.tensors))

    def replace(self, changes: dict[int, Tensor]) -> State:
        """Return this state with the tensors at the given positions replaced."""
        return State(changes.get(i, tensor) for i, tensor in enumerate(self.tensors))

    def weighted(self, weights: Tensor) -> State:
        """Return every sample times its own weight, `weights` (B,)."""
        return self.map(lambda tensor: tensor * weights.to(tensor.dtype).view(-1, *[1] * (tensor.ndim - 1)))

    def to(self, dtype: torch.dtype) -> State:
        """Return this state in another precision."""
        return self.map(lambda tensor: tensor.to(dtype))

    def rows(self, rows: Tensor) -> State:
        """Return the state of some samples, `rows` (b,) being their places."""
        return self.map(lambda tensor: tensor[rows])

    def put_rows(self, rows: Tensor, some: State) -> State:
        """Return this state with `some` in the places `rows`, (b,)."""
        return State(a.index_copy(0, rows, b) for a, b in zip(self.tensors, some.tensors, strict=True))

    def where(self, chosen: Tensor, other: State) -> State:
        """Return this state for the samples that are `chosen`, (B,) booleans, and `other` for the rest."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return State(torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs)

    def dot(self, other: State) -> Tensor:
        """Return ⟨a, b⟩ of each sample over all tensors: (B,), float32 or wider."""
        dtype = torch.promote_types(self.tensors[0].dtype, torch.float32)
        products = zip(self.tensors, other.tensors, strict=True)
        return torch.stack([(a * b).flatten(1).sum(1, dtype=dtype) for a, b in products]).sum(0)

    def norms(self) -> Tensor:
        """Return the root mean square of each tensor and sample: (tensors, B), float32 or wider."""
        dtype = torch.promote_types(self.tensors[0].dtype, torch.float32)
        rows = [torch.linalg.vector_norm(t.flatten(1), dim=1, dtype=dtype) / t[0].numel() ** 0.5 for t in self.tensors]
        return torch.stack(rows)
