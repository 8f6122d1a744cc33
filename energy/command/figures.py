"""``energy plot``: which figure a folder asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from energy.component import ConfigurationError
from energy.train.record import OBSERVED, RECORD, read_json


def draw(folder: Path) -> Path:
    """Draw the comparison, the training curves of the run or runs, or the benchmarks that ``folder`` holds; return the
    figure.

    Raises:
        ConfigurationError: when there is no record of any kind.
        PlotsMissing: when matplotlib is not installed.
    """
    from energy.plots.benchmarks import draw_benchmarks
    from energy.plots.comparison import draw_comparison
    from energy.plots.curves import draw_curves

    if (folder / "compare.json").is_file():
        return draw_comparison(read_json(folder / "compare.json"), folder / "compare.png")
    if (folder / RECORD).is_file():
        return draw_curves({folder.name: folder}, folder / "curves.png")
    runs = sorted(record.parent for record in folder.glob(f"*/{RECORD}"))
    if not runs and (records := _benchmarks(folder)):
        return draw_benchmarks(records, folder / "bench.png")
    if not runs:
        held = f"neither a compare.json nor a {RECORD}, nor folders with one, nor records of benchmarks"
        raise ConfigurationError(f"plot {folder}: holds {held}")
    return draw_curves({run.name: run for run in runs}, folder / "curves.png")


def figures(folder: Path) -> Iterator[Path]:
    """All figures of a folder: what `draw` draws, and the spikes of a run that observed some."""
    yield draw(folder)
    if (folder / OBSERVED).is_file():
        from energy.plots.spikes import draw_spikes

        yield draw_spikes(read_json(folder / OBSERVED), folder / "spikes.png")


def _benchmarks(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of benchmarks in a folder, by name."""
    found = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return {record["benchmark"]: record for record in found if "benchmark" in record and "rows" in record}
