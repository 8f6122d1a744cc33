"""A sweep: one member does not decide over the others, and a table of what varied ends it."""

import fcntl
import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.command import sweep as page
from energy.command.compose import LONGEST
from energy.command.sweep import Member, sweep_table, varied
from energy.component import from_dict
from energy.train.registration import register_builtins
from energy.train.run import Run

Energy = Callable[[Sequence[str]], Any]
pytestmark = pytest.mark.usefixtures("usual_signals")
BASE = ["model.sizes=[8]", "train.epochs=1", "train.batch_size=10", "train.progress=false", "data.limit=100"]
BASE += ["train.probe_every=0"]
TINY = [*BASE, "out=many"]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative folders lie in a folder of the test."""
    monkeypatch.chdir(tmp_path)


def states(out: str) -> list[str]:
    """The column `state` of the table that a sweep ends with."""
    lines = out.splitlines()
    (head,) = [number for number, line in enumerate(lines) if re.search(r"test %.* state ", line)]
    place = lines[head].index("state")
    return [re.split(" {2,}", line[place:])[0] for line in lines[head + 1 :]]


def test_a_member_whose_numbers_explode_is_named_and_the_others_run(energy: Energy) -> None:
    answer = energy(["train", "-m", "optimizer.lr=1e20,0.1", *TINY])
    assert answer.status == 1
    (failure,) = answer.err.splitlines()
    assert failure.startswith("energy: optimizer.lr=1e20: ") and "not finite" in failure
    assert states(answer.out) == ["failed", "done"]
    again = energy(["train", "-m", "optimizer.lr=1e20,0.1", *TINY])
    assert again.status == 1 and states(again.out) == ["failed", "kept"]


def locked(energy: Energy) -> str:
    Path("many/seed=0").mkdir(parents=True)
    handle = os.open("many/seed=0/.lock", os.O_RDWR | os.O_CREAT)  # closed with the process
    fcntl.flock(handle, fcntl.LOCK_EX)
    return "another process is training"


def foreign(energy: Energy) -> str:
    assert energy(["train", "settler=backprop", *BASE, "out='many/seed=0'"]).status == 0
    return "holds another run"


def damaged(energy: Energy) -> str:
    with pytest.raises(SystemExit):  # out of time
        energy(["train", "train.time_limit=1e-9", *BASE, "out='many/seed=0'"])
    (facts,) = Path("many/seed=0/checkpoints").glob("*/facts.json")
    facts.write_text("{}")
    return "facts.json"


def file(energy: Energy) -> str:
    Path("many").mkdir()
    Path("many/seed=0").write_text("")
    return "seed=0"


@pytest.mark.parametrize("obstacle", [locked, foreign, damaged, file])
def test_a_folder_that_cannot_be_used_stops_its_member_only(energy: Energy, obstacle: Callable[[Energy], str]) -> None:
    said = obstacle(energy)
    answer = energy(["train", "-m", "seed=0,1", *TINY])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"]
    assert len(answer.err.splitlines()) == 1 and answer.err.startswith("energy: seed=0: ") and said in answer.err


def test_a_shape_that_does_not_fit_stops_its_member_only(energy: Energy) -> None:
    answer = energy(["train", "-m", "optimizer.layer_lr=[0.1],[0.1,0.1]", *TINY])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"]
    assert answer.err.startswith("energy: optimizer.layer_lr=[0.1]: sgd.layer_lr")


def test_memory_that_runs_out_stops_its_member_only(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    from energy.train import fit

    real = fit.train_step

    def step(session: Any, *given: Any) -> None:
        if session.run.seed == 0:
            torch.empty(1 << 46)
        real(session, *given)

    monkeypatch.setattr(fit, "train_step", step)
    answer = energy(["train", "-m", "seed=0,1", *TINY])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"]
    assert answer.err.startswith("energy: seed=0: out of memory in a step") and answer.err.count("\n") == 1


def test_memory_that_runs_out_of_one_run_is_one_line(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    from energy.train import evaluate, fit

    energy(["train", *BASE, "out=one"])
    for module in (fit, evaluate):
        monkeypatch.setattr(module, "score", lambda *_: torch.empty(1 << 46))
    for words in (["train", "seed=1", *TINY], ["evaluate", "one"]):
        answer = energy(words)
        assert answer.status == 1 and answer.err.startswith("energy: out of memory") and answer.err.count("\n") == 1


def test_a_defect_has_its_traceback_and_stops_its_member_only(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    real = page.fit

    def fit(run: Run) -> dict[str, Any]:
        return int("seven") if run.seed == 0 else real(run)  # type: ignore[return-value]

    monkeypatch.setattr(page, "fit", fit)
    answer = energy(["train", "-m", "seed=0,1", *TINY])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"]
    assert "Traceback" in answer.err and "energy: seed=0: ValueError in energy " in answer.err


def test_a_mistake_in_the_configuration_of_any_member_comes_before_the_first(energy: Energy, tmp_path: Path) -> None:
    answer = energy(["train", "-m", "settler.alpha=0.5,2", *TINY])
    assert answer.status == 2 and answer.err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kind", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow), KeyboardInterrupt]
)
def test_a_signal_ends_the_sweep_with_its_table(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: Any
) -> None:
    from energy.train import fit

    real = fit.train_step

    def step(session: Any, *given: Any) -> None:
        if session.run.seed == 1:
            if kind is KeyboardInterrupt:
                raise KeyboardInterrupt
            os.kill(os.getpid(), kind)
        real(session, *given)

    monkeypatch.setattr(fit, "train_step", step)
    if kind is KeyboardInterrupt:
        answer = energy(["train", "-m", "seed=0,1,2", *TINY])
        assert answer.status == 130
        out = answer.out
    else:
        with pytest.raises(SystemExit) as stopped:
            energy(["train", "-m", "seed=0,1,2", *TINY])
        assert stopped.value.code == 128 + kind
        out = capsys.readouterr().out
    assert states(out) == ["done", "stopped", "not run"]


@pytest.mark.slow
def test_a_time_limit_is_each_members_own(energy: Energy) -> None:
    words = ["train", "-m", "seed=0,1", "train.time_limit=1e-9", *TINY]
    answer = energy(words)
    assert answer.status == 0 and states(answer.out) == ["out of time", "out of time"]
    for _ in range(30):
        answer = energy(words)
        if "done" in states(answer.out):
            break
    assert states(answer.out) == ["done", "done"]


def test_a_name_beyond_what_a_file_system_takes_ends_in_a_hash(energy: Energy) -> None:
    sizes = ",".join(["1"] * 200)
    answer = energy(["train", "--dry-run", "-m", f"model.sizes=[{sizes}],[{sizes},2]", "seed=0,1", "out=many"])
    names = [Path(name).name for name in re.findall(r'"out": "(.*)"', answer.out)]
    assert len(set(names)) == 4 and all(len(name.encode()) == LONGEST for name in names)
    again = energy(["train", "--dry-run", "-m", f"model.sizes=[{sizes}],[{sizes},2]", "seed=0,1", "out=many"])
    assert answer.out == again.out


def runs(*plain: dict[str, Any]) -> list[Run]:
    """Runs with these values."""
    register_builtins()
    return [from_dict(Run, {"model": "mlp", "data": "digits", **one}, path="") for one in plain]


@pytest.mark.parametrize(
    ("plain", "names"),
    [
        ([{"seed": 0}, {"seed": 1}], ["seed"]),
        ([{"seed": 0, "out": "a", "title": "a"}, {"seed": 0, "out": "b", "title": "b"}], []),
        ([{"settler": "backprop"}, {"settler": "dual_propagation"}], ["settler"]),
        (
            [
                {"settler": "backprop"},
                *({"settler": {"name": "dual_propagation", "beta": beta}, "seed": 1} for beta in (0.1, 0.2)),
            ],
            ["settler", "settler.beta", "seed"],
        ),
        ([{"optimizer": {"name": "sgd", "lr": lr}} for lr in (0.1, 0.2)], ["optimizer.lr"]),
        ([{"model": {"name": "mlp", "sizes": sizes}} for sizes in ([8], [8, 8])], ["model.sizes"]),
    ],
)
def test_what_varied(plain: list[dict[str, Any]], names: list[str]) -> None:
    assert sorted(varied(runs(*plain))) == sorted(names)


@pytest.mark.parametrize("columns", [30, 60, 80, 120, None])
def test_the_table_fits(columns: int | None) -> None:
    long = ",".join(["64"] * 30)
    made = runs({"seed": 0}, {"seed": 1})
    members = [Member(run, {"seed": str(run.seed), "model.sizes": f"[{long}]"}, "done") for run in made]
    members[0].result = {"test_accuracy": 91.388, "validation_accuracy": None, "backprop_steps": 1.0}
    lines = sweep_table(members, columns)
    assert len(lines) == 3 and (columns is None or all(len(line) <= columns for line in lines))
    assert "91.39" in lines[1] and lines[1].split()[0] == "0" and "done" in lines[2]
    assert lines[0].index("test %") + len("test %") == lines[1].index("91.39") + len("91.39")
