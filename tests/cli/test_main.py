"""The command line as a person meets it: statuses, one-line complaints, help, and that mistakes touch nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from energy import __version__
from energy.cautions import Caution
from energy.cli import usage
from energy.command.verbs import VERBS
from energy.component import Component, choices
from energy.errors import DataError, UsageError

Energy = Callable[[Sequence[str]], Any]
TINY = ["model.sizes=[8]", "train.epochs=1", "train.batch_size=200", "train.probe_every=0", "train.progress=false"]


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, in a world where reading data, drawing weights or asking for a device fails."""
    from energy.data.dataset import DataSet
    from energy.models.mlp import MLP
    from energy.train.run import Setting

    def touched(*_: object, **__: object) -> None:
        raise AssertionError("touched before the configuration was known to be right")

    monkeypatch.setattr(DataSet, "load", touched)
    build = MLP.build
    monkeypatch.setattr(
        MLP, "build", lambda *given, **named: build(*given, **named) if _without_numbers() else touched()
    )
    monkeypatch.setattr(Setting, "place", touched)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _without_numbers() -> bool:
    return torch.get_default_device().type == "meta"


def test_version(energy: Energy) -> None:
    assert energy(["--version"]).out.strip() == __version__


def test_no_verb_shows_the_verbs_and_fails(energy: Energy) -> None:
    answer = energy([])
    assert answer.status == 2 and answer.out == ""
    assert all(f"energy {verb}" in answer.err for verb in VERBS)


def test_help_lists_every_component_with_its_fields(energy: Energy) -> None:
    answer = energy(["--help"])
    assert answer.status == 0 and usage() in answer.out
    for group, name in Component.registry:
        assert f"{group}=" in answer.out and name in answer.out
    text = " ".join(answer.out.split())
    assert "beta: float = 0.1" in text and "form: adjoint|saddle = adjoint" in text and "relax: relax = sweep" in text


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_help_of_a_verb_names_options_fields_and_experiments(energy: Energy, verb: str) -> None:
    answer = energy([verb, "--help"])
    assert answer.status == 0
    for word in ("--multirun", "--plugin", "--config-dir", "precision: float32|float64|bfloat16", "batch_size: int"):
        assert word in answer.out
    assert "experiment= (files of values)" in answer.out and "demo" in answer.out


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"train", "compare"}))
def test_help_of_the_other_verbs(energy: Energy, verb: str) -> None:
    answer = energy([verb, "--help"])
    assert answer.status == 0 and answer.out.startswith(f"usage: energy {verb}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "trian: unknown verb; did you mean 'train'?"),
        (["train", "settler.betta=1"], "settler.betta: unknown field; did you mean 'beta'?"),
        (["train", "settler=dual_propagatoin"], "settler=dual_propagatoin: unknown; did you mean 'dual_propagation'?"),
        (["train", "settler.form=sadle"], "settler.form=sadle: unknown value; did you mean 'saddle'?"),
        (["train", "settler.alpha=nan"], "settler.alpha=nan: must be a number"),
        (["train", "settler.alpha=2"], "settler.alpha=2.0: must be "),
        (["train", "settler.relax=swep"], "settler.relax=swep: unknown; did you mean 'sweep'?"),
        (["train", "settler.relax.max_steps=0"], "settler.relax.max_steps=0: must be "),
        (["train", "model.hidden=rleu"], "model.hidden=rleu: unknown; did you mean 'relu'?"),
        (["train", "train.epochs=0"], "train.epochs=0: must be at least 1"),
        (["train", "train.epochs=1.5"], "train.epochs=1.5: must be a whole number"),
        (["train", "seed=-1"], "seed=-1: must be at least 0"),
        (["train", "data=cifar"], "data=cifar: unknown; did you mean 'cifar10'?"),
        (["train", "data.validation=1"], "data.validation=1.0: must be "),
        (["train", "precision=fp16"], "precision=fp16: unknown value; did you mean "),
        (["train", "device=gpu"], "device='gpu': must be auto, cpu, cuda or cuda:<number>"),
        (["train", "seed=0,1"], "seed=0,1: has several values; add -m"),
        (["train", "-m", "seed=0,x"], "seed='x': must be a whole number"),
        (["train", "experiment=dmo"], "experiment=dmo: unknown; did you mean 'demo'?"),
        (["train", "mlp"], "mlp: must have the form name=value"),
        (["train", "--multi"], "--multi: unknown option; did you mean '--multirun'?"),
        (["train", "plugins=nowhere.py"], "plugins=nowhere.py: there is no such file"),
        (["compare", "settlers=[bakprop]"], "settlers[bakprop]=bakprop: unknown; did you mean 'backprop'?"),
        (["compare", "setlers=[backprop]"], "setlers: unknown field; did you mean 'settlers'?"),
        (["evaluate"], "evaluate: needs a folder; usage: energy evaluate RUN_FOLDER ..."),
        (["evaluate", "nowhere"], "evaluate nowhere: there is no such folder"),
        (["evaluate", ".", "splt=test"], "evaluate splt: unknown; did you mean 'split'?"),
        (["plot", "."], "plot .: holds neither a compare.json nor a record.jsonl"),
        (["data", "ftech"], "data ftech: unknown; did you mean 'fetch'?"),
        (["data", "fetch"], "data fetch: needs the name of a set"),
        (["data"], "data: needs an action; usage: energy data list | check"),
        (["plot"], "plot: needs a folder; usage: energy plot FOLDER ... [--out FILE.png] [--where "),
        (["repro", "--budget", "soon"], "--budget=soon: must be one number of minutes above 0"),
        (["repro", "--seed", "x"], "--seed=x: must be a whole number of at least 0"),
        (["table", "."], "table: unknown verb"),
        (["compare"], "compare: needs to be told what, since it trains for minutes; usage: energy compare name=value"),
        (["compare", "-m"], "compare: needs to be told what"),
        (["runs", "nowhere"], "runs nowhere: there is no such folder"),
        (["runs"], "runs runs: there is no such folder; energy runs FOLDER lists another"),
        (["train", "lr=0.1"], "lr: unknown field; did you mean 'optimizer.lr'?"),
        (["train", "epochs=1"], "epochs: unknown field; did you mean 'train.epochs'?"),
        (["train", "settler=ep"], "settler=ep: unknown; did you mean 'equilibrium_propagation'?"),
        (["train", "settler=zzz"], "settler=zzz: unknown; known: backprop, "),
        (["train", "objective=mse"], "objective=mse: unknown; did you mean 'squared_error'?"),
        (["explain", "nosuch"], "nosuch: there is no such component; energy --help lists them"),
        (["train", "model=vgg16"], "model=vgg16: does not fit images of 1×8×8 in 10 classes: "),
        (["data", "check", "digit"], "data=digit: unknown; did you mean 'digits'?"),
        (["explain", "dual"], "dual: there is no such component; did you mean "),
    ],
)
def test_a_mistake_is_one_line_and_touches_nothing(
    energy: Energy, untouched: Path, words: list[str], message: str
) -> None:
    answer = energy(words)
    assert answer.err.startswith(f"energy: {message}")
    assert answer.err.count("\n") == 1 and answer.out == ""
    assert answer.status == 2
    assert not list(untouched.iterdir())


def test_a_dry_run_describes_and_touches_nothing(energy: Energy, untouched: Path) -> None:
    answer = energy(["train", "--dry-run", "settler.beta=0.2", "model.hidden=tanh", "seed=3"])
    assert answer.status == 0 and not list(untouched.iterdir())
    plain = json.loads(answer.out)
    assert plain["settler"]["beta"] == 0.2 and plain["model"]["hidden"] == {"name": "tanh"} and plain["seed"] == 3


def test_the_files_of_defaults_agree_with_the_classes(energy: Energy) -> None:
    from energy.component import from_dict, to_dict
    from energy.train.run import Run

    plain = json.loads(energy(["train", "--dry-run"]).out)
    assert to_dict(from_dict(Run, {"model": "mlp", "data": "digits"}, path="")) == plain


def test_a_run_writes_its_folder_and_nothing_else(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = energy(["train", *TINY, "out=here"])
    assert answer.status == 0 and answer.out.startswith("test accuracy ") and answer.out.rstrip().endswith("here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    result = json.loads((tmp_path / "here" / "result.json").read_text(encoding="utf-8"))
    assert f"{result['test_accuracy']:.2f}" in answer.out
    assert len((tmp_path / "here" / "record.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_a_sweep_trains_every_run(energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    answer = energy(["train", "-m", *TINY, "out=many", "seed=0,1"])
    assert answer.status == 0
    one, other, header, *rows = answer.out.splitlines()
    assert one.startswith("test accuracy ") and other.startswith("test accuracy ")
    assert header.split() == ["seed", "test", "%", "validation", "%", "price", "state", "folder"]
    assert [row.split()[0] for row in rows] == ["0", "1"] and all("done" in row.split() for row in rows)
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["seed=0", "seed=1"]
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_the_example_of_a_bare_comparison_is_the_default_one(energy: Energy) -> None:
    words = energy(["compare"]).err.partition("for example energy ")[2].split()
    assert energy([*words, "--dry-run"]).out == energy(["compare", "--dry-run"]).out


def test_a_sweep_is_evaluated_plotted_and_listed_by_its_folders(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    energy(["train", "-m", *TINY, "seed=0,1", "optimizer.lr=0.1,0.2", "out=runs/sweep"])
    odd = "runs/sweep/seed=0,optimizer.lr=0.1"
    for word in (odd, f"./{odd}/", str(tmp_path / odd)):
        answer = energy(["evaluate", word, "split=validation"])
        assert answer.status == 0 and json.loads(answer.out)["split"] == "validation", answer.err
    listed = energy(["runs"]).out
    assert listed.count("finished") == 4 and "seed" in listed and "lr" in listed
    assert energy(["runs", "runs/sweep", "--csv", "--sort", "accuracy"]).out.count("\n") == 5


def test_evaluating_repeats_the_number_of_the_run(energy: Energy, tmp_path: Path) -> None:
    energy(["train", *TINY, f"out={tmp_path}/a"])
    result = json.loads((tmp_path / "a" / "result.json").read_text(encoding="utf-8"))
    answer = energy(["evaluate", f"{tmp_path}/a"])
    assert answer.status == 0 and json.loads(answer.out)["accuracy"] == pytest.approx(result["test_accuracy"])
    held = energy(["evaluate", f"{tmp_path}/a", "split=validation", "device=cpu"])
    assert held.status == 0 and json.loads(held.out)["split"] == "validation"
    wrong = energy(["evaluate", f"{tmp_path}/a", "split=tset"])
    assert wrong.status == 1 and wrong.err.startswith("energy: split='tset': must be one of")


def test_plotting_a_run_says_where_the_figures_are(energy: Energy, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    energy(["train", *TINY, f"out={tmp_path}/a"])
    answer = energy(["plot", f"{tmp_path}/a"])
    assert answer.status == 0, answer.err
    shown = [Path(line) for line in answer.out.splitlines()]
    assert [path.name for path in shown] == ["curves.png", "filters.png", "receptive.png", "units.png", "features.png"]
    assert all(path.parent == tmp_path / "a" and path.is_file() for path in shown)
    assert Path(energy(["plot", f"{tmp_path}"]).out.strip()) == tmp_path / "curves.png"


def test_a_plugin_is_on_the_command_line(energy: Energy, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Mine."""\n\nfrom energy.relax.sweep import Sweep\n\n\n'
        'class Brisk(Sweep, name="brisk"):\n    """A few sweeps."""\n\n    max_steps: int = 7\n',
        encoding="utf-8",
    )
    words = ["train", "--dry-run", f"plugins={tmp_path}/mine.py", "settler.relax=brisk"]
    for _ in range(2):
        answer = energy(words)
        assert answer.status == 0, answer.err
        assert json.loads(answer.out)["settler"]["relax"]["max_steps"] == 7
    assert "A few sweeps." in energy(["explain", "brisk", f"--plugin={tmp_path}/mine.py"]).out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = x.nothing\n", "line 2: AttributeError: 'int' object has no attribute 'nothing'"),
        ("def f(:\n", "SyntaxError"),
        (
            'from energy.relax.relaxation import Relaxation\n\n\nclass A(Relaxation, name="sweep"):\n    """A."""\n',
            "line 4: ConfigurationError: relax=sweep is taken by energy.relax.sweep.Sweep",
        ),
    ],
)
def test_a_plugin_that_fails_says_where(energy: Energy, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    answer = energy(["train", "--dry-run", "--plugin", f"{tmp_path}/mine.py"])
    assert answer.status == 2 and message in answer.err and answer.err.count("\n") == 1


def test_explain_shows_the_whole_documentation(energy: Energy) -> None:
    answer = energy(["explain", "settler=dual_propagation"])
    assert answer.status == 0 and "Fields:\n" in answer.out and "  beta: float = 0.1" in answer.out
    from energy.settle.settler import Settler

    everything = energy(["explain", "settler"]).out
    assert all(name in everything for name in choices(Settler))


def test_a_missing_set_is_one_line_with_the_cure(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGY_DATA", str(tmp_path / "empty"))
    answer = energy(["train", "data=cifar10", f"out={tmp_path}/run", "model=vgg"])
    assert answer.status == 1 and answer.err.count("\n") == 1 and "energy data fetch cifar10" in answer.err
    assert "cifar10" in energy(["data", "list"]).out


def test_a_defect_shows_its_traceback_and_asks_to_be_reported(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(line: object) -> int:
        return len(list(zip([1], [1, 2], strict=True)))

    monkeypatch.setitem(VERBS, "plot", VERBS["plot"]._replace(action=broken))
    answer = energy(["plot", "a folder"])
    assert answer.status == 1 and answer.err.startswith("Traceback (most recent call last):")
    assert "in broken" in answer.err and "zip() argument 2 is longer than argument 1" in answer.err
    report = answer.err.splitlines()[-1]
    assert report.startswith(f"energy: ValueError in energy {__version__}: a defect; please report it")
    assert report.endswith("energy plot 'a folder'")


def test_a_defect_inside_the_library_is_no_message(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    """`zip(strict=True)` raises its ValueError in a frame of ours."""
    from energy.study import statistics

    def broken(line: object) -> int:
        return len(statistics.markdown(["one", "two"], [["1", "2"], ["3", "4", "5"]]))

    monkeypatch.setitem(VERBS, "plot", VERBS["plot"]._replace(action=broken))
    answer = energy(["plot", "."])
    assert answer.status == 1 and "in markdown" in answer.err and "in _padded" in answer.err


@pytest.mark.parametrize(
    "error",
    [
        DataError("set: is damaged"),
        UsageError("split='x': must be test"),
        FileNotFoundError(2, "No such file", "x"),
        Caution("look"),
    ],
)
def test_what_the_user_can_mend_is_one_line(energy: Energy, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(line: object) -> int:
        raise error

    monkeypatch.setitem(VERBS, "plot", VERBS["plot"]._replace(action=failing))
    answer = energy(["plot", "."])
    assert (answer.status, answer.err) == (1, f"energy: {error}\n")


def test_an_interruption_has_its_status(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(line: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(VERBS, "plot", VERBS["plot"]._replace(action=interrupted))
    answer = energy(["plot", "."])
    assert (answer.status, answer.err) == (130, "energy: interrupted\n")
