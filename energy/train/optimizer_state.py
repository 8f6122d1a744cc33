"""The state of an optimizer in a checkpoint: its tensors, its other values, and a comparison before either is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energy.errors import DamagedCheckpointError
from energy.train.matching_tensors import described
from energy.train.optimizer import Optimizer

Slots = dict[int, dict[str, Any]]  # the values that an optimizer keeps for each parameter, by its number


def slot_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors among the slots as `<number of the parameter>/<slot>`."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{name}": x for i, slots in state.items() for name, x in slots.items() if isinstance(x, Tensor)}


def slot_values(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """Return the slots that are no tensors, by the number of the parameter; each with slots has an entry."""
    state = optimizer.state_dict()["state"]
    return {str(i): {k: x for k, x in slots.items() if not isinstance(x, Tensor)} for i, slots in state.items()}


def load_slots(
    component: Optimizer,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Mapping[str, Any]],
    where: Path,
) -> None:
    """Put the results of `slot_tensors` and `slot_values` into an optimizer, if they are such as it would make.

    Args:
        component: the description that the optimizer was created from.
        optimizer: receives the state.
        tensors: by parameter and slot.
        values: by parameter, then by slot.
        where: the checkpoint, which messages begin with.

    Raises:
        DamagedCheckpointError: for a parameter that is not there, a slot that is missing or unknown, and one of another
            shape or type.
    """
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    state: Slots = {}
    for index, slots in values.items():
        state[_number(index, count, where)] = dict(slots)
    for name, tensor in tensors.items():
        index, _, slot = name.partition("/")
        if index not in values:
            raise DamagedCheckpointError(f"{where}: optimizer/{name}: facts.json knows no slots of this parameter")
        state[_number(index, count, where)][slot] = tensor
    wanted = _fresh(component, optimizer)
    strict = type(optimizer).__module__.startswith("torch.optim")
    for index, slots in state.items() if wanted else ():
        _compare(slots, wanted.get(index, {}), f"{where}: optimizer/{index}", strict)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _number(index: str, count: int, where: Path) -> int:
    if not (index.isascii() and index.isdigit() and int(index) < count):
        raise DamagedCheckpointError(f"{where}: optimizer/{index}: there are {count} parameters, from 0")
    return int(index)


def _compare(slots: Mapping[str, Any], wanted: Mapping[str, Any], where: str, strict: bool) -> None:
    """Compare the slots of one parameter with fresh ones; without `strict` there may be further ones."""
    for name in [*wanted, *(slots if strict else ())]:
        if name not in slots:
            raise DamagedCheckpointError(f"{where}/{name}: is missing")
        if name not in wanted:
            raise DamagedCheckpointError(f"{where}/{name}: the optimizer has no such slot")
        here, there = described(slots[name]), described(wanted[name])
        if here != there:
            raise DamagedCheckpointError(f"{where}/{name}: is {here}, must be {there}")


def _fresh(component: Optimizer, optimizer: torch.optim.Optimizer) -> Slots:
    """The slots after one step of a new optimizer, without numbers if it can do that; empty if it cannot step alone."""
    for device in ("meta", "cpu"):
        groups = [
            {"lr": group["lr"], "params": [torch.zeros_like(x, device=device) for x in group["params"]]}
            for group in optimizer.param_groups
        ]
        for tensor in (tensor for group in groups for tensor in group["params"]):
            tensor.grad = torch.zeros_like(tensor)
        try:
            other = component.algorithm(groups, fused=False)
            other.step()
        except (RuntimeError, TypeError, ValueError, KeyError):
            continue
        return other.state_dict()["state"]
    return {}
