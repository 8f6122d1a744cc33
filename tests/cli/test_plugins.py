"""Plug-ins: files, packages and modules, for every verb; what they import; and that a run knows their code."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.command import plugins
from energy.train.evaluate import load

Energy = Callable[[Sequence[str]], Any]
QUICK = ["model.sizes=[4]", "train.epochs=1", "data.limit=100", "train.probe_every=0", "train.progress=false"]
CURVE = """
from energy.potentials import Potential
class {title}(Potential, name="{name}"):
    '''A curve of {name}.'''
    def response(self, drive):
        return {slope} * drive / (1 + drive.abs())
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder; the path and the modules as they were, afterwards."""
    path, before = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    plugins.ROOTS.clear()
    plugins.FOUND.clear()


def _write(path: str, name: str, slope: object = 1, above: str = "") -> str:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(above + CURVE.format(title=name.title(), name=name, slope=slope), encoding="utf-8")
    return path


def test_a_plugin_is_known_to_every_verb(energy: Energy) -> None:
    mine = ["--plugin", _write("mine.py", "softsign")]
    assert "A curve of softsign." in energy(["--help", *mine]).out
    assert "A curve of softsign." in energy([*mine, "--help"]).out
    assert "softsign" in energy(["train", "--help", *mine]).out
    assert energy(["train", *mine, *QUICK, "model.hidden=softsign", "out=r"]).status == 0
    assert energy(["evaluate", "r", *mine]).status == 0
    assert energy(["data", "list", *mine]).status == 0
    answer = energy(["plot", "r", *mine])
    assert answer.status == 0, answer.err
    assert "features.png" in answer.out


@pytest.mark.parametrize("verb", ["data", "evaluate", "explain", "plot", "runs", "table", "train", "compare"])
def test_a_plugin_that_is_missing_is_missed_by_every_verb(energy: Energy, verb: str) -> None:
    answer = energy([verb, "--plugin", "nowhere.py", "x=1"])
    assert answer.status == 2 and "plugins=nowhere.py: there is no such file" in answer.err


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["data", "list", "-m"], "-m"),
        (["evaluate", ".", "--dry-run"], "--dry-run"),
        (["plot", ".", "--config-dir", "."], "--config-dir"),
        (["explain", "relu", "--csv"], "--csv"),
        (["train", "--sort", "lr"], "--sort"),
        (["runs", "--multirun"], "--multirun"),
        (["table", ".", "-cd", "."], "-cd"),
        (["--help", "--dry-run"], "--dry-run"),
    ],
)
def test_an_option_that_a_verb_has_no_use_for_is_refused(energy: Energy, words: list[str], refused: str) -> None:
    answer = energy(words)
    assert answer.status == 2 and answer.err.startswith(f"energy: {refused}: energy ")
    assert "does not take it" in answer.err and "--plugin" in answer.err


def test_presets_of_a_folder_are_on_the_help_page(energy: Energy, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "of_my_own.yaml").write_text("# @package _global_\nseed: 1\n")
    assert "of_my_own" in energy(["train", "--help", "--config-dir", "mine"]).out


def test_a_plugin_finds_its_neighbours(energy: Energy) -> None:
    Path("helper.py").write_text("SLOPE = 3\n")
    _write("mine.py", "softsign", "SLOPE", "from helper import SLOPE\n")
    assert "A curve" in energy(["explain", "softsign", "--plugin", "mine.py"]).out
    assert not Path("__pycache__").exists()


@pytest.mark.parametrize("given", ["pkg.curves", "pkg/curves.py"])
def test_a_plugin_in_a_package(energy: Energy, given: str) -> None:
    _write("pkg/curves.py", "softsign", "SLOPE", "from .helper import SLOPE\n")
    Path("pkg/helper.py").write_text("SLOPE = 3\n")
    Path("pkg/__init__.py").touch()
    answer = energy(["explain", "softsign", "--plugin", given])
    assert answer.status == 0 and "pkg.curves.Softsign" in answer.out, answer.err


def test_a_package_folder_is_a_plugin(energy: Energy) -> None:
    _write("pkg/__init__.py", "softsign")
    for given in ("pkg", "pkg/", "./pkg"):
        assert energy(["explain", "softsign", f"--plugin={given}"]).status == 0


def test_two_plugins_of_one_stem_live_side_by_side(energy: Energy) -> None:
    for folder, name, slope in (("one", "first", 1), ("two", "second", 2)):
        _write(f"{folder}/mine.py", name, "SLOPE", "from __future__ import annotations\nfrom helper import SLOPE\n")
        Path(folder, "helper.py").write_text(f"SLOPE = {slope}\n")
    answer = energy(["explain", "potential", "--plugin", "one/mine.py", "--plugin", "two/mine.py"])
    assert answer.status == 0 and "A curve of first." in answer.out and "A curve of second." in answer.out, answer.err

    from energy.component import Component, annotations, build
    from energy.potentials import Potential

    for name, slope in (("first", 1), ("second", 2)):
        assert annotations(Component.table["potential", name]) == {}
        assert build(Potential, name).response(torch.ones(1)).item() == slope / 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pkg.nothing", "there is no such file, nor a Python module of this name"),
        ("notes.txt", "must be a Python file"),
        ("leaves.py", "line 1: SystemExit: 3"),
        ("hidden.py", "its neighbour json.py is hidden by"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_says_why(energy: Energy, given: str, message: str) -> None:
    for name, text in (
        ("notes.txt", ""),
        ("leaves.py", "raise SystemExit(3)"),
        ("json.py", "X = 1"),
        ("hidden.py", "import json"),
    ):
        Path(name).write_text(text)
    answer = energy(["explain", "relu", "--plugin", given])
    assert answer.status == 2 and message in answer.err and answer.err.count("\n") == 1


def test_other_code_is_another_run(energy: Energy) -> None:
    words = ["train", "--plugin", _write("mine.py", "softsign"), *QUICK, "model.hidden=softsign"]
    first = energy([*words, "out=r"])
    assert first.status == 0 and energy([*words, "out=r"]).out == first.out
    by_hash = energy(words).out.split()[-1]
    _write("mine.py", "softsign", -1)
    answer = energy([*words, "out=r"])
    assert answer.status == 2 and answer.err.count("\n") == 1
    assert "holds another run; its code in mine.py was another, there SHA-256 " in answer.err
    assert energy(words).out.split()[-1] != by_hash
    for verb in ("evaluate", "plot"):
        assert "its code in mine.py was another" in energy([verb, "r", "--plugin", "mine.py"]).err
        assert "was trained with mine.py; give --plugin" in _without_plugins(lambda verb=verb: energy([verb, "r"]).err)
    _write("mine.py", "softsign")
    assert energy(["evaluate", "r", "--plugin", "mine.py"]).status == 0


def _without_plugins(do: Callable[[], str]) -> str:
    from energy.component import Component

    taken = Component.table.pop(("potential", "softsign"))
    try:
        return do()
    finally:
        Component.table["potential", "softsign"] = taken


def test_the_record_holds_the_digest_of_the_file(energy: Energy) -> None:
    import hashlib

    sha = hashlib.sha256(Path(_write("mine.py", "softsign")).read_bytes()).hexdigest()
    energy(["train", "--plugin", "mine.py", *QUICK, "model.hidden=softsign", "out=r"])
    for name in ("configuration.json", "result.json"):
        plain = json.loads(Path("r", name).read_text(encoding="utf-8"))
        assert plain.get("identity", plain)["plugins"] == {"mine.py": sha}
    energy(["train", "--plugin", "mine.py", *QUICK, "out=without"])
    assert "plugins" not in json.loads(Path("without/configuration.json").read_text(encoding="utf-8"))["identity"]


def test_a_changed_neighbour_is_other_code(energy: Energy) -> None:
    Path("helper.py").write_text("SLOPE = +1\n")
    _write("mine.py", "softsign", "SLOPE", "from helper import SLOPE\n")
    words = ["train", "--plugin", "mine.py", *QUICK, "model.hidden=softsign", "out=r"]
    assert energy(words).status == 0
    Path("helper.py").write_text("SLOPE = -1\n")
    assert "its code in mine.py was another" in energy(words).err
    assert energy([*words[:-1], "out=other"]).status == 0
    hidden = load(Path("other"))[1].layers[0].potential
    assert hidden.response(torch.ones(1)).item() == -0.5


def test_a_class_without_a_file_goes_by_its_source() -> None:
    from energy.data import Digits
    from energy.io.code import plugins as code
    from energy.models import MLP
    from energy.train.run import Run, identity

    run = Run(model=MLP(), data=Digits())
    assert code([run]) == {} and "plugins" not in identity(run)
    found = []
    for slope in ("1", "2", "1"):
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(CURVE.format(title="Softsign", name="softsign", slope=slope), space)
        named = code([Run(model=MLP(hidden=space["Softsign"]()), data=Digits())])
        assert list(named) == ["__main__.Softsign"]
        found.append(named["__main__.Softsign"])
    assert found[0] == found[2] != found[1]
