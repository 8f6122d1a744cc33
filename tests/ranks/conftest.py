"""Processes that train together, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Start = Callable[..., list[subprocess.Popen[str]]]


@pytest.fixture(scope="session")
def start() -> Start:
    """``start(["-m", "module"], count=2)``: as many processes with the environment that torchrun gives them."""

    def begin(words: Sequence[str], count: int = 2, folder: Path = ROOT, **extra: str) -> list[subprocess.Popen[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(count),
            "OMP_NUM_THREADS": "1",
        }
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return [
            subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                env={**os.environ, **shared, **extra, "PYTHONPATH": path, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]

    return begin


def ended(processes: Sequence[subprocess.Popen[str]], patience: float = 300) -> list[tuple[int, str, str]]:
    """Wait for processes; exit status, output and errors of each. None is left behind when the patience is over."""
    try:
        found = [(one.communicate(timeout=patience), one.returncode) for one in processes]
    except subprocess.TimeoutExpired:
        for one in processes:
            one.kill()
            one.communicate()
        raise
    return [(code, out, err) for (out, err), code in found]
