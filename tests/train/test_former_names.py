"""Run folders written under former names still load; whoever types one is told the present one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from energy.component import Component, ConfigurationError, annotations, from_dict, to_dict
from energy.io.former import current
from energy.io.record import CONFIGURATION
from energy.renamed import FIELDS, VALUES, successors
from energy.rules import KrotovHopfield, PerLayer, SoftHebb, Variant
from energy.rules.rule import Rule
from energy.train.evaluate import evaluate
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run, Training

Maker = Callable[..., Run]
FORMER: list[dict[str, Any]] = [
    {"name": "krotov_hopfield", "norm": 3.0, "radius": 1.5, "push": 0.3},
    {"name": "softhebb", "variant": "labelled", "push": 1.0, "scaled": False},
]
PRESENT = [
    KrotovHopfield(p=3.0, target_norm=1.5, anti_hebbian=0.3),
    SoftHebb(variant=Variant.SUPERVISED, anti_hebbian=1.0, scaled=False),
]


UNNAMED = {"train": Training}


def test_every_entry_leads_to_a_field_or_value_that_is_there() -> None:
    register_builtins()
    for (group, name, former), present in FIELDS.items():
        kinds = annotations(UNNAMED[group] if not name else Component.registry[group, name])
        assert present in kinds and former not in kinds, (group, name, former)
    for (group, name, field, former), present in VALUES.items():
        kind = annotations(UNNAMED[group] if not name else Component.registry[group, name])[field]
        named = issubclass(kind, Component)
        members = (
            {one for of, one in Component.registry if of == kind.group} if named else {one.name.lower() for one in kind}
        )
        assert present in members and former not in members, (group, name, field, former)


@pytest.mark.parametrize(("former", "present"), [*zip(FORMER, PRESENT, strict=True)])
def test_a_former_description_is_the_present_component(former: dict[str, Any], present: Rule) -> None:
    assert from_dict(Rule, current(Rule, former)) == present
    assert current(Rule, to_dict(present)) == to_dict(present)


def test_inner_components_are_found_too() -> None:
    former = {"rule": {"name": "per_layer", "rules": FORMER}, "title": "old", "unknown": [1]}
    found = current(Run, former)
    assert from_dict(Rule, found.pop("rule")) == PerLayer(rules=PRESENT)  # type: ignore[arg-type]
    assert found == {"title": "old", "unknown": [1]}


def test_of_both_names_the_present_one_counts() -> None:
    assert current(Rule, {"name": "oja", "norm": 5.0, "p": 3.0}) == {"name": "oja", "p": 3.0}


def test_a_run_folder_of_before_is_evaluated_and_known_again(make_run: Maker) -> None:
    model = {"name": "softhebb", "channels": [], "kernels": [], "powers": [], "pools": [], "dense": [8]}
    run = make_run(
        model=model,
        settler={"name": "feedforward"},
        rule={"name": "krotov_hopfield", "p": 3.0, "target_norm": 1.5, "anti_hebbian": 0.3},
        optimizer={"lr": 1.0, "momentum": 0.0},
        readout={"name": "ridge"},
        train={"epochs": 1},
    )
    result = fit(run)
    told = {"p": "norm", "target_norm": "radius", "anti_hebbian": "push"}
    for path in (run.folder / CONFIGURATION, *run.folder.glob("final/step-*/*.json")):
        plain = json.loads(path.read_text())
        for part in ("run", "identity"):
            if isinstance(plain.get(part), dict):
                plain[part]["rule"] = {told.get(name, name): value for name, value in plain[part]["rule"].items()}
        plain.pop("sha256", None)
        if path.name == CONFIGURATION:
            path.write_text(json.dumps(plain))
    assert "norm" in json.loads((run.folder / CONFIGURATION).read_text())["identity"]["rule"]
    assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]
    assert fit(run) == result  # finished already, and recognised


def test_a_former_name_is_refused_with_the_present_one() -> None:
    for fields, words in (
        ({"name": "oja", "norm": 3.0}, r"rule.norm: unknown field; did you mean 'p'\?"),
        ({"name": "softhebb", "radius": 3.0}, r"rule.radius: unknown field; did you mean 'target_norm'\?"),
        ({"name": "krotov_hopfield", "push": 3.0}, r"rule.push: unknown field; did you mean 'anti_hebbian'\?"),
        (
            {"name": "softhebb", "variant": "labelled"},
            r"rule.variant=labelled: unknown .* mean 'supervised'",
        ),
    ):
        with pytest.raises(ConfigurationError, match=words):
            from_dict(Rule, fields)
    assert successors("push") == ["anti_hebbian"] and successors("p") == []


@pytest.mark.slow
def test_the_command_line_says_so() -> None:
    words = ["train", "model=softhebb", "settler=feedforward", "rule=oja", "rule.norm=3", "readout=linear", "--dry-run"]
    said = subprocess.run([sys.executable, "-m", "energy", *words], capture_output=True, text=True, check=False)
    assert said.returncode and "rule.norm: unknown field; did you mean 'p'?" in said.stderr
