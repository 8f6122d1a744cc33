"""What two layers cost together: −⟨post, A(pre)⟩, and the four maps that learning needs of A.

With m the presynaptic state at which A is taken:

    drive(m)            A(m)                        what the upper layer hears
    adjoint(p, m)       A′(m)ᵀ p                    what the lower layer hears
    tangent(v, m)       A′(m) v                     how a difference travels up (no bias)
    hebbian(m, p)       ∂θ⟨p, A(m)⟩                 the local product of the two activities, one tensor a parameter

A new coupling needs `drive` only; autograd supplies the rest. `Affine` couplings supply all of it in closed form.
Relaxations call `linearise`, which returns the drive together with the *point*: what has to be remembered of m to apply
A′(m) again. By default that is m; for max-pooling it is the switches, so that both replicas of a dyad and the weight
product share one set of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from energy.arguments import named, whole
from energy.component import ConfigurationError
from energy.pooling import Pool
from energy.potentials import per_sample
from energy.precision import in_precision
from energy.tape import leaf, plain, pushed, taped

Gradients = tuple[Tensor, ...]
Shape = tuple[int, ...]


class Coupling(nn.Module):
    """A map A between two layers, any differentiable one. Subclasses define `drive`, or `energy` together with `shape`.

    Where only `energy(pre, post)` is given it must be linear in `post`; then A(pre) = −∂energy/∂post. A coupling is in
    evaluation mode always, but inside `Network.learning`.
    """

    by_chance: bool = False  # whether its output is drawn in training mode, in which it then never is
    batchwise: bool = False  # whether, while it learns, a sample's drive depends on its batch, exactly accounted for

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode, whatever is asked for: what two layers cost is a function of their states."""
        return super().train(False)

    def drive(self, pre: Tensor) -> Tensor:
        """A(pre): (B, *pre shape) → (B, *post shape)."""
        if type(self).energy is Coupling.energy or type(self).shape is Coupling.shape:
            raise NotImplementedError(
                f"{type(self).__name__} must define drive(pre), or energy(pre, post) and shape(pre)"
            )
        tape = torch.is_grad_enabled()
        with taped():
            post = torch.zeros((len(pre), *self.shape(tuple(pre.shape[1:]))), dtype=pre.dtype, device=pre.device)
            post = post.requires_grad_()
            return -torch.autograd.grad(self.energy(plain(pre), post).sum(), post, create_graph=tape)[0]

    def remember(self) -> None:
        """Take the batch it was last applied to into what it remembers, once per learnt batch; nothing by default."""

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        """−⟨post, A(pre)⟩ a sample: (B,)."""
        return -per_sample(post * self.drive(pre))

    def shape(self, pre: Shape) -> Shape:
        """The shape of A(pre) without the batch axis."""
        with torch.no_grad():
            return tuple(self.drive(self._zeros(pre)).shape[1:])

    def multiply_adds(self, pre: Shape) -> int:
        """Multiply-adds of one application to one sample, counted by running it."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.drive(self._zeros(pre))
        return counter.get_total_flops() // 2

    def filtered(self, pre: Tensor, drive: Tensor, point: Any) -> Filtered:
        """What a rule without feedback needs of a coupling that has been linearised at `pre`.

        Raises ConfigurationError where that is no population of neurons.
        """
        raise ConfigurationError(
            f"{type(self).__name__}: no weights of neurons; local rules and read-outs need Dense, Convolution or Block"
        )

    def _zeros(self, shape: Shape) -> Tensor:
        like = next(self.parameters(), torch.zeros(()))
        return torch.zeros((1, *shape), dtype=like.dtype, device=like.device)

    def linearise(self, pre: Tensor) -> tuple[Tensor, Any]:
        """The drive, and the point at which the other three maps are to be taken."""
        with torch.no_grad():
            return self.drive(pre), pre

    def spread(self, post: Tensor, point: Any) -> Any:
        """`post` in a form that `adjoint` and `hebbian` take too: what both would do to it first, done once."""
        return post

    def rewired(self, point: Any, weight: Tensor) -> Any:
        """`point` with other wires of the same shape in the weight's place, for `adjoint` alone. To be defined by a
        coupling that can tell its weight from its map.
        """
        raise NotImplementedError(f"{type(self).__name__} must define rewired(point, weight)")

    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        """A′(point)ᵀ post."""
        with taped():
            pre = leaf(point)
            return torch.autograd.grad(self.drive(pre), pre, post)[0]

    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        """A′(point) direction."""
        return pushed(self.drive, point, direction)

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        """∂θ⟨post, A(pre)⟩ summed over the batch, in the order of `parameters()`."""
        with taped():
            return self._gradients(per_sample(plain(post) * self.drive(plain(pre))).sum())

    def hebbian_tangent(self, direction: Tensor, post: Tensor, point: Any) -> Gradients:
        """∂θ⟨post, A′(point) direction⟩: the second Hebbian product of a network with feedback."""
        return self._gradients(self._slope(direction, post, point)[0])

    def curvature(self, direction: Tensor, post: Tensor, point: Any) -> Tensor | None:
        """∂m⟨post, A′(m) direction⟩ at m = point; None where A is piecewise affine."""
        total, pre = self._slope(direction, post, point)
        if not total.requires_grad:
            return None
        return torch.autograd.grad(total, pre, allow_unused=True)[0]

    def _slope(self, direction: Tensor, post: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        """⟨A′(point)ᵀ post, direction⟩ as a differentiable number, and the point it is differentiable in."""
        with taped():
            pre = leaf(point)
            (pulled,) = torch.autograd.grad(self.drive(pre), pre, plain(post), create_graph=True)
            return (pulled * plain(direction)).sum(), pre

    def _gradients(self, total: Tensor) -> Gradients:
        parameters = tuple(self.parameters())
        learnt = [p for p in parameters if p.requires_grad]
        if not learnt or not total.requires_grad:
            return tuple(torch.zeros_like(p) for p in parameters)
        found = iter(torch.autograd.grad(total, learnt, allow_unused=True, materialize_grads=True))
        return tuple(next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters)


class Module(Coupling):
    """Any `nn.Module` as a coupling: A(pre) = module(pre), everything else by autograd, with its hooks, masks and
    parametrisations. It runs in the precision of the states and in evaluation mode: dropout drops nothing, and batch
    norm normalises by what it remembers. Raises TypeError for what is no module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(f"Module: module is {named(module)}: must be an nn.Module, such as nn.Linear(784, 100)")
        self.module = module
        self.eval()

    def drive(self, pre: Tensor) -> Tensor:
        return in_precision(self.module, pre)


class Point(NamedTuple):
    """Where an affine coupling was opened: its weight in the precision of the states (cast once), the shapes of the
    layer below and before pooling, and the pooling's switches.
    """

    weight: Tensor
    pre: Shape
    full: Shape
    switches: Tensor | None = None


class Spread(NamedTuple):
    """A state of the upper layer sent back through the pooling."""

    full: Tensor


class Filtered(NamedTuple):
    """A layer as a population of neurons: u = W·seen + b, one row of the `filters`' weight a neuron.

    `drive` (B, K, …) is what its neurons compete with; `linear` is false where that is not u itself, up to what is
    common to all neurons of a place; `memory` is what a rule remembers of it."""

    filters: Affine
    seen: Tensor
    drive: Tensor
    linear: bool = True
    memory: Mapping[str, Tensor] = MappingProxyType({})


class Affine(Coupling):
    """A(m) = P(Wm + b), W linear and P a pooling or nothing: drive, adjoint, tangent and product in closed form, no
    autograd.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        """weight·seen, without bias and pooling."""
        raise NotImplementedError(f"{type(self).__name__} has no weights")

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        """Σ post·seenᵀ over batch and places, in their precision and of the shape of the weight: ∂W⟨post, W·seen⟩,
        without pooling.
        """
        raise NotImplementedError(f"{type(self).__name__} has no weights")

    def rewired(self, point: Point, weight: Tensor) -> Point:
        return point._replace(weight=weight.to(point.weight.dtype))

    def curvature(self, direction: Tensor, post: Tensor, point: Any) -> None:
        return None

    def hebbian_tangent(self, direction: Tensor, post: Tensor, point: Any) -> Gradients:
        """⟨post, W direction⟩ has the product of (direction, post), and no bias."""
        gradients = self.hebbian(direction, post, point)
        return gradients if self.bias is None else (*gradients[:-1], torch.zeros_like(self.bias))


class Skip(Affine):
    """A(m) = m: a connection without weights, for residual graphs."""

    bias = None

    def drive(self, pre: Tensor) -> Tensor:
        return pre

    def shape(self, pre: Shape) -> Shape:
        return pre

    def multiply_adds(self, pre: Shape) -> int:
        return 0

    def adjoint(self, post: Tensor, point: Any) -> Tensor:
        return post

    def tangent(self, direction: Tensor, point: Any) -> Tensor:
        return direction

    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        return ()


class Dense(Affine):
    """A(m) = W·flatten(m) + b, W of shape (size, fan-in)."""

    def __init__(self, fan_in: int, size: int, *, bias: bool = True) -> None:
        super().__init__()
        fan_in, size = whole("Dense", "fan_in", fan_in), whole("Dense", "size", size)
        self.weight = nn.Parameter(torch.zeros(size, fan_in))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def extra_repr(self) -> str:
        size, fan_in = self.weight.shape
        return f"{fan_in}, {size}" if self.bias is not None else f"{fan_in}, {size}, bias=False"

    def shape(self, pre: Shape) -> Shape:
        size, fan_in = self.weight.shape
        if math.prod(pre) != fan_in:
            raise ValueError(
                f"Dense({fan_in}, {size}) cannot read a layer of shape {pre}: it has {math.prod(pre)} units"
            )
        return (size,)

    def multiply_adds(self, pre: Shape) -> int:
        return self.weight.numel()

    def drive(self, pre: Tensor) -> Tensor:
        return self._drive(pre, self.weight.to(pre.dtype))

    def _drive(self, pre: Tensor, weight: Tensor) -> Tensor:
        return F.linear(pre.flatten(1), weight, None if self.bias is None else self.bias.to(pre.dtype))

    def linearise(self, pre: Tensor) -> tuple[Tensor, Point]:
        with torch.no_grad():
            weight = self.weight.to(pre.dtype)
            return self._drive(pre, weight), Point(weight, pre.shape, weight.shape[:1])

    def _weight(self, point: Point | Tensor) -> tuple[Tensor, Shape]:
        """The weight in the precision of the states, and the shape of the layer below."""
        if isinstance(point, Point):
            return point.weight, point.pre
        return self.weight.to(point.dtype), point.shape

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        return F.linear(seen.flatten(1), weight.to(seen.dtype))

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        return post.T @ seen.flatten(1)

    def filtered(self, pre: Tensor, drive: Tensor, point: Any) -> Filtered:
        return Filtered(self, pre, drive)

    @torch.no_grad()
    def adjoint(self, post: Tensor, point: Point | Tensor) -> Tensor:
        weight, pre = self._weight(point)
        return (post @ weight.to(post.dtype)).view(len(post), *pre[1:])

    @torch.no_grad()
    def tangent(self, direction: Tensor, point: Point | Tensor) -> Tensor:
        return F.linear(direction.flatten(1), self._weight(point)[0].to(direction.dtype))

    @torch.no_grad()
    def hebbian(self, pre: Tensor, post: Tensor, point: Any = None) -> Gradients:
        product = self.product(pre, post).to(self.weight.dtype)
        return (product,) if self.bias is None else (product, post.sum(0, dtype=self.bias.dtype))


class Convolution(Affine):
    """A(m) = P(W ∗ m + b), W of shape (channels, fan-in/groups, k, k) and P an optional pooling.

    With pooling the upper layer's state is the pooled tensor (as in the code of Høier & Zach, 2024): for a monotone
    response this is the same forward map as convolve–respond–pool, with a quarter of the activities to settle."""

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
        given = (("fan_in", fan_in), ("channels", channels), ("kernel", kernel), ("stride", stride), ("groups", groups))
        fan_in, channels, kernel, stride, groups = (whole("Convolution", *one) for one in given)
        padding, dilation = whole("Convolution", "padding", padding, 0), whole("Convolution", "dilation", dilation)
        if fan_in % groups or channels % groups:
            raise ValueError(f"Convolution: groups={groups}: must divide fan_in={fan_in} and channels={channels}")
        if not (pool is None or isinstance(pool, Pool)):
            raise TypeError(f"Convolution: pool is {named(pool)}: must be energy.pooling.MaxPool(2), AveragePool(2) …")
        self.weight = nn.Parameter(torch.zeros(channels, fan_in // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups, self.pool = groups, pool

    def extra_repr(self) -> str:
        channels, fan_in, kernel, _ = self.weight.shape
        others = {"stride": (self.stride, 1), "padding": (self.padding, 0), "dilation": (self.dilation, 1)}
        others |= {"groups": (self.groups, 1), "bias": (self.bias is not None, True), "pool": (self.pool, None)}
        said = [f"{name}={value}" for name, (value, default) in others.items() if value != default]
        return ", ".join([str(fan_in * self.groups), str(channels), str(kernel), *said])

    def _sizes(self, pre: Shape) -> Shape:
        """The shape before pooling."""
        channels, fan_in, kernel, _ = self.weight.shape
        if len(pre) != 3 or pre[0] != fan_in * self.groups:
            raise ValueError(f"Convolution of {fan_in * self.groups} channels cannot read a layer of shape {pre}")
        reach = self.dilation * (kernel - 1) + 1
        sides = tuple((side + 2 * self.padding - reach) // self.stride + 1 for side in pre[1:])
        if min(sides) < 1:
            dilated = "" if self.dilation == 1 else f" and a dilation of {self.dilation}"
            raise ValueError(f"Convolution with a kernel of {kernel}{dilated} does not fit a layer of shape {pre}")
        return (channels, *sides)

    def shape(self, pre: Shape) -> Shape:
        sizes = self._sizes(pre)
        return sizes if self.pool is None else self.pool.shape(sizes)

    def multiply_adds(self, pre: Shape) -> int:
        return math.prod(self._sizes(pre)) * math.prod(self.weight.shape[1:])

    def _convolve(self, pre: Tensor, weight: Tensor, bias: nn.Parameter | None) -> Tensor:
        cast = None if bias is None else bias.to(pre.dtype)
        return F.conv2d(pre, weight, cast, self.stride, self.padding, self.dilation, self.groups)

    def drive(self, pre: Tensor) -> Tensor:
        full = self._convolve(pre, self.weight.to(pre.dtype), self.bias)
        return full if self.pool is None else self.pool(full)

    def linearise(self, pre: Tensor) -> tuple[Tensor, Point]:
        with torch.no_grad():
            weight = self.weight.to(pre.dtype)
            full = self._convolve(pre, weight, self.bias)
            drive, switches = (full, None) if self.pool is None else self.pool.open(full)
            return drive, Point(weight, pre.shape, full.shape, switches)

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        return self._convolve(seen, weight.to(seen.dtype), None)

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        if (
            self.groups == self.dilation == 1 and seen.device.type == "cpu"
        ):  # whose kernel for weights is the slower one
            return self._patched(seen, post)
        return self._backward(post, seen, self.weight, [False, True, False])[1]

    def _patched(self, seen: Tensor, post: Tensor) -> Tensor:
        """The same by one matrix product over patches, (batch·places, fan-in), whose columns lie like the weight's."""
        kernel, sides = self.weight.shape[-1], [self.padding] * 4
        padded = F.pad(seen, sides) if self.padding else seen
        windows = padded.unfold(2, kernel, self.stride).unfold(3, kernel, self.stride)  # (B, C, H, W, k, k)
        patches = windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, self.weight[0].numel())
        flat = post.permute(0, 2, 3, 1).reshape(len(patches), -1)
        return (flat.T @ patches).view(-1, kernel, kernel, seen.shape[1]).permute(0, 3, 1, 2)

    def filtered(self, pre: Tensor, drive: Tensor, point: Any) -> Filtered:
        if self.pool is not None:
            raise ConfigurationError("Convolution with a pooling: neurons compete before it; pool in the Block above")
        return Filtered(self, pre, drive)

    def _point(self, point: Point | Tensor) -> Point:
        return self.linearise(point)[1] if isinstance(point, Tensor) else point

    def spread(self, post: Tensor, point: Point) -> Spread:
        return Spread(self._unpool(post, point))

    def _unpool(self, post: Tensor | Spread, point: Point) -> Tensor:
        if isinstance(post, Spread):
            return post.full
        return post if self.pool is None else self.pool.adjoint(post, point.switches, torch.Size(point.full))

    def _backward(self, post: Tensor, pre: Tensor, weight: Tensor, mask: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
        sizes = [len(weight)] if mask[2] else None
        stride, padding, dilation = [self.stride] * 2, [self.padding] * 2, [self.dilation] * 2
        return torch.ops.aten.convolution_backward(
            post, pre, weight.to(post.dtype), sizes, stride, padding, dilation, False, [0, 0], self.groups, mask
        )

    @torch.no_grad()
    def adjoint(self, post: Tensor | Spread, point: Point | Tensor) -> Tensor:
        point = self._point(point)
        full = self._unpool(post, point)
        last = full.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        # of what lies below the kernel reads only the shape
        shaped = torch.empty(point.pre, dtype=full.dtype, device=full.device, memory_format=layout)
        return self._backward(full, shaped, point.weight, [True, False, False])[0]

    @torch.no_grad()
    def tangent(self, direction: Tensor, point: Point | Tensor) -> Tensor:
        point = self._point(point)
        full = self._convolve(direction, point.weight.to(direction.dtype), None)
        return full if self.pool is None else self.pool.tangent(full, point.switches)

    @torch.no_grad()
    def hebbian(self, pre: Tensor, post: Tensor | Spread, point: Point | Tensor | None = None) -> Gradients:
        point = self._point(pre if point is None else point)
        mask = [False, True, self.bias is not None]
        _, product, bias = self._backward(self._unpool(post, point), pre, point.weight, mask)
        product = product.to(self.weight.dtype)
        return (product,) if self.bias is None else (product, bias.to(self.bias.dtype))
