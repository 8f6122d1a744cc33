"""Which components there are: ours, and the ones of plug-ins."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Final

import energy
from energy.command.plugins import load_plugin

ASIDE: Final = ("energy.__main__", "energy.cli", "energy.command", "energy.plots", "energy.testing")


def load(plugins: Iterable[str] = ()) -> None:
    """Import every module that may declare components, then the plug-ins, in this order.

    Raises:
        ConfigurationError: when a plug-in is missing or fails, naming its line.
    """
    for module in pkgutil.walk_packages(energy.__path__, "energy."):
        if not module.name.startswith(ASIDE):
            importlib.import_module(module.name)
    for plugin in plugins:
        load_plugin(plugin)
