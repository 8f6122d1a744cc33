"""Entries of a comparison: their words, and values that mean what they mean on the command line."""

from typing import Any

import pytest

from energy.component import Component, ConfigurationError, annotations, from_dict
from energy.study.entrants import parse_entrant, split, value
from energy.train.registration import register_builtins
from energy.train.run import Run, Setting


def _parsed(text: str) -> Any:
    register_builtins()
    run = from_dict(Run, {"model": "mlp", "data": "digits"}, path="")
    kinds = annotations(Setting)
    parts = {name: (kind, getattr(run, name)) for name, kind in kinds.items() if issubclass(kind, Component)}
    return parse_entrant(text, parts, kinds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b=1", ["a", "b=1"]),
        ("a  b=[8, 8] c=2", ["a", "b=[8, 8]", "c=2"]),
        ("a b='x y' c", ["a", "b='x y'", "c"]),
        ('a b="x [y"', ["a", 'b="x [y"']),
        ("a b={c: [1, 2], d: 3}", ["a", "b={c: [1, 2], d: 3}"]),
        ("", []),
    ],
)
def test_spaces_inside_brackets_and_quotes_part_no_words(text: str, words: list[str]) -> None:
    assert split(text) == words


@pytest.mark.parametrize("text", ["a b=[1, 2", "a b='x", "a b={c: 1"])
def test_what_is_not_closed_is_said(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is missing"):
        split(text)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("a=[8,8]", [8, 8]),
        ("a=[]", []),
        ("a=-.5", -0.5),
        ("a=1e-3", 1e-3),
        ("a=3", 3),
        ("a=true", True),
        ("a=saddle", "saddle"),
        ("a='x y'", "x y"),
        ('a=["max_2_2_0", none]', ["max_2_2_0", "none"]),
        ("a={b: [1, 2]}", {"b": [1, 2]}),
        ("a=runs/first", "runs/first"),
    ],
)
def test_values_are_those_of_the_command_line(word: str, meant: object) -> None:
    assert value(word, "here") == meant


@pytest.mark.parametrize("word", ["a=1,2", "a=range(3)", "~a=1"])
def test_an_entry_has_one_value(word: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^here: .*(must be one value|cannot be read)"):
        value(word, "here")


def test_a_list_inside_an_entry() -> None:
    for text in ("d2: backprop model.sizes=[8,8]", "d2: backprop model.sizes=[8, 8]"):
        assert _parsed(text).changes["model"].sizes == [8, 8]


def test_a_component_and_its_fields_in_any_order() -> None:
    for text in ("backprop optimizer=adam optimizer.lr=0.5", "backprop optimizer.lr=0.5 optimizer=adam"):
        optimizer = _parsed(text).changes["optimizer"]
        assert (optimizer.name, optimizer.lr) == ("adam", 0.5)
    settler = _parsed("a-b: equilibrium_propagation relax.tolerance=1e-4 relax=zebra beta=-0.1 form=saddle")
    assert settler.label == "a-b" and (settler.settler.relax.name, settler.settler.relax.tolerance) == ("zebra", 1e-4)
    assert settler.settler.beta == -0.1 and settler.settler.form.name == "SADDLE"


def test_parts_with_alternatives_of_their_own() -> None:
    changes = _parsed("l: feedforward rule=softhebb readout=linear model.hidden=tanh train.order=greedy").changes
    assert changes["rule"].name == "softhebb" and changes["model"].hidden.name == "tanh"
    assert changes["train"].order.name == "GREEDY"
