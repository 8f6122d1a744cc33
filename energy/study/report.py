"""The result of a comparison: rows of numbers and a table of text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from energy.columns import blocks, terminal_width
from energy.io.comparison import read_comparison
from energy.io.scores import ACCURACY, Score, common_score, main_score
from energy.study.bench import Price
from energy.study.paired import MOST_SEEDS, closest_pair, paired_difference, signed, within_noise
from energy.study.results import validated
from energy.study.statistics import markdown, number, plus_minus, sample_statistics

HEAD: Final = (
    "settler",
    "test",
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
    "test_accuracy": "percent of samples; values in the order of seeds that finished; test_r2 and test_label_accuracy "
    "are in its place where targets are real numbers, or labels that are on or off",
    "cosine_*": "with the exact gradient at the same gamma, probe batch; over seeds; 1 is exact",
    "sweeps": "relaxation steps per sample and training step, all phases, over training",
    "backprop_steps": "multiply-adds of a step, mean over training and seeds, in back-propagation steps (3U - U1)",
    "timed_backprop_steps": "the same for the step whose time and memory were measured",
    "seconds": "median seconds of one step on trained weights, taken in turn with the others",
    "time_ratio": "over back-propagation on the same network and batch, median of the ratios within a round",
    "time_ratio_interval": "95 %, bootstrap over the rounds; null at a single round",
    "peak_bytes": "bytes; see memory",
    "outcomes": "solves of training (one per batch and phase) by how they ended",
    "paired.differences": "test accuracy, or the other score, less that of the reference over the seeds that both "
    "finished, in percentage points or in its units; intervals 95 %; p of the sign-flip test; seeds_needed for this "
    "difference at 80 % power, 5 % two-sided",
    "paired.within_noise": "the settler of the best mean, then all that are not told apart from it",
    "paired.closest": "the pair with the smallest mean difference that is not 0",
}


def settler_row(label: str, found: Mapping[str, Any], price: Price, score: Score = ACCURACY) -> dict[str, Any]:
    """Collect the numbers of one settler.

    Args:
        label: of the settler.
        found: its results, angles and failures over the seeds.
        price: what a step of it costs.
        score: that settlers are compared by.
    """
    results, costs = found["results"], asdict(price)
    sweeps = [result["sweeps"] for result in results if result["sweeps"]["mean"] is not None]
    return {
        "label": label,
        "settler": found["settler"],
        "seeds": [result["seed"] for result in results],
        **dict.fromkeys((ACCURACY.test, ACCURACY.validation)),
        score.test: _over([result[score.test] for result in results]),
        score.validation: _over([validated(result) for result in results]),
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
        "time_ratio_interval": None if costs["ratio_low"] is None else [costs["ratio_low"], costs["ratio_high"]],
        "peak_bytes": costs["peak_bytes"],
        "outcomes": _outcomes(results),
        "failures": found["failures"],
    }


def accuracy_differences(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the test scores of all settlers, seed by seed.

    Args:
        rows: as `settler_row` makes them.

    Returns:
        `reference`, the first row of back-propagation, otherwise the first of all; `differences` from it by label, null
        for the reference and where no seed was finished by both; `within_noise`; and `closest`, null if no two rows
        differ over two seeds.
    """
    arms = {row["label"]: _by_seed(row) for row in rows}
    reference = next((row["label"] for row in rows if row["settler"]["name"] == "backprop"), rows[0]["label"])
    differences: dict[str, Any] = {}
    for label, arm in arms.items():
        paired = label != reference and set(arm) & set(arms[reference])
        differences[label] = asdict(paired_difference(arm, arms[reference])) if paired else None
    closest = closest_pair(arms)
    return {
        "reference": reference,
        "differences": differences,
        "within_noise": within_noise(arms),
        "closest": None if closest is None else asdict(closest),
    }


def markdown_report(report: Mapping[str, Any]) -> str:
    """Format the table and its conditions of measurement as Markdown."""
    notes = [
        *_told(report),
        f"Device {report['device_name']} ({report['device']}, {report['threads']} threads), torch {report['torch']}, "
        f"commit {report['commit'] or 'unknown'}; seeds {', '.join(map(str, report['seeds']))}; ± is one s.d.; "
        "intervals of differences are 95 % t intervals over the seeds that both finished, if these differ.",
        "Cosines are with the exact gradient at the same gamma (`implicit`), at the equilibrium that the same "
        "relaxation reaches when it runs on. Multiply-adds of a step are a mean over training; times are of steps on "
        "trained weights, taken in turn with the others: the median of the ratios within a round.",
        f"Peak memory: {report['memory']}.",
        "Figure: `compare.png` beside this file; `energy plot` with this folder draws it from `compare.json`.",
    ]
    notes += [f"**{row['label']}**: {failure}" for row in report["rows"] for failure in row["failures"]]
    table = markdown(*_table(report))
    return f"# {report['title']}\n\n{table}\n" + "\n\n".join(notes) + "\n"


def report_text(folder: Path) -> str:
    """Format the table of a `compare.json` for the terminal, in as many blocks as its width asks for."""
    report = read_comparison(folder)
    table = blocks(*_table(report), terminal_width())
    notes = [f"{row['label']}: {failure}" for row in report["rows"] for failure in row["failures"]]
    notes = [*_told(report), *notes, f"{folder / 'compare.md'} says what it stands on"]
    return "\n".join([report["title"], "", table, "", *(fill(note, terminal_width()) for note in notes)])


def _by_seed(row: Mapping[str, Any]) -> dict[int, float]:
    stats = row[main_score(row).test]
    return dict(zip(row["seeds"], stats["values"], strict=True)) if stats else {}


def _table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The head and the cells; a record made before differences were in it has no column of them."""
    score = common_score(report["rows"])
    head = [HEAD[0], f"{HEAD[1]} {score.heading}", *HEAD[2:]]
    rows, paired = [_cells(row) for row in report["rows"]], report.get("paired")
    if paired and len(rows) > 1:
        head.insert(2, f"difference to {paired['reference']}")
        for cells in rows:
            found = paired["differences"][cells[0]]
            nothing = "reference" if cells[0] == paired["reference"] else "–"
            cells.insert(2, nothing if found is None else signed(found["mean"], found["t_interval"], score.digits))
    return head, rows


def _told(report: Mapping[str, Any]) -> list[str]:
    """One sentence: which are within noise of the best, and what it takes to tell the closest two apart."""
    paired = report.get("paired")
    if not paired or len(report["rows"]) < 2 or not paired["within_noise"]:
        return []
    best, *others = paired["within_noise"]
    text = f"Within noise of {best}, the best mean: {', '.join(others) or 'no other'} (paired over seeds, 95 %)"
    closest = paired["closest"]
    if closest is not None:
        found, digits = closest["difference"], common_score(report["rows"]).digits
        needed = f"more than {MOST_SEEDS:,}" if found["seeds_needed"] is None else f"{found['seeds_needed']:,}"
        told = signed(found["mean"], None, digits)
        text += f"; {closest['first']} and {closest['second']}, the closest two ({told}), take "
        text += f"{needed} seeds to be told apart if that is their true difference (80 % power, 5 % two-sided)"
    return [f"{text}."]


def _cells(row: Mapping[str, Any]) -> list[str]:
    start = f"{_mean(row['cosine_worst_initial'])} / {_mean(row['cosine_whole_initial'])}"
    sweeps, score = row["sweeps"], main_score(row)
    stats = row[score.test]
    return [
        row["label"],
        "no finished run" if stats is None else plus_minus(stats, score.digits),
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
