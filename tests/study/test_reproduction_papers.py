"""What is committed below `paper_repro`: cells compose, names agree, records have their schema, tables are current."""

import functools
import json
from pathlib import Path
from typing import Final

import pytest
import yaml

from energy.command.arguments import Arguments
from energy.command.catalog import load_all
from energy.command.cells import Chosen, cell_runs, chosen_papers
from energy.command.compose import plan
from energy.command.presets import EXPERIMENT, presets
from energy.command.shelf import all_generated
from energy.study.inference.study import Study
from energy.study.reproduction.cell import ReproductionCell
from energy.study.reproduction.records import cell_identity, read_recorded
from energy.study.results import read_results
from energy.train.run import Run, hash_of_description
from tests.docs.pages import ROOT, blocks, commands

PART: Final = 10
ROOM: Final = 5_000_000  # bytes of all records
AGAIN: Final = {"cifar10_small-dual_propagation-beta0.1-float32"}  # one configuration at another commit, on purpose
PAPERS: Final = sorted(path.parent for path in (ROOT / "paper_repro").rglob("cells.yaml"))


def _name(folder: Path) -> str:
    return folder.relative_to(ROOT / "paper_repro").as_posix()


@functools.cache
def experiments() -> list[str]:
    load_all()
    return presets([], EXPERIMENT)


@functools.cache
def _chosen(folder: Path) -> Chosen:
    return chosen_papers([str(folder)], experiments())[0]


def _trainings(folder: Path) -> list[ReproductionCell]:
    return [cell for cell in _chosen(folder).cells if cell.experiment]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """`energy repro` looks for `paper_repro` in the present folder."""
    monkeypatch.chdir(ROOT)


def test_every_paper_has_a_folder() -> None:
    assert [_name(folder) for folder in PAPERS] == [
        "cortical_microcircuit",
        "dual_propagation",
        "equilibrium_propagation",
        "feedback_alignment",
        "inference_cost",
        "krotov_hopfield",
        "predictive_coding",
        "single_phase_chl",
        "softhebb",
        "softhebb/tuning",
    ]
    assert all((folder / "README.md").is_file() for folder in PAPERS)


def _parts() -> list[tuple[Path, int]]:
    """The papers in parts of ten cells, counted in their files, so that no test takes long."""
    counts = {folder: len(yaml.safe_load((folder / "cells.yaml").read_bytes())["cells"]) for folder in PAPERS}
    return [(folder, first) for folder in PAPERS for first in range(0, counts[folder], PART)]


@pytest.mark.parametrize(
    ("folder", "first"), _parts(), ids=lambda one: _name(one) if isinstance(one, Path) else str(one)
)
def test_every_cell_composes(folder: Path, first: int) -> None:
    """The first run of a cell stands for all its seeds."""
    for cell in _chosen(folder).cells[first : first + PART]:
        if cell.experiment:
            run = cell_runs(cell, _name(folder), quiet=True)[cell.seeds[0]]
            assert isinstance(run, Run) and run.title == cell.name
            assert run.folder == Path("runs") / _name(folder) / cell.name / f"seed-{cell.seeds[0]}"


@pytest.mark.parametrize("folder", PAPERS, ids=_name)
def test_no_two_cells_are_one(folder: Path) -> None:
    """Two cells that train alike would be one measurement twice."""
    found = dict[str, str]()
    for cell in _trainings(folder):
        key = hash_of_description(cell_identity(cell_runs(cell, _name(folder), quiet=True)[cell.seeds[0]]))
        assert found.setdefault(key, cell.name) == cell.name or cell.name in AGAIN, f"{cell.name} is {found[key]}"


def test_studies_compose_and_share_their_trainings() -> None:
    chosen = _chosen(ROOT / "paper_repro" / "inference_cost")
    words = [Arguments(rest=[f"experiment={cell.study}", *cell.overrides]) for cell in chosen.cells]
    found = [plan(Study, "study", line, quiet=True)[0] for line in words]
    assert len({study.trainings for study in found}) == 1
    measured = {path.name for path in chosen.folder.iterdir() if path.is_dir()}
    assert measured <= {study.title for study in found} == {cell.name for cell in chosen.cells}


@pytest.mark.parametrize("folder", PAPERS, ids=_name)
def test_rows_and_records_have_the_names_of_cells_and_their_seeds(folder: Path) -> None:
    seeds = {cell.name: {*cell.seeds} for cell in _trainings(folder)}
    rows = {(line["cell"], int(line["seed"])) for line in read_results(folder / "results.csv")}
    assert all(seed in seeds.get(cell, ()) for cell, seed in rows)
    records = [path for path in (folder / "records").rglob("*.jsonl") if "readout" not in path.stem]
    recorded = {(path.parent.name, int(path.stem.removeprefix("seed-"))) for path in records}
    assert all(seed in seeds.get(cell, ()) for cell, seed in recorded)
    assert not recorded or rows <= recorded
    loose = [path.name for path in (folder / "records").glob("[!.]*") if path.is_file()]
    assert loose == []


@pytest.mark.parametrize("folder", PAPERS, ids=_name)
def test_every_row_has_its_configuration(folder: Path) -> None:
    """The hash of a row is that of the description, or of a former one where fields were added since."""
    for line in read_results(folder / "results.csv"):
        recorded = read_recorded(folder, line["cell"])
        described = {hash_of_description(dict(one)) for one in (recorded.configuration, *recorded.former)}
        assert line["configuration"] in recorded.keys
        assert line["configuration"] in described, f"{line['cell']}: nothing there has the hash of its row"
        facts = json.loads((folder / "records" / line["cell"] / "configuration.json").read_text(encoding="utf-8"))
        assert (facts["cell"], facts["key"]) == (line["cell"], recorded.key)


def test_every_line_has_the_schema_and_its_present_names() -> None:
    paths = sorted((ROOT / "paper_repro").rglob("records/*/*.jsonl"))
    assert len(paths) > 200
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            assert line["schema"] == 2 and "units" not in line, path
            assert not isinstance(line["seconds"], dict) or "settle" not in line["seconds"], path


def test_records_stay_small() -> None:
    files = (path for path in (ROOT / "paper_repro").rglob("records/*/*") if path.is_file())
    assert sum(path.stat().st_size for path in files) < ROOM


def test_generated_tables_and_pages_are_current() -> None:
    for path, text in all_generated(experiments()).items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: energy repro --tables writes it again"


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "paper_repro").rglob("README.md")], ids=str)
def test_commands_of_pages_name_papers_and_cells_that_there_are(page: Path) -> None:
    shells = [block for block in blocks(page.read_text(encoding="utf-8")) if block.kind == "console"]
    lines = [line.words.partition("#")[0].split() for block in shells for line in commands(block)]
    for words in (line[2:] for line in lines if line[:2] == ["energy", "repro"]):
        named = [word for word in words if word[0] != "-" and not word.isdigit()]
        assert not named or chosen_papers(named, experiments())
