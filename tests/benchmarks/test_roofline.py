"""What the machine can do, and how much of it a training step uses.

Measured: a large product of matrices, a copy of memory, and every product of a step alone (drive, adjoint and weight
product of each layer, without pooling). A step does 2(3U − U₁) operations a sample; `products` is the share of its
time that these take when each runs alone, and the rest goes to gates, pooling, memory and calls.
"""

import statistics

import pytest
import torch

from energy.models import VGG16
from tests.benchmarks.machine import copy, kernels, median_seconds, product
from tests.benchmarks.tasks import DUAL, EAGER, backprop_steps, candidates, task
from tests.benchmarks.test_dual_propagation import BATCH, MODELS
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

DTYPES = (torch.float32, torch.bfloat16)
SIDE, MEBIBYTES = 2048, 256


def test_memory(record: Record) -> None:
    call, size = copy(MEBIBYTES)
    seconds = median_seconds(call)
    record.add({"kind": "peak", "name": f"copy of {MEBIBYTES} MiB", "bytes_per_second": size / seconds})


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
def test_product(record: Record, dtype: torch.dtype) -> None:
    call, operations = product(SIDE, dtype)
    name, rate = f"product of {SIDE}²", operations / median_seconds(call)
    record.add({"kind": "peak", "name": name, "dtype": str(dtype)[6:], "flops_per_second": rate})


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
def test_convolutions(record: Record, dtype: torch.dtype) -> None:
    """Layers of VGG16; those of one size are alike and measured once."""
    given, seen = task(VGG16(), (3, 32, 32), BATCH).to(dtype), set()
    for kernel in kernels(given.network, given.x):
        shape = (tuple(next(kernel.edge.coupling.parameters()).shape), kernel.edge.multiply_adds, kernel.form)
        if shape not in seen:
            seen.add(shape)
            name = f"{given.network.layers[kernel.edge.target - 1].name} {kernel.form}"
            rate = 2 * kernel.multiply_adds / median_seconds(kernel.call)
            record.add({"kind": "kernel", "name": name, "dtype": str(dtype)[6:], "flops_per_second": rate})


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("name", MODELS)
def test_a_step(record: Record, name: str, dtype: torch.dtype) -> None:
    torch.compiler.reset()
    given = task(*MODELS[name], BATCH).to(dtype)
    alone = {f"{k.form} {k.edge.index}": k for k in kernels(given.network, given.x)}
    assert backprop_steps(given, DUAL) == 1.0
    operations = 2 * sum(kernel.multiply_adds for kernel in alone.values())
    times = interleaved({**candidates(given), **{label: kernel.call for label, kernel in alone.items()}})
    floor = sum(statistics.median(times.pop(label)) for label in alone)
    for row in rows(times, EAGER, kind="step", group=name, dtype=str(dtype)[6:], batch=BATCH):
        rate, share = operations / row["seconds"], floor / row["seconds"]
        record.add({**row, "flops_per_second": rate, "products_seconds": floor, "products": share})
