"""The verb `plot`: the figures of a folder, by the records in it."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from energy.component import ConfigurationError
from energy.errors import DamagedFileError, EnergyError, shown
from energy.io.comparison import COMPARISON, read_comparison
from energy.io.plain_file import require_kind
from energy.io.record import FINAL, RECORD, read_json, read_lines, snapshot_of
from energy.io.run_folders import run_folders

MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def draw_folder(folder: Path) -> Iterator[Path]:
    """Draw the figures of a folder as `figures_of` does; a record that cannot be drawn becomes one line.

    Yields:
        The path of each figure, once it is written.

    Raises:
        DamagedFileError: if a record lacks what its figure shows, or holds something else there.
    """
    try:
        yield from figures_of(folder)
    except EnergyError:
        raise
    except MALFORMED as error:
        said = f"{type(error).__name__}: {shown(str(error))}"
        raise DamagedFileError(f"plot {shown(folder)}: a record in it cannot be drawn ({said})") from error


def figures_of(folder: Path) -> Iterator[Path]:
    """Draw the figures of a folder: of its comparison, of its run or runs, or of its benchmarks.

    Runs give training curves; a single run also the course of its settling, if it recorded one, and a finished one
    pictures of its features, or its spikes.

    Yields:
        The path of each figure, once it is written.

    Raises:
        ConfigurationError: if the folder holds no record of any kind.
        PlotsMissing: if matplotlib is not installed.
        DataError: if the images of the run's data set, which the pictures of its features need, are missing.
    """
    from energy.plots.benchmarks import draw_benchmarks
    from energy.plots.comparison import draw_comparison
    from energy.plots.curves import draw_curves

    if require_kind(folder / COMPARISON):
        yield draw_comparison(read_comparison(folder), folder / "compare.png")
        return
    if require_kind(folder / RECORD):
        yield draw_curves({folder.resolve().name: folder}, folder / "curves.png")
        yield from _settling(folder)
        yield from _spikes(folder) if require_kind(snapshot_of(folder)) else _learned(folder)
        return
    runs = sorted((run for run in run_folders(folder) if require_kind(run / RECORD)), key=_by_number)
    if not runs and (records := _benchmarks(folder)):
        yield draw_benchmarks(records, folder / "bench.png")
        return
    if not runs:
        held = f"neither a compare.json nor a {RECORD}, nor folders with one, nor records of benchmarks"
        raise ConfigurationError(f"plot {shown(folder)}: holds {held}")
    yield draw_curves(_labeled(_begun(runs)), folder / "curves.png")


def draw_together(folders: Sequence[Path], where: Sequence[str], path: Path) -> Path:
    """Draw the curves of all runs in or below folders as one figure, and return its path.

    Args:
        folders: run folders, and folders of such.
        where: conditions that a run must meet (`energy.study.run_condition`).
        path: the file.

    Raises:
        ConfigurationError: if no run is left, or a condition cannot be read.
        PlotsMissing: if matplotlib is not installed.
        DamagedFileError: if a record cannot be drawn.
    """
    from energy.plots.curves import draw_curves

    found = dict.fromkeys(run for top in folders for run in sorted(run_folders(top), key=_by_number))
    runs = [run for run in found if require_kind(run / RECORD)]
    if where:
        from energy.study.run_condition import matching_rows
        from energy.study.run_row import read_row

        runs = [Path(row.folder) for row in matching_rows([read_row(run, str(run)) for run in runs], where)]
    if not runs:
        raise ConfigurationError(f"plot {', '.join(map(shown, folders))}: no run there {'meets that' if where else ''}")
    try:
        return draw_curves(_labeled(_begun(runs)), path)
    except EnergyError:
        raise
    except MALFORMED as error:
        raise DamagedFileError(
            f"plot: a record cannot be drawn ({type(error).__name__}: {shown(str(error))})"
        ) from error


def _begun(runs: Sequence[Path]) -> Sequence[Path]:
    """The runs whose record has begun; all of them if none has."""
    return [run for run in runs if (run / RECORD).lstat().st_size] or runs


def _labeled(runs: Sequence[Path]) -> dict[str, Path]:
    """Runs by name: of several from the folder on that all share."""
    places = [run.resolve() for run in runs]
    if len(places) == 1:
        return {places[0].name: runs[0]}
    shared = os.path.commonpath(places)
    return {os.path.relpath(place, shared): run for place, run in zip(places, runs, strict=True)}


def _by_number(folder: Path) -> list[tuple[float, str]]:
    """The key of alphabetical order in which numbers within names are ordered by size."""
    parts = re.split(r"(\d+\.?\d*)", str(folder))
    return [(float(part[:300]), "") if index % 2 else (-1.0, part) for index, part in enumerate(parts)]


def _learned(folder: Path) -> Iterator[Path]:
    """The pictures of a finished run, from its record of them, which is made first if there is none."""
    from energy.io.figure_data import FIGURE_DATA, read_figure_data
    from energy.plots.pictures import draw_pictures

    if not require_kind(folder / FIGURE_DATA):
        if not require_kind(folder / FINAL, stat.S_IFDIR):
            return
        from energy.study.pictures import measure_run

        measure_run(folder)
    yield from draw_pictures(*read_figure_data(folder / FIGURE_DATA), folder)


def _settling(folder: Path) -> Iterator[Path]:
    """The figure of the last course of settling that a run has recorded."""
    from energy.plots.settling import draw_settling, last_trace

    if (found := last_trace(read_lines(folder / RECORD))) is not None:
        epoch, trace = found
        title = f"settling of {trace['samples']} training images after epoch {epoch + 1}, gamma {trace['gamma']:.3g}"
        yield draw_settling(trace, folder / "settling.png", title)


def _spikes(folder: Path) -> Iterator[Path]:
    """The figure of the snapshot that a run took of its spikes."""
    from energy.plots.spikes import draw_spikes

    yield draw_spikes(read_json(snapshot_of(folder)), folder / "spikes.png")


def _benchmarks(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of benchmarks in a folder, by name."""
    found = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return {record["benchmark"]: record for record in found if "benchmark" in record and "rows" in record}
