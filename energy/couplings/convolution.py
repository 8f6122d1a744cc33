"""Convolutions, with an optional pooling after them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from energy.arguments import named, whole_number
from energy.component import ConfigurationError
from energy.couplings import winograd
from energy.couplings.affine import Affine, AffineLinearization
from energy.couplings.forms.convolution import ADJOINT, FORWARD, PRODUCT, WEIGHT_GRADIENT
from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.memo import Memo
from energy.couplings.linearization import Gradients, Linearization, Shape
from energy.couplings.pooled_filters import PooledFilters, pools_filters
from energy.couplings.units import UnitInputs
from energy.errors import UsageError, UsageTypeError
from energy.pooling import Pool
from energy.tracing import cast


class ConvolutionLinearization(AffineLinearization):
    """`Convolution` linearized at one state.

    Args:
        coupling: the coupling.
        weight: its weight in the dtype of the states, cast once.
        pre: the shape below, with the batch axis.
        full: the shape before pooling, with the batch axis.
        switches: those of the pooling, None without one.
        memo: what the forward map has left for the others.
        tiles: what forward map and weight product both read, if the forward map was made of it.
    """

    def __init__(
        self,
        coupling: Convolution,
        weight: Tensor,
        pre: Shape,
        full: Shape,
        switches: Tensor | None = None,
        memo: Memo | None = None,
        tiles: Tensor | None = None,
    ) -> None:
        self.coupling, self.weight = coupling, weight
        self.bias, self.switches = coupling.bias, switches
        self.pre, self.full = pre, full
        self.tiles = tiles
        self.memo = Memo() if memo is None else memo
        self._prepared: tuple[Tensor, Tensor] | None = None  # the last `post` that was prepared, and it un-pooled

    def prepare(self, post: Tensor) -> None:
        if self.coupling.pool is not None:
            self._prepared = (post, self._unpooled(post))

    @torch.no_grad()
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        weight = self.weight if weight is None else weight.to(self.weight.dtype)
        return ADJOINT(self._unpooled(post), weight.to(post.dtype), self.pre, self.coupling.geometry, memo=self.memo)

    @torch.no_grad()
    def tangent(self, direction: Tensor) -> Tensor:
        full = self.coupling.convolve(direction, self.weight.to(direction.dtype), None)
        return full if self.coupling.pool is None else self.coupling.pool.tangent(full, self.switches)

    @torch.no_grad()
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        full, biased = self._unpooled(post), self.bias is not None
        product, bias = WEIGHT_GRADIENT(pre, full, self.weight, biased, self.coupling.geometry, memo=self.memo)
        product = product.to(self.coupling.weight.dtype)
        return (product,) if self.bias is None else (product, bias.to(self.bias.dtype))

    def _unpooled(self, post: Tensor) -> Tensor:
        if self._prepared is not None and self._prepared[0] is post:
            return self._prepared[1]
        pool = self.coupling.pool
        return post if pool is None else pool.adjoint(post, self.switches, torch.Size(self.full))


class Convolution(Affine):
    """A(m) = P(W ∗ m + b), W of shape (channels, fan-in/groups, k, k) and P an optional pooling.

    With pooling the upper layer's state is the pooled tensor (as in the code of Høier & Zach, 2024): for a monotone
    response this is the same forward map as convolve–respond–pool, with a quarter of the activities to settle.

    Args:
        fan_in: channels of the layer below.
        channels: channels of the layer above.
        kernel: side of the square kernel.
        stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        bias: one per channel if true.
        pool: a pooling of `energy.pooling`, or None.

    Raises:
        ValueError: for sizes that are no whole numbers, or out of range.
        TypeError: for a `pool` that is no pooling.

    Example:
        >>> Convolution(3, 16, 5, stride=2, padding=2).shape((3, 32, 32))
        (16, 16, 16)
    """

    def __init__(
        self,
        fan_in: int,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        pool: Pool | None = None,
    ) -> None:
        super().__init__()
        fan_in = whole_number("Convolution", "fan_in", fan_in)
        channels = whole_number("Convolution", "channels", channels)
        kernel = whole_number("Convolution", "kernel", kernel)
        groups = whole_number("Convolution", "groups", groups)
        if fan_in % groups or channels % groups:
            raise UsageError(f"Convolution: groups={groups}: must divide fan_in={fan_in} and channels={channels}")
        if not (pool is None or isinstance(pool, Pool)):
            raise UsageTypeError(
                f"Convolution: pool is {named(pool)}: must be energy.pooling.MaxPool(2), AveragePool(2) …"
            )
        self.weight = nn.Parameter(torch.zeros(channels, fan_in // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.stride = whole_number("Convolution", "stride", stride)
        self.dilation = whole_number("Convolution", "dilation", dilation)
        self.padding = whole_number("Convolution", "padding", padding, 0)
        self.groups, self.pool = groups, pool

    def extra_repr(self) -> str:
        channels, fan_in, kernel, _ = self.weight.shape
        others = {"stride": (self.stride, 1), "padding": (self.padding, 0), "dilation": (self.dilation, 1)}
        others |= {"groups": (self.groups, 1), "bias": (self.bias is not None, True), "pool": (self.pool, None)}
        given = [f"{name}={value}" for name, (value, default) in others.items() if value != default]
        return ", ".join([str(fan_in * self.groups), str(channels), str(kernel), *given])

    def _sizes(self, pre: Shape) -> Shape:
        """The shape before pooling."""
        channels, fan_in, kernel, _ = self.weight.shape
        if len(pre) != 3 or pre[0] != fan_in * self.groups:
            raise UsageError(f"Convolution of {fan_in * self.groups} channels cannot read a layer of shape {pre}")
        sides = tuple(self.geometry.places(side) for side in pre[1:])
        if min(sides) < 1:
            dilated = "" if self.dilation == 1 else f" and a dilation of {self.dilation}"
            raise UsageError(f"Convolution with a kernel of {kernel}{dilated} does not fit a layer of shape {pre}")
        return (channels, *sides)

    def shape(self, pre: Shape) -> Shape:
        sizes = self._sizes(pre)
        return sizes if self.pool is None else self.pool.shape(sizes)

    def multiply_adds(self, pre: Shape) -> int:
        return math.prod(self._sizes(pre)) * math.prod(self.weight.shape[1:])

    @property
    def geometry(self) -> Geometry:
        """The kernel's side and how it moves."""
        return Geometry(self.weight.shape[-1], self.stride, self.padding, self.dilation, self.groups)

    def convolve(self, pre: Tensor, weight: Tensor, bias: nn.Parameter | None, memo: Memo | None = None) -> Tensor:
        """Return weight ∗ pre + bias, without pooling.

        Args:
            pre: (B, fan-in, height, width).
            weight: of the shape of the coupling's own, in the dtype of `pre`.
            bias: the coupling's own, or None.
            memo: takes what other maps at this state can use again.
        """
        return FORWARD(pre, weight, None if bias is None else bias.to(pre.dtype), self.geometry, memo=memo)

    def forward(self, pre: Tensor) -> Tensor:
        full = self.convolve(pre, self.weight.to(pre.dtype), self.bias)
        return full if self.pool is None else self.pool(full)

    def linearize(self, pre: Tensor) -> tuple[Tensor, ConvolutionLinearization | PooledFilters]:
        if pools_filters(self):
            pooled = PooledFilters(self, tuple(pre.shape), pre.dtype)
            return pooled.drive(pre), pooled
        with torch.no_grad():
            weight, memo = cast(self.weight, pre.dtype), Memo()
            full = self.convolve(pre, weight, self.bias, memo)
            drive, switches = (full, None) if self.pool is None else self.pool.open(full)
            return drive, ConvolutionLinearization(self, weight, tuple(pre.shape), tuple(full.shape), switches, memo)

    @torch.no_grad()
    def linearize_to_learn(self, pre: Tensor) -> tuple[Tensor, ConvolutionLinearization | PooledFilters]:
        if not winograd.pays(self, pre):
            return self.linearize(pre)
        tiles = winograd.tiles(pre)
        drive = winograd.convolve(tiles, self, pre)
        drive = drive if self.bias is None else drive + self.bias.to(pre.dtype).view(-1, 1, 1)
        # the weight stays as it is: who asks for an adjoint or a tangent casts it
        return drive, ConvolutionLinearization(self, self.weight, tuple(pre.shape), tuple(drive.shape), tiles=tiles)

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        return self.convolve(seen, weight.to(seen.dtype), None)

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        gradient = PRODUCT if self.groups == 1 and seen.is_cpu else WEIGHT_GRADIENT
        return gradient(seen, post, self.weight.detach(), False, self.geometry)[0]

    def unit_inputs(self, pre: Tensor, drive: Tensor, linear: Linearization | None) -> UnitInputs:
        if self.pool is not None:
            raise ConfigurationError("Convolution with a pooling: neurons compete before it; pool in the Block above")
        tiles = linear.tiles if isinstance(linear, ConvolutionLinearization) else None
        return UnitInputs(self if tiles is None else TiledFilters(self, pre, tiles), pre, drive)


class TiledFilters:
    """The filters of a convolution at one input, whose tiles are at hand.

    Args:
        coupling: the convolution.
        seen: the input, (B, fan-in, height, width).
        tiles: `winograd.tiles` of it.
    """

    def __init__(self, coupling: Convolution, seen: Tensor, tiles: Tensor) -> None:
        self.coupling, self.seen = coupling, seen
        self.tiles, self.groups = tiles, coupling.groups
        self.weight, self.bias = coupling.weight, coupling.bias

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        """Return weight ∗ seen, without bias."""
        return self.coupling.filter(seen, weight)

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        """Return ∂w⟨post, w ∗ seen⟩, of the tiles if `seen` is the input that they belong to."""
        if seen is not self.seen:
            return self.coupling.product(seen, post)
        return winograd.product(self.tiles, self.coupling, post)
