"""Results, weights and checkpoints belong to one run: what was changed or mixed up is refused by every reader."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.command.figures import draw_folder
from energy.component import to_dict
from energy.errors import DamagedFileError, MissingFileError
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, CONFIGURATION, EPOCHS, FINAL, RESULT, read_json, write_json
from energy.io.result import content_digest, is_finished, read_result
from energy.study.inference.gather import training
from energy.study.listing import listing
from energy.study.reproduction.reproduce import ROW
from energy.train import fit as page
from energy.train import session as pages
from energy.train.evaluate import evaluate, load_epoch, load_run
from energy.train.export import export
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.machine import continuation
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
SMALL: dict[str, Any] = {"data": {"limit": 60}, "train": {"epochs": 1, "keep_epochs": [1]}}


@pytest.fixture
def pair(make_run: Maker) -> tuple[Run, Run]:
    """The same run at two seeds, finished."""
    runs = make_run("zero", **SMALL), make_run("one", seed=1, **SMALL)
    for run in runs:
        fit(run)
    return runs


def leave(run: Run, patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until a number of looks."""
    with monkeypatch.context() as patch:
        patch.setattr(Impatient, "patience", patience)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(run)


def readers(run: Run) -> dict[str, Callable[[], Any]]:
    """Everything that reads the result of a finished run."""
    return {
        "fit": lambda: fit(run),
        "evaluate": lambda: evaluate(run.folder),
        "export": lambda: export(run.folder, run.folder.parent / "given.safetensors"),
        "gather": lambda: training(run.folder),
        "read": lambda: read_result(run.folder, ROW),
        "pictures": lambda: list(draw_folder(run.folder)),
    }


CHANGES: dict[str, Any] = {
    "accuracy": ({"test_accuracy": 99.0}, "was changed after it was written"),
    "text": ({"test_accuracy": "not a number"}, "test_accuracy='not a number': must be a number"),
    "above": ({"test_accuracy": 100.5}, "test_accuracy=100.5: must be a percentage"),
    "seconds": ({"seconds": {"total": 1.0}}, "was changed after it was written"),
    "seed": ({"seed": 1}, "was changed after it was written"),
    "digest": ({"sha256": "0" * 64}, "was changed after it was written"),
    "owner": ({"run_key": "0123456789"}, "was changed after it was written"),
}


class TestResult:
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_changed_result_is_refused_by_every_reader(self, pair: tuple[Run, Run], change: str) -> None:
        run, _ = pair
        values, said = CHANGES[change]
        plain = json.loads((run.folder / RESULT).read_text())
        (run.folder / RESULT).write_text(json.dumps({**plain, **values}))
        for name, read in readers(run).items():
            with pytest.raises(DamagedFileError, match=rf"result\.json: {said}"):
                pytest.fail(f"{name} took {read()}")
        assert "broken result" in listing(run.folder.parent, width=200)

    @pytest.mark.parametrize("content", ["{}", '{"test_accuracy": 50.0}', "[]", ""])
    def test_a_result_that_is_none(self, pair: tuple[Run, Run], content: str) -> None:
        run, _ = pair
        (run.folder / RESULT).write_text(content)
        for name, read in readers(run).items():
            with pytest.raises(DamagedFileError, match=r"result\.json: "):
                pytest.fail(f"{name} took {read()}")

    def test_without_its_digest_it_is_refused_where_there_was_one(self, pair: tuple[Run, Run]) -> None:
        run, _ = pair
        plain = json.loads((run.folder / RESULT).read_text())
        del plain["sha256"], plain["final"], plain["run_key"]
        write_json(run.folder / RESULT, plain)
        with pytest.raises(DamagedFileError, match="was changed"):
            fit(run)

    def test_the_result_of_another_seed(self, pair: tuple[Run, Run]) -> None:
        run, other = pair
        shutil.copy(other.folder / RESULT, run.folder / RESULT)
        keys = [read_json(one.folder / CONFIGURATION)["key"] for one in (other, run)]
        for name, read in readers(run).items():
            with pytest.raises(
                DamagedFileError, match=rf"result\.json: is of the run {keys[0]}, the folder of {keys[1]}"
            ):
                pytest.fail(f"{name} took {read()}")

    def test_a_folder_of_before_is_read_without_the_check(self, pair: tuple[Run, Run]) -> None:
        """As this library wrote it earlier: no digest, no owner, no key at the weights."""
        run, _ = pair
        result, configured = (json.loads((run.folder / name).read_text()) for name in (RESULT, CONFIGURATION))
        for name in ("sha256", "final", "run_key"):
            del result[name]
        del configured["sealed"], configured["sha256"]
        write_json(run.folder / RESULT, result)
        write_json(run.folder / CONFIGURATION, configured)
        assert fit(run) == result
        assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]
        export(run.folder, run.folder.parent / "given.safetensors")

    def test_it_is_the_digest_of_all_else(self, pair: tuple[Run, Run]) -> None:
        plain = json.loads((pair[0].folder / RESULT).read_text())
        assert plain["sha256"] == content_digest(plain)
        for name in plain:
            if name != "sha256":
                assert content_digest({**plain, name: "another"}) != plain["sha256"], name
                assert content_digest({key: plain[key] for key in plain if key != name}) != plain["sha256"], name
        assert content_digest(dict(reversed(plain.items()))) == plain["sha256"]

    def test_no_result_is_no_fault(self, tmp_path: Path) -> None:
        assert not is_finished(tmp_path)
        with pytest.raises(MissingFileError):
            read_result(tmp_path)


class TestFinal:
    def test_a_later_step_put_beside(self, pair: tuple[Run, Run]) -> None:
        run, other = pair
        (path,), (there,) = (checkpoint.steps(one.folder / FINAL) for one in pair)
        tensors, facts = checkpoint.read(there)
        checkpoint.write(run.folder / FINAL, 999, tensors, facts)
        for name, read in readers(run).items():
            with pytest.raises(
                DamagedFileError, match=f"must hold the weights of one step, holds {path.name}, step-000999"
            ):
                pytest.fail(f"{name} took {read()}")
        assert other.seed == 1

    def test_the_weights_of_another_seed(self, pair: tuple[Run, Run]) -> None:
        run, other = pair
        shutil.rmtree(run.folder / FINAL)
        shutil.copytree(other.folder / FINAL, run.folder / FINAL)
        for name, read in readers(run).items():
            with pytest.raises(DamagedFileError, match=r"is not what result\.json was computed from"):
                pytest.fail(f"{name} took {read()}")
        (run.folder / RESULT).unlink()
        for load in (load_run, evaluate):
            with pytest.raises(DamagedFileError, match=r"step-000003: is of the run \w+, the folder of \w+"):
                load(run.folder)
        with pytest.raises(DamagedFileError, match=r"final/step-000003: is of another run"):
            fit(run)  # not finished any more: the strange weights are neither used nor removed
        assert checkpoint.steps(run.folder / FINAL)

    def test_facts_that_were_changed_with_their_manifest(self, pair: tuple[Run, Run]) -> None:
        run, _ = pair
        (path,) = checkpoint.steps(run.folder / FINAL)
        tensors, facts = checkpoint.read(path)
        shutil.rmtree(path)
        facts["run"]["settler"]["beta"] = 0.25
        checkpoint.write(run.folder / FINAL, 3, tensors, facts)
        with pytest.raises(DamagedFileError, match="is not what"):
            evaluate(run.folder)

    def test_the_weights_of_an_epoch_of_another_seed(self, pair: tuple[Run, Run]) -> None:
        run, other = pair
        shutil.rmtree(run.folder / EPOCHS)
        shutil.copytree(other.folder / EPOCHS, run.folder / EPOCHS)
        with pytest.raises(DamagedFileError, match=r"epochs/step-000001: is of the run \w+, the folder of \w+"):
            load_epoch(run.folder, 1)

    def test_weights_that_were_thrown_away_leave_the_result(self, pair: tuple[Run, Run]) -> None:
        run, _ = pair
        shutil.rmtree(run.folder / FINAL)
        assert fit(run)["seed"] == 0
        with pytest.raises(MissingFileError, match="has no final weights"):
            evaluate(run.folder)


class TestCheckpoint:
    @pytest.mark.parametrize("keyed", [True, False])
    @pytest.mark.parametrize("change", [{"seed": 1}, {"optimizer": {"lr": 0.2}}, {"settler": {"beta": 0.3}}])
    def test_another_runs_checkpoint_is_not_continued(
        self, make_run: Maker, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], keyed: bool
    ) -> None:
        variant = {"data": {"limit": 60}, "train": {"epochs": 2}}
        run, other = make_run("mine", **variant), make_run("theirs", **variant, **change)
        for one in (run, other):
            leave(one, 1, monkeypatch)
        (path,) = checkpoint.steps(other.folder / CHECKPOINTS)
        tensors, facts = checkpoint.read(path)
        if not keyed:  # as they were written earlier
            del facts["key"]
        shutil.rmtree(run.folder / CHECKPOINTS)
        checkpoint.write(run.folder / CHECKPOINTS, 2, tensors, facts)
        said = "its key is" if keyed else f"there {next(iter(change))}"
        with pytest.raises(DamagedFileError, match=f"step-000002: is of another run .*{said}"):
            fit(run)

    def test_one_of_before_without_a_key_is_continued(
        self, make_run: Maker, monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes]
    ) -> None:
        variant = {"data": {"limit": 60}, "train": {"epochs": 2}}
        one, other = make_run("unbroken", **variant), make_run("early", **variant)
        fit(one)
        leave(other, 1, monkeypatch)
        (path,) = checkpoint.steps(other.folder / CHECKPOINTS)
        tensors, facts = checkpoint.read(path)
        shutil.rmtree(path)
        del facts["key"]
        checkpoint.write(other.folder / CHECKPOINTS, 2, tensors, facts)
        fit(other)
        assert final_tensors(one) == final_tensors(other)

    def test_the_same_run_under_another_title_and_place_is_the_same(
        self, make_run: Maker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        variant = {"data": {"limit": 60}, "train": {"epochs": 2}}
        run = make_run("first", **variant)
        leave(run, 1, monkeypatch)
        moved = run.folder.with_name("second")
        run.folder.rename(moved)
        again = make_run("second", title="other", **variant)
        assert to_dict(again)["out"] == str(moved)
        assert len(fit(again)["continued"]) == 1


class TestMachine:
    def test_other_threads_are_said_on_one_line_and_kept(
        self, make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = make_run(data={"limit": 60}, train={"epochs": 2})
        leave(run, 1, monkeypatch)
        capsys.readouterr()
        torch.set_num_threads(2)
        try:
            result = fit(run)
        finally:
            torch.set_num_threads(1)
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "warning" in line)
        assert line.startswith(
            "tiny: warning: continued with threads=2, before it was 1; the last bits of its numbers may"
        )
        (entry,) = result["continued"]
        assert entry["changed"] == {"threads": [1, 2]} and entry["step"] == 2 and entry["threads"] == 2

    def test_the_same_machine_is_not_spoken_of(
        self, make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = make_run(data={"limit": 60}, train={"epochs": 2})
        leave(run, 1, monkeypatch)
        capsys.readouterr()
        (entry,) = fit(run)["continued"]
        assert "changed" not in entry and "warning" not in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["device", "device_name", "torch", "commit", "threads"])
    def test_every_fact_counts(
        self,
        make_run: Maker,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        name: str,
    ) -> None:
        run, real = make_run(data={"limit": 60}, train={"epochs": 2}), pages.provenance
        with monkeypatch.context() as patch:
            patch.setattr(pages, "provenance", lambda device: {**real(device), name: "another"})
            leave(run, 1, monkeypatch)
        (entry,) = fit(run)["continued"]
        assert list(entry["changed"]) == [name] and entry["changed"][name][0] == "another"
        assert "before it was 'another'" in capsys.readouterr().err

    def test_what_was_not_known_before_is_no_change(self) -> None:
        assert continuation(3, {}, {"threads": 2, "torch": "3"}) == {"step": 3, "threads": 2, "torch": "3"}


def test_breaks_and_clock_go_through_a_checkpoint(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every continuation stays in the list, and the seconds of an epoch add up over its parts."""
    run = make_run(data={"limit": 60}, train={"epochs": 1})
    leave(run, 0, monkeypatch)
    (path,) = checkpoint.steps(run.folder / CHECKPOINTS)
    tensors, facts = checkpoint.read(path)
    shutil.rmtree(path)
    facts["seconds"]["step"] = 1000.0
    checkpoint.write(path.parent, 1, tensors, facts)
    leave(run, 0, monkeypatch)
    result = fit(run)
    assert [entry["step"] for entry in result["continued"]] == [1, 2]
    assert 1000 <= result["seconds"]["step"] < 1100


def test_of_equal_epochs_the_first_is_kept(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(data={"limit": 60}, train={"epochs": 3, "weights": "best"})
    real = page.score
    monkeypatch.setattr(page, "score", lambda *given: {**real(*given), "accuracy": 50.0})
    assert fit(run)["weights"] == "best validation, epoch 0"
