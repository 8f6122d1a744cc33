"""Which components a command knows: ours, those of installed distributions, and those of the plug-ins it names."""

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
        ConfigurationError: when a plug-in is missing or fails, naming its file and line.
    """
    register_builtins()
    load_plugins(plugins)


def entries() -> list[Entry]:
    """Every component, by group and name: read from the files of the library unless there are others than these.

    Raises:
        ConfigurationError: when a plug-in that is installed fails.
    """
    if not _others():
        return _written().entries()
    from energy.command.registered import registered

    register_builtins()
    return registered()


def entry(module: str, title: str) -> Entry:
    """A class that is always there, such as the run, by its module and its name."""
    if not _others():
        return _written().entry(module, title)
    from energy.command.registered import entry_of

    register_builtins()
    return entry_of(getattr(importlib.import_module(module), title))


def _others() -> bool:
    """True where components are installed, or were imported, that did not come with the library."""
    return bool(entry_points()) or any(not cls.__module__.startswith("energy.") for cls in Component.registry.values())


@functools.cache
def _written() -> Written:
    return Written(modules())
