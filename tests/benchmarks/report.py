"""The tables of docs/measurements.md, from the records of the benchmarks.

python -m tests.benchmarks.report runs/bench                    print them
python -m tests.benchmarks.report runs/bench docs/measurements.md    put them between the marks of the page
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from energy.io.record import read_json

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], str]]


def number(key: str, unit: float = 1.0, digits: int = 3) -> Callable[[Row], str]:
    """A column of numbers in some unit, to some significant digits; a dash where there is none."""

    def cell(row: Row) -> str:
        if row.get(key) is None:
            return "–"
        value = row[key] / unit
        return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"

    return cell


def text(key: str) -> Callable[[Row], str]:
    """A column of words."""
    return lambda row: str(row.get(key) or "–")


def spread(key: str) -> Callable[[Row], str]:
    """A ratio with its interval."""

    def cell(row: Row) -> str:
        if row.get(key) is None:
            return "–"
        return f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"

    return cell


STEP: Final[Columns] = {"network": text("group"), "precision": text("dtype"), "candidate": text("name")}
TIMED: Final[Columns] = {"ms a step": number("seconds", 1e-3), "over eager back-propagation": spread("ratio")}
ANGLE: Final[Columns] = {
    "weights": text("group"),
    "settler": text("name"),
    "multiply-adds, at most": number("backprop_steps"),
    "worst layer, median": number("cosine", digits=4),
    "least": number("cosine_least", digits=4),
}
SCALED: Final[Columns] = {"along": text("axis"), "at": number("at"), **{key: STEP[key] for key in ("network",)}}

TABLES: Final[dict[str, tuple[Callable[[Row], bool], Columns]]] = {
    "dual_propagation": (
        lambda row: True,
        {
            **STEP,
            **TIMED,
            "over compiled back-propagation": spread("over_compiled"),
            "peak MiB": number("peak_bytes", 2**20),
            "multiply-adds": number("backprop_steps"),
        },
    ),
    "step": (
        lambda row: True,
        {
            "network": text("group"),
            "settler": text("name"),
            "multiply-adds": number("backprop_steps"),
            "time": spread("ratio"),
            "ms a step": number("seconds", 1e-3),
        },
    ),
    "roofline": (
        lambda row: row["kind"] == "step",
        {
            **STEP,
            "ms a step": number("seconds", 1e-3),
            "GFLOP/s": number("flops_per_second", 1e9),
            "products alone": number("products"),
        },
    ),
    "roofline/peak": (
        lambda row: row["kind"] != "step",
        {
            "what": text("name"),
            "precision": text("dtype"),
            "GFLOP/s": number("flops_per_second", 1e9),
            "GB/s": number("bytes_per_second", 1e9),
        },
    ),
    "equilibrium": (
        lambda row: row["kind"] == "price",
        {"settler": text("name"), "multiply-adds": number("backprop_steps"), "time": spread("ratio")},
    ),
    "equilibrium/angle": (
        lambda row: row["kind"] == "angle",
        ANGLE,
    ),
    "equilibrium/contrast": (lambda row: row["kind"] == "contrast", ANGLE),
    "equilibrium_full/angle": (lambda row: row["kind"] == "angle", ANGLE),
    "contraction": (
        lambda row: True,
        {
            "c": number("scale"),
            "γ": number("gamma"),
            "ρ²": number("squared_radius"),
            "zebra": number("rate_zebra"),
            "sweep": number("rate_sweep"),
            "synchronous": number("rate_synchronous"),
            "loop gain": number("loop_gain"),
        },
    ),
    "scaling": (lambda row: "ratio" in row, {**SCALED, "candidate": text("name"), "time": spread("ratio")}),
    "scaling/feedback": (
        lambda row: row["axis"] == "gamma",
        {**SCALED, "multiply-adds": number("backprop_steps"), "free": text("free"), "nudged": text("nudged")},
    ),
    "scaling/nudge": (
        lambda row: row["axis"] == "beta",
        {"β": number("at"), "candidate": text("name"), "worst layer": number("cosine", digits=5)},
    ),
    "ranks": (
        lambda row: True,
        {
            "network": text("group"),
            "batch": number("batch"),
            "what": text("name"),
            "ms": number("seconds", 1e-3),
            "efficiency": spread("efficiency"),
            "MiB": number("bytes", 2**20),
            "GB/s": number("bytes_per_second", 1e9),
        },
    ),
    "overhead": (
        lambda row: True,
        {"network": text("group"), "candidate": text("name"), "µs a step": number("microseconds")},
    ),
    "spiking": (
        lambda row: True,
        {
            "network": text("group"),
            "candidate": text("name"),
            "ms a step": number("seconds", 1e-3),
            "over snnTorch": spread("ratio"),
            "multiply-adds": number("backprop_steps"),
        },
    ),
    "softhebb": (
        lambda row: True,
        {
            "what": text("group"),
            "candidate": text("name"),
            "ms a step": number("seconds", 1e-3),
            "over the reference": spread("ratio"),
            "s per 1,000 images": number("seconds_1000"),
            "s in all": number("seconds_all", digits=4),
            "times faster": number("times_less"),
        },
    ),
    "data": (
        lambda row: True,
        {"network": text("group"), "what": text("name"), "images a second": number("images_per_second", digits=4)},
    ),
    "gpu": (
        lambda row: True,
        {
            "precision": text("dtype"),
            "candidate": text("name"),
            "s an epoch": number("epoch_seconds"),
            "TFLOP/s": number("flops_per_second", 1e12),
            "of the peak": number("share_of_peak"),
            "over eager back-propagation": spread("ratio"),
        },
    ),
}


def table(rows: Sequence[Row], columns: Columns) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row) for cell in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def tables(folder: Path) -> dict[str, str]:
    """The tables that the records of a folder allow, each with a line that says where its numbers come from."""
    found = {}
    for name, (chosen, columns) in TABLES.items():
        path = folder / f"{name.partition('/')[0]}.json"
        if path.is_file():
            record = read_json(path)
            rows = [row for row in record["rows"] if chosen(row)]
            found[name] = f"{table(rows, columns)}\n\n{_made(record, rows)}"
    return found


def _made(record: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Where the numbers of a table come from."""
    head, _, changed = record["commit"].partition("-")
    commit = f"{head[:9]}, with changes" if changed else head[:9]
    rounds = [row["pairs"] for row in rows if "pairs" in row]
    timed = f", at least {min(rounds)} rounds" if rounds else ""
    return f"{record['device_name']}, {record['threads']} threads, torch {record['torch']}, commit {commit}{timed}."


def fill(page: str, found: Mapping[str, str]) -> str:
    """The page with each table between `<!-- bench NAME -->` and `<!-- end -->`; marks without a record stay."""
    for name, shown in found.items():
        between = re.compile(rf"(<!-- bench {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = between.sub(lambda mark, shown=shown: f"{mark[1]}{shown}\n{mark[2]}", page)
    return page


if __name__ == "__main__":
    made = tables(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        page = Path(sys.argv[2])
        page.write_text(fill(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print("\n\n".join(f"## {name}\n\n{shown}" for name, shown in made.items()))
