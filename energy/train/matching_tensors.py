"""Comparison of stored tensors with those that they are going to replace, by name, type and shape."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from energy.errors import DamagedFileError


def require_tensors(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    where: str,
    error: type[DamagedFileError] = DamagedFileError,
) -> None:
    """Check that `tensors` are those of `wanted`, whose numbers are not looked at.

    Args:
        tensors: by name, as they were stored.
        wanted: by name, as they must be; on any device, also without numbers.
        where: the file, which messages begin with.
        error: the class of errors to raise.

    Raises:
        DamagedFileError: or `error`, for the first that is missing, is too much, or has another shape or type.
    """
    for name in [*wanted, *tensors]:
        if name not in tensors:
            raise error(f"{where}: lacks the tensor {name}, which its configuration asks for")
        if name not in wanted:
            raise error(f"{where}: has a tensor {name}, for which its configuration has no place")
        here, there = described(tensors[name]), described(wanted[name])
        if here != there:
            raise error(f"{where}: {name} is {here}, its configuration asks for {there}")


def described(value: Any) -> str:
    """Describe a tensor by type and shape, and any other value by its type."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
