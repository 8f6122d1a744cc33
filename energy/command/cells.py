"""The cells of papers on the command line: chosen by name, and composed as `energy train` composes a run."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from energy.command.arguments import Arguments
from energy.component import ConfigurationError
from energy.errors import EnergyError, shown
from energy.hints import hint
from energy.io.plain_yaml import read_yaml
from energy.study.reproduction.cell import CELLS, Paper, ReproductionCell
from energy.study.reproduction.paper import LARGEST, folder_of, paper_folders, paper_name, read_paper

if TYPE_CHECKING:
    from energy.study.inference.study import Study
    from energy.train.run import Run

ROOT: Final = Path("paper_repro")  # of the present folder
RUNS: Final = Path("runs")


@dataclass(frozen=True)
class Chosen:
    """A paper, and the cells of it that a command asks for.

    Attributes:
        name: of the paper.
        folder: that holds its `cells.yaml`.
        paper: all its cells.
        cells: those that are asked for.
        named: whether they were asked for one by one.
    """

    name: str
    folder: Path
    paper: Paper
    cells: tuple[ReproductionCell, ...]
    named: bool = False


def chosen_papers(words: Sequence[str], experiments: Collection[str]) -> list[Chosen]:
    """Read the papers and cells that words name; all papers below `paper_repro` if there are none.

    Args:
        words: each a paper, by name or path, or a paper and a cell with a slash between.
        experiments: the names of experiment files that there are.

    Raises:
        ConfigurationError: for a paper or cell that is not there, and for a malformed file of cells.
    """
    if not words:
        return [_whole(folder, experiments) for folder in paper_folders(ROOT)]
    return [_named(word.rstrip("/"), experiments) for word in words]


def cell_runs(cell: ReproductionCell, paper: str, folders: Sequence[Path] = (), quiet: bool = False) -> dict[int, Run]:
    """Compose one run of a cell for each of its seeds, in `runs/<paper>/<cell>/seed-<n>`.

    Args:
        cell: a training.
        paper: the name of its paper.
        folders: further folders of presets.
        quiet: leave the settings that are filled in unsaid.

    Raises:
        ConfigurationError: for a word that is mistaken.
    """
    from energy.component import from_dict, to_dict
    from energy.train.run import Run

    plain, place = to_dict(_composed(cell, tuple(folders), quiet)), RUNS / paper / cell.name
    return {
        seed: from_dict(Run, {**plain, "seed": seed, "out": str(place / f"seed-{seed}")}, path="")
        for seed in cell.seeds
    }


def cell_study(chosen: Chosen, cell: ReproductionCell, arguments: Arguments) -> tuple[Study, Arguments]:
    """Compose the study of a cell, in `runs/<paper>/<cell>`.

    Args:
        chosen: its paper.
        cell: a study.
        arguments: the command line, for its folders of presets.

    Returns:
        The study, and the command line that makes it.
    """
    from energy.command.compose import plan
    from energy.study.inference.study import Study

    out = RUNS / chosen.name / cell.name
    line = Arguments(rest=[f"experiment={cell.study}", *cell.overrides, f"out={out}"], folders=arguments.folders)
    return plan(Study, "study", line)[0], line


@functools.cache
def _composed(cell: ReproductionCell, folders: tuple[Path, ...], quiet: bool) -> Run:
    """The run of a cell at its first seed, composed once a process, since it takes a tenth of a second."""
    from energy.command.compose import plan
    from energy.train.run import Run

    words = [f"experiment={cell.experiment}", *cell.overrides, f"seed={cell.seeds[0]}", f"title={cell.name}"]
    return plan(Run, "run", Arguments(rest=words, folders=list(folders)), quiet)[0]


def _read(folder: Path, experiments: Collection[str]) -> Paper:
    """The cells of a paper, from a file that is plain YAML within its limits before it is compared with the schema."""
    path = folder / CELLS
    read_yaml(path, LARGEST)
    try:
        return read_paper(folder, experiments)
    except EnergyError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # of values such as a date of 99 months
        raise ConfigurationError(f"{shown(path)}: cannot be read ({shown(str(error))})") from None


def _whole(folder: Path, experiments: Collection[str]) -> Chosen:
    paper = _read(folder, experiments)
    return Chosen(paper_name(folder, ROOT), folder, paper, tuple(paper.cells.values()))


def _named(word: str, experiments: Collection[str]) -> Chosen:
    """The paper of this name; or else the cell of the paper before the last slash."""
    folder = folder_of(word, ROOT)
    if folder is not None:
        return _whole(folder, experiments)
    above, _, name = word.rpartition("/")
    folder = folder_of(above, ROOT) if above else None
    if folder is None:
        known = [paper_name(one, ROOT) for one in paper_folders(ROOT)]
        raise ConfigurationError(f"repro {shown(word)}: there is no such paper; {hint(above or word, known)}")
    whole = _whole(folder, experiments)
    if name not in whole.paper.cells:
        raise ConfigurationError(f"repro {shown(word)}: {whole.name} has no such cell; {hint(name, whole.paper.cells)}")
    return replace(whole, cells=(whole.paper.cells[name],), named=True)
