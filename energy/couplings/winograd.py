"""Winograd's minimal filtering: a 3×3 convolution and its weight product with 16 multiplications for every 36.

    u = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A              ∂w⟨y, w ∗ x⟩ = Gᵀ [Σ (A y Aᵀ) ⊙ (Bᵀ x B)] G

for each tile x of 4×4 inputs, with its 2×2 outputs u or factors y. The sum over channels, or over tiles, makes of each
of the 16 places one matrix product, and both read the same transformed tiles. A, B and G hold 0, ±1 and ½, so that
float64 and float32 keep their digits; in bfloat16 the transformed numbers are rounded once more, and the result has
about twice the rounding error of the direct form.

The passes around the products cost memory traffic, which a processor with faster products may not win back: `pays`
measures both forms.

Reference:
    Winograd, Arithmetic Complexity of Computations (SIAM 1980); Lavin & Gray, CVPR 2016 (arXiv:1509.09308), section 4.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from energy.kernels import Kernel

Four = tuple[Tensor, Tensor, Tensor, Tensor]
ROUNDS: Final = 7  # of a measurement, after one that does not count; most of them decide
_workspaces: WeakKeyDictionary[Any, Workspace] = WeakKeyDictionary()
_faster: dict[tuple[object, ...], bool] = {}  # by shapes, precisions and threads


class Filters3x3(Protocol):
    """The parts of a convolution that are read here."""

    stride: int
    padding: int
    dilation: int
    groups: int
    pool: Any

    @property
    def weight(self) -> Tensor: ...
    def filter(self, seen: Tensor, weight: Tensor) -> Tensor: ...
    def product(self, seen: Tensor, post: Tensor) -> Tensor: ...


def pays(coupling: Filters3x3, seen: Tensor) -> bool:
    """Return True if forward map and weight product are faster by tiles than by torch's convolution and patches.

    Measured once for each shape, inside of `energy.kernels.fused` on a CPU. Never where results must not depend on a
    measurement (`torch.use_deterministic_algorithms`), nor while something else than numbers is computed.

    Args:
        coupling: the convolution.
        seen: its input, (B, C, H, W).
    """
    if not _fits(coupling, seen):
        return False
    key = (seen.shape, seen.dtype, coupling.weight.shape, coupling.weight.dtype, torch.get_num_threads())
    if key not in _faster:
        _faster[key] = _measured(coupling, seen)
    return _faster[key]


def _fits(coupling: Filters3x3, seen: Tensor) -> bool:
    """True for what is written here for: large images on a CPU, 3×3 kernels, even sides, no more than that."""
    plain = coupling.stride == coupling.dilation == coupling.groups == 1 and coupling.padding == 0
    if not (plain and coupling.pool is None and coupling.weight.shape[2:] == (3, 3)):
        return False
    if seen.device.type != "cpu" or seen.shape[2] % 2 or seen.shape[3] % 2 or not _TILES.ready(seen):
        return False
    concrete = type(seen) is Tensor and not is_in_torch_dispatch_mode()
    return concrete and not torch.are_deterministic_algorithms_enabled()


def _measured(coupling: Filters3x3, seen: Tensor) -> bool:
    def direct() -> None:
        coupling.product(seen, coupling.filter(seen, coupling.weight))

    def tiled() -> None:
        product(found := tiles(seen), coupling, convolve(found, coupling, seen))

    rounds = [(_seconds(direct), _seconds(tiled)) for _ in range(1 + ROUNDS)][1:]
    return sum(by_tiles < by_patches for by_patches, by_tiles in rounds) > ROUNDS / 2


def _seconds(form: Callable[[], None]) -> float:
    before = time.perf_counter()
    form()
    return time.perf_counter() - before


def tiles(seen: Tensor) -> Tensor:
    """Return Bᵀ x B of every tile, (16, tiles, C).

    Args:
        seen: the padded input, (B, C, H, W) with even sides of at least 4.
    """
    return _TILES((seen.unfold(2, 4, 2).unfold(3, 4, 2).permute(4, 5, 0, 2, 3, 1),)).flatten(1, 3)


class Workspace(NamedTuple):
    """The memory of a convolution for what is transformed, kept from batch to batch.

    Allocated anew, as much memory goes back to the system and comes again, page by page, in every step.

    Attributes:
        filters: (16, K, C).
        places: (16, tiles, K).
    """

    filters: Tensor
    places: Tensor


def workspace(coupling: Filters3x3, tiles: Tensor) -> Workspace:
    """Return the memory of a convolution for as many tiles; its content is arbitrary."""
    size, fan_in = coupling.weight.shape[:2]
    shapes = (16, size, fan_in), (16, tiles.shape[1], size)
    held = _workspaces.get(coupling)
    if held is None or held.filters.dtype != tiles.dtype or tuple(one.shape for one in held) != shapes:
        held = _workspaces[coupling] = Workspace(*(tiles.new_empty(shape) for shape in shapes))
    return held


def convolve(tiles: Tensor, coupling: Filters3x3, seen: Tensor) -> Tensor:
    """Return weight ∗ seen, (B, K, H − 2, W − 2), channels last in memory.

    Args:
        tiles: those of `seen`.
        coupling: its weight is (K, C, 3, 3), of any precision.
        seen: the padded input; its shape is read.
    """
    filters, places = workspace(coupling, tiles)
    _KERNELS((coupling.weight.detach().permute(2, 3, 0, 1), *filters.unbind(0)))
    torch.bmm(tiles, filters.mT, out=places)
    rows, columns = seen.shape[2] // 2 - 1, seen.shape[3] // 2 - 1
    placed = _OUTPUTS((places.view(4, 4, len(seen), rows, columns, -1),))
    return placed.view(len(seen), 2 * rows, 2 * columns, -1).permute(0, 3, 1, 2)


def product(tiles: Tensor, coupling: Filters3x3, post: Tensor) -> Tensor:
    """Return ∂w⟨post, w ∗ x⟩, (K, C, 3, 3), channels last in memory.

    Args:
        tiles: those of x.
        coupling: the shape of its weight is read.
        post: (B, K, H − 2, W − 2), in the dtype of the tiles.
    """
    filters, places = workspace(coupling, tiles)
    size, height, width = post.shape[1:]
    last = post.permute(0, 2, 3, 1).reshape(len(post), height // 2, 2, width // 2, 2, size).permute(2, 4, 0, 1, 3, 5)
    _SPREAD((last, *places.view(16, len(post), height // 2, width // 2, size).unbind(0)))
    torch.bmm(places.mT, tiles, out=filters)
    return _GATHERED((filters.unflatten(0, (4, 4)),)).permute(2, 3, 0, 1)


def _wide(tensor: Tensor) -> Tensor:
    """In float32 or wider, where sums of a few numbers are taken."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _both(lines: Callable[[Sequence[Tensor]], Sequence[Tensor]], grid: Tensor) -> list[list[Tensor]]:
    """A transform along the first axis of a grid, and then along the second: rows of results."""
    return [list(lines(row.unbind(0))) for row in lines(grid.unbind(0))]


def _b(x: Sequence[Tensor]) -> Four:
    return x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]


def _a(y: Sequence[Tensor]) -> Four:
    return y[0], y[0] + y[1], y[0] - y[1], -y[1]


def _g(w: Sequence[Tensor]) -> Four:
    ends, middle = 0.5 * (w[0] + w[2]), 0.5 * w[1]
    return w[0], ends + middle, ends - middle, w[2]


def _a_transposed(m: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def _g_transposed(m: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    middle = 0.5 * (m[1] + m[2])
    return m[0] + middle, 0.5 * (m[1] - m[2]), middle + m[3]


def _tiles(windows: Tensor) -> Tensor:
    """(4, 4, B, rows, columns, C) → (16, B, rows, columns, C)."""
    found = _both(_b, _wide(windows))
    return torch.stack([one.to(windows.dtype) for row in found for one in row])


def _kernels(weight: Tensor, *filters: Tensor) -> None:
    """(3, 3, K, C) → 16 × (K, C), in the dtype of these."""
    for filter, one in zip(filters, itertools.chain(*_both(_g, weight)), strict=True):
        filter.copy_(one)


def _outputs(sums: Tensor) -> Tensor:
    """(4, 4, B, rows, columns, K) → (B, rows, 2, columns, 2, K)."""
    found = _both(_a_transposed, _wide(sums))
    return torch.stack([torch.stack([one.to(sums.dtype) for one in row], 3) for row in found], 2)


def _spread(post: Tensor, *places: Tensor) -> None:
    """(2, 2, B, rows, columns, K) → 16 × (B, rows, columns, K)."""
    for place, one in zip(places, itertools.chain(*_both(_a, _wide(post))), strict=True):
        place.copy_(one)


def _gathered(sums: Tensor) -> Tensor:
    """(4, 4, K, C) → (K, 3, 3, C) in memory, returned as (3, 3, K, C)."""
    found = _both(_g_transposed, _wide(sums))
    flat = torch.stack([one.to(sums.dtype) for row in found for one in row], 1)
    return flat.unflatten(1, (3, 3)).permute(1, 2, 0, 3)


_TILES, _KERNELS = Kernel(_tiles), Kernel(_kernels)
_OUTPUTS = Kernel(_outputs)
_SPREAD, _GATHERED = Kernel(_spread), Kernel(_gathered)
