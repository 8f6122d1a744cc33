"""A run folder in which something is not what we write: refused by name, before anything is written or waited for."""

import hashlib
import json
import math
import os
import re
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from energy.errors import ConfigurationError, DamagedFileError, DiskError, EnergyError, LockedFolderError
from energy.io import checkpoint
from energy.io.plain import DEEPEST, depth, json_object
from energy.io.plain_file import read_plain
from energy.io.record import (
    CHECKPOINTS,
    CONFIGURATION,
    EPOCHS,
    FILES,
    FINAL,
    FOLDERS,
    LONGEST,
    RECORD,
    RESULT,
    exclusive_lock,
    read_json,
    read_lines,
)
from energy.io.schema import fits, require_fields
from energy.study.listing import listing
from energy.train import fit as page
from energy.train.draft import bounded_by, drafted
from energy.train.evaluate import evaluate, load_epoch, load_run
from energy.train.export import export
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
SMALL: dict[str, Any] = {"data": {"limit": 60}, "train": {"epochs": 2}}


def tree(folder: Path) -> dict[str, Any]:
    """What a folder holds, links not followed."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change tensors and facts of a checkpoint, and put the manifest right."""
    tensors = safetensors.torch.load_file(path / "tensors.safetensors")
    inside = json.loads((path / "facts.json").read_text())
    change(tensors, inside["facts"])
    shutil.rmtree(path)
    plain = {name: tensors[name] for name in tensors}
    plain |= {name: plain[other] for name, other in inside["aliases"].items() if other in plain}
    unclosed = path.name.endswith(checkpoint.OPEN)
    assert checkpoint.write(path.parent, inside["step"], plain, inside["facts"], unclosed) == path


@pytest.fixture
def broken_off(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Run, Path]]:
    """``broken_off(**variant)``: a run that left after two steps, and its checkpoint."""

    def leave(**variant: Any) -> tuple[Run, Path]:
        run = make_run(**{**SMALL, **variant})
        with monkeypatch.context() as patch:
            patch.setattr(Impatient, "patience", 1)
            patch.setattr(page, "Interrupt", Impatient)
            with pytest.raises(Stopped):
                fit(run)
        (path,) = checkpoint.steps(run.folder / CHECKPOINTS)
        return run, path

    return leave


class TestLinks:
    @pytest.mark.parametrize("dangling", [False, True])
    @pytest.mark.parametrize("begun", [False, True])
    @pytest.mark.parametrize("name", [*FILES, *FOLDERS])
    def test_a_link_in_place_of_a_file_is_refused_before_anything_is_written(
        self, broken_off: Any, make_run: Maker, tmp_path: Path, name: str, begun: bool, dangling: bool
    ) -> None:
        run = broken_off()[0] if begun else make_run(**SMALL)
        run.folder.mkdir(exist_ok=True)
        place, there = run.folder / name, tmp_path / "elsewhere"
        if place.is_dir() or place.exists():
            place.rename(there)
        elif not dangling:
            there.mkdir() if name in FOLDERS else there.write_text("")
        if dangling and there.exists():
            shutil.rmtree(there) if there.is_dir() else there.unlink()
        place.symlink_to(there)
        before = tree(tmp_path)
        with pytest.raises(EnergyError, match=name.replace(".", r"\.")):
            fit(run)
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("name", ["tensors.safetensors", "facts.json", "manifest.json", ""])
    def test_a_link_inside_or_in_place_of_a_checkpoint(self, broken_off: Any, tmp_path: Path, name: str) -> None:
        run, path = broken_off()
        place, there = path / name if name else path, tmp_path / "elsewhere"
        place.rename(there)
        place.symlink_to(there)
        before = tree(tmp_path)
        with pytest.raises(DamagedFileError, match=f"{name or path.name}: is a symbolic link"):
            fit(run)
        assert tree(tmp_path) == before

    def test_the_folder_itself_and_its_parents_may_be_links(self, make_run: Maker, tmp_path: Path) -> None:
        (tmp_path / "real" / "inner").mkdir(parents=True)
        (tmp_path / "parent").symlink_to(tmp_path / "real")
        (tmp_path / "parent" / "run").symlink_to(tmp_path / "real" / "inner")
        run = make_run(out=str(tmp_path / "parent" / "run"), **SMALL)
        assert fit(run) == fit(run)
        assert (tmp_path / "real" / "inner" / RESULT).is_file()


class TestOtherKinds:
    @pytest.fixture(params=["pipe", "socket", "folder", "device"])
    def put(self, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str]]:
        """``put(path)``: something that is no file, in its place; its name in words."""
        open_sockets: list[socket.socket] = []

        def place(path: Path) -> str:
            path.unlink(missing_ok=True)
            if request.param == "pipe":
                os.mkfifo(path)
            elif request.param == "folder":
                path.mkdir()
            elif request.param == "device":
                try:
                    os.mknod(path, 0o020666, os.makedev(1, 5))
                except PermissionError:
                    pytest.skip("only root can make a device")
            else:
                open_sockets.append(socket.socket(socket.AF_UNIX))
                here = os.getcwd()
                os.chdir(path.parent)  # the address of a socket is short
                open_sockets[-1].bind(path.name)
                os.chdir(here)
            return {"pipe": "a named pipe", "socket": "a socket", "folder": "a folder", "device": "a device"}[
                request.param
            ]

        yield place
        for one in open_sockets:
            one.close()

    @pytest.mark.parametrize("name", [CONFIGURATION, RESULT, RECORD, "kernels.json", ".lock"])
    def test_it_is_refused_at_once(self, broken_off: Any, put: Callable[[Path], str], name: str) -> None:
        run, _ = broken_off()
        said, start = put(run.folder / name), time.monotonic()
        with pytest.raises(DamagedFileError, match=f"{name}: is {said}, must be a file".replace(".", r"\.")):
            fit(run)
        assert time.monotonic() - start < 5

    @pytest.mark.parametrize("name", ["tensors.safetensors", "facts.json", "manifest.json"])
    def test_a_file_of_a_checkpoint(self, broken_off: Any, put: Callable[[Path], str], name: str) -> None:
        run, path = broken_off()
        said = put(path / name)
        with pytest.raises(DamagedFileError, match=f"{name}.*(is {said}|bytes)".replace(".", r"\.", 1)):
            fit(run)

    def test_runs_lists_it_as_broken(self, broken_off: Any, put: Callable[[Path], str]) -> None:
        run, _ = broken_off()
        put(run.folder / RECORD)
        assert "broken record" in listing(run.folder.parent, width=200)
        put(run.folder / CONFIGURATION)
        assert "broken configuration" in listing(run.folder.parent, width=200)

    def test_what_is_read_has_a_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        assert read_plain(path, 10) == b"0123456789"
        with pytest.raises(DamagedFileError, match="has 10 bytes, must have at most 9"):
            read_plain(path, 9)


MOMENTUM = "optimizer/0/momentum_buffer"


def _to(name: str, tensor: torch.Tensor) -> Callable[[Any, Any], None]:
    return lambda tensors, facts: tensors.__setitem__(name, tensor)


def _without(name: str) -> Callable[[Any, Any], None]:
    return lambda tensors, facts: tensors.pop(name)


def _fact(name: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda tensors, facts: facts.__setitem__(name, value)


class TestShapes:
    """The manifest is right, the content is not: weights (12, 64) and (10, 12), biases, momentum of each."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                _to(MOMENTUM, torch.zeros(3)),
                r"optimizer/0/momentum_buffer: is float32 of shape \(3,\), must be float32",
            ),
            (_to(MOMENTUM, torch.zeros(12, 64, dtype=torch.float64)), "is float64 of shape .*, must be float32"),
            (_without(MOMENTUM), "optimizer/0/momentum_buffer: is missing"),
            (_to("optimizer/0/other", torch.zeros(12, 64)), "optimizer/0/other: the optimizer has no such slot"),
            (_to("optimizer/9/momentum_buffer", torch.zeros(2)), "optimizer/9/.*knows no slots of this parameter"),
            (_fact("optimizer", {"4": {}}), "optimizer/4: there are 4 parameters"),
            (_fact("optimizer", {"-1": {}}), "optimizer/-1: there are 4 parameters"),
            (_fact("optimizer", {"0": {"momentum_buffer": 1.0}}), "knows no slots of this parameter"),
            (_to("weights/0", torch.zeros(2)), "has a tensor weights/0, for which"),
            (_to("best/0", torch.zeros(2)), "has a tensor best/0, for which"),
            (_to("average/0", torch.zeros(2)), "has a tensor average/0, for which"),
            (
                _to("tally/objective", torch.zeros(3, dtype=torch.float64)),
                r"tally/objective is float64 of shape \(3,\)",
            ),
            (_to("tally/correct", torch.zeros(())), r"tally/correct is float32 of shape \(\), .* int64"),
            (_to("tally/steps/all", torch.zeros(2, 2)), r"tally/steps/all has the shape \(2, 2\)"),
            (_to("tally/steps/all", torch.zeros(10**5)), "must be at most 40 in a row"),
            (_to("tally/__class__", torch.zeros(())), "tally/__class__, for which"),
            (_without("tally/correct"), "lacks the tensor tally/correct"),
            (_without("tally/steps/nudged"), "tally/steps/nudged is missing or empty"),
            (_without("tally/converged/nudged"), "tally/converged/nudged is missing or empty"),
            (_to("tally/residual/nudged", torch.zeros(0)), "tally/residual/nudged is missing or empty"),
            (_to("tally/steps/all", torch.full((8,), math.nan)), "tally/steps/all is torch.float32, must be int64"),
            (_to("tally/converged/nudged", torch.ones(8)), "tally/converged/nudged is torch.float32, must be bool"),
            (_to("tally/residual/nudged", torch.ones(8).bool()), "is torch.bool, must be a floating type"),
            (_to("tally/control/scale", torch.ones(1)), "tally/control/factor is missing or empty"),
            (_fact("epoch", -1), "epoch=-1, batch=2, step=2: cannot be"),
            (_fact("batch", 10**9), "batch=1000000000, step=2: cannot be"),
            (_fact("step", 3), "epoch=0, batch=2, step=3: cannot be"),
            (_fact("epoch", 1.5), "epoch='1.5': must be a whole number"),
            (_fact("epoch", True), "epoch='True': must be a whole number"),
            (_fact("best", {"epoch": 0}), "best: has no accuracy"),
            (_fact("best", 3), "best='3': must be an object or null"),
            (_fact("seconds", {"step": "long"}), "seconds=.*: must be an object of which each entry is a number"),
            (_fact("totals", {}), "totals: has no multiply_adds"),
            (_fact("provenance", "here"), "provenance='here': must be an object"),
            (lambda tensors, facts: facts["tally"].update(scored="all"), "tally: scored='all': must be a whole number"),
            (_fact("tally", {}), "tally: has no examples"),
            (_fact("breaks", ["one"]), "breaks=.*must be a list"),
            (lambda tensors, facts: facts.pop("step"), "has no step"),
            (lambda tensors, facts: facts["tally"]["ledger"].update(odd={}), "ledger: odd: unknown"),
            (lambda tensors, facts: facts["totals"].update(sweeps=[[1]]), "sweeps: must be pairs"),
        ],
    )
    def test_what_does_not_fit_is_named(self, broken_off: Any, change: Any, said: str) -> None:
        run, path = broken_off()
        rewrite(path, change)
        with pytest.raises(DamagedFileError, match=f"step-000002.*{said}"):
            fit(run)
        assert not (run.folder / RESULT).exists()

    @pytest.mark.parametrize("group", ["weights", "average", "best"])
    def test_weights_average_and_best_have_the_shapes_of_the_network(self, broken_off: Any, group: str) -> None:
        run, path = broken_off(train={"epochs": 2, "average": 0.9, "weights": "best", "keep": 5})
        if group == "best":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Impatient, "patience", 2)
                patch.setattr(page, "Interrupt", Impatient)
                with pytest.raises(Stopped):
                    fit(run)
            path = checkpoint.steps(run.folder / CHECKPOINTS)[-1]
        tensors, _ = checkpoint.read(path)
        name = next(name for name, tensor in tensors.items() if name.startswith(f"{group}/") and tensor.dim() == 2)
        shape = tuple(tensors[name].shape)
        rewrite(path, _to(name, tensors[name].t().contiguous()))
        here, there = (re.escape(str(one)) for one in (shape[::-1], shape))
        with pytest.raises(DamagedFileError, match=f"{name} is .*{here}.* asks for .*{there}"):
            fit(run)

    @pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
    def test_a_sound_checkpoint_of_every_optimizer_is_continued(self, broken_off: Any, name: str) -> None:
        run, path = broken_off(optimizer={"name": name, "lr": 0.01})
        if name != "sgd":
            tensors, _ = checkpoint.read(path)
            assert {key.split("/")[2] for key in tensors if key.startswith("optimizer/0/")} >= {"exp_avg", "exp_avg_sq"}
        assert fit(run)["epochs"] == 2

    def test_the_scalar_of_a_slot_counts(self, broken_off: Any) -> None:
        run, path = broken_off(optimizer={"name": "adam", "lr": 0.01})
        rewrite(path, _to("optimizer/1/step", torch.zeros(4)))
        with pytest.raises(DamagedFileError, match=r"optimizer/1/step: is float32 of shape \(4,\), must be float32 of"):
            fit(run)


class TestSizes:
    """A small folder that announces a large network costs no memory and no time."""

    @pytest.fixture
    def ended(self, make_run: Maker) -> Run:
        run = make_run(train={"epochs": 1, "keep_epochs": [1]}, data={"limit": 60})
        fit(run)
        for name in (CONFIGURATION, RESULT):  # the digests are not what is tested
            (run.folder / name).unlink()
        return run

    @pytest.mark.parametrize(
        "model",
        [
            {"name": "mlp", "sizes": [20_000, 20_000]},
            {"name": "mlp", "sizes": [200_000_000]},
            {"name": "mlp", "sizes": [2] * 50_000},
            {"name": "normalized_vgg", "groups": [4], "convolutions": 10**6},
        ],
    )
    @pytest.mark.parametrize("name", [FINAL, EPOCHS])
    def test_it_is_refused_by_what_the_tensors_hold(self, ended: Run, model: dict[str, Any], name: str) -> None:
        (path,) = checkpoint.steps(ended.folder / name)
        rewrite(path, lambda tensors, facts: facts["run"].update(model=model))
        load = (lambda: load_run(ended.folder)) if name == FINAL else (lambda: load_epoch(ended.folder, 1))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with pytest.raises(EnergyError, match=path.name):
            load()
        assert time.monotonic() - start < 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB

    def test_a_draft_ends_at_the_first_parameter_too_many(self, make_run: Maker) -> None:
        """Two stored tensors admit 104 parameters; 80 layers have 162."""
        stored = {name: torch.zeros(2) for name in "ab"}
        run = make_run(model={"name": "mlp", "sizes": [2] * 80})
        said = r"^there: its configuration asks for more than 104 parameters, "
        with pytest.raises(DamagedFileError, match=said), bounded_by(stored, Path("there")):
            drafted(run)
        drafted(make_run())  # the bound ends with its context

    def test_weights_of_another_shape_are_named(self, ended: Run) -> None:
        (path,) = checkpoint.steps(ended.folder / FINAL)
        rewrite(path, lambda tensors, facts: facts["run"]["model"].update(sizes=[13]))
        with pytest.raises(DamagedFileError, match=r"step-000003: .* is float32 of shape .*asks for float32"):
            evaluate(ended.folder)


class TestJson:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"a": NaN}', "NaN is not a finite number"),
            ('{"a": -Infinity}', "-Infinity is not a finite number"),
            ('{"a": 1e999}', "1e999 is not a finite number"),
            ('{"a": 1, "a": 2}', "'a' occurs twice"),
            ('{"b": {"a": 1, "c": 1, "a": 2}}', "'a' occurs twice"),
            ("[1]", "must be one JSON object"),
            ("3", "must be one JSON object"),
            ("", "not JSON"),
            ('{"a": 1} {', "not JSON"),
            ('{"a": ' + "1" * 5000 + "}", "not JSON"),
            ('{"a": ' + "[" * DEEPEST + "]" * DEEPEST + "}", "nested too deeply"),
            ('{"a": ' + "[" * 10**6, "nested too deeply"),
            ('{"a": ' * 10**5, "nested too deeply"),
            (b'{"a": "\xff"}', "not JSON"),
            (b"\xff\xfe", "not JSON"),
        ],
    )
    def test_what_is_not_strict_is_refused(self, tmp_path: Path, text: str | bytes, said: str) -> None:
        path = tmp_path / "a.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(DamagedFileError, match=rf"a\.json: .*{said}"):
            read_json(path)

    def test_what_is_strict_is_read(self) -> None:
        text = (
            '{"a": ' + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1) + ', "b": "[[[{", "c": "\\"[", "d": [1.5, -2, null]}'
        )
        found = json_object(text, "here")
        assert found["b"] == "[[[{" and found["c"] == '"[' and found["d"] == [1.5, -2, None]

    @pytest.mark.parametrize("text", ['"[[["', '"\\"[["', '"[', '"\\', "]]]", '"a" "["'])
    def test_brackets_in_strings_do_not_count(self, text: str) -> None:
        assert depth(text) == 0

    def test_quotes_without_end_take_linear_time(self) -> None:
        start = time.monotonic()
        assert depth('"' + '\\"' * 500_000) == 0
        assert time.monotonic() - start < 3

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"[1]", "must be one JSON object"),
            (b"3", "must be one JSON object"),
            (b'{"step": 1}', "has no epoch"),
            (b'{"epoch": "0"}', "epoch='0': must be a whole number"),
            (b'{"epoch": 0, "train_accuracy": "high"}', "train_accuracy='high': must be a number or null"),
            (b'{"epoch": 0, "seconds": []}', "seconds="),
            (b'{"epoch": 0, "settle": {"free": 3}}', "settle="),
            (b'{"epoch": 0, "x": "\xff"}', "not JSON"),
            (b'{"epoch": 0, "x": NaN}', "NaN"),
            (b"", "not JSON"),
            (b'{"epoch": 0, "x": "' + b"a" * LONGEST + b'"}', "bytes, must have at most"),
        ],
        ids=range(11),
    )
    def test_a_line_of_a_record_that_is_none(self, tmp_path: Path, line: bytes, said: str) -> None:
        path = tmp_path / RECORD
        path.write_bytes(b'{"epoch": 0}\n' + line + b"\n")
        with pytest.raises(DamagedFileError, match=rf"record\.jsonl:2: .*{said}"):
            read_lines(path)

    @pytest.mark.parametrize("cut", range(1, 33))
    def test_a_last_line_cut_anywhere_is_left_out(self, tmp_path: Path, cut: int) -> None:
        whole = b'{"epoch": 1, "settle": {"f": {}}}'
        assert len(whole) == 33
        (tmp_path / RECORD).write_bytes(b'{"epoch": 0}\n' + whole[:cut])
        assert read_lines(tmp_path / RECORD) == [{"epoch": 0}]

    @pytest.mark.parametrize(
        ("kind", "good", "bad"),
        [
            (int, [0, -3], [True, 1.0, "1", None]),
            (float, [0, 1.5], [False, "1", None]),
            (str, [""], [1, None]),
            (bool, [True], [1, 0]),
            (dict[str, int], [{}, {"a": 1}], [{"a": 1.5}, {"a": True}, []]),
            (list[dict], [[], [{}]], [[1], {}]),
            (float | None, [None, 1], [True, "x"]),
            (dict[str, dict[str, int]], [{"a": {"b": 1}}], [{"a": 1}, {"a": {"b": None}}]),
        ],
    )
    def test_kinds(self, kind: Any, good: list[Any], bad: list[Any]) -> None:
        assert all(fits(value, kind) for value in good) and not any(fits(value, kind) for value in bad)

    def test_an_inner_field_is_named_with_its_path(self) -> None:
        fields = {"a": {"b": int}}
        require_fields({"a": {"b": 1}, "more": "is fine"}, fields, "here")
        with pytest.raises(DamagedFileError, match=r"^here: a: b='x': must be a whole number$"):
            require_fields({"a": {"b": "x"}}, fields, "here")
        with pytest.raises(DamagedFileError, match=r"^here: a='1': must be an object$"):
            require_fields({"a": 1}, fields, "here")
        with pytest.raises(DamagedFileError, match=r"^here: has no a$"):
            require_fields({}, fields, "here")
        require_fields({}, fields, "here", partial=True)


class TestDisk:
    @pytest.fixture
    def full(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """``full("facts.json")``: the disk is full when a file whose name contains that is forced."""
        real = os.fsync

        def plant(name: str) -> None:
            def fsync(handle: int) -> None:
                if name in os.path.basename(os.readlink(f"/proc/self/fd/{handle}")):
                    raise OSError(28, "No space left on device")
                real(handle)

            monkeypatch.setattr(os, "fsync", fsync)

        return plant

    @pytest.mark.parametrize("name", [RECORD, "facts.json", "tensors.safetensors"])
    def test_a_full_disk_names_the_file_and_what_is_left(
        self, broken_off: Any, full: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        run, path = broken_off()
        full(name)
        with pytest.raises(
            DiskError, match=rf"{name}: No space left on device; the same command continues from {path}$"
        ):
            fit(run)
        monkeypatch.undo()
        assert fit(run)["epochs"] == 2 and not list(run.folder.rglob(".writing*"))

    def test_before_the_first_checkpoint(self, make_run: Maker, full: Callable[[str], None]) -> None:
        run = make_run(**SMALL)
        full(CONFIGURATION)
        with pytest.raises(
            DiskError, match=r"configuration\.json: No space left on device; no checkpoint had been written"
        ):
            fit(run)
        assert os.listdir(run.folder) == [".lock"]

    @pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
    def test_a_folder_that_may_not_be_written_in(
        self, broken_off: Any, monkeypatch: pytest.MonkeyPatch, error: OSError
    ) -> None:
        """As the system says it when the lock is opened; root, who may write anywhere, gets no such error."""
        run, path = broken_off()
        real = os.open

        def refusing(name: Any, flags: int, *more: Any, **others: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR) and str(name).startswith(str(run.folder)):
                raise OSError(error.errno, error.strerror, str(name))
            return real(name, flags, *more, **others)

        monkeypatch.setattr(os, "open", refusing)
        with pytest.raises(DiskError, match=rf"\.lock: {error.strerror}; the same command continues from {path}$"):
            fit(run)
        monkeypatch.undo()
        assert fit(run)["epochs"] == 2


class TestTwice:
    def test_the_second_of_two_is_refused_and_readers_go_on(self, broken_off: Any) -> None:
        run, path = broken_off()
        with exclusive_lock(run.folder):
            with pytest.raises(LockedFolderError, match="another process is training in this run folder"):
                fit(run)
            assert "running at epoch 0 of 2" in listing(run.folder.parent, width=200)
            with pytest.raises(FileNotFoundError, match="not finished"):
                evaluate(run.folder)
            with pytest.raises(FileNotFoundError, match="not finished"):
                export(run.folder, run.folder.parent / "given.safetensors")
        assert path.is_dir() and fit(run)["epochs"] == 2

    def test_another_run_in_a_folder_is_refused(self, broken_off: Any, make_run: Maker) -> None:
        broken_off()
        with pytest.raises(ConfigurationError, match="holds another run; there seed=0, here 1"):
            fit(make_run(seed=1, **SMALL))


class TestFormat:
    """One of the two files of another format, or facts of another step, under a manifest that is right."""

    @pytest.mark.parametrize(
        ("name", "field", "said"),
        [
            ("facts.json", "format", r"facts\.json: format=2, this version reads 1"),
            ("manifest.json", "format", r"manifest\.json: format=2, this version reads 1"),
            ("facts.json", "step", r"facts\.json is of step 2"),
        ],
    )
    def test_the_format_of_both_files_and_the_step_and_name(
        self, tmp_path: Path, name: str, field: str, said: str
    ) -> None:
        path = checkpoint.write(tmp_path, 7, {"weight": torch.ones(2)}, {})
        inside = json.loads((path / name).read_text())
        inside[field] = 2
        text = json.dumps(inside).encode()
        (path / name).write_bytes(text)
        if name != "manifest.json":
            manifest = json.loads((path / "manifest.json").read_text())
            manifest["files"][name] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
            (path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(DamagedFileError, match=said):
            checkpoint.read(path)
