"""Sweeps, studies and reproductions as command lines: what they are, and what becomes of their ends."""

import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from energy.cli import main
from energy.command import study as verb
from energy.command.arguments import parse
from energy.command.catalog import load_all
from energy.command.compose import plan
from energy.command.launched_study import point_commands
from energy.command.launching import run_command, take_launcher
from energy.component import to_dict
from energy.io.record import RESULT, exclusive_lock
from energy.launch.attempt import LOG
from energy.launch.command_line import CommandLine
from energy.launch.launcher import Launcher
from energy.launch.local_launcher import LocalLauncher
from energy.launch.submitit_launcher import Cluster, SubmititLauncher
from energy.study.inference.study import Study, points
from energy.train.interrupt import Stopped
from energy.train.run import Run, hash_of_description, identity
from tests.cli.test_study import TINY as STUDY
from tests.cli.test_sweep import BASE, states

Energy = Callable[[Sequence[str]], Any]
pytestmark = pytest.mark.usefixtures("usual_signals", "one_thread")
SWEEP = ["train", "-m", "seed=0,1", *BASE, "launcher=inside"]
KINDS = [
    "",
    "model.sizes=[] seed=7 precision=float64 optimizer.lr=1e-30 train.weights=last title=a.b",
    "experiment=dual_propagation/mnist_mlp device=cpu train.progress=false train.logger=tensorboard",
    "experiment=softhebb/cifar10_2_greedy train.time_limit=60.5 train.checkpoint_every=7",
    "experiment=hopfield_small settler=equilibrium_propagation settler.relax=zebra settler.relax.tolerance=1e-4",
    "settler=two_phase settler.gamma=0.5 settler.relax=anderson train.trace_every=2 train.keep=3",
    "settler=spiking model=spiking optimizer=adam optimizer.lr=0.01 train.keep_epochs=[1,3]",
    "settler=dual_propagation settler.feedback=sign settler.feedback.sign_agreement=0.75 model.hidden=tanh",
    """train.freeze=[conv1] "train.start='a folder/[of] ours, mine'" "train.layer_map=['a=b']" """,
    """'out="a [b]"' train.strict=true fused=false train.program=off""",
    "settler=equilibrium_propagation model.hidden=relu objective=cross_entropy settler.keep_contracting=0",
]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative folders lie in a folder of the test."""
    monkeypatch.chdir(tmp_path)


class Inside:
    """What the launcher of the tests was given, and how it is to treat it."""

    given: ClassVar[list[CommandLine]] = []
    status: ClassVar[int | None] = None  # of every command line, in place of carrying it out
    signal: ClassVar[int] = 0  # that comes after the first
    seconds: ClassVar[list[float]] = []  # the limit of each call


@pytest.fixture(autouse=True)
def inside(monkeypatch: pytest.MonkeyPatch, there: None) -> type[Inside]:
    """Register a launcher that carries out command lines in this process, one after the other."""
    load_all()
    for name, value in (("given", []), ("status", None), ("signal", 0), ("seconds", [])):
        monkeypatch.setattr(Inside, name, value)

    class InsideLauncher(Launcher, name="inside"):
        """Carries command lines out in this process."""

        gpus: int = 0

        def statuses(self, commands: Sequence[CommandLine], seconds: float = 0.0) -> Iterator[tuple[int, int]]:
            Inside.seconds.append(seconds)
            for place, one in enumerate(commands):
                Inside.given.append(one)
                assert one.words[:3] == (sys.executable, "-m", "energy")
                yield place, _carried_out(one) if Inside.status is None else Inside.status
                if Inside.signal:
                    raise Stopped(128 + Inside.signal, "all have left")

        def describe(self, commands: Sequence[CommandLine]) -> str:
            return "in this process"

        @property
        def offers_gpus(self) -> bool:
            return self.gpus > 0

    return Inside


def _carried_out(one: CommandLine) -> int:
    try:
        return main(one.words[3:])
    except SystemExit as stopped:
        return int(stopped.code or 0)


def _composed(words: Sequence[str], kind: type[Any] = Run) -> Any:
    (found,) = plan(kind, "run" if kind is Run else "study", parse(words))
    return found


@pytest.mark.parametrize("words", KINDS)
def test_the_command_line_of_a_run_makes_it_again_in_its_folder(words: str) -> None:
    """All of it, after a shell has had the words; a run in a folder is the same run."""
    run = _composed(shlex.split(words))
    line = shlex.split(run_command(run, []).text)
    assert line[:4] == [sys.executable, "-m", "energy", "train"]
    again = _composed(line[4:])
    assert to_dict(again) == {**to_dict(run), "out": str(run.folder)}
    assert hash_of_description(identity(again)) == hash_of_description(identity(run))
    assert run_command(again, []).text == run_command(run, []).text


@pytest.mark.parametrize(
    "words",
    [
        ["blocks=[{title: anytime, vary: ['budget=1+1,4+2']}]", "workers=3"],
        ["blocks=[{vary: ['gain=0.5,1'], ages: [0, 1], seeds: [2]}]", "train.epochs=1", "trainer=EP"],
        ["settlers=[backprop, 'slow: dual_propagation optimizer.lr=0.001 beta=0.01']"],
        ["settlers=[equilibrium_propagation]", "model.hidden=relu", "objective=cross_entropy"],
    ],
)
def test_the_command_line_of_a_study_makes_it_again(words: list[str]) -> None:
    study = _composed([*STUDY[1:], *words], Study)
    commands = point_commands(study, [])
    assert len(commands) == len({point.group for point in points(study)})
    for one in commands:
        line = parse(shlex.split(one.text)[4:])
        assert to_dict(plan(Study, "study", line, quiet=True)[0]) == {**to_dict(study), "out": str(study.folder)}
        assert [one.folder.name] == line.groups


def test_every_run_has_a_folder_of_its_own_named_by_what_it_is() -> None:
    runs = plan(Run, "run", parse(["-m", "seed=0,1", "optimizer.lr=0.1,0.2", *BASE]))
    folders = [run_command(run, []).folder for run in runs]
    assert len(set(folders)) == 4
    assert [one.name for one in folders] == [f"run-{hash_of_description(identity(run))}" for run in runs]


@pytest.mark.parametrize(("device", "wants"), [("auto", True), ("cuda", True), ("cpu", False), ("cuda:1", False)])
def test_a_run_wants_a_gpu_unless_it_says_which_device(device: str, wants: bool) -> None:
    assert run_command(_composed([f"device={device}"]), []).gpu is wants


def test_plugins_come_along(energy: Energy) -> None:
    Path("mine.py").write_text(
        "from energy.potentials import Identity\n\nclass Mine(Identity, name='mine_own'):\n    pass\n"
    )
    words = ["train", "--plugin", "mine.py", "model.hidden=mine_own", *BASE, "--print"]
    answer = energy(words)
    (line,) = answer.out.splitlines()
    assert shlex.split(line)[3:5] == ["train", "--plugin=mine.py"]
    again = energy([*shlex.split(line)[3:], "--print"])
    assert again.out == answer.out, "the code counts for the name of the folder"


def test_printing_shows_the_lines_and_runs_nothing(energy: Energy, inside: type[Inside]) -> None:
    for words in (SWEEP, [word for word in SWEEP if word != "launcher=inside"]):
        answer = energy([*words, "--print"])
        assert answer.status == 0 and answer.err == ""
        lines = [shlex.split(line) for line in answer.out.splitlines()]
        assert [_composed(line[4:]).seed for line in lines] == [0, 1]
    assert not inside.given and not Path("runs").exists()


def test_the_lines_that_are_printed_are_those_that_are_left(energy: Energy, inside: type[Inside]) -> None:
    first, second = energy([*SWEEP, "--print"]).out.splitlines()
    assert energy(shlex.split(first)[3:]).status == 0
    assert energy([*SWEEP, "--print"]).out.splitlines() == [second]


def test_printing_needs_no_package(energy: Energy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, name, None)
        words = ["train", "-m", "seed=0,1", *BASE, f"launcher={name}"]
        assert len(energy([*words, "--print"]).out.splitlines()) == 2
        answer = energy(words)
        extra = {"ray": "ray", "submitit": "slurm"}[name]
        assert answer.status == 1 and answer.err.count("\n") == 1
        assert answer.err.startswith(f"energy: launcher={name}: needs {name}, which the extra `{extra}` installs")
        assert not Path("runs").exists()


def test_a_launched_sweep_ends_with_its_table_and_skips_what_is_finished(energy: Energy, inside: type[Inside]) -> None:
    answer = energy(SWEEP)
    assert answer.status == 0, answer.err
    assert states(answer.out) == ["done", "done"] and "2 runs, launcher=inside: in this process" in answer.err
    again = energy(SWEEP)
    assert states(again.out) == ["kept", "kept"] and len(inside.given) == 2


def test_a_launched_sweep_clears_the_folders_that_it_keeps(energy: Energy, inside: type[Inside]) -> None:
    """A run that was killed after its result was written leaves checkpoints, whole ones and half-removed ones."""
    words = [*SWEEP, "out=many"]
    assert energy(words).status == 0
    left = [Path("many/seed=0/checkpoints", name) for name in ("step-000003", ".removing-step-000006-77")]
    assert left[0].parent.parent.is_dir()
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "facts.json").write_text("{}")
    energy([*words, "--print"])
    assert all(folder.exists() for folder in left)
    assert states(energy(words).out) == ["kept", "kept"]
    assert not any(folder.exists() for folder in left)


def test_without_a_launcher_the_same_folders_are_found(energy: Energy) -> None:
    assert energy(SWEEP).status == 0
    plain = energy([word for word in SWEEP if word != "launcher=inside"])
    assert states(plain.out) == ["kept", "kept"], "a launcher is no part of a run"
    assert "launcher" not in next(Path("runs").glob("*/configuration.json")).read_text()


def test_a_run_by_itself_is_launched_too(energy: Energy, inside: type[Inside]) -> None:
    answer = energy(["train", *BASE, "launcher=inside", "out=one"])
    assert answer.status == 0 and states(answer.out) == ["done"] and len(inside.given) == 1
    assert Path("one", RESULT).exists()


def test_runs_in_one_folder_are_started_once(energy: Energy, inside: type[Inside]) -> None:
    answer = energy(["train", "-m", "train.keep=1,2", *BASE, "launcher=inside"])
    assert answer.status == 0 and states(answer.out) == ["done", "done"] and len(inside.given) == 1


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (1, "failed", "optimizer.lr: too large (many/seed=0/log.txt)"),
        (-9, "failed", "killed by SIGKILL (many/seed=0/log.txt)"),
        (137, "failed", "too large"),
        (-10, "stopped", ""),
        (143, "stopped", ""),
        (0, "out of time", ""),
    ],
)
def test_the_end_of_a_run_is_told_by_its_status_and_its_folder(
    energy: Energy, inside: type[Inside], status: int, state: str, said: str
) -> None:
    inside.status = status
    for seed in (0, 1):
        Path(f"many/seed={seed}").mkdir(parents=True)
        Path(f"many/seed={seed}", LOG).write_text("energy: before\nepoch\nenergy: optimizer.lr: too large\n")
    answer = energy([*SWEEP, "out=many"])
    assert states(answer.out) == [state, state]
    assert answer.status == int(state != "out of time") and said in answer.err


def test_a_run_that_cannot_be_trained_is_reported_before_any_is_started(energy: Energy, inside: type[Inside]) -> None:
    answer = energy(["train", "-m", "train.batch_size=10,100000", *BASE[:2], *BASE[3:], "launcher=inside"])
    assert answer.status == 1 and states(answer.out) == ["done", "failed"] and len(inside.given) == 1


def test_a_folder_of_another_run_stops_its_own_run_only(energy: Energy, inside: type[Inside]) -> None:
    assert energy(["train", "settler=backprop", *BASE, "out='many/seed=0'"]).status == 0
    answer = energy([*SWEEP, "out=many"])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"] and len(inside.given) == 1
    assert "holds another run" in answer.err
    printed = energy([*SWEEP, "out=many", "--print"])
    assert printed.status == 1 and "holds another run" in printed.err and printed.out == ""


def test_a_signal_ends_the_sweep_after_its_table(
    energy: Energy, inside: type[Inside], capsys: pytest.CaptureFixture[str]
) -> None:
    inside.signal = signal.SIGTERM
    with pytest.raises(Stopped) as stopped:
        energy(SWEEP)
    said = capsys.readouterr()
    assert stopped.value.code == 143 and states(said.out) == ["done", "not run"] and "all have left" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["launcher=lcal"], "launcher=lcal: unknown; did you mean 'local'?"),
        (["launcher=local", "launcher.worker=2"], "launcher.worker: unknown field; did you mean 'workers'?"),
        (["launcher=submitit", "launcher.partitoin=a"], "did you mean 'partition'?"),
        (["launcher=submitit", "launcher.cluster=lokal"], "launcher.cluster=lokal: unknown value"),
        (["launcher=local", "launcher.workers=two"], "launcher.workers='two'"),
        (["launcher=local", "launcher.workers=-1"], "launcher.workers=-1: must be at least 0"),
        (["launcher=ray", "launcher.cpus=1.5"], "launcher.cpus=1.5: must be a whole number"),
        (["launcher=ray", "launcher.cpus=0"], "launcher.cpus=0.0: must be above 0"),
        (["launcher=submitit", "launcher.minutes=0"], "launcher.minutes=0: must be at least 1"),
        (["launcher.workers=2"], "launcher: needs a name, one of"),
        (["launcher=local,ray"], "one launcher carries out the whole sweep"),
        (["launcher=local", "launcher.workers=1,2"], "one launcher carries out the whole sweep"),
        (["lancher=local"], "lancher: unknown field; did you mean 'launcher'?"),
        (["launchr.workers=2"], "launchr: unknown field; did you mean 'launcher'?"),
    ],
)
@pytest.mark.parametrize("start", [["train", "-m"], ["repro", "tiny"], ["study"]])
def test_mistakes_are_named_before_anything_runs(energy: Energy, start: list[str], words: list[str], said: str) -> None:
    answer = energy([*start, *words])
    assert answer.status == 2 and said in answer.err and answer.err.count("\n") == 1 and answer.out == ""


def test_the_other_verbs_take_no_launcher(energy: Energy) -> None:
    assert "--print: energy compare does not take it" in energy(["compare", "seeds=[0]", "--print"]).err
    assert energy(["compare", "seeds=[0]", "launcher=local"]).status == 2


def test_a_launcher_may_be_a_file_of_values() -> None:
    Path("mine/launcher").mkdir(parents=True)
    text = "name: submitit\npartition: long\nminutes: 600\n"
    Path("mine/launcher/ours.yaml").write_text(text)
    line = parse(["--config-dir=mine", "launcher=ours", "launcher.minutes=5", "seed=0"])
    assert take_launcher(line, ["seed"]) == SubmititLauncher(partition="long", minutes=5)
    assert line.rest == ["seed=0"]


def test_fields_are_set_in_any_order() -> None:
    line = parse(["launcher.workers=3", "seed=0", "++launcher.retries=0", "launcher=local"])
    assert take_launcher(line, ["seed"]) == LocalLauncher(workers=3, retries=0) and line.rest == ["seed=0"]
    assert take_launcher(line, ["seed"]) is None


@pytest.mark.parametrize("cluster", [*Cluster])
def test_what_is_asked_of_slurm(cluster: Cluster) -> None:
    few = SubmititLauncher(cluster=cluster)
    assert few.options() == {"name": "energy", "timeout_min": 60, "cpus_per_task": 1}
    full = {"partition": "gpu", "minutes": 5, "cpus": 4, "gpus": 1, "memory": 8, "array_parallelism": 2}
    assert dataclasses.replace(few, **full).options() == {
        "name": "energy",
        "timeout_min": 5,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
        "mem_gb": 8.0,
        "slurm_partition": "gpu",
        "slurm_array_parallelism": 2,
    }


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are left out."""
    monkeypatch.setattr(verb, "report", lambda folder: None)


def test_the_points_of_a_study_are_launched_after_its_trainings(
    energy: Energy, inside: type[Inside], no_pages: None
) -> None:
    blocks = "blocks=[{title: ages, ages: [0, 1], vary: ['budget=1+1']}]"
    words = [*STUDY, blocks, "settlers=[dual_propagation]", "train.epochs=1", "train.batch_size=20"]
    printed = energy([*words, "out=launched", "--print"]).out.splitlines()
    assert [shlex.split(line)[3] for line in printed] == ["train", "study", "study"]
    answer = energy([*words, "out=launched", "launcher=inside"])
    assert answer.status == 0, answer.err
    assert [one.words[3] for one in inside.given] == ["train", "study", "study"]
    assert energy([*words, "out=plain"]).status == 0
    both = [json.loads(Path(name, "study.json").read_text()) for name in ("launched", "plain")]
    one, other = (
        {point["axes"]["age"]: point["measures"]["cosine_whole"] for point in each["points"]} for each in both
    )
    assert one.keys() == {0, 1} and one == pytest.approx(other, rel=1e-4)
    assert "launcher" not in both[0]["command"]
    again = energy([*words, "out=launched", "launcher=inside"])
    assert again.status == 0 and len(inside.given) == 3 and energy([*words, "out=launched", "--print"]).out == ""


def test_a_study_with_a_part_that_failed_is_not_gathered(energy: Energy, inside: type[Inside], no_pages: None) -> None:
    inside.status = -9
    answer = energy([*STUDY, "out=launched", "launcher=inside"])
    assert answer.status == 1 and "killed by SIGKILL" in answer.err
    assert not Path("launched/study.json").exists()


def test_a_group_that_there_is_not_is_named(energy: Energy) -> None:
    answer = energy([*STUDY, "--group=0123456789", "out=launched"])
    assert answer.status == 2 and "--group=0123456789: the study has no such group" in answer.err


def _papers(**cells: Any) -> None:
    Path("paper_repro/tiny").mkdir(parents=True)
    Path("paper_repro/tiny/cells.yaml").write_text(json.dumps({"paper": "Tiny", "cells": cells}))


def _cell(*overrides: str, seeds: Sequence[int] = (0, 1), device: str = "cpu") -> dict[str, Any]:
    words = ["~settlers", "~seeds", "~timing_seconds", "settler=backprop", *BASE, *overrides]
    needs = {"device": device, "hours": 0.001}
    published = {"reason": "made up"}
    return {
        "claim": "it runs",
        "experiment": "demo",
        "overrides": words,
        "seeds": [*seeds],
        "published": published,
        "needs": needs,
    }


def test_missing_seeds_are_launched_together_and_gathered_here(energy: Energy, inside: type[Inside]) -> None:
    _papers(plain=_cell(), wide=_cell("model.sizes=[12]", seeds=[3]))
    assert energy(["repro", "tiny/plain", "--seed=0"]).status == 0
    printed = energy(["repro", "tiny", "--print"])
    assert printed.status == 0
    outs = [_composed(shlex.split(line)[4:]).out for line in printed.out.splitlines()]
    assert outs == ["runs/tiny/plain/seed-1", "runs/tiny/wide/seed-3"]
    answer = energy(["repro", "tiny", "launcher=inside"])
    assert answer.status == 0, answer.err
    assert [str(one.folder) for one in inside.given] == outs
    assert "out of time" not in answer.err, "there is no limit, and nothing is left"
    listed = energy(["repro", "tiny", "--list"]).out
    assert "seeds 0, 1: done" in listed and "seed 3: done" in listed
    assert energy(["repro", "tiny", "launcher=inside"]).status == 0 and len(inside.given) == 2


def test_a_seed_that_fails_is_named_and_the_others_are_gathered(energy: Energy, inside: type[Inside]) -> None:
    _papers(plain=_cell(seeds=[0]), broken=_cell("train.batch_size=100000", seeds=[0]))
    answer = energy(["repro", "tiny", "launcher=inside"])
    assert answer.status == 1 and "failed: tiny/broken seed 0" in answer.err and len(inside.given) == 1
    assert "seed 0: done" in energy(["repro", "tiny", "--list"]).out


def test_a_run_that_was_finished_elsewhere_is_gathered(energy: Energy, inside: type[Inside]) -> None:
    """A line that was printed, and carried out by any other engine."""
    _papers(plain=_cell(seeds=[0]))
    (line,) = energy(["repro", "tiny", "--print"]).out.splitlines()
    assert energy(shlex.split(line)[3:]).status == 0
    assert "seed 0: finished, not gathered" in energy(["repro", "tiny", "--list"]).out
    assert energy(["repro", "tiny", "launcher=inside"]).status == 0 and not inside.given
    assert "seed 0: done" in energy(["repro", "tiny", "--list"]).out


def test_a_cell_for_a_gpu_is_launched_where_there_is_one(energy: Energy, inside: type[Inside]) -> None:
    _papers(plain=_cell(seeds=[0], device="gpu"))
    assert energy(["repro", "tiny", "launcher=inside"]).status == 0 and not inside.given
    assert energy(["repro", "tiny", "launcher=inside", "launcher.gpus=1"]).status == 0 and len(inside.given) == 1


def test_a_locked_folder_is_told_by_the_log(energy: Energy) -> None:
    """The launcher of the tests does not wait for it, as the tether of a process does."""
    with exclusive_lock(Path("many/seed=0")):
        answer = energy([*SWEEP, "out=many"])
    assert answer.status == 1 and states(answer.out) == ["failed", "done"]


def test_a_network_whose_training_fails_is_not_measured(energy: Energy, inside: type[Inside], no_pages: None) -> None:
    inside.status = 137
    blocks = "blocks=[{title: ages, ages: [0, 1], vary: ['budget=1+1']}]"
    words = [*STUDY, blocks, "settlers=[dual_propagation]", "train.epochs=1", "train.batch_size=20"]
    answer = energy([*words, "out=launched", "launcher=inside"])
    assert answer.status == 1 and "left after SIGKILL" in answer.err
    assert [one.words[3] for one in inside.given] == ["train"]


def test_a_network_that_is_trained_already_is_measured(energy: Energy, inside: type[Inside], no_pages: None) -> None:
    blocks = "blocks=[{title: ages, ages: [0, 1], vary: ['budget=1+1']}]"
    words = [*STUDY, blocks, "settlers=[dual_propagation]", "train.epochs=1", "train.batch_size=20", "out=launched"]
    training, *_ = energy([*words, "--print"]).out.splitlines()
    assert energy(shlex.split(training)[3:]).status == 0
    assert energy([*words, "launcher=inside"]).status == 0
    assert [one.words[3] for one in inside.given] == ["study", "study"]


@pytest.mark.parametrize(
    ("status", "more", "failed", "late"),
    [
        (-9, [], True, False),
        (138, [], True, False),
        (0, [], False, True),
        (138, ["--budget=60"], False, True),
        (1, ["--budget=60"], True, False),
    ],
)
def test_a_seed_that_is_not_finished_has_failed_unless_time_is_up(
    energy: Energy, inside: type[Inside], status: int, more: list[str], failed: bool, late: bool
) -> None:
    """A run that left in order within a limit was out of time; without a limit it was told to leave by somebody."""
    inside.status = status
    _papers(plain=_cell(seeds=[0]))
    answer = energy(["repro", "tiny", "launcher=inside", *more])
    assert answer.status == int(failed)
    assert ("failed: tiny/plain seed 0" in answer.err, "out of time" in answer.err) == (failed, late)
    assert "seed 0: done" not in energy(["repro", "tiny", "--list"]).out


def test_a_limit_that_is_over_is_no_infinite_time(energy: Energy, inside: type[Inside]) -> None:
    """A launcher takes 0 seconds for no limit."""
    _papers(plain=_cell(seeds=[0]))
    assert energy(["repro", "tiny", "launcher=inside", "--budget=1e-9"]).status == 0
    assert [0 < seconds < 1 for seconds in inside.seconds] == [True]
    assert energy(["repro", "tiny", "launcher=inside"]).status == 0 and len(inside.seconds) == 1, "it is done"
