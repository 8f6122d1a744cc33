"""Modules of one precision over states of another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def in_precision(module: nn.Module, pre: Tensor) -> Tensor:
    """Return module(pre) in the dtype of `pre`, to which parameters and buffers of another dtype are cast.

    Buffers of a module whose parameters need no cast, such as running statistics, stay as they are beside states of
    lower precision.
    """
    parameters = [(name, p) for name, p in module.named_parameters() if _differs(p, pre)]
    buffers = [(name, b) for name, b in module.named_buffers() if _differs(b, pre)]
    wider = any(torch.promote_types(b.dtype, pre.dtype) != b.dtype for _, b in buffers)
    if not (parameters or wider):
        output = module(pre)
        return output.to(pre.dtype) if buffers else output
    cast = {name: tensor.to(pre.dtype) for name, tensor in (*parameters, *buffers)}
    output = functional_call(module, cast, (pre,))
    with torch.no_grad():
        for name, buffer in buffers if module.training else ():
            buffer.copy_(cast[name])  # running statistics that the call has updated
    return output


def _differs(tensor: Tensor, pre: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != pre.dtype
