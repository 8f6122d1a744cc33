"""Who trains asks a rule, and never its class."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import energy
from energy.component import choices
from energy.models import SoftHebbNet
from energy.rules import Contrast, Oja, PerLayer, SoftHebb, Variant
from energy.rules.rule import Rule

PACKAGE = Path(energy.__file__).parent


def rule_classes() -> set[str]:
    """The names of all classes of rules in the library, registered or not."""

    def below(cls: type) -> Iterator[str]:
        yield cls.__name__
        for child in cls.__subclasses__():
            yield from below(child) if child.__module__.startswith("energy.") else ()

    assert {cls.__name__ for cls in choices(Rule).values() if cls.__module__.startswith("energy.")} <= set(below(Rule))
    return set(below(Rule))


def asked(source: str, names: set[str]) -> list[str]:
    """The classes of `names` that a module asks `isinstance` or `issubclass` of."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}:
            inner = [one for given in node.args[1:] for one in ast.walk(given)]
            found += [one.id for one in inner if isinstance(one, ast.Name)]
            found += [one.attr for one in inner if isinstance(one, ast.Attribute)]
    return sorted(names & set(found))


def test_the_lint_finds_what_it_looks_for() -> None:
    names = rule_classes()
    assert {"Rule", "Contrast", "Local", "Plasticity", "PerLayer", "SoftHebb", "Sanger"} <= names
    assert asked("x = isinstance(run.rule, Local)", names) == ["Local"]
    assert asked("x = not isinstance(a, int | rules.SoftHebb)", names) == ["SoftHebb"]
    assert asked("x = isinstance(a, Settled)", names) == []


@pytest.mark.parametrize(
    "path",
    sorted(p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] != "rules"),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_module_outside_rules_asks_for_the_class_of_a_rule(path: Path) -> None:
    assert asked(path.read_text(encoding="utf-8"), rule_classes()) == []


def test_what_the_rules_answer() -> None:
    model = SoftHebbNet(channels=[4], kernels=[3], powers=[1.0], pools=["none"], dense=[5])
    network = model.build((1, 8, 8), 3, seed=0)
    whole, hidden = ["conv1", "dense1", "output"], ["conv1", "dense1"]
    supervised = SoftHebb(variant=Variant.SUPERVISED)
    for rule, learns, greedy in (
        (Contrast(), whole, False),
        (SoftHebb(), hidden, True),
        (PerLayer(rules=[Oja()]), ["conv1"], True),
        (PerLayer(rules=[Oja(), Oja(), supervised]), whole, True),
    ):
        assert rule.learns(network) == learns and rule.supports_greedy is greedy
    assert Contrast().scores_output(network, []) and Contrast().scores_output(network, hidden)
    assert SoftHebb().scores_output(network, whole) and not SoftHebb().scores_output(network, hidden)
    listed = PerLayer(rules=[Oja(), supervised])
    assert [Contrast().rule_for(network, layer) for layer in (1, 2, 3)] == [None] * 3
    assert [listed.rule_for(network, layer) for layer in (1, 2, 3)] == [Oja(), supervised, None]
    assert [*Contrast().unit_rules()] == [] and [*Oja().unit_rules()] == [Oja()]
    assert listed.unit_rules() == [Oja(), supervised]
