"""One of several processes with a wrapped module in `DistributedDataParallel`: `python -m tests.dropin.parallel FILE`.

Each has its share of the batch; `FILE.0`, `FILE.1` … have the gradients that it is left with, and the buffers.
"""

from __future__ import annotations

import copy
import sys

import torch
from torch import distributed, nn
from torch.nn.functional import cross_entropy

from energy.dropin import wrap
from energy.settle import DualPropagation
from tests.dropin.modules import batch, drawn

NAMES = ("functional", "twice linear", "residual")
Found = dict[str, dict[str, torch.Tensor]]


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    found = {name.removeprefix("module."): one.grad for name, one in module.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


def learned(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    cross_entropy(model(x), labels).backward()
    return gradients(model)


def main(file: str) -> None:
    distributed.init_process_group("gloo")
    rank, count = distributed.get_rank(), distributed.get_world_size()
    x, labels = batch()
    x, labels = x[rank::count], labels[rank::count]
    found: Found = {}
    for name in NAMES:
        plain = drawn(name).train()
        model = nn.parallel.DistributedDataParallel(wrap(copy.deepcopy(plain), DualPropagation(beta=1e-7)))
        found[name] = learned(model, x, labels)
        found[f"{name}, torch"] = learned(nn.parallel.DistributedDataParallel(plain), x, labels)
        with model.no_sync():
            model.zero_grad()
            found[f"{name}, alone"] = learned(model, x, labels)
    torch.save(found, f"{file}.{rank}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
