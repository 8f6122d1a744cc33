"""Composition: defaults, presets, experiments, sweeps; the built tree is compared with one made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.command.arguments import parse
from energy.command.compose import plan, store
from energy.component import Component, ConfigurationError, to_dict

Write = Callable[[str], list[str]]
HAMMER: dict[str, Any] = {"name": "hammer", "weight": 1.0, "head": {"name": "box", "side": 2.0}}


def plans(job: type[Component], *words: str) -> list[dict[str, Any]]:
    return [to_dict(component) for component in plan(job, "job", parse(words))]


def one(job: type[Component], *words: str) -> dict[str, Any]:
    (found,) = plans(job, *words)
    return found


def test_nothing_said_gives_the_declared_defaults(job: type[Component]) -> None:
    assert one(job) == {"tool": HAMMER, "part": {"length": 3}, "seed": 0, "widths": [], "out": ""}


def test_every_kind_of_override(job: type[Component]) -> None:
    words = ("tool.head=disc", "tool.head.radius=0.5", "tool.weight=1e-3", "part.length=9", "widths=[4,5]", "out=7")
    assert one(job, *words) == {
        "tool": {"name": "hammer", "weight": 1e-3, "head": {"name": "disc", "radius": 0.5}},
        "part": {"length": 9},
        "seed": 0,
        "widths": [4, 5],
        "out": "7",
    }


def test_the_order_of_a_choice_and_its_fields_does_not_matter(job: type[Component]) -> None:
    assert one(job, "tool.head.radius=3", "tool.head=disc") == one(job, "tool.head=disc", "tool.head.radius=3")
    assert one(job, "tool.teeth=3", "tool=saw") == one(job, "tool=saw", "tool.teeth=3")


def test_a_whole_node_can_be_given_as_a_mapping(job: type[Component]) -> None:
    assert one(job, "tool={name: saw, teeth: 4}")["tool"] == {"name": "saw", "teeth": 4}


def test_fields_of_a_default_keep_its_other_values(job: type[Component]) -> None:
    assert one(job, "tool.head.side=5")["tool"] == HAMMER | {"head": {"name": "box", "side": 5.0}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sed=1"], "sed: unknown field; did you mean 'seed'?"),
        (["tool.wieght=1"], "tool.wieght: unknown field; did you mean 'weight'?"),
        (["tool.head=disk"], "tool.head=disk: unknown; did you mean 'disc'?"),
        (["tool.head=disc", "tool.head.radius=-1"], "tool.head.radius=-1.0: must be positive"),
        (["tool.head=disc", "tool.head.radius=nan"], "tool.head.radius=nan: must be a number"),
        (["part.length=1.5"], "part.length=1.5: must be a whole number"),
        (["part.lenght=1"], "part.lenght: unknown field; did you mean 'length'?"),
        (["widths=3"], "widths=3: must be a list"),
        (["tool.head=3"], "tool.head=3: must be a name or a set of fields"),
        (["tool._target_=os.getcwd"], "tool._target_='os.getcwd': refused"),
        (["out=${oc.env:HOME}"], "out='${oc.env:HOME}': refused"),
        (["out=${nothing}"], "Interpolation key 'nothing' not found"),
        (["--config-dir", "/no/such/folder"], "--config-dir=/no/such/folder: there is no such folder"),
        (["tool=glob(x*)", "-m"], "tool=glob(x*): fits no name"),
    ],
)
def test_mistakes_name_path_value_limit_and_nearest_name(job: type[Component], words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans(job, *words)
    assert str(caught.value).startswith(message)


def test_a_mistake_in_any_run_of_a_sweep_is_found_before_the_first(job: type[Component]) -> None:
    with pytest.raises(ConfigurationError, match=r"^part\.length='x': must be a whole number"):
        plans(job, "-m", "part.length=1,2,x")


def test_a_sweep_makes_every_combination(job: type[Component]) -> None:
    found = plans(job, "-m", "tool=saw,hammer", "seed=0,1")
    assert [(run["tool"]["name"], run["seed"]) for run in found] == [
        ("saw", 0),
        ("saw", 1),
        ("hammer", 0),
        ("hammer", 1),
    ]


def test_in_a_sweep_one_out_becomes_a_folder_of_folders(job: type[Component]) -> None:
    found = plans(job, "-m", "tool.head=disc,box", "seed=0,1", "out=runs/x")
    assert [run["out"] for run in found] == [
        f"runs/x/tool.head={head},seed={seed}" for head in ("disc", "box") for seed in (0, 1)
    ]


def test_an_out_that_differs_by_itself_is_left_alone(job: type[Component]) -> None:
    assert [run["out"] for run in plans(job, "-m", "seed=0,1", "out=x/${seed}")] == ["x/0", "x/1"]
    assert one(job, "-m", "out=x")["out"] == "x"


def test_an_experiment_is_a_file_of_values_that_the_line_overrides(job: type[Component], experiment: Write) -> None:
    words = experiment("defaults:\n  - override /tool: saw\ntool:\n  teeth: 3\nseed: 5\n")
    assert one(job, *words)["tool"] == {"name": "saw", "teeth": 3}
    assert one(job, *words, "tool.teeth=4", "seed=6") == one(job, "tool=saw", "tool.teeth=4", "seed=6")


def test_a_preset_is_a_component_with_values(job: type[Component], tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "fine.yaml").write_text("defaults:\n  - saw\nteeth: 99\n", encoding="utf-8")
    assert one(job, "--config-dir", str(tmp_path), "tool=fine")["tool"] == {"name": "saw", "teeth": 99}
    assert store(job, [tmp_path])["tool"] == ["fine", "hammer", "saw"]


def test_an_experiment_can_name_its_own_sweep(job: type[Component], experiment: Write) -> None:
    words = experiment("hydra:\n  sweeper:\n    params:\n      seed: 0,1,2\n      tool.weight: 1,2\n")
    found = plans(job, "-m", *words, "tool.weight=7")
    assert [(run["seed"], run["tool"]["weight"]) for run in found] == [(0, 7.0), (1, 7.0), (2, 7.0)]


def test_a_fault_in_a_file_is_one_line(job: type[Component], experiment: Write) -> None:
    for text in ("defaults:\n  - override /toll: saw\n", "seed: [1\n", "defaults:\n  - /tool: nail\n"):
        with pytest.raises(ConfigurationError) as caught:
            plans(job, *experiment(text))
        assert "\n" not in str(caught.value)
        assert any(word in str(caught.value) for word in ("trial", "toll", "nail"))


def test_the_same_command_composes_the_same_twice(job: type[Component]) -> None:
    assert one(job, "tool=saw") == one(job, "tool=saw")
