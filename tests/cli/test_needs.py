"""What a settler needs is taken where nothing is said, is said, and gives way to whatever the user says."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from energy.component import choices
from energy.settle.settler import Settler

Energy = Callable[[Sequence[str]], Any]

FED_BACK = ["equilibrium_propagation", "contrastive_hebbian", "implicit"]
STORED = ["two_phase", "two_phase_contrastive_hebbian", "coupled_learning"]
UP_ONLY = ["dual_propagation", "backprop", "feedforward"]


def composed(energy: Energy, *words: str) -> tuple[dict[str, Any], str]:
    answer = energy(["train", *words, "--dry-run"])
    assert answer.status == 0, answer.err
    return json.loads(answer.out), answer.err


@pytest.mark.parametrize("name", FED_BACK)
def test_feedback_is_given_bounded_units_and_a_bound(energy: Energy, name: str) -> None:
    run, said = composed(energy, f"settler={name}")
    assert run["model"]["hidden"]["name"] == "hard_sigmoid"
    assert run["objective"]["name"] == "squared_error"
    assert run["optimizer"]["name"] == "sgd" and run["optimizer"]["lr"] == 0.02
    assert run["settler"]["keep_contracting"] == 0.5
    assert said.count("\n") == 1 and said.startswith(f"energy: settler={name}: takes model.hidden=hard_sigmoid, ")


@pytest.mark.parametrize("name", STORED)
def test_stored_phases_are_given_one_hidden_layer(energy: Energy, name: str) -> None:
    run, said = composed(energy, f"settler={name}")
    assert run["model"] == {**run["model"], "hidden": {"name": "hard_sigmoid"}, "sizes": [256], "gain": 0.5}
    assert run["settler"]["keep_contracting"] == 0.9 and run["optimizer"]["name"] == "sgd"
    assert "model.sizes=[256], model.gain=0.5, " in said
    assert composed(energy, f"settler={name}", "model.sizes=[8,8]")[0]["model"]["sizes"] == [8, 8]


@pytest.mark.parametrize("name", UP_ONLY)
def test_what_needs_nothing_says_nothing(energy: Energy, name: str) -> None:
    run, said = composed(energy, f"settler={name}")
    assert said == ""
    assert run["model"]["hidden"]["name"] == "relu" and run["objective"]["name"] == "cross_entropy"
    assert run["optimizer"]["name"] == "sgd" and run["optimizer"]["lr"] == 0.05


@pytest.mark.parametrize(
    ("words", "path", "wanted"),
    [
        (["model.hidden=tanh"], ["model", "hidden", "name"], "tanh"),
        (["objective=cross_entropy"], ["objective", "name"], "cross_entropy"),
        (["objective.nudge=live"], ["objective", "name"], "cross_entropy"),
        (["optimizer=sgd"], ["optimizer", "lr"], 0.02),
        (["optimizer.lr=0.01"], ["optimizer", "name"], "sgd"),
        (["optimizer=adam"], ["optimizer", "lr"], 1e-3),
        (["optimizer=adam", "optimizer.lr=0.01"], ["optimizer", "lr"], 0.01),
        (["settler.keep_contracting=0"], ["settler", "keep_contracting"], 0.0),
        (["model=hopfield", "data=cifar10"], ["model", "hidden", "name"], "hard_sigmoid"),
        (["model=hopfield_laborieux", "data=cifar10"], ["model", "hidden", "name"], "half_hard_sigmoid"),
        (["settler.gamma=0"], ["model", "hidden", "name"], "relu"),
    ],
)
def test_what_is_said_wins(energy: Energy, words: list[str], path: list[str], wanted: object) -> None:
    run, _ = composed(energy, "settler=equilibrium_propagation", *words)
    for name in path:
        run = run[name]
    assert run == wanted


def test_a_file_of_values_wins_too(energy: Energy) -> None:
    run, said = composed(energy, "experiment=hopfield_small")
    assert run["optimizer"] == {**run["optimizer"], "name": "adam", "lr": 2e-3}
    assert "optimizer" not in said and "objective" not in said


def test_every_need_has_its_place_in_a_run(energy: Energy) -> None:
    for name, cls in choices(Settler).items():
        run, said = composed(energy, f"settler={name}")
        for path in cls().needs():
            place: Any = run
            for part in path.split("."):
                assert part in place, (name, path)
                place = place[part]
        assert bool(said) == bool(cls().needs())


def test_a_comparison_keeps_one_network(energy: Energy) -> None:
    entries = "settlers=[backprop,'slow: equilibrium_propagation optimizer.lr=0.01']"
    answer = energy(["compare", entries, "--dry-run"])
    plain = json.loads(answer.out)
    assert plain["model"]["hidden"]["name"] == "hard_sigmoid" and plain["objective"]["name"] == "squared_error"
    assert plain["optimizer"]["name"] == "sgd"
    first, second = plain["settlers"]
    assert first == "backprop"
    assert second.endswith("optimizer.lr=0.01 settler.keep_contracting=0.5") and "adam" not in second
    assert answer.err.startswith("energy: settler=equilibrium_propagation: takes ")
