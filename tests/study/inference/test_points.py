"""The points of a study: what is varied, what is the same point, what is left out, and what trains it."""

from __future__ import annotations

from typing import Any

import pytest

from energy.component import ConfigurationError, from_dict
from energy.study.inference.block import Quantity, StudyBlock, put, values
from energy.study.inference.point import axes, with_budget, with_gain, with_tolerance, with_variation
from energy.study.inference.study import points
from tests.study.inference.small import Maker

RELAXING: dict[str, Any] = {
    "name": "equilibrium_propagation",
    "relax": {"name": "sweep", "max_steps": 60, "tolerance": 0.03, "momentum": 0.9},
    "nudged": {"name": "zebra", "max_steps": 20, "tolerance": 0.1},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("settler.gamma=0.25,1", ("settler.gamma", [0.25, 1])),
        ("budget=1+1,12+3", ("budget", ["1+1", "12+3"])),
        ("model.gains=[0.5],[1, 2]", ("model.gains", [[0.5], [1, 2]])),
        ("batch=range(1,4)", ("batch", [1, 2, 3])),
        ("settler.relax='zebra'", ("settler.relax", ["zebra"])),
    ],
)
def test_values_are_those_of_the_command_line(text: str, expected: tuple[str, list[Any]]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize("text", ["gain", "~gain", "+gain=1", "gain=[1"])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"block\.vary"):
        StudyBlock(vary=[text])


def test_a_block_has_every_combination() -> None:
    block = StudyBlock(vary=["gain=1,2,3", "batch=1,2"])
    assert [dict(one) for one in block.variations()] == [{"gain": g, "batch": b} for g in (1, 2, 3) for b in (1, 2)]


def test_a_word_chooses_another_component_at_its_defaults() -> None:
    tree = {"relax": {"name": "sweep", "momentum": 0.9}, "beta": 0.1}
    put(tree, "relax", "zebra")
    put(tree, "beta", 0.2)
    assert tree == {"relax": {"name": "zebra"}, "beta": 0.2}


def test_a_budget_is_two_numbers_of_steps_and_keeps_the_relaxations() -> None:
    found = with_budget(RELAXING, "12+3")
    assert found["relax"] == {**RELAXING["relax"], "max_steps": 12, "tolerance": 0.0}
    assert found["nudged"] == {**RELAXING["nudged"], "max_steps": 3, "tolerance": 0.0}


@pytest.mark.parametrize("budget", ["12", "0+3", "3+0", "a+b", "1+2+3", "-1+2", "1.5+2"])
def test_another_budget_is_named(budget: str) -> None:
    with pytest.raises(ConfigurationError, match="budget="):
        with_budget(RELAXING, budget)


def test_tolerances_of_both_phases_keep_their_ratio() -> None:
    found = with_tolerance(RELAXING, 3e-3)
    assert (found["relax"]["tolerance"], found["nudged"]["tolerance"]) == pytest.approx((3e-3, 1e-2))
    fixed = {**RELAXING, "nudged": {"name": "sweep", "max_steps": 1, "tolerance": 0.0}}
    assert with_tolerance(fixed, 3e-3)["nudged"] == fixed["nudged"], "a fixed number of steps stays"


def test_an_unknown_path_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'settlr\.beta'.*settler"):
        with_variation({"settler": RELAXING}, (("settlr.beta", 1.0),))


def test_gain_multiplies_the_weights_and_nothing_else(study_of: Maker) -> None:
    study = study_of(model={"gain": 0.5})
    network = study.model.build((1, 8, 8), 10, seed=3)
    doubled = with_gain(study.model, 2.0).build((1, 8, 8), 10, seed=3)
    for one, other in zip(network.parameters(), doubled.parameters(), strict=True):
        assert (2 * one == other).all()  # biases are zero


def test_a_model_without_a_gain_is_named(study_of: Maker) -> None:
    study = study_of(model={"name": "softhebb"})
    with pytest.raises(ConfigurationError, match="softhebb has no gain"):
        with_gain(study.model, 2.0)


def test_budgets_of_a_phase_that_is_not_run_are_one_point(study_of: Maker) -> None:
    """At γ = 0 the bottom-up pass is the equilibrium, so that only the steps of the difference count."""
    study = study_of(settlers=["DP: dual_propagation"], blocks=[{"vary": ["budget=1+1,8+1,8+2"]}])
    assert [axes(point)["budget"] for point in points(study)] == ["0+1", "0+2"]


def test_a_point_that_two_blocks_ask_for_is_measured_once_with_all_that_they_ask(study_of: Maker) -> None:
    blocks = [
        {"title": "a", "vary": ["gain=1,2"]},
        {"title": "b", "vary": ["gain=2,3"], "measure": ["spectrum"]},
    ]
    found = {point.gain: point for point in points(study_of(settlers=["EP: equilibrium_propagation"], blocks=blocks))}
    assert set(found) == {1.0, 2.0, 3.0}
    assert found[2.0].blocks == ("a", "b")
    assert found[2.0].measure == {Quantity.GRADIENT, Quantity.SPECTRUM}


def test_combinations_that_a_settler_does_not_admit_are_left_out(study_of: Maker) -> None:
    """Two phases have no γ = 0, and a squared error no descending nudge of 1 or more."""
    settlers = ["two: two_phase", "EP: equilibrium_propagation"]
    found = points(study_of(settlers=settlers, blocks=[{"vary": ["settler.gamma=0,1", "settler.beta=0.1,1"]}]))
    assert sorted((point.label, axes(point)["gamma"], axes(point)["beta"]) for point in found) == [
        *(("EP", gamma, beta) for gamma in (0, 1) for beta in (0.1, 1)),
        ("two", 1, 0.1),
    ]


def test_a_block_that_nothing_admits_is_named(study_of: Maker) -> None:
    study = study_of(settlers=["two: two_phase"], blocks=[{"title": "empty", "vary": ["settler.gamma=0"]}])
    with pytest.raises(ConfigurationError, match="block empty"):
        points(study)


def test_an_unknown_label_is_named(study_of: Maker) -> None:
    with pytest.raises(ConfigurationError, match=r"'EQ'.*EP"):
        study_of(settlers=["EP: equilibrium_propagation"], blocks=[{"settlers": ["EQ"]}])


def test_everything_that_numbers_depend_on_is_in_the_name_of_a_point(study_of: Maker) -> None:
    def keys(**changes: Any) -> set[str]:
        return {point.key for point in points(study_of(settlers=["EP: equilibrium_propagation"], **changes))}

    same = keys()
    assert keys(out="elsewhere", title="other") == same
    others = [
        {"model": {"sizes": [9]}},
        {"data": {"limit": 99}},
        {"objective": "cross_entropy"},
        {"precision": "float64"},
        {"batch": 7},
        {"seeds": [5]},
        {"blocks": [{"vary": ["settler.beta=0.5"]}]},
        {"blocks": [{"ages": [1]}]},
    ]
    assert all(not keys(**change) & same for change in others)


def test_weights_are_trained_by_the_settler_of_the_point_at_its_gamma(study_of: Maker) -> None:
    blocks = [{"vary": ["settler.gamma=0.25,1", "budget=3+1"], "ages": [0, 1, 2]}]
    settler = "EP: equilibrium_propagation keep_contracting=0"
    trained = {p.settler.gamma: p.training for p in points(study_of(settlers=[settler], blocks=blocks)) if p.age}
    for gamma, run in trained.items():
        assert run is not None
        assert (run.settler.gamma, run.settler.relax.tolerance) == (gamma, 0.03), "its own relaxations"
        assert run.train.keep_epochs == [1, 2]


def test_a_trainer_trains_all_weights(study_of: Maker) -> None:
    study = study_of(settlers=["BP: backprop", "EP: equilibrium_propagation"], trainer="BP", blocks=[{"ages": [1]}])
    runs = [point.training for point in points(study)]
    assert {run.settler.name for run in runs if run is not None} == {"backprop"}
    assert len({str(run.folder) for run in runs if run is not None}) == len(study.seeds)


def test_points_on_one_network_stand_together(study_of: Maker) -> None:
    settlers = ["EP: equilibrium_propagation", "DP: dual_propagation"]
    groups = [point.group for point in points(study_of(settlers=settlers, blocks=[{"vary": ["gain=1,2"]}, {}]))]
    assert len(set(groups)) == sum(a != b for a, b in zip(groups, ["", *groups], strict=False))


def test_a_block_is_read_from_plain_values() -> None:
    block = from_dict(StudyBlock, {"title": "x", "measure": ["gradient", "time"], "ages": [0, 5]})
    assert block.measure == [Quantity.GRADIENT, Quantity.TIME]
