"""The configuration, the record and the chosen forms of a run are sealed: one digit changed is noticed, or unused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.couplings import forms
from energy.couplings.forms import choice, store
from energy.errors import DamagedFileError
from energy.io.record import (
    CONFIGURATION,
    KERNELS,
    READOUT,
    RECORD,
    RESULT,
    SNAPSHOT,
    append_line,
    lines_digest,
    truncate_record,
    write_json,
)
from energy.io.result import content_digest, read_configuration, read_result, write_configuration
from energy.train import fit as page
from energy.train.evaluate import evaluate
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
SMALL: dict[str, Any] = {"data": {"limit": 60}, "train": {"epochs": 3}}


def leave(run: Run, monkeypatch: pytest.MonkeyPatch, looks: int = 5) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Impatient, "patience", looks)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(run)


def one_digit(path: Path, name: str) -> None:
    """Change the last digit of the first number of this name."""
    text = path.read_text()
    (found,) = list(re.finditer(rf'"{name}": -?[0-9.e+-]*([0-9])', text))[:1]
    at = found.start(1)
    path.write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")


@pytest.mark.parametrize("name", ["train_accuracy", "gamma", "step", "total"])
def test_a_record_that_is_continued(make_run: Maker, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run = make_run(**SMALL)
    leave(run, monkeypatch)
    whole = (run.folder / RECORD).read_bytes()
    one_digit(run.folder / RECORD, name)
    with pytest.raises(DamagedFileError, match=r"record\.jsonl: its first 1 lines were changed"):
        fit(run)
    (run.folder / RECORD).write_bytes(whole + b'{"epoch": 1, "of": "a process that was killed"}\n')
    fit(run)
    assert (run.folder / RECORD).read_bytes().startswith(whole)


def test_the_record_of_another_run(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other = make_run(**SMALL), make_run("other", seed=1, **SMALL)
    for one in (run, other):
        leave(one, monkeypatch)
    (run.folder / RECORD).write_bytes((other.folder / RECORD).read_bytes())
    with pytest.raises(DamagedFileError, match=r"record\.jsonl: its first 1 lines"):
        fit(run)


def test_the_digest_is_of_the_lines_up_to_there(tmp_path: Path) -> None:
    path, digests = tmp_path / RECORD, []
    for epoch in range(3):
        digests.append(lines_digest(path, epoch))
        append_line(path, {"epoch": epoch})
    assert digests == [lines_digest(path, epoch) for epoch in range(3)] and len({*digests}) == 3
    truncate_record(path, 2, digests[2])
    assert lines_digest(path, 2) == digests[2]
    with pytest.raises(DamagedFileError, match="its first 2 lines"):
        truncate_record(path, 2, digests[1])


@pytest.mark.parametrize("name", ["run_key", "final", "sha256", "step"])
def test_a_result_whose_digest_fits_must_be_whole(make_run: Maker, name: str) -> None:
    """As somebody writes who means harm: what is missing is named."""
    run = make_run(**SMALL)
    result = fit(run)
    result.pop(name, None) if name in ("run_key", "final") else result["final"].pop(name)
    write_json(run.folder / RESULT, {**result, "sha256": content_digest(result)})
    with pytest.raises(DamagedFileError, match=rf"result\.json.*: has no {name}"):
        read_result(run.folder)


@pytest.mark.parametrize("name", [RECORD, READOUT, SNAPSHOT])
def test_a_record_beside_a_result(make_run: Maker, name: str) -> None:
    run = make_run(**SMALL)
    run.folder.mkdir()
    write_json(run.folder / SNAPSHOT, {"a": 1})
    write_json(run.folder / READOUT, {"a": 1})
    result = fit(run)
    assert sorted(result["files"]) == sorted([RECORD, READOUT, SNAPSHOT])
    (run.folder / name).write_bytes((run.folder / name).read_bytes().replace(b"1", b"2", 1))
    for read in (lambda: fit(run), lambda: evaluate(run.folder), lambda: read_result(run.folder)):
        with pytest.raises(DamagedFileError, match=rf"{re.escape(name)}: was changed after the run had ended"):
            read()
    (run.folder / name).unlink()  # one that is taken away changes nothing
    assert read_result(run.folder) == result


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["run"].update(title="another"),
        lambda one: one["run"]["train"].update(epochs=9),
        lambda one: one["identity"].update(seed=5),
        lambda one: one.update(key="0123456789"),
        lambda one: one.update(sealed=False),
        lambda one: one["units"].update(gamma="percent"),
        lambda one: one.update(more=1),
    ],
)
def test_a_configuration(make_run: Maker, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    run = make_run(**SMALL)
    leave(run, monkeypatch)
    plain = json.loads((run.folder / CONFIGURATION).read_bytes())
    change(plain)
    (run.folder / CONFIGURATION).write_text(json.dumps(plain))
    for read in (lambda: fit(run), lambda: read_configuration(run.folder)):
        with pytest.raises(DamagedFileError, match=r"configuration\.json: was changed after it was written"):
            read()


def test_plug_ins_may_be_taken_out_of_a_configuration(tmp_path: Path) -> None:
    write_configuration(tmp_path, {"run": {}, "identity": {"seed": 0, "plugins": {"mine.py": "0"}}, "key": "0"})
    plain = read_configuration(tmp_path)
    del plain["identity"]["plugins"]
    write_json(tmp_path / CONFIGURATION, plain)
    assert read_configuration(tmp_path)["identity"] == {"seed": 0}


@pytest.mark.parametrize("damage", ["cut", "other form", "gone", "list"])
def test_forms_come_from_the_checkpoint(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes], damage: str
) -> None:
    """Whatever becomes of the file beside it, a continued run computes its maps as before."""
    monkeypatch.setattr(choice, "LEAST", 1)
    vgg = {**SMALL, "model": {"name": "vgg", "plan": [8, 0, 8, 0, 8, 0], "dense": [12]}}
    one, other = make_run("one", **vgg), make_run("other", **vgg)
    monkeypatch.setattr(choice, "fastest", lambda runs: list(runs)[-1])
    forms.forget_forms()
    fit(one)
    forms.forget_forms()
    leave(other, monkeypatch)
    kernels = other.folder / KERNELS
    assert store.read_choices(kernels)
    text = kernels.read_text()
    changed = {"cut": text[: len(text) // 2], "other form": re.sub(r"(taps|matrix)\"", 'library"', text), "list": "[1]"}
    kernels.unlink()
    if damage != "gone":
        kernels.write_text(changed[damage])
    forms.forget_forms()
    monkeypatch.setattr(choice, "fastest", lambda runs: next(iter(runs)))
    fit(other)
    assert final_tensors(other) == final_tensors(one)


def test_forms_of_other_machines_are_kept(tmp_path: Path) -> None:
    held = {"another machine": {"map": "taps"}, store.environment(): {"map": "library"}}
    forms.forget_forms()
    forms.resume_forms(held, tmp_path / KERNELS)
    assert forms.held_forms() == held and forms.chosen_forms() == {"map": "library"}
    forms.resume_forms(None, tmp_path / KERNELS)  # of before: the file counts
    assert forms.chosen_forms() == {"map": "library"}
    store.write_choices(tmp_path / KERNELS, {"map": "matrix"})
    forms.resume_forms(None, tmp_path / KERNELS)
    assert forms.chosen_forms()["map"] == "matrix"
    forms.forget_forms()
    assert forms.held_forms() == {}
