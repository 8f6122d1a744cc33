"""``energy data``: which sets there are, whether their files are whole, and how to get them."""

from collections.abc import Callable
from typing import Final

from energy.component import ConfigurationError, build, choices
from energy.data.dataset import DataSet
from energy.data.error import DataError
from energy.data.published import Published
from energy.data.source import data_root


def list_sets(names: list[str]) -> int:
    """Every set, its size, and whether its files are there."""
    print(f"data sets under {data_root()} (ENERGY_DATA names the folder)")
    for dataset in _chosen(names or list(choices(DataSet))):
        size = " x ".join(str(number) for number in dataset.image)
        print(f"  {dataset.label:<14} {size}, {dataset.classes} classes    {_presence(dataset)}")
    return 0


def check_sets(names: list[str]) -> int:
    """Read whole sets, with every check of sizes, digests, shapes and labels."""
    for dataset in _chosen(_needed("check", names)):
        train, test = dataset.read()
        print(f"{dataset.label}: {len(train.labels)} training and {len(test.labels)} test images, as published")
    return 0


def fetch_sets(names: list[str]) -> int:
    """Download sets, checking the published digests."""
    from energy.data.fetch import fetch

    for dataset in _chosen(_needed("fetch", names)):
        if isinstance(dataset, Published):
            fetch(dataset)
        print(f"{dataset.label}: {_presence(dataset)}")
    return 0


ACTIONS: Final[dict[str, Callable[[list[str]], int]]] = {"list": list_sets, "check": check_sets, "fetch": fetch_sets}


def _needed(action: str, names: list[str]) -> list[str]:
    if not names:
        raise ConfigurationError(f"data {action}: needs the name of a set; known: {', '.join(choices(DataSet))}")
    return names


def _chosen(names: list[str]) -> list[DataSet]:
    return [build(DataSet, name) for name in names]


def _presence(dataset: DataSet) -> str:
    if not isinstance(dataset, Published):
        return "embedded"
    try:
        layout, paths = dataset.locate()
    except DataError as error:
        return f"missing: {error}"
    return f"{layout.title}, in {paths[0].parent}"
