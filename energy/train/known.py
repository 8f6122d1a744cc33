"""Which components records may name: importing them puts them into the closed table that `build` chooses from."""

import importlib
import pkgutil
from typing import Final

PACKAGES: Final = ("models", "energy.data", "energy.relax", "energy.settle", "energy.rules", "energy.train")


def know() -> None:
    """Import every module of ours that registers components that a run can be made of."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{name}.{module.name}")
