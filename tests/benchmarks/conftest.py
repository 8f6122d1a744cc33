"""One record a file of benchmarks."""

import os

import pytest
import torch

from tests.benchmarks.timing import Record


@pytest.fixture(scope="module")
def record(request: pytest.FixtureRequest) -> Record:
    """The record that carries the name of the file: test_scaling.py writes scaling.json, with ENERGY_BENCH_FULL=1
    scaling_full.json.
    """
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    name += "_full" if os.environ.get("ENERGY_BENCH_FULL", "") == "1" else ""
    return Record(name, torch.device("cuda" if name == "gpu" else "cpu"))
