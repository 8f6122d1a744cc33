"""The result of a comparison: rows of numbers and a table of text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from energy.columns import blocks, terminal_width
from energy.io.record import read_json
from energy.study.bench import Price
from energy.study.results import validated
from energy.study.statistics import markdown, number, plus_minus, sample_statistics

HEAD: Final = (
    "settler",
    "test accuracy, %",
    "cosine, worst layer",
    "cosine, whole",
    "cosine at the start, worst / whole",
    "sweeps a step, mean / p95 / max",
    "multiply-adds, BP steps",
    "time, ratio to BP",
    "peak memory, MiB",
    "outcome of solves",
)
UNITS: Final = {
    "test_accuracy": "percent of samples; values in the order of seeds that finished",
    "cosine_*": "with the exact gradient at the same gamma, probe batch; over seeds; 1 is exact",
    "sweeps": "relaxation steps per sample and training step, all phases, over training",
    "backprop_steps": "multiply-adds of a step, mean over training and seeds, in back-propagation steps (3U - U1)",
    "timed_backprop_steps": "the same for the step whose time and memory were measured",
    "seconds": "median seconds of one step on trained weights, taken in turn with the others",
    "time_ratio": "the same over back-propagation on the same network and batch",
    "peak_bytes": "bytes; see memory",
    "outcomes": "solves of training (one per batch and phase) by how they ended",
}


def settler_row(label: str, found: Mapping[str, Any], price: Price) -> dict[str, Any]:
    """Collect the numbers of one settler; `found` has its results, angles and failures over the seeds."""
    results, costs = found["results"], asdict(price)
    sweeps = [result["sweeps"] for result in results if result["sweeps"]["mean"] is not None]
    return {
        "label": label,
        "settler": found["settler"],
        "test_accuracy": _over([result["test_accuracy"] for result in results]),
        "validation_accuracy": _over([validated(result) for result in results]),
        **{
            f"cosine_{what}_{when}": _over([angle[f"cosine_{what}"] for angle in found[when]])
            for what in ("worst", "whole")
            for when in ("initial", "trained")
        },
        "worst_layers": sorted({str(angle["cosine_worst_layer"]) for angle in found["trained"]}),
        "sweeps": _sweeps(sweeps),
        "backprop_steps": None if not results else sum(result["backprop_steps"] for result in results) / len(results),
        "timed_backprop_steps": costs["backprop_steps"],
        "seconds": costs["seconds"],
        "time_ratio": costs["ratio"],
        "peak_bytes": costs["peak_bytes"],
        "outcomes": _outcomes(results),
        "failures": found["failures"],
    }


def markdown_report(report: Mapping[str, Any]) -> str:
    """Format the table and its conditions of measurement as Markdown."""
    notes = [
        f"Device {report['device_name']} ({report['device']}, {report['threads']} threads), torch {report['torch']}, "
        f"commit {report['commit'] or 'unknown'}; seeds {', '.join(map(str, report['seeds']))}; ± is one s.d.",
        "Cosines are with the exact gradient at the same gamma (`implicit`), at the equilibrium that the same "
        "relaxation reaches when it runs on. Multiply-adds of a step are a mean over training; times are medians of "
        "steps on trained weights, taken in turn with the others.",
        f"Peak memory: {report['memory']}.",
        "Figure: `compare.png` beside this file; `energy plot` with this folder draws it from `compare.json`.",
    ]
    notes += [f"**{row['label']}**: {failure}" for row in report["rows"] for failure in row["failures"]]
    table = markdown(HEAD, [_cells(row) for row in report["rows"]])
    return f"# {report['title']}\n\n{table}\n" + "\n\n".join(notes) + "\n"


def report_text(folder: Path) -> str:
    """Format the table of a `compare.json` for the terminal, in as many blocks as its width asks for."""
    report = read_json(folder / "compare.json")
    table = blocks(HEAD, [_cells(row) for row in report["rows"]], terminal_width())
    notes = [f"{row['label']}: {failure}" for row in report["rows"] for failure in row["failures"]]
    notes = [*notes, f"{folder / 'compare.md'} says what it stands on"]
    return "\n".join([report["title"], "", table, "", *(fill(note, terminal_width()) for note in notes)])


def _cells(row: Mapping[str, Any]) -> list[str]:
    start = f"{_mean(row['cosine_worst_initial'])} / {_mean(row['cosine_whole_initial'])}"
    sweeps = row["sweeps"]
    return [
        row["label"],
        "no finished run" if row["test_accuracy"] is None else plus_minus(row["test_accuracy"]),
        _spread(row["cosine_worst_trained"]),
        _spread(row["cosine_whole_trained"]),
        start,
        "none" if sweeps["mean"] is None else f"{sweeps['mean']:.1f} / {sweeps['p95']} / {sweeps['max']}",
        number(row["backprop_steps"], ".2f"),
        number(row["time_ratio"], ".2f"),
        number(None if row["peak_bytes"] is None else row["peak_bytes"] / 2**20, ".3g"),
        _outcome(row),
    ]


def _outcome(row: Mapping[str, Any]) -> str:
    counts = Counter(row["outcomes"])
    words = [f"{outcome} {100 * count / counts.total():.0f} %" for outcome, count in counts.most_common()]
    words += [f"{len(row['failures'])} not finite"] if row["failures"] else []
    return ", ".join(words) or "no solve"


def _outcomes(results: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for result in results:
        for counts in result["outcomes"].values():
            total.update(counts)
    return dict(total)


def _sweeps(found: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Over seeds: the mean of means, the greatest 95th percentile, the greatest maximum."""
    if not found:
        return {"mean": None, "p95": None, "max": None}
    mean = sum(one["mean"] for one in found) / len(found)
    return {"mean": mean, "p95": max(one["p95"] for one in found), "max": max(one["max"] for one in found)}


def _over(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return sample_statistics(known) if known else None


def _mean(stats: Mapping[str, Any] | None) -> str:
    return "–" if stats is None else f"{stats['mean']:.3f}"


def _spread(stats: Mapping[str, Any] | None) -> str:
    return "–" if stats is None else plus_minus(stats, 3)
