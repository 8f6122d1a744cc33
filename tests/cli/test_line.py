"""Options are taken off before anything is composed; what is left is handed on in its order."""

from pathlib import Path

import pytest

from energy.command.arguments import parse
from energy.component import ConfigurationError


def test_overrides_and_paths_stay_in_order() -> None:
    assert parse(["b=1", "a=2", "some/folder"]).rest == ["b=1", "a=2", "some/folder"]


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_can_be_asked_for_anywhere(flag: str) -> None:
    assert parse(["seed=1,2", flag, "x=1"]).sweep
    assert not parse(["seed=1,2"]).sweep


@pytest.mark.parametrize("words", [["--plugin", "a.py"], ["--plugin=a.py"], ["plugins=a.py"], ["plugins=[a.py]"]])
def test_plugins_are_no_overrides(words: list[str]) -> None:
    line = parse([*words, "seed=1"])
    assert (line.plugins, line.rest) == (["a.py"], ["seed=1"])


def test_several_plugins_and_folders() -> None:
    line = parse(["plugins=a.py, b.py", "--plugin", "c.py", "--config-dir", "x", "-cd", "y", "--config-dir=z"])
    assert line.plugins == ["a.py", "b.py", "c.py"]
    assert line.folders == [Path("x"), Path("y"), Path("z")]


def test_a_deletion_is_an_override() -> None:
    assert parse(["~schedule"]).rest == ["~schedule"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--multirum"], "--multirum: unknown option; did you mean '--multirun'?"),
        (["--plugins=a.py"], "--plugins: unknown option; did you mean '--plugin'?"),
        (["--plugin"], "--plugin: needs a value"),
        (["--config-dir="], "--config-dir: needs a value"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(words)
    assert str(caught.value) == message
