"""Tables of a study as files of comma-separated values, one row for each price, point, layer, epoch or fitted power."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from energy.io.atomic import write_text
from energy.study.page.tables import fitted_powers
from energy.study.prices import CosinePrice


def write_sheets(record: Mapping[str, Any], prices: Sequence[CosinePrice], folder: Path) -> list[Path]:
    """Write `prices.csv`, `points.csv`, `layers.csv`, `trainings.csv` and `scaling.csv` into `folder`.

    A table without rows is not written. Numbers have all their digits; an empty field is a number that is not known.
    """
    sheets: dict[str, Iterable[Mapping[str, Any]]] = {
        "prices": (price.row() for price in prices),
        "points": point_rows(record),
        "layers": layer_rows(record),
        "trainings": training_rows(record),
        "scaling": (asdict(one) for one in fitted_powers(record)),
    }
    written = []
    for name, rows in sheets.items():
        found = list(rows)
        if found:
            path = folder / f"{name}.csv"
            write_text(path, comma_separated(found))
            written.append(path)
    return written


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as comma-separated values below a head, with the columns of all of them in order of first use."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def point_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row for each point: its axes, its measures, and those of each phase in columns of their own."""
    for point in record["points"]:
        own = {"id": point["id"], "blocks": "; ".join(point["blocks"])}
        yield {**own, **point["axes"], **_flat(point["measures"])}


def layer_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row for each layer of each point."""
    for point in record["points"]:
        for layer, measures in point["layers"].items():
            yield {"id": point["id"], "settler": point["axes"]["settler"], "layer": layer, **measures}


def training_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row for each epoch of each training."""
    for training in record["trainings"]:
        shared = {name: value for name, value in training.items() if name != "epochs"}
        yield from ({**shared, **_flat(epoch)} for epoch in training["epochs"])


def _flat(found: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of a tree by the names that lead to them."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= _flat(value, f"{before}{name} ") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
