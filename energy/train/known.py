"""Which components records may name: importing them puts them into the closed table that `build` chooses from."""

import importlib
import pkgutil
from pathlib import Path
from typing import Final

import energy

PACKAGES: Final = (
    "energy.models",
    "energy.data",
    "energy.relax",
    "energy.settle",
    "energy.rules",
    "energy.readout",
    "energy.train",
)


def know() -> None:
    """Import every module of ours that registers components that a run can be made of."""
    for name in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
            importlib.import_module(f"{name}.{module.name}")


def beside(name: str) -> Path:
    """The folder `name` of the package `energy`."""
    return Path(energy.__file__).parent / name
