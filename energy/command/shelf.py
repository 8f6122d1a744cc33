"""Lists of papers and of their cells, and their generated tables."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from energy.columns import fitted, terminal_width
from energy.command.cells import ROOT, RUNS, Chosen, cell_runs, chosen_papers
from energy.command.output import show
from energy.component import ConfigurationError
from energy.study.reproduction.cell import ReproductionCell, cost
from energy.study.reproduction.matrix import Entrance, entrance
from energy.study.reproduction.pages import generated_files, write_generated
from energy.study.reproduction.records import cell_identity, read_recorded
from energy.study.reproduction.status import SeedProgress, seed_status
from energy.study.reproduction.summary import was_run
from energy.study.reproduction.table import lines_of, measured_accuracies
from energy.study.results import RESULTS, read_results


def list_papers(papers: Sequence[Chosen]) -> int:
    """Print one line for each paper."""
    rows = []
    for chosen in papers:
        lines = read_results(chosen.folder / RESULTS)
        run = sum(was_run(chosen.folder, cell, lines) for cell in chosen.cells)
        rows.append([chosen.name, f"{run} of {len(chosen.cells)}", chosen.paper.title])
    show(fitted(["paper", "cells run", "title"], rows, terminal_width(), [])[0])
    print("energy repro PAPER runs what is missing; energy repro PAPER --list shows what that is and costs")
    return 0


def list_cells(papers: Sequence[Chosen], folders: Sequence[Path]) -> int:
    """Print one line for each cell: its size, what a seed needs, and the state of every seed.

    Args:
        papers: the papers and cells.
        folders: further folders of presets.
    """
    for chosen in papers:
        show(f"{chosen.name}: {chosen.paper.title}")
        width = max(len(cell.name) for cell in chosen.cells)
        for cell in chosen.cells:
            needs = f"{cost(cell.needs.hours)}, {cell.needs.device}"
            show(f"  {cell.name:{width}}  {needs:12}  {cell_state(chosen, cell, folders)}  ({cell.size})")
    return 0


def cell_state(chosen: Chosen, cell: ReproductionCell, folders: Sequence[Path] = ()) -> str:
    """Return the states of a cell, each after its seeds.

    Args:
        chosen: its paper.
        cell: the cell.
        folders: further folders of presets.
    """
    lines = read_results(chosen.folder / RESULTS)
    if cell.study:
        return "done" if was_run(chosen.folder, cell, lines) else "not run"
    own = lines_of(cell.name, lines)
    if not own and not (RUNS / chosen.name / cell.name).exists():
        return _told({SeedProgress.NOT_RUN.value: [str(seed) for seed in cell.seeds]})
    try:
        runs = cell_runs(cell, chosen.name, folders, quiet=True)
    except ConfigurationError as error:
        return f"cannot be composed: {error}"
    recorded = read_recorded(chosen.folder, cell.name)
    states: dict[str, list[str]] = {}
    for seed, run in runs.items():
        states.setdefault(seed_status(run, cell.name, recorded, own).text, []).append(str(seed))
    return _told(states)


def entrances_of(chosen: Chosen, folders: Sequence[Path] = ()) -> list[Entrance]:
    """Return the cells of a paper that may stand in the matrix.

    Those that were run are described by their records; the others are composed.

    Args:
        chosen: the paper.
        folders: further folders of presets.
    """
    found, lines = list[Entrance](), read_results(chosen.folder / RESULTS)
    for cell in chosen.paper.cells.values():
        if cell.experiment and cell.front:
            own = lines_of(cell.name, lines)
            configuration: Mapping[str, Any] = read_recorded(chosen.folder, cell.name).configuration if own else {}
            if not configuration:
                configuration = cell_identity(cell_runs(cell, chosen.name, folders, quiet=True)[cell.seeds[0]])
            one = entrance(chosen.name, cell, configuration, measured_accuracies(own))
            found += [] if one is None else [one]
    return found


def all_generated(experiments: Collection[str], folders: Sequence[Path] = ()) -> dict[Path, str]:
    """Return every generated file below `paper_repro` and above it, with its text.

    Args:
        experiments: the names of experiment files that there are.
        folders: further folders of presets.
    """
    papers = chosen_papers([], experiments)
    entrances = [one for chosen in papers for one in entrances_of(chosen, folders)]
    return generated_files(ROOT, {chosen.name: (chosen.folder, chosen.paper) for chosen in papers}, entrances)


def write_tables(experiments: Collection[str], folders: Sequence[Path] = ()) -> int:
    """Write the generated files that differ, and print their names.

    Args:
        experiments: the names of experiment files that there are.
        folders: further folders of presets.
    """
    write_generated(all_generated(experiments, folders))
    return 0


def _told(states: Mapping[str, Sequence[str]]) -> str:
    """States, each after its seeds."""
    return "; ".join(f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}: {t}" for t, seeds in states.items())
