"""A place of its own for every page: an empty folder, no data sets, one thread, and nothing left registered."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from energy.command.catalog import load_all
from energy.component import Component
from energy.couplings.forms import forget_forms


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder for one page; what the page registers is gone after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, folder in (("ENERGY_DATA", "no-data"), ("ENERGY_CACHE", "cache"), ("MPLCONFIGDIR", "matplotlib")):
        monkeypatch.setenv(name, str(tmp_path.parent / folder))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("MPLBACKEND", "agg")
    load_all()  # before the table is copied: a module that is imported already registers nothing again
    table, threads = dict(Component.registry), torch.get_num_threads()
    torch.set_num_threads(1)
    forget_forms()  # of other tests, which the runs of this page would record
    yield tmp_path
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")  # the figures of a notebook
    torch.set_num_threads(threads)
    Component.registry.clear()
    Component.registry.update(table)
