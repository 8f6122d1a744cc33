"""`cells.yaml`: what it may hold, and errors of one line that name file, cell, key, value and the nearest name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from energy.component import ConfigurationError
from energy.study.reproduction.cell import Cost, PublishedFigure, ReproductionCell
from energy.study.reproduction.paper import LARGEST, folder_of, paper_folders, paper_name, read_paper

EXPERIMENTS = ("demo", "softhebb/cifar10_3", "inference_cost/hopfield")


def _plain(**changes: Any) -> dict[str, Any]:
    cell = {
        "claim": "three layers",
        "experiment": "softhebb/cifar10_3",
        "seeds": [0, 1],
        "published": {"value": 80.31, "tolerance": 0.6, "where": "graphs.ipynb"},
        "needs": {"device": "cpu", "hours": 0.25},
        **changes,
    }
    return {name: value for name, value in cell.items() if value is not None}


def _write(folder: Path, cells: dict[str, Any], **more: Any) -> Path:
    (folder / "cells.yaml").write_text(yaml.safe_dump({"paper": "A paper", "cells": cells, **more}), encoding="utf-8")
    return folder


def test_a_cell_is_what_the_file_says(tmp_path: Path) -> None:
    other = _plain(overrides=["seed=3"], against="one", reduced="5 epochs", front=False, published={"reason": "unread"})
    study = {"claim": "c", "study": "inference_cost/hopfield", "needs": {"device": "gpu", "hours": 2}}
    found = read_paper(_write(tmp_path, {"one": _plain(), "other-1.5": other, "cost": study}), EXPERIMENTS)
    assert found.title == "A paper" and sorted(found.cells) == ["cost", "one", "other-1.5"]
    assert found.cells["one"] == ReproductionCell(
        "one",
        "three layers",
        Cost("cpu", 0.25),
        experiment="softhebb/cifar10_3",
        seeds=(0, 1),
        published=PublishedFigure(80.31, 0.6, "graphs.ipynb"),
    )
    second = found.cells["other-1.5"]
    assert (second.overrides, second.against, second.size, second.front) == (("seed=3",), "one", "5 epochs", False)
    assert found.cells["one"].hours == 0.5 and found.cells["cost"].hours == 2.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": [1]}, "one: sedes: unknown key; did you mean 'seeds'?"),
        ({"seeds": None}, "one: seeds: is missing; required: "),
        ({"seeds": []}, r"one: seeds=\[\]: must be a list of different whole numbers"),
        ({"seeds": [0, 0]}, r"one: seeds=\[0, 0\]: must be a list of different whole numbers"),
        ({"seeds": [True]}, r"one: seeds=\[True\]: must be a list"),
        ({"seeds": [-1]}, r"one: seeds=\[-1\]: must be a list of different whole numbers of at least 0"),
        ({"overrides": [1]}, r"one: overrides=\[1\]: must be a list of different texts"),
        ({"claim": 3}, "one: claim=3: must be a text"),
        ({"experiment": "softheb/cifar10_3"}, "one: experiment='softheb/cifar10_3': unknown; did you mean 'softhebb"),
        ({"against": "two"}, "one: against='two': .*known: other"),
        ({"against": "one"}, "one: against='one': "),
        ({"front": "no"}, "one: front='no': must be true or false"),
        ({"needs": {"device": "tpu", "hours": 1}}, "one: needs: device='tpu': unknown; .*known: cpu, gpu"),
        ({"needs": {"device": "cpu", "hours": 0}}, "one: needs: hours=0: must be a number above 0"),
        ({"needs": {"device": "cpu", "hours": float("inf")}}, "one: needs: hours=inf: must be a number above 0"),
        ({"needs": {"device": "cpu"}}, "one: needs: hours: is missing"),
        ({"needs": 3}, "one: needs=3: must be a set of keys and values"),
        ({"published": {}}, "one: published: reason: is missing"),
        ({"published": {"value": 80.0}}, "one: published: where: a value needs the place"),
        ({"published": {"value": "80", "where": "there"}}, "one: published: value='80': must be a number"),
        ({"published": {"reason": "r", "tolerance": 1.0}}, "one: published: tolerance=1.0: belongs to a value"),
        ({"study": "inference_cost/hopfield"}, "one: experiment: unknown key"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    _write(tmp_path, {"one": _plain(**changes), "other": _plain()})
    with pytest.raises(ConfigurationError, match=rf"cells\.yaml: {said}") as caught:
        read_paper(tmp_path, EXPERIMENTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paper: A\ncells: {a: {}, a: {}}\n", "line 2: a: stands there twice"),
        ("paper: A\n", "cells: is missing"),
        ("paper: A\ncells: {}\nmore: 1\n", "more: unknown key"),
        ("- 1\n", "must hold paper: and cells:"),
        ("paper: [\n", "is no YAML"),
        (
            "paper: !!python/object/apply:os.system [true]\ncells: {}\n",
            "line 1: tag:yaml.org,2002:python/object/apply:os.system: tags are refused",
        ),
        ("paper: A\ncells: {'a b': {}}\n", "cell a b: must be a word"),
        ("#" * (LARGEST + 1), f"has {LARGEST + 1} bytes, must have at most {LARGEST}"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cells.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        read_paper(tmp_path, EXPERIMENTS)


def test_nested_references_are_refused_in_a_short_line(tmp_path: Path) -> None:
    """Thirty levels of ten references each would be 10^30 entries if they were written out."""
    levels = ["  l0: &l0 [x]", *(f"  l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 10)}]" for k in range(1, 31))]
    cell = "cells:\n  one: {claim: *l30, experiment: demo, seeds: [0], published: {reason: r}, needs: {}}\n"
    (tmp_path / "cells.yaml").write_text("paper: A\n" + "more:\n" + "\n".join(levels) + "\n" + cell, encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"line 7: holds \d+ values, aliases counted .* at most 10000"
    ) as caught:
        read_paper(tmp_path, EXPERIMENTS)
    assert len(str(caught.value)) < 500


def test_papers_are_found_by_name_and_path(tmp_path: Path) -> None:
    root = tmp_path / "paper_repro"
    for folder in (root / "one", root / "one" / "inner", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        _write(folder, {"one": _plain()})
    assert [paper_name(folder, root) for folder in paper_folders(root)] == ["one", "one/inner"]
    assert folder_of("one/inner", root) == root / "one" / "inner"
    assert folder_of(str(tmp_path / "elsewhere"), root) == tmp_path / "elsewhere"
    assert paper_name(tmp_path / "elsewhere", root) == "elsewhere" and folder_of("two", root) is None
