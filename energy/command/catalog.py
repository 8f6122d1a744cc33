"""The components that a command knows: the library's, those of installed distributions, and those of its plug-ins."""

import functools
import importlib
from collections.abc import Iterable

from energy.command.entry import Entry
from energy.command.plugins import load_plugins
from energy.command.written import Written
from energy.component import Component
from energy.train.registration import entry_points, modules, register_builtins


def load_all(plugins: Iterable[str] = ()) -> None:
    """Import every module that may declare components, then the plug-ins, in this order.

    Raises:
        ConfigurationError: if a plug-in is missing or fails, naming its file and line.
    """
    register_builtins()
    load_plugins(plugins)


def entries() -> list[Entry]:
    """List every component, by group and name.

    They are read from the library's files, without importing them, unless there are components from elsewhere.

    Raises:
        ConfigurationError: if an installed plug-in fails.
    """
    if not _others():
        return _written().entries()
    from energy.command.registered import registered

    register_builtins()
    return registered()


def entry(module: str, title: str) -> Entry:
    """Return the entry of a class that no name selects, such as the run, by its module and its name."""
    if not _others():
        return _written().entry(module, title)
    from energy.command.registered import entry_of

    register_builtins()
    return entry_of(getattr(importlib.import_module(module), title))


def _others() -> bool:
    """True if components are installed, or were imported, that did not come with the library."""
    return bool(entry_points()) or any(not cls.__module__.startswith("energy.") for cls in Component.registry.values())


@functools.cache
def _written() -> Written:
    return Written(modules())
