"""The record of a study: a file for each point, one object of all, and one tidy table.

`points/<key>.json` holds a point as soon as it is measured; `study.json` (schema 1) all of them with what they stand
on; `study.csv`, and `study.parquet` where pyarrow is installed, a row for each point and layer.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from energy.errors import DamagedFileError, UsageError
from energy.io.atomic import replacing, write_text
from energy.io.plain import flatten
from energy.io.record import read_json
from energy.io.schema import Kind, require_fields

SCHEMA: Final = 1
STUDY: Final = "study.json"
TABLE: Final = "study.csv"
PARQUET: Final = "study.parquet"
POINTS: Final = "points"
TRAINED: Final = "trainings"
WHOLE: Final = "all"  # the layer of a row that speaks of the network as a whole

AXES: Final = (
    *("settler", "kind", "relaxation", "gamma", "beta", "budget", "tolerance", "precision", "gain", "depth", "units"),
    *("parameters", "batch", "seed", "age", "model", "data"),
)
MEASURES: Final = (
    *("outcome", "backprop_steps", "multiply_adds", "bytes_held", "bytes_moved", "seconds", "seconds_over_backprop"),
    *("seconds_over_compiled", "joules", "cosine_whole", "cosine_worst", "worst_layer", "loop_gain"),
    *("rate_predicted", "rate_measured", "accuracy"),
)
OF_LAYER: Final = ("cosine", "residual_median", "residual_p95")
COLUMNS: Final = (
    *("protocol", "study", "point", "blocks", *AXES, "layer", *OF_LAYER, *MEASURES),
    *("sweeps_free_mean", "sweeps_free_p95", "sweeps_free_max"),
    *("sweeps_nudged_mean", "sweeps_nudged_p95", "sweeps_nudged_max"),
    *("energy_gap_median", "energy_gap_p95", "commit", "device_name", "torch"),
)
HELD: Final[dict[str, Kind]] = {
    **dict.fromkeys(("title", "key", "protocol"), str),
    **dict.fromkeys(("points", "trainings"), list[dict]),
    "limits": list[str],
    "spent": dict[str, float],
}
NUMBER: Final[Kind] = float | None
AXIS: Final[dict[str, Kind]] = {
    **dict.fromkeys(AXES, NUMBER),
    **dict.fromkeys(("settler", "kind", "relaxation", "precision", "model", "data"), str),
    "budget": str | None,
}
MEASURE: Final[dict[str, Kind]] = {
    **dict.fromkeys(MEASURES, NUMBER),
    "outcome": str,
    "worst_layer": str | None,
    **dict.fromkeys(("outcomes", "steps", "reference"), dict),
}
POINT: Final[dict[str, Kind]] = {
    "id": str,
    "blocks": list[str],
    "axes": dict[str, str | float | bool | None],
    "measures": dict,
    "samples": {"sweeps": dict[str, list[float]], **dict.fromkeys(("residual", "energy_gap"), list[float | None])},
    "layers": dict[str, dict[str, NUMBER]],
}
ORIGIN: Final[dict[str, Kind]] = {"origin": dict}
SPENT: Final = ("seconds", "multiply_adds", "points", "trainings")
GREATEST: Final = 1e100  # of the numbers that are summed up


def read_study(folder: Path) -> dict[str, Any]:
    """Read the `study.json` in a folder.

    Raises:
        MissingFileError: if there is none.
        UsageError: if its schema is another one.
        DamagedFileError: naming a field that is missing or of another type.
    """
    record = read_json(folder / STUDY)
    if record.get("schema") != SCHEMA:
        raise UsageError(f"{folder / STUDY}: schema={record.get('schema')!r}: must be {SCHEMA}")
    require_fields(record, HELD, str(folder / STUDY))
    require_fields(record["spent"], dict.fromkeys(SPENT, float), f"{folder / STUDY}: spent")
    for number, point in enumerate(record["points"]):
        where = f"{folder / STUDY}: points[{number}]"
        require_fields(point, POINT, where)
        require_fields(point, ORIGIN, where, partial=True)
        require_fields(point["axes"], AXIS, f"{where}: axes", partial=True)
        require_fields(point["measures"], MEASURE, f"{where}: measures", partial=True)
    for path, value in flatten(record, lists=True):
        if isinstance(value, int | float) and abs(value) > GREATEST:
            raise DamagedFileError(f"{folder / STUDY}: {path}={value:.6g}: must be at most {GREATEST:g}")
    return record


def origin_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the code and the machine of a number, from the facts of `energy.io.provenance`."""
    return {name: facts.get(name) for name in ("commit", "device_name", "torch", "threads")}


def table_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table: one for each point as a whole, and one for each of its layers."""
    origin = origin_of(record)
    head = {"protocol": record["protocol"], "study": record["title"]}
    for point in record["points"]:
        own = {**origin, **point.get("origin", {})}
        base = {**head, "point": point["id"], "blocks": " ".join(point["blocks"]), **point["axes"], **own}
        whole = {**point["measures"], **_over_samples(point["samples"])}
        yield {**base, "layer": WHOLE, **{name: whole[name] for name in whole if name in COLUMNS}}
        for layer, numbers in point["layers"].items():
            yield {**base, "layer": layer, **numbers}


def _over_samples(samples: Mapping[str, Any]) -> dict[str, Any]:
    """Mean, 95th percentile and maximum of the sweeps; median and 95th percentile of residual and energy gap."""
    found: dict[str, Any] = {}
    for phase, sweeps in samples["sweeps"].items():
        if phase in ("free", "nudged") and sweeps:
            found[f"sweeps_{phase}_mean"] = statistics.fmean(sweeps)
            found[f"sweeps_{phase}_p95"] = float(np.quantile(sweeps, 0.95))
            found[f"sweeps_{phase}_max"] = max(sweeps)
    for name in ("residual", "energy_gap"):
        known = [one for one in samples[name] if one is not None]
        if known:
            found[f"{name}_median"] = statistics.median(known)
            found[f"{name}_p95"] = float(np.quantile(known, 0.95))
    return found


def write_table(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the table as CSV, and as Parquet where pyarrow is installed; empty cells stand for None."""
    lines = [{name: row.get(name) for name in COLUMNS} for row in table_rows(record)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    write_text(folder / TABLE, text.getvalue())
    _write_parquet(folder / PARQUET, lines)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _write_parquet(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports] (not a dependency)
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    table = pyarrow.Table.from_pylist([dict(line) for line in lines])
    with replacing(path) as file:
        parquet.write_table(table, file)


def merged(records: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Join studies of one protocol, from several machines or people, into one record.

    A point that several of them have measured is kept from each, with its origin: machines differ in their times and in
    the last digits.

    Args:
        records: a name, such as a path, and a record.

    Raises:
        UsageError: for studies of several protocols or schemas, or none.
    """
    given = list(records)
    if not given:
        raise UsageError("merge: needs at least one study")
    first_name, first = given[0]
    points: dict[tuple[Any, ...], Any] = {}
    for name, record in given:
        for field in ("schema", "protocol"):
            if record[field] != first[field]:
                told = f"{first_name} has {field} {first[field]!r}, {name} has {record[field]!r}"
                raise UsageError(f"merge: {told}; measure one of them again")
        origin = origin_of(record)
        for point in record["points"]:
            own = point.get("origin", origin)
            points[(point["id"], *map(str, own.values()))] = {**point, "origin": own}
    spent = {key: sum(record["spent"][key] for _, record in given) for key in SPENT}
    trainings = [one for _, record in given for one in record["trainings"]]
    limits = list(dict.fromkeys(one for _, record in given for one in record["limits"]))
    return {
        **first,
        "merged": [{"from": name, "key": record["key"], "commit": record.get("commit")} for name, record in given],
        "points": list(points.values()),
        "trainings": trainings,
        "limits": limits,
        "spent": {**spent, "points": len(points)},
    }
