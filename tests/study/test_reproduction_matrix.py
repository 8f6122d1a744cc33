"""The matrix of methods and data sets on made-up cells, and the parts of pages between markers."""

from pathlib import Path
from typing import Any

import pytest

from energy.errors import UsageError
from energy.study.reproduction.cell import Cost, Paper, PublishedFigure, ReproductionCell
from energy.study.reproduction.matrix import DATA, METHODS, Entrance, entrance, front_matrix, method_of
from energy.study.reproduction.pages import generated_files, put_between, write_generated
from energy.study.reproduction.summary import summary_table
from energy.study.results import COLUMNS, write_results


def _cell(name: str, **given: Any) -> ReproductionCell:
    seeds = given.pop("seeds", (0, 1))
    return ReproductionCell(name, "a claim", Cost("cpu", 2.0), experiment="demo", seeds=seeds, **given)


def _configuration(settler: str, data: str = "cifar10", rule: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"settler": {"name": settler}, "data": {"name": data}, "rule": rule or {"name": "contrast"}}


def _table(*entrances: Entrance) -> dict[str, dict[str, str]]:
    head, _, *rows = [[x.strip() for x in line[2:-2].split(" | ")] for line in front_matrix(entrances, "").splitlines()]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_there_is_a_place_for_every_method_and_set() -> None:
    table = _table()
    assert [*table] == [*METHODS]
    assert all([*row] == [*DATA.values()] and set(row.values()) == {"–"} for row in table.values())


def test_full_beats_reduced_and_then_the_highest_mean_counts() -> None:
    reduced = Entrance("p", _cell("small", reduced="5 epochs"), "EP", "cifar10", (99.0, 99.0))
    worse, better = (
        Entrance("p", _cell(name), "EP", "cifar10", found) for name, found in (("a", (80.0,)), ("b", (79.0, 82.0)))
    )
    idle = Entrance("p", _cell("idle"), "EP", "cifar10")
    entry = _table(reduced, worse, better, idle)["EP"]["CIFAR-10"]
    assert entry == "80.50 ± 2.12 (2 seeds), *full*, [b](p/table.md)"
    assert _table(reduced, idle)["EP"]["CIFAR-10"] == "99.00 ± 0.00 (2 seeds), *reduced*: 5 epochs, [small](p/table.md)"
    assert _table(idle)["EP"]["CIFAR-10"] == "*not run*: 4 h (cpu), [idle](p/table.md)"


def test_of_what_was_not_run_the_full_and_cheapest_counts() -> None:
    cells = [_cell("dear"), _cell("cheap", seeds=(0,)), _cell("small", seeds=(0,), reduced="1 epoch")]
    table = _table(*(Entrance("p", cell, "CHL", "cifar100") for cell in cells))
    assert table["CHL"]["CIFAR-100"] == "*not run*: 2 h (cpu), [cheap](p/table.md)"


def test_the_ten_classes_never_stand_under_imagenet32x32() -> None:
    table = _table(Entrance("p", _cell("ten"), "SoftHebb", "imagenette32", (73.0,)))
    assert [data for data, entry in table["SoftHebb"].items() if "ten" in entry] == [
        "Imagenette at 32×32 (ten classes)"
    ]
    assert table["SoftHebb"]["ImageNet32x32"] == "–"


@pytest.mark.parametrize(
    ("settler", "rule", "method"),
    [
        ("contrastive_hebbian", None, "CHL"),
        ("two_phase_contrastive_hebbian", None, "CHL"),
        ("equilibrium_propagation", None, "EP"),
        ("two_phase", None, "EP"),
        ("dual_propagation", None, "dual propagation"),
        ("predictive_coding_ep", None, "PC-EP"),
        ("backprop", None, "back-propagation"),
        ("feedforward", {"name": "softhebb"}, "SoftHebb"),
        ("feedforward", {"name": "per_layer", "rules": [{"name": "softhebb"}, {"name": "softhebb"}]}, "SoftHebb"),
        ("feedforward", {"name": "per_layer", "rules": [{"name": "softhebb"}, {"name": "oja"}]}, ""),
        ("feedforward", {"name": "krotov_hopfield"}, ""),
        ("feedforward", None, ""),
        ("implicit", None, ""),
    ],
)
def test_the_method_is_that_of_settler_and_rule(settler: str, rule: dict[str, Any] | None, method: str) -> None:
    assert method_of(_configuration(settler, rule=rule)) == method


def test_a_cell_enters_unless_it_is_kept_out() -> None:
    plain = _configuration("two_phase")
    assert entrance("p", _cell("a"), plain, [40.0]) == Entrance("p", _cell("a"), "EP", "cifar10", (40.0,))
    assert entrance("p", _cell("a", front=False), plain, [40.0]) is None
    assert entrance("p", _cell("a"), _configuration("implicit"), []) is None
    assert entrance("p", _cell("a"), _configuration("two_phase", "mnist"), []) is None


def _line(cell: str, accuracy: float) -> dict[str, str]:
    return {**dict.fromkeys(COLUMNS, ""), "cell": cell, "seed": "0", "test_accuracy_percent": str(accuracy)}


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    figure = PublishedFigure(80.0, 0.5, "Table 1")
    cells = [
        _cell("near", published=figure),
        _cell("far", published=figure),
        _cell("vague", published=PublishedFigure(80.0, None, "a plot")),
        _cell("small", published=figure, reduced="5 epochs"),
        _cell("unread", published=PublishedFigure(reason="not at hand")),
        _cell("idle", published=figure),
    ]
    lines = [
        _line(name, found) for name, found in (("near", 80.4), ("far", 81), ("vague", 80), ("small", 80), ("unread", 1))
    ]
    (tmp_path / "paper_repro" / "one").mkdir(parents=True)
    write_results(tmp_path / "paper_repro" / "one" / "results.csv", lines)
    return Paper("One", {cell.name: cell for cell in cells})


def test_the_summary_counts(paper: Paper, tmp_path: Path) -> None:
    """Of six cells five were run, of which three at full size with a published value, two of them with a tolerance."""
    text = summary_table({"one": (tmp_path / "paper_repro" / "one", paper)}, "x/")
    assert [one.strip() for one in text.splitlines()[2].strip("|").split("|")] == [
        "[one](x/one/README.md)", "6", "5", "3", "1 of 2", "1",
    ]  # fmt: skip


PAGE = "# Page\n<!-- reproductions: {0} -->\nold\n<!-- end of reproductions: {0} -->\nrest\n"


def test_only_what_is_between_the_markers_changes(paper: Paper, tmp_path: Path) -> None:
    root = tmp_path / "paper_repro"
    (root / "README.md").write_text(PAGE.format("summary") + PAGE.format("matrix"), encoding="utf-8")
    (tmp_path / "README.md").write_text(PAGE.format("summary"), encoding="utf-8")
    files = generated_files(root, {"one": (root / "one", paper)}, [])
    assert {path.relative_to(tmp_path).as_posix() for path in files} == {
        "README.md", "paper_repro/README.md", "paper_repro/one/table.md",
    }  # fmt: skip
    text = files[tmp_path / "README.md"]
    assert text.startswith("# Page\n") and text.endswith("\nrest\n") and "old" not in text
    assert "(paper_repro/one/README.md)" in text and "(one/README.md)" in files[root / "README.md"]
    said = list[str]()
    write_generated(files, said.append)
    again = generated_files(root, {"one": (root / "one", paper)}, [])
    assert again == files and len(said) == 3
    write_generated(again, said.append)
    assert len(said) == 3


@pytest.mark.parametrize(
    "text", ["", "<!-- reproductions: a -->", "<!-- end of reproductions: a --> <!-- reproductions: a -->"]
)
def test_a_missing_marker_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="a page needs <!-- reproductions: a -->"):
        put_between(text, "a", "new")
