"""Which components records may name: importing them puts them into the closed table that `build` chooses from.

Other projects have packages called `models` and `configs` too. Ours are those beside `energy`, wherever one stands.
"""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import energy
from energy.component import ConfigurationError

PACKAGES: Final = ("models", "energy.data", "energy.relax", "energy.settle", "energy.rules", "energy.train")


def know() -> None:
    """Import every module of ours that registers components that a run can be made of."""
    for name in PACKAGES:
        package = own(name) if "." not in name else importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")


def beside(name: str) -> Path:
    """The folder `name` that came with `energy`.

    Raises:
        ConfigurationError: where it did not.
    """
    folder = Path(energy.__file__).resolve().parent.parent / name
    if not (folder / "__init__.py").is_file():
        found, home = _found(name) or "missing", folder.with_name("energy")
        raise ConfigurationError(f"{name}: the one found is {found}, which did not come with {home}")
    return folder


def own(name: str) -> ModuleType:
    """The package `name` beside `energy`: under this name where it is free or ours, else as `energy_<name>`."""
    file = beside(name) / "__init__.py"
    found = _found(name)
    if found == file:
        return importlib.import_module(name)
    called = f"energy_{name}" if found else name
    if called not in sys.modules:
        spec = importlib.util.spec_from_file_location(called, file, submodule_search_locations=[str(file.parent)])
        assert spec is not None and spec.loader is not None
        sys.modules[called] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[called])
    return sys.modules[called]


def _found(name: str) -> Path | None:
    """The file or folder that `import name` leads to here; None where it fails."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None) if module is not None else importlib.util.find_spec(name)
    file = getattr(module, "__file__", None) or (spec.origin if spec is not None else None)
    if file is None and (module is not None or spec is not None):
        return Path(name)  # a folder without __init__.py, or a module without a file
    return Path(file).resolve() if file else None
