"""Importing computes nothing and changes nothing, and what needs no torch does not wait for it."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def for_the_verb() -> set[str]:
    """The modules that are there before the command line knows its verb."""
    return set(run("import sys, energy, energy.cli; print(*sys.modules)").split())


@pytest.fixture(scope="module")
def for_the_catalog() -> set[str]:
    """The modules that are there once every component is registered."""
    return set(run("import sys; from energy.command.catalog import load_all; load_all(); print(*sys.modules)").split())


@pytest.mark.parametrize("heavy", ["torch", "numpy", "hydra", "sklearn", "scipy", "matplotlib"])
def test_the_command_line_waits_for_nothing_heavy_before_it_knows_the_verb(heavy: str, for_the_verb: set[str]) -> None:
    assert "energy.cli" in for_the_verb and heavy not in for_the_verb


def test_importing_everything_leaves_torch_as_it_was() -> None:
    program = """
import os, random, signal, sys, warnings
import numpy, torch

def state():
    return (torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist(), random.getstate(),
        torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM),
        sorted(os.environ), os.getcwd(), warnings.filters[:], torch.get_default_device())

import hydra, safetensors.torch
before = state()
from energy.command.catalog import load_all
load_all()
after = state()
print([index for index, (a, b) in enumerate(zip(before, after)) if a != b])
"""
    assert run(program) == "[]"


@pytest.mark.parametrize("late", ["matplotlib", "sklearn", "torchdiffeq", "tensorboard", "wandb"])
def test_what_only_some_runs_need_is_imported_by_those(late: str, for_the_catalog: set[str]) -> None:
    assert {"torch", "energy.settle.settler"} <= for_the_catalog and late not in for_the_catalog


def test_importing_the_package_takes_no_time() -> None:
    took = "import time; begun = time.process_time(); import energy; print(time.process_time() - begun < 0.1)"
    assert run(took) == "True"


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["--help"],
        ["train", "--help"],
        ["compare", "--help"],
        ["evaluate", "--help"],
        ["explain"],
        ["explain", "settler"],
        ["explain", "dual_propagation"],
        ["runs", "."],
    ],
    ids=" ".join,
)
def test_what_computes_nothing_answers_without_torch_in_less_than_a_second(words: list[str], tmp_path: Path) -> None:
    program = f"""
import os, sys, time
from energy.cli import main
os.chdir({str(tmp_path)!r})
status = main({words!r})
print(status, "torch" in sys.modules, time.process_time() < 1)
"""
    assert run(program).splitlines()[-1] == "0 False True"
