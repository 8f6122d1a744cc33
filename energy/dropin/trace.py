"""The operations of a module's `forward`, and whether a network made of them computes the same."""

from __future__ import annotations

from typing import Final

import torch
from torch import fx, nn

from energy.dropin.module_network import ModuleNetwork
from energy.errors import UsageError

CLOSE: Final = 1e-3  # largest relative difference of two outputs that are the same but for rounding


def graph_of(module: nn.Module) -> fx.Graph:
    """Return the graph of the operations in a module's `forward`.

    Raises:
        ValueError: when it cannot be traced.
    """
    kind = type(module).__name__
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.parallel.DataParallel):
        raise UsageError(f"from_module: {kind}: must be the module inside it; wrap the result, {kind}(wrap(...))")
    try:
        return fx.Tracer().trace(module)
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{kind}.forward: cannot be traced ({told}): must be a fixed sequence of operations, without branches on "
            "values; or build an energy.Network"
        ) from None


@torch.no_grad()
def require_equal(network: ModuleNetwork, module: nn.Module) -> None:
    """Compare the outputs of network and module on random inputs, in evaluation mode.

    Raises:
        ValueError: if they differ, as where a `forward` changes its values in a way that a trace does not show.
    """
    like = next(module.parameters(), None)
    if like is None or like.is_meta:
        return
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, *network.input_shape, generator=generator).to(like.device, like.dtype)
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        with torch.autocast(x.device.type, enabled=False):
            wanted, found = module(x), network(x)
    finally:
        for one in training:
            one.training = True
    if found.shape != wanted.shape or (found - wanted).abs().max() > CLOSE * wanted.abs().max() + 1e-12:
        raise UsageError(
            f"{type(module).__name__}: the network made of it computes something else; a value changed in place, or an "
            "attribute read at trace time, may be the cause"
        )
