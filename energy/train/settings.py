"""Settings of torch that belong to a run: set while it trains, put back when it leaves."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from energy.kernels import fused


@contextmanager
def settings(
    deterministic: bool, fused_kernels: bool = True, compiling: Callable[[], None] | None = None
) -> Iterator[None]:
    """Set torch as a run needs it, and restore it on leaving.

    float32 products run in full precision, since another one settles elsewhere.

    Args:
        deterministic: only kernels that repeat bit for bit.
        fused_kernels: compiled kernels for elementwise work on large tensors.
        compiling: called before a kernel is compiled.
    """
    before = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    try:
        with fused(fused_kernels, compiling=compiling):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:3]
        if deterministic:  # else it was not touched, and asking imports torch's compiler, perhaps half imported by now
            torch.use_deterministic_algorithms(before[3])
        if before[4] is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        else:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = before[4]
