"""Damage in run folders and in the cache of data: named, made good, or without effect; never a change in silence."""

import copy
import functools
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from energy.component import from_dict
from energy.couplings import forms
from energy.couplings.forms import choice
from energy.data import Cifar10
from energy.data import cache as cache_module
from energy.data.digits import Digits
from energy.data.published import Published
from energy.errors import EnergyError
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, CONFIGURATION, EPOCHS, FINAL, KERNELS, RECORD, RESULT
from energy.study.listing import listing
from energy.train import fit as page
from energy.train.evaluate import evaluate, load_epoch
from energy.train.export import export
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.registration import register_builtins
from energy.train.run import Run
from tests.ordeal.damage import Blobs, Ground, cut, digits_changed, exchanged, foreign, grown, held, older, turned
from tests.ordeal.figures import record
from tests.train.impatient import Impatient

pytestmark = pytest.mark.slow

Cases = Iterable[tuple[str, Blobs]]
SEED: Final = 20260
EPOCHS_DONE: Final = 3
MOST: Final = 10.0  # seconds of the processor that one case may take
PLACES: Final = int(os.environ.get("ENERGY_ORDEAL_PLACES", "200"))  # of a large file at which a byte is turned
AT_TIMES: Final = ("seconds", "commit", "continued", "sha256", "final", "files", "written", "provenance")


def described(out: Path, **other: Any) -> Run:
    """A run of three epochs of three steps, with every kind of tensor and file that a run folder holds."""
    register_builtins()
    train = {
        "epochs": EPOCHS_DONE,
        "batch_size": 16,
        "average": 0.5,
        "keep": 3,
        "keep_epochs": [1, 2],
        "probe_every": 0,
    }
    plain = {
        "model": {"name": "mlp", "sizes": [4], "hidden": {"name": "hard_sigmoid"}},
        "data": {"name": "digits", "limit": 60, "crop": 1, "validation": 0.2},
        "settler": {"name": "dual_propagation"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {**train, "progress": False, "weights": "best", "program": "off"},
        "title": "tiny",
        "out": str(out),
        **other,
    }
    return from_dict(Run, plain, path="")


def broken_off(run: Run, looks: int = 8) -> None:
    """Train until a signal comes, after so many looks for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Impatient, "patience", looks)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(run)


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Digits are parsed once; maps of any size have a form to choose, and one measurement differs from the next."""
    known = digits()
    monkeypatch.setattr(Digits, "read", lambda self: copy.copy(known))
    monkeypatch.setattr(choice, "LEAST", 1)
    turns = itertools.count()
    monkeypatch.setattr(choice, "fastest", lambda runs: list(runs)[next(turns) % len(runs)])
    forms.forget_forms()
    yield
    forms.forget_forms()


@functools.cache
def digits() -> Any:
    return Digits().read()


def without_times(value: Any) -> Any:
    """A record without what depends on the hour and on how often the run was broken off."""
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in AT_TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def bits(tensors: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The bytes of tensors by name."""
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}


def results(folder: Path) -> dict[str, Any]:
    """All that a run leaves, bit by bit, without times; damage that reading finds is raised."""
    (final,) = (folder / FINAL).glob("step-*")
    kept = {one.name: bits(checkpoint.read(one)[0]) for one in (folder / EPOCHS).glob("step-*")}
    lines = [json.loads(line) for line in (folder / RECORD).read_bytes().splitlines()]
    plain = [json.loads((folder / name).read_bytes()) for name in (RESULT, CONFIGURATION)]
    return {
        "weights": (final / "tensors.safetensors").read_bytes(),
        "epochs": kept,
        "record": without_times([*lines, *plain]),
    }


class Tally:
    """What became of the cases; a case that is neither refused nor without effect is a failure."""

    def __init__(self, names: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0
        self.names = [*names]

    def run(self, said: str, changed: Blobs, action: Callable[[], Any], sound: Any) -> None:
        """Carry out one case; an error of the hierarchy must name a file that was changed, or its checkpoint."""
        self.counts["cases"] += 1
        begun = time.process_time()
        try:
            found = action()
        except EnergyError as error:
            self.counts["refused"] += 1
            known = {part for name in changed for part in (Path(name).name, Path(name).parent.name) if part}
            named = any(name in str(error) for name in known) or "holds another run; there" in str(error)
            if not named or not str(error).isprintable():
                self.failures.append(f"{said}: is refused without a name: {error}")
        except Exception as error:
            self.failures.append(f"{said}: {type(error).__name__}: {error}")
        else:
            self.counts["harmless"] += 1
            if found != sound:
                self.failures.append(f"{said}: changes {difference(found, sound)}")
        self.slowest = max(self.slowest, time.process_time() - begun)

    def close(self, name: str, begun: float) -> None:
        """Keep the figures, and fail if any case did."""
        seconds = round(time.monotonic() - begun, 1)
        record(name, **self.counts, changed_in_silence=len(self.failures), seconds=seconds)
        told = "\n".join(self.failures[:40])
        assert not self.failures, f"{len(self.failures)} of {self.counts['cases']} cases:\n{told}"
        assert self.slowest < MOST
        assert self.counts["refused"] > self.counts["cases"] // 3  # the damage is noticed where it can matter


def difference(found: Any, sound: Any, path: str = "") -> str:
    """Where two results differ first."""
    if isinstance(found, dict) and isinstance(sound, dict) and found.keys() == sound.keys():
        names = [name for name in found if found[name] != sound[name]]
        return difference(found[names[0]], sound[names[0]], f"{path}.{names[0]}")
    if isinstance(found, list) and isinstance(sound, list) and len(found) == len(sound):
        (at, *_) = [at for at in range(len(found)) if found[at] != sound[at]]
        return difference(found[at], sound[at], f"{path}[{at}]")
    return f"{path}: {str(sound)[:80]} into {str(found)[:80]}"


def every_damage(blobs: Blobs, others: Mapping[str, Blobs], thorough: int) -> Iterator[tuple[str, Blobs]]:
    yield from turned(blobs, SEED, thorough)
    yield from digits_changed(blobs, SEED, thorough // 2)
    yield from cut(blobs, SEED, thorough // 10)
    yield from grown(blobs)
    yield from exchanged(blobs)
    yield from foreign(blobs, others)
    yield from older(blobs)


def strangers(tmp_path: Path, prepare: Callable[[Run], Any]) -> dict[str, Blobs]:
    """The folders of other runs, which came as far."""
    found = {}
    for name, other in (
        ("another seed", {"seed": 1}),
        ("another rate", {"optimizer": {"name": "sgd", "lr": 0.05}}),
        ("another width", {"model": {"name": "mlp", "sizes": [5], "hidden": {"name": "hard_sigmoid"}}}),
    ):
        forms.forget_forms()
        run = described(tmp_path / name, **other)
        prepare(run)
        found[name] = held(run.folder)
    return found


def test_a_run_that_is_continued(tmp_path: Path) -> None:
    run = described(tmp_path / "run")
    broken_off(run)
    ground = Ground(run.folder)
    assert len(list((run.folder / CHECKPOINTS).glob("step-*"))) == 3 and (run.folder / KERNELS).exists()
    fit(run)
    sound = results(run.folder)
    tally, begun = Tally(ground.blobs), time.monotonic()

    def onward() -> dict[str, Any]:
        forms.forget_forms()
        fit(run)
        return results(run.folder)

    for said, changes in every_damage(ground.blobs, strangers(tmp_path, broken_off), PLACES):
        ground.put(changes)
        tally.run(said, changes, onward, sound)
    tally.close("damage in a run folder that is continued", begun)


def readings(folder: Path, given: Path) -> dict[str, Callable[[], Any]]:
    """What can be made of a finished folder by who does not know which run it is to hold.

    Args:
        folder: the run folder.
        given: the file to export to.
    """
    return {
        "scores": lambda: without_times(evaluate(folder)),
        "epoch": lambda: {name: one.tolist() for name, one in load_epoch(folder, 2)[1].state_dict().items()},
        "file": lambda: (export(folder, given), given.read_bytes())[1],
    }


def test_a_run_that_is_finished(tmp_path: Path) -> None:
    """Where nearly the whole folder is that of another run, what does not know which one is meant may read that one."""
    run, given = described(tmp_path / "run"), tmp_path / "given.safetensors"
    fit(run)
    ground = Ground(run.folder)
    others = strangers(tmp_path, fit)
    theirs = {name: list[Any]() for name in readings(run.folder, given)}
    for name in others:
        for part, read in readings(tmp_path / name, given).items():
            given.unlink(missing_ok=True)
            given.with_suffix(".md").unlink(missing_ok=True)
            theirs[part].append(read())
    tally, begun = Tally(ground.blobs), time.monotonic()

    def looked_at() -> dict[str, Any]:
        """All that is made of a finished folder; each part is also asked for where the ones before refuse."""
        parts = {"result": lambda: without_times(fit(run)), **readings(run.folder, given)}
        found, refusals = dict[str, Any](), list[EnergyError]()
        for name, part in parts.items():
            given.unlink(missing_ok=True)
            given.with_suffix(".md").unlink(missing_ok=True)
            try:
                found[name] = part()
            except EnergyError as error:
                refusals.append(error)
        found["listed"] = listing(run.folder, csv=True)
        if refusals:
            whole = "holds another run" in str(refusals[0])
            also = theirs if whole else {}
            changed = [one for one in found if one != "listed" and found[one] not in (sound[one], *also.get(one, []))]
            assert not changed, f"{refusals[0]}, but {changed} are others"
            raise refusals[0]
        return found

    sound: dict[str, Any] = {}
    sound = looked_at()
    for said, changes in every_damage(ground.blobs, others, PLACES):
        ground.put(changes)
        tally.run(said, changes, looked_at, sound)
    tally.close("damage in a finished run folder", begun)


def test_the_cache_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is not what was written is made anew; the arrays are always those of the sources."""
    monkeypatch.setenv("ENERGY_CACHE", str(tmp_path / "cache"))
    conversions = itertools.count()
    convert = Published._convert
    monkeypatch.setattr(Published, "_convert", lambda self, *given: (next(conversions), convert(self, *given))[1])

    def entry(seed: int) -> tuple[Path, Blobs]:
        """A data folder of 20 + 4 images, and what the cache holds once it was read."""
        root = tmp_path / f"data-{seed}"
        (root / "cifar-10-batches-bin").mkdir(parents=True)
        random_ = np.random.default_rng(seed)
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            rows = [bytes([label]) + random_.bytes(3072) for label in random_.integers(0, 10, 4)]
            (root / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(b"".join(rows))
        monkeypatch.setenv("ENERGY_DATA", str(root))
        Cifar10(verify=False).read()
        found = held(tmp_path / "cache")
        for path in (tmp_path / "cache").iterdir():
            path.unlink()
        return root, found

    (_, other), (_, last) = entry(1), entry(0)
    sound = read_arrays()
    ground = Ground(tmp_path / "cache")
    assert ground.blobs.keys() == last.keys() and len(ground.blobs) == 1
    others = {"other images": {name: blob for name in ground.blobs for blob in other.values()}}
    tally, begun, before = Tally(ground.blobs), time.monotonic(), next(conversions)
    head = {name: blob[: PLACES * 5] for name, blob in ground.blobs.items()}
    behind = {name: blob[PLACES * 5 :] for name, blob in ground.blobs.items()}
    heads = turned(head, SEED, PLACES)
    cases = [
        *((said, {name: one + behind[name] for name, one in changes.items()}) for said, changes in heads),
        *every_damage(ground.blobs, others, 2 * PLACES),
    ]
    noticed = 0
    for said, changes in cases:
        ground.put(changes)
        cache_module.DIGESTS.clear()
        tally.run(said, changes, read_arrays, sound)
        again = next(conversions) - before - 1
        before += again + 1
        noticed += again
    tally.counts["made_anew"] = noticed
    assert noticed > 0.9 * len(cases)
    tally.counts["refused"] += noticed
    tally.close("damage in the cache of data", begun)


def read_arrays() -> list[Any]:
    tensors = [tensor for part in Cifar10(verify=False).read() for tensor in part]
    return [(tensor.shape, tensor.dtype, tensor.numpy().tobytes()) for tensor in tensors]


def test_bits_of_final_weights_tell_a_difference(tmp_path: Path) -> None:
    """What the others compare is not blind: another seed, and one weight more by its last bit, are seen."""
    run, other = described(tmp_path / "one"), described(tmp_path / "other", seed=1)
    for one in (run, other):
        forms.forget_forms()
        fit(one)
    sound = results(run.folder)
    assert difference(results(other.folder), sound).startswith((".weights", ".epochs", ".record"))
    path = next((run.folder / FINAL).glob("step-*/tensors.safetensors"))
    blob = path.read_bytes()
    path.write_bytes(blob[:-1] + bytes([blob[-1] ^ 1]))
    assert results(run.folder) != sound
