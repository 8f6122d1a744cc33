"""Plug-ins: files, packages and modules, for every verb; what they import; and that a run knows their code."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.command import plugins
from energy.train import registration
from energy.train.evaluate import load_run

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
    registration.LOADED.clear()


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


OWN_PARTS = """
import energy as eq
class Bounded(eq.Potential, name="bounded"):
    def response(self, drive):
        return drive.atan()
class Lazy(eq.Relaxation, name="lazy"):
    def step(self, problem, state, memory):
        return state + (problem.response(state) - state) * 0.7, memory
"""


@pytest.mark.parametrize(
    "words",
    [
        ["doctor", "settler=equilibrium_propagation", "settler.relax=lazy"],
        ["gradient-error", "settler=equilibrium_propagation", "settler.relax=lazy", "batch=8"],
        ["compare", "settlers=[dual_propagation,two_phase]", "seeds=[0]", "timing_rounds=1", *QUICK[1:], "out=r"],
        [
            *(
                "study",
                "data=digits",
                "objective=squared_error",
                "settlers=['EP: equilibrium_propagation relax=lazy']",
                "seeds=[0]",
            ),
            *("blocks=[{measure:[gradient,samples,spectrum]}]", "batch=8", "out=r"),
        ],
    ],
    ids=lambda words: words[0],
)
def test_parts_of_ones_own_need_no_more_than_they_must_have(energy: Energy, words: list[str]) -> None:
    """A potential without its energy, and a relaxation that is one step."""
    Path("mine.py").write_text(OWN_PARTS, encoding="utf-8")
    answer = energy([*words, "--plugin", "mine.py", "model=mlp", "model.sizes=[4]", "model.hidden=bounded"])
    assert answer.status == 0, answer.err


@pytest.mark.parametrize("verb", ["data", "evaluate", "explain", "plot", "runs", "repro", "train", "compare"])
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
        (["runs", ".", "-cd", "."], "-cd"),
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


def test_a_plugin_finds_its_neighbors(energy: Energy) -> None:
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

    from energy.component import Component, annotations, from_dict
    from energy.potentials import Potential

    for name, slope in (("first", 1), ("second", 2)):
        assert annotations(Component.registry["potential", name]) == {}
        assert from_dict(Potential, name).response(torch.ones(1)).item() == slope / 2


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

    taken = Component.registry.pop(("potential", "softsign"))
    try:
        return do()
    finally:
        Component.registry["potential", "softsign"] = taken


def test_the_record_holds_the_digest_of_the_file(energy: Energy) -> None:
    import hashlib

    sha = hashlib.sha256(Path(_write("mine.py", "softsign")).read_bytes()).hexdigest()
    energy(["train", "--plugin", "mine.py", *QUICK, "model.hidden=softsign", "out=r"])
    for name in ("configuration.json", "result.json"):
        plain = json.loads(Path("r", name).read_text(encoding="utf-8"))
        assert plain.get("identity", plain)["plugins"] == {"mine.py": sha}
    energy(["train", "--plugin", "mine.py", *QUICK, "out=without"])
    assert "plugins" not in json.loads(Path("without/configuration.json").read_text(encoding="utf-8"))["identity"]


def test_a_changed_neighbor_is_other_code(energy: Energy) -> None:
    Path("helper.py").write_text("SLOPE = +1\n")
    _write("mine.py", "softsign", "SLOPE", "from helper import SLOPE\n")
    words = ["train", "--plugin", "mine.py", *QUICK, "model.hidden=softsign", "out=r"]
    assert energy(words).status == 0
    Path("helper.py").write_text("SLOPE = -1\n")
    assert "its code in mine.py was another" in energy(words).err
    assert energy([*words[:-1], "out=other"]).status == 0
    hidden = load_run(Path("other"))[1].layers[0].potential
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


COUNT = "from pathlib import Path\nwith Path('ran').open('a') as file:\n    file.write('x')\n"
VERBS = [
    ["train", *QUICK, "out=trained"],
    ["train", "--dry-run"],
    ["train", "--help"],
    ["compare", "--dry-run"],
    ["compare", "--help"],
    ["evaluate", "."],
    ["evaluate", "--help"],
    ["data", "list"],
    ["explain", "relu"],
    ["explain"],
    ["plot", "."],
    ["runs", "."],
    ["runs", "--help"],
    ["repro", "--list"],
    ["train", "-m", "seed=0,1", "--dry-run"],
    ["--help"],
    ["help"],
]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_verb_runs_the_plugin_once(energy: Energy, words: list[str]) -> None:
    _write("mine.py", "softsign", above=COUNT)
    energy([*words, "--plugin", "mine.py", "--plugin=./mine.py", "--plugin", "mine", "plugins=[mine.py]"])
    assert Path("ran").read_text() == "x"


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_verb_says_where_a_plugin_fails(energy: Energy, words: list[str]) -> None:
    Path("mine.py").write_text("x = 1\n\nx.nothing\n")
    answer = energy([*words, "--plugin", "mine.py"])
    said = "energy: plugins=mine.py: line 3: AttributeError: 'int' object has no attribute 'nothing'\n"
    assert (answer.status, answer.out, answer.err) == (2, "", said)


def test_a_plugin_is_found_from_wherever_it_is_named(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    _write("elsewhere/mine.py", "softsign")
    Path("work/deep").mkdir(parents=True)
    monkeypatch.chdir("work/deep")
    absolute = str(Path("../../elsewhere/mine.py").resolve())
    monkeypatch.setenv("HOME", str(Path("../..").resolve()))
    for given in ("../../elsewhere/mine.py", absolute, "~/elsewhere/mine.py"):
        answer = energy(["explain", "softsign", "--plugin", given])
        assert answer.status == 0 and "A curve of softsign." in answer.out, answer.err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("mine.py", "line 3"),
        ("mine", "mine.py, line 3"),
        ("pkg", "pkg/inner.py, line 3"),
        ("pkg.inner", "pkg/inner.py, line 3"),
        ("pkg/inner.py", "line 3"),
        ("outer.py", "mine.py, line 3"),
    ],
)
@pytest.mark.parametrize(("text", "said"), [("1 / 0", "ZeroDivisionError: "), ("def f(:", "SyntaxError: ")])
def test_a_failure_is_named_by_file_and_line(energy: Energy, given: str, named: str, text: str, said: str) -> None:
    Path("pkg").mkdir()
    Path("pkg/__init__.py").write_text("from pkg.inner import X\n")
    for path in ("pkg/inner.py", "mine.py"):
        Path(path).write_text(f"\n\n{text}\n")
    Path("outer.py").write_text("import mine\n")
    answer = energy(["runs", ".", "--plugin", given])
    assert answer.status == 2 and answer.err.count("\n") == 1
    assert answer.err.startswith(f"energy: plugins={given}: {named}: {said}")


def test_two_packages_of_one_name_live_side_by_side(energy: Energy) -> None:
    for folder, name in (("one", "first"), ("two", "second")):
        _write(f"{folder}/pkg/__init__.py", name, "SLOPE", "from pkg.inner import SLOPE\n")
        Path(folder, "pkg", "inner.py").write_text("SLOPE = 2\n")
    answer = energy(["explain", "potential", "--plugin", "one/pkg", "--plugin", "two/pkg"])
    assert answer.status == 0 and "A curve of first." in answer.out and "A curve of second." in answer.out, answer.err


def test_a_sweep_of_a_plugin_is_run_and_recorded(energy: Energy) -> None:
    _write("pkg/curves.py", "softsign")
    Path("pkg/__init__.py").touch()
    answer = energy(["train", "-m", *QUICK, "seed=0,1", "model.hidden=softsign", "--plugin", "pkg.curves", "out=s"])
    assert answer.status == 0, answer.err
    for seed in (0, 1):
        plain = json.loads(Path(f"s/seed={seed}/result.json").read_text(encoding="utf-8"))
        assert list(plain["plugins"]) == ["pkg.curves"]
    assert energy(["runs", "s", "--plugin", "pkg.curves"]).status == 0
    told = _without_plugins(lambda: energy(["evaluate", "s/seed=0"]).err)
    assert "s/seed=0: was trained with pkg.curves; give --plugin" in told


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a distribution with one module into a folder of installed ones; return the module's file."""

    def install(name: str, text: str) -> Path:
        place = Path("site").resolve()
        facts = place / f"{name}-1.2.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (facts / "entry_points.txt").write_text(f"[energy.components]\ncurves = {name}.curves\n")
        (place / name).mkdir()
        (place / name / "__init__.py").touch()
        (place / name / "curves.py").write_text(text)
        monkeypatch.syspath_prepend(place)
        return place / name / "curves.py"

    return install


COUNTED = COUNT + CURVE.format(title="Softsign", name="softsign", slope=1)


@pytest.mark.parametrize("words", [["--help"], ["explain", "softsign"], ["train", "--help"], ["compare", "--help"]])
def test_an_installed_plugin_is_listed(energy: Energy, installed: Callable[[str, str], Path], words: list[str]) -> None:
    installed("its_own", COUNTED)
    answer = energy(words)
    assert answer.status == 0 and "A curve of softsign." in answer.out


def test_an_installed_plugin_is_loaded_once_and_recorded(energy: Energy, installed: Callable[[str, str], Path]) -> None:
    file = installed("its_own", COUNTED)
    answer = energy(["train", *QUICK, "model.hidden=softsign", "out=r", "--plugin", "its_own.curves"])
    assert answer.status == 0, answer.err
    assert energy(["evaluate", "r"]).status == 0 and energy(["plot", "r"]).status == 0
    assert Path("ran").read_text() == "x"
    import hashlib

    plain = json.loads(Path("r/result.json").read_text(encoding="utf-8"))
    assert plain["plugins"] == {"its_own.curves": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_a_run_is_read_back_with_the_plugin_that_is_installed(
    energy: Energy, installed: Callable[[str, str], Path]
) -> None:
    installed("its_own", COUNTED)
    assert energy(["train", *QUICK, "model.hidden=softsign", "out=r"]).status == 0
    assert type(load_run(Path("r"))[1].layers[0].potential).__module__ == "its_own.curves"
    for verb in ("evaluate", "plot"):
        told = _without_plugins(lambda verb=verb: energy([verb, "r"]).err)
        assert "r: was trained with its_own.curves; give --plugin" in told and told.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["train", "--dry-run"], ["data", "list"], ["explain"], ["plot", "."]])
def test_an_installed_plugin_that_fails_names_its_distribution(
    energy: Energy, installed: Callable[[str, str], Path], words: list[str]
) -> None:
    installed("its_own", "\n1 / 0\n")
    answer = energy(words)
    assert answer.status == 2 and answer.out == "" and answer.err.count("\n") == 1
    said = "energy: its_own 1.2: its entry point curves = its_own.curves of energy.components fails: "
    assert answer.err.startswith(f"{said}site/its_own/curves.py, line 2: ZeroDivisionError: ")
    assert answer.err.endswith("repair or uninstall its_own\n")


def test_a_folder_here_does_not_hide_an_installed_plugin(energy: Energy, installed: Callable[[str, str], Path]) -> None:
    installed("its_own", COUNTED)
    Path("its_own").mkdir()
    Path("its_own/curves.py").write_text("1 / 0\n")
    assert energy(["explain", "softsign"]).status == 0
