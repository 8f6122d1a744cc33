"""The verb `data`: list data sets, check their files, and download them."""

from collections.abc import Callable
from typing import Final

from energy.command.output import show
from energy.component import ConfigurationError, choices, from_dict
from energy.data.dataset import DataSet
from energy.data.fetch import fetch
from energy.data.listing import describe_sets
from energy.data.source import data_root


def list_sets(names: list[str]) -> int:
    """Print the size, the classes and the state of the files of every set, or of those named."""
    wanted = _known(names) or list(choices(DataSet))
    show(f"data sets under {data_root()}; ENERGY_DATA names the folder\n")
    for row in describe_sets():
        if row["name"] in wanted:
            show(f"{row['name']:<14} {row['shape']:<9} {row['images']:<18} {row['state']}\n{'':<14} {row['classes']}")
    return 0


def check_sets(names: list[str]) -> int:
    """Read sets completely, checking sizes, digests, shapes and labels."""
    for name in _known(_needed("check", names)):
        train, test = from_dict(DataSet, name).examples()
        show(f"{name}: {len(train.labels)} training and {len(test.labels)} test images, read and checked")
    return 0


def fetch_sets(names: list[str]) -> int:
    """Download sets, checking the published digests."""
    for name in _known(_needed("fetch", names)):
        show(f"{name}: {len(fetch(name))} files under {data_root()}")
    return 0


ACTIONS: Final[dict[str, Callable[[list[str]], int]]] = {"list": list_sets, "check": check_sets, "fetch": fetch_sets}


def _needed(action: str, names: list[str]) -> list[str]:
    if not names:
        raise ConfigurationError(f"data {action}: needs the name of a set; known: {', '.join(choices(DataSet))}")
    return names


def _known(names: list[str]) -> list[str]:
    """The names themselves; an error if one is no set."""
    for name in names:
        from_dict(DataSet, name)
    return names
