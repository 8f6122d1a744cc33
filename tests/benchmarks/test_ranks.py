"""Two processes that share a batch, beside one that has it alone, each with one thread.

The efficiency is the time of one, halved, over the time of two: 1 if nothing is lost to the exchange.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from energy.errors import EnergyError
from tests.benchmarks.ranked import ALONE, NETWORKS, SHARED, SUM
from tests.benchmarks.timing import Record, ratio, rows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [32, 128, 512])
def test_shared_batch(record: Record, name: str, batch: int) -> None:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tests.benchmarks.ranked"]
    done = subprocess.run(
        [sys.executable, *words, name, str(batch)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EnergyError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    (volume,) = found.pop("bytes")
    shared = {"group": name, "batch": batch}
    one, two = rows({key: found[key] for key in (ALONE, SHARED)}, ALONE, **shared)
    efficiency = ratio(0.5 * np.asarray(found[ALONE]), found[SHARED])
    (summed,) = rows({SUM: found[SUM]}, SUM, **shared)
    rate = volume / summed["seconds"]
    record.add(one, {**two, **efficiency.columns("efficiency")}, {**summed, "bytes": volume, "bytes_per_second": rate})
    assert two["seconds"] > 0 and rate > 0
