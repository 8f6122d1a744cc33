"""Which components there are: ours, and the ones of plug-in files."""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

import energy
from energy.component import ConfigurationError

ASIDE: Final = ("energy.cli", "energy.command", "energy.plots", "energy.testing")


def load(plugins: Iterable[str] = ()) -> None:
    """Import every module that may declare components, then the plug-in files, in this order.

    Raises:
        ConfigurationError: when ``models`` or ``configs`` are not the packages that came with this ``energy``, and
            when a plug-in is missing or fails, naming its line.
    """
    for name in ("models", "configs"):
        own(name)
    for package in (energy, own("models")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(ASIDE):
                importlib.import_module(module.name)
    for plugin in plugins:
        _import_file(Path(plugin))


def own(name: str) -> ModuleType:
    """The top-level package ``name`` that lies beside ``energy``; other projects install such names too."""
    home = Path(energy.__file__).parent.parent
    module = importlib.import_module(name)
    found = Path(module.__file__ or "").parent
    if found.resolve() != (home / name).resolve():
        raise ConfigurationError(f"{name}: the one found is {found}, which did not come with {home / 'energy'}")
    return module


def _import_file(path: Path) -> None:
    """Import a file under a name of its own; the same file again replaces its classes."""
    if not path.is_file():
        raise ConfigurationError(f"plugins={path}: there is no such file")
    name = f"energy_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"plugins={path}: must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(f"plugins={path}: {_place(error, path)}{type(error).__name__}: {error}") from error


def _place(error: BaseException, path: Path) -> str:
    """The last line of the plug-in that the error passed through."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path.absolute()
    ]
    return f"line {lines[-1]}: " if lines else ""
