"""VGG16 on a GPU: seconds of an epoch of CIFAR-10, eager and captured in a CUDA graph, and the share of the peak.

Batches of 100 normally distributed images of 32×32, an epoch of 450 steps extrapolated from 50 that are timed together.
A step is gradient and fused SGD; in a captured one settling, rule and optimiser are in the graph and nothing is left to
the host. float32 without and with TF32, and bfloat16 activities over float32 weights. The peak is that of a large
product of matrices in the same precision. `make bench-gpu` runs it; this file has not been run yet on a GPU.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.analysis.gradient_alignment import angles
from energy.ledger import backprop_multiply_adds
from energy.models import VGG16
from energy.study.memory import peak_bytes
from energy.train.settings import settings
from tests.benchmarks.machine import product
from tests.benchmarks.tasks import DUAL, EAGER, FUSED, Task, backprop_steps, candidates, task
from tests.benchmarks.timing import QUIET, Record, Step, interleaved, rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore::UserWarning", "error:kernels"),  # torch's about TF32 and streams, not ours
    QUIET,
]
Graphs = Mapping[str, tuple[Step, list[Tensor]]]

BATCH, TIMED, EPOCH = 100, 50, 450
SIDE = 8192
PRECISIONS = {
    "float32": (torch.float32, False),
    "TF32": (torch.float32, True),
    "bfloat16": (torch.bfloat16, False),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_epoch(record: Record, precision: str) -> None:
    torch.compiler.reset()
    dtype, tf32 = PRECISIONS[precision]
    given = task(VGG16(), (3, 32, 32), BATCH, "cuda").to(dtype)
    assert backprop_steps(given, DUAL) == 1.0
    eager = {name: permitted(step, tf32) for name, step in candidates(given).items()}
    with settings(deterministic=False):  # as timing has it, so that a graph holds the kernels that are timed
        graphs = {name: captured(given, step) for name, step in eager.items()}
        same_gradients(given, eager, graphs, precision)
    call, operations = product(SIDE, dtype, "cuda")
    replays = {f"{name}, graph": replay for name, (replay, _) in graphs.items()}
    times = interleaved({**eager, **replays, "peak": permitted(call, tf32)}, TIMED)
    peak = operations / statistics.median(times.pop("peak"))
    work = 2 * backprop_multiply_adds(given.network) * BATCH
    for row in rows(times, EAGER, group="VGG16", dtype=precision, batch=BATCH):
        record.add({**row, **priced(row["seconds"], work, peak), "peak_bytes": memory(given, row["name"], eager)})


def priced(seconds: float, work: int, peak: float) -> dict[str, Any]:
    """Seconds of an epoch, operations a second, and the share of the measured peak."""
    rate = work / seconds
    return {"epoch_seconds": EPOCH * seconds, "flops_per_second": rate, "peak": peak, "share_of_peak": rate / peak}


def memory(given: Task, name: str, eager: dict[str, Step]) -> int | None:
    """Bytes a step works in; a captured one keeps its own pool and is left out."""
    if name not in eager:
        return None
    given.clear()
    return peak_bytes(eager[name], given.x.device)


@contextlib.contextmanager
def allowed(tf32: bool) -> Iterator[None]:
    """Products and convolutions in TF32, or in full float32, while the context lasts."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def permitted(step: Step, tf32: bool) -> Step:
    """The step in its own precision, since timing switches TF32 off around it."""

    def run() -> None:
        with allowed(tf32):
            step()

    return run


def captured(given: Task, step: Step) -> tuple[Step, list[Tensor]]:
    """The step as a CUDA graph over static inputs, and the gradients that it writes, which stay where they are.

    Three steps on a side stream come first, as capturing asks for, so that libraries and compiled kernels are ready.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    given.clear()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay, given.gradients()


def same_gradients(given: Task, eager: Mapping[str, Step], graphs: Graphs, precision: str) -> None:
    """A captured step writes what the eager one does, and dual propagation in float32 what back-propagation does."""
    found = {}
    for name, step in eager.items():
        step()
        found[name] = [gradient.clone() for gradient in given.gradients()]
        replay, written = graphs[name]
        replay()
        assert angles(given.network, written, found[name])["cosine_worst"] > 0.999
    if precision == "float32":
        assert angles(given.network, found[FUSED], found[EAGER])["cosine_worst"] > 0.997  # β = 1e-3, before training
