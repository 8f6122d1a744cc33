"""Layers of PyTorch as couplings that share their tensors."""

from __future__ import annotations

from typing import Any, Final

from torch import nn

from energy.couplings import Convolution, Coupling, Dense, Module, Shape
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm
from energy.dropin.module_network import ModuleNetwork
from energy.errors import UsageError
from energy.pooling import AdaptiveAveragePool, AdaptiveMaxPool, AveragePool, MaxPool, Pool

LINEAR: Final = (nn.Linear, nn.Conv2d)
NORMALIZATIONS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
POOLINGS: Final = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")


class Parts:
    """The couplings that stand for layers of PyTorch.

    Args:
        network: shares their tensors.
    """

    def __init__(self, network: ModuleNetwork) -> None:
        self.network = network

    def linear(self, name: str, module: Any, below: Shape) -> Coupling:
        """Return a dense or convolutional coupling.

        Args:
            name: of the module, for messages.
            module: an `nn.Linear` or `nn.Conv2d`.
            below: the shape of the layer that it reads.

        Raises:
            ValueError: for a linear layer over the last axis of several, and a convolution that is not square.
        """
        biased = module.bias is not None
        if isinstance(module, nn.Linear):
            coupling: Coupling = Dense(module.in_features, module.out_features, bias=biased)
        else:
            coupling = self._convolution(name, module)
        shared = {"weight": "weight", "bias": "bias"} if biased else {"weight": "weight"}
        self.network.share(coupling, module, shared)
        return coupling

    def _convolution(self, name: str, module: nn.Conv2d) -> Convolution:
        sizes = {field: getattr(module, field) for field in ("kernel_size", "stride", "dilation")}
        padding = module.padding
        if padding == "same":
            padding = tuple(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
            if any(d * (k - 1) % 2 for d, k in zip(module.dilation, module.kernel_size, strict=True)):
                raise UsageError(f"{name}: padding='same' of an even kernel: must be an odd one")
        elif padding == "valid":
            padding = (0, 0)
        for field, (high, wide) in {**sizes, "padding": padding}.items():
            if high != wide:
                raise UsageError(f"{name}: {field}={(high, wide)}: must be the same on both sides")
        if module.padding_mode != "zeros":
            raise UsageError(f"{name}: padding_mode={module.padding_mode!r}: must be 'zeros'")
        return Convolution(
            module.in_channels,
            module.out_channels,
            module.kernel_size[0],
            stride=module.stride[0],
            padding=int(padding[0]),
            dilation=module.dilation[0],
            groups=module.groups,
            bias=module.bias is not None,
        )

    def normalization(self, name: str, module: Any, filters: Coupling, below: Shape) -> Coupling:
        """Return the coupling that normalizes the drive of `filters`.

        Args:
            name: of the module, for messages.
            module: one of `NORMALIZATIONS`.
            filters: the coupling before it.
            below: the shape of the layer that they read.

        Raises:
            ValueError: for statistics that are not kept, or kept as a mean over all batches, and for a layer
                normalization over some axes only.
        """
        affine = module.weight is not None
        how: dict[str, Any] = {"eps": module.eps, "affine": affine}
        shared = {"scale": "weight", "shift": "bias"} if affine else {}
        if affine and module.bias is None:
            raise UsageError(f"{name}: bias=False: must have a weight and a bias, or neither")
        if isinstance(module, nn.LayerNorm):
            full = filters.shape(below)
            if tuple(module.normalized_shape) != full:
                raise UsageError(
                    f"{name}: normalized_shape={tuple(module.normalized_shape)}: must be all of a sample, {full}"
                )
            coupling: Coupling = LayerNorm(filters, full, **how)
        elif isinstance(module, nn.GroupNorm):
            coupling = GroupNorm(filters, module.num_groups, module.num_channels, **how)
        else:
            if not module.track_running_stats or module.running_mean is None:
                raise UsageError(f"{name}: track_running_stats=False: must be True; or take GroupNorm or LayerNorm")
            if module.momentum is None:
                raise UsageError(f"{name}: momentum=None: must be a number in [0, 1]")
            coupling = BatchNorm(filters, module.num_features, momentum=module.momentum, **how)
            shared |= {one: one for one in STATISTICS}
        self.network.share(coupling, module, shared)
        return coupling

    def pool(self, module: Any) -> Pool | None:
        """Return the pooling inside a coupling that a module is; None if no coupling has it."""
        if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            size = _one(module.output_size)
            kind = AdaptiveAveragePool if isinstance(module, nn.AdaptiveAvgPool2d) else AdaptiveMaxPool
            return None if size is None or getattr(module, "return_indices", False) else kind(size)
        size, stride, padding = (_one(one) for one in (module.kernel_size, module.stride, module.padding))
        if size is None or stride is None or padding is None or module.ceil_mode:
            return None
        if isinstance(module, nn.AvgPool2d):
            plain = module.count_include_pad and module.divisor_override is None
            return AveragePool(size, stride, padding=padding) if plain else None
        return None if _one(module.dilation) != 1 or module.return_indices else MaxPool(size, stride, padding=padding)

    def pooling(self, name: str, module: nn.Module) -> Coupling:
        """Return a coupling that only pools.

        Raises:
            ValueError: for one that returns indices.
        """
        if getattr(module, "return_indices", False):
            raise UsageError(f"{name}: return_indices=True: must be False")
        return Module(module)

    def flatten(self) -> Coupling:
        """Return a coupling that only flattens."""
        return Module(nn.Flatten())


def _one(given: Any) -> int | None:
    """The number that both sides have."""
    sides = set(given) if isinstance(given, tuple | list) else {given}
    (side, *others) = sides
    return None if others or not isinstance(side, int) else side
