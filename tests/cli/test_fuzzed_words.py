"""Any words at all end in a result or in one line; a seeded few hundred are tried in this process."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.command import catalog
from energy.command.arguments import parse
from energy.command.compose import plan
from energy.component import Component, ConfigurationError, to_dict

GROUPS = ("tool", "part", "seed", "widths", "out", "experiment", "hydra", "tool.head", "tool.head.radius", "nothing")
SIGNS = ("", "", "", "+", "++", "~", "--", "-", "@", "k@", "$")
VALUES = (
    *("saw", "hammer", "disc", "0", "-1", "1e3", "1e999", "nan", "true", "null", "", " ", "'", '"', "\\", "[1,2]"),
    *("[[", "{}", "{name: saw}", "{1:2}", "{[1]:2}", "a,b", "range(3)", "range(0,9,0)", "range(0,1,1e-9)"),
    *("range(0,1000000000)", "range(1e30,1e31)", "interval(0,1)", "choice(1,2)", "choice()", "glob(*)", "glob(x)"),
    *("sort(3,2)", "sort(a,1)", "shuffle(range(0,1000000000))", "tag(a,choice(1))", "int(a)", "int(9,'x')"),
    *("float([])", "str(interval(0,1))", "bool(maybe)", "f(1)", "int(", "${seed}", "${out}", "${tool}", "${.x}"),
    *("${..}", "${", "${oc.env:HOME}", "$\\{oc.env\\:HOME}", "${${out}:HOME}", "${now:%Y}", "${a[0]}", "???"),
    *("9" * 5000, "-" * 9000, "[" * 500, "x" * 20000, "\x00", "\x1b[2J", "\ud800", "\udcff", "é", "a\nb", "@a b"),
    *("@", "/", "../..", "~", "~nobody", "%", "!!python/name:os.system"),
)
WORDS = (
    *("train", "data", "plot", "repro", "runs", "explain", "evaluate", "doctor", "gradient-error", "export"),
    *("study", "merge", "check", "list", "--help", "--dry-run", "-m", "--csv", "--sort", "--sort=", "--seed"),
    *("--budget=nan", "--list", "--plugin", "--config-dir", "-cd", "samples=9", "batch=x", "split=", "no/folder"),
    *("\udcff", "k@a b=c", "", "=", "==", "~", "9" * 5000),
)


def override(random_: random.Random) -> str:
    if random_.random() < 0.4:
        return random_.choice(("seed=3", "tool=saw", "out=runs/x", "widths=[1,2]", "tool.head=disc", "seed=1,2"))
    name = random_.choice(GROUPS) + random_.choice(("", "", ".", "..", "@x", "@x:y", "/", "[0]", " "))
    return f"{random_.choice(SIGNS)}{name}{random_.choice(('=', '=', '=', '', '==', ':'))}{random_.choice(VALUES)}"


def changed(random_: random.Random, text: str) -> str:
    """One letter of a text doubled, dropped or replaced."""
    at = random_.randrange(len(text) + 1)
    return text[:at] + random_.choice(("", "\x07", "{", "]", ",", "=", "'", "$", "\\", "é", text[:5])) + text[at + 1 :]


def answer(action: Callable[[], Any]) -> str:
    """The one line of a refusal; empty for a result. Any other exception fails the test."""
    try:
        action()
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "load_all", lambda plugins=(): None)


@pytest.mark.parametrize("seed", range(4))
def test_random_overrides_are_composed_or_refused_in_one_line(job: type[Component], quick: None, seed: int) -> None:
    random_ = random.Random(seed)
    refused = 0
    for _ in range(60):
        words = [override(random_) for _ in range(random_.randrange(1, 3))]
        words = [changed(random_, word) if random_.random() < 0.2 else word for word in words]
        words += ["-m"] * (random_.random() < 0.3)
        told = answer(lambda words=words: [to_dict(one) for one in plan(job, "job", parse(words))])
        assert len(told) < 2000 and told.isprintable(), words
        refused += bool(told)
    assert 20 < refused < 58  # some are composed, most are not


@pytest.mark.parametrize("seed", range(3))
def test_random_commands_leave_no_traceback(energy: Any, quick: None, seed: int) -> None:
    random_ = random.Random(seed)
    verbs = ["data", "plot", "repro", "runs", "evaluate", "doctor", "gradient-error", "export", "train", "study"]
    for _ in range(40):
        words = [random_.choice(WORDS + VALUES) for _ in range(random_.randrange(1, 4))]
        verb = random_.choice(verbs)
        found = energy([verb, *(word for word in words if word not in ("list", "merge", "") and verb != word), "x=y"])
        assert "Traceback" not in found.err and "defect" not in found.err, (verb, words)
        assert found.status in (0, 1, 2)
        assert len(found.err) < 6000 and found.err.replace("\n", "").isprintable(), (verb, words)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_of_every_kind_of_field(job: type[Component], quick: None, value: str) -> None:
    for name in ("out", "seed", "tool", "widths", "tool.head"):
        told = answer(lambda name=name: plan(job, "job", parse([f"{name}={value}"])))
        assert len(told) < 2000 and told.isprintable()
