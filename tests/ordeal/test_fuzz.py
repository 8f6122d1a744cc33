"""Seeded mutations of valid inputs, for ENERGY_ORDEAL_SECONDS: a result or an error of the hierarchy, in seconds."""

import contextlib
import io
import json
import os
import pickle
import signal
import struct
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

import numpy as np
import pytest
import safetensors.torch

from energy import cli
from energy.command import catalog, datasets
from energy.command.arguments import parse
from energy.command.complaint import complaint
from energy.command.compose import plan
from energy.component import from_dict, to_dict
from energy.data import archive, idx, npz
from energy.errors import DataError
from energy.io.arrays import array_header, npz_arrays
from energy.io.comparison import COMPARISON, read_comparison
from energy.io.figure_data import read_figure_data, write_figure_data
from energy.io.plain import flatten, json_object
from energy.io.plain_yaml import yaml_values
from energy.io.record import CHECKPOINTS, CONFIGURATION, FINAL, KERNELS, RECORD, RESULT
from energy.io.result import content_digest
from energy.io.weights import read_weights
from energy.study.inference.record import STUDY, merged, read_study, table_rows
from energy.study.listing import listing
from energy.study.results import COLUMNS, read_results
from energy.train import fit as page
from energy.train.evaluate import load_epoch, load_run
from energy.train.export import export
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run
from tests.cli.test_fuzzed_words import SIGNS, VALUES
from tests.cli.test_fuzzed_words import WORDS as VERBS
from tests.ordeal.damage import Ground
from tests.ordeal.figures import record
from tests.ordeal.hostile import sealed
from tests.ordeal.mutations import changed_bytes, changed_values, shortened
from tests.ordeal.test_damage import broken_off, described
from tests.study.records import study_record

pytestmark = pytest.mark.slow

SECONDS: Final = float(os.environ.get("ENERGY_ORDEAL_SECONDS", "60"))
SEED: Final = int(os.environ.get("ENERGY_ORDEAL_SEED", "20260"))
MOST: Final = 10.0  # seconds of the processor
SHAPE: Final = (3, 32, 32)
Act = Callable[[bytes], Any]


class TooSlow(BaseException):
    """An input that takes more than its time; no handler of errors takes it for one."""


@dataclass
class Target:
    """Something that reads inputs.

    Attributes:
        name: the kind of input.
        make: an input by chance.
        act: gives it to the toolkit.
    """

    name: str
    make: Callable[[Random], bytes]
    act: Act


def outcome(act: Act, blob: bytes) -> tuple[str, str]:
    """`done`, `refused`, or the fault that an input shows: the error with the place it comes from, or `slow`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MOST)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            act(blob)
    except TooSlow:
        return "slow", f"more than {MOST} s"
    except Exception as error:
        told = complaint(error)
        if told:
            return ("refused", "") if told.isprintable() and len(told) < 6000 else ("many lines", repr(told)[:300])
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "defect", f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return "done", ""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, in which nothing trains, downloads or finds data sets."""
    monkeypatch.chdir(tmp_path)
    for name in ("ENERGY_DATA", "ENERGY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))

    def refusing(*given: Any, **named: Any) -> Any:
        raise DataError("nothing is carried out here")

    monkeypatch.setattr(page, "fit", refusing)
    monkeypatch.setattr(datasets, "fetch", refusing)
    monkeypatch.setattr("energy.command.sweep.sweep", refusing)
    monkeypatch.setattr("energy.study.compare.compare", refusing)
    monkeypatch.setattr("energy.command.study.carry_out_and_report", refusing)
    monkeypatch.setattr("energy.command.study.report", lambda folder: None)
    catalog.load_all([])
    return tmp_path


def through(
    make: Callable[[Random, bytes, Sequence[bytes]], bytes], seeds: Sequence[bytes]
) -> Callable[[Random], bytes]:
    return lambda random: make(random, random.choice(seeds), seeds)


def changed_json(random: Random, blob: bytes, others: Sequence[bytes]) -> bytes:
    """A mutation of a JSON text: mostly of its values, at times of its bytes."""
    if random.random() < 0.3:
        return changed_bytes(random, blob, others)
    lines = [json.loads(line) for line in blob.splitlines()] if blob.count(b"\n{") else [json.loads(blob)]
    at = random.randrange(len(lines))
    lines[at] = changed_values(random, lines[at])
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def commands() -> Iterator[Target]:
    """Words of the command line: overrides of real fields by a grammar, and whole commands."""
    register_builtins()
    fields = [
        name for name, _ in flatten(to_dict(from_dict(Run, {"model": "mlp", "data": "digits", "settler": "backprop"})))
    ]
    names = ["mlp", "vgg", "resnet", "digits", "mnist", "backprop", "dual_propagation", "block", "adam", "sgd", "ridge"]

    def override(random: Random) -> str:
        name = random.choice(fields) if random.random() < 0.8 else random.choice(fields).rpartition(".")[0] or "x"
        value = random.choice((*VALUES, *names, *map(str, range(-2, 9))))
        return f"{random.choice(SIGNS)}{name}{random.choice(('=', '=', '=', '=', '', '=='))}{value}"

    def overrides(random: Random) -> bytes:
        words = [override(random) for _ in range(random.randrange(1, 4))] + ["-m"] * (random.random() < 0.2)
        return json.dumps(words).encode()

    def composed(blob: bytes) -> None:
        words = json.loads(blob)
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            for run in plan(Run, "run", parse(words)):
                to_dict(run)

    def command(random: Random) -> bytes:
        pool = (*VERBS, *VALUES, "data=mnist", "launcher=local", "ranks=2", "device=cuda")
        words = [random.choice(pool) for _ in range(random.randrange(0, 5))]
        return json.dumps([*words, *(override(random) for _ in range(random.randrange(0, 3)))]).encode()

    def carried_out(blob: bytes) -> None:
        words = json.loads(blob)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return
        if {"doctor", "gradient-error"} & {*words}:
            words.append("data=mnist")  # which is not there
        line = io.StringIO()
        with contextlib.redirect_stderr(line):
            status = cli.main(words)
        if "Traceback" in line.getvalue() or "a defect" in line.getvalue():
            raise AssertionError(line.getvalue()[-600:])
        assert status in (0, 1, 2)

    yield Target("overrides", overrides, composed)
    yield Target("commands", command, carried_out)


def texts(place: Path) -> Iterator[Target]:
    """Experiment files, cells of papers, tables, comparisons, studies."""
    top = Path(__file__).parents[2]
    seeds = [path.read_bytes() for path in sorted((top / "energy/configs/experiment").rglob("*.yaml"))]
    seeds = [blob for blob in seeds if len(blob) < 6000]
    (place / "mine/experiment").mkdir(parents=True)

    def experiment(blob: bytes) -> None:
        (place / "mine/experiment/trial.yaml").write_bytes(blob)
        for run in plan(Run, "run", parse(["--config-dir", str(place / "mine"), "experiment=trial"])):
            to_dict(run)

    yield Target("experiment files", through(changed_bytes, seeds), experiment)
    yield Target("YAML", through(changed_bytes, seeds), lambda blob: yaml_values(blob, "x.yaml"))
    rows = sorted(top.glob("paper_repro/*/results.csv"))
    tables = [b"\n".join(path.read_bytes().split(b"\n")[:4]) for path in rows] + [",".join(COLUMNS).encode()]

    def table(blob: bytes) -> None:
        (place / "results.csv").write_bytes(blob)
        read_results(place / "results.csv")

    yield Target("results.csv", through(changed_bytes, tables), table)
    study = study_record()
    small = json.dumps({**study, "points": study["points"][:3], "trainings": study["trainings"][:1]}).encode()

    def studied(blob: bytes) -> None:
        for name, content in (("one", small), ("two", blob)):
            (place / name).mkdir(exist_ok=True)
            (place / name / STUDY).write_bytes(content)
        found = merged([(name, read_study(place / name)) for name in ("one", "two")])
        list(table_rows(found))
        assert cli.main(["study", "merge", "two", "one", "out=both"]) in (0, 1)

    yield Target("study.json", through(changed_json, [small]), studied)
    compared = json.dumps({"title": "x", "settlers": {"a": {"accuracy": [1.0]}}, "rows": [{"settler": "a"}]}).encode()

    def comparison(blob: bytes) -> None:
        (place / COMPARISON).write_bytes(blob)
        read_comparison(place)

    yield Target("compare.json", through(changed_json, [compared]), comparison)
    yield Target("JSON", through(changed_bytes, [small[:3000], compared]), lambda blob: json_object(blob, "x.json"))


def binaries(place: Path) -> Iterator[Target]:
    """Archives of arrays, headers, pickles and idx files."""
    rows = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    stored, packed = io.BytesIO(), io.BytesIO()
    np.savez(stored, data=rows, labels=np.array([1, 2]))
    np.savez_compressed(packed, data=rows, labels=np.array([1, 2]), mean=rows.mean(0))
    npzs = [stored.getvalue(), packed.getvalue()]
    pictures = write_figure_data(place / "pictures.npz", {"a": np.arange(3)}, {"title": "x"}).read_bytes()
    entries = {"data": rows, "labels": [0, 1], "filenames": ["a", "b"], "batch_label": "one", "mean": rows.mean(0)}
    pickles = [pickle.dumps(entries, protocol) for protocol in range(6)]
    heads = [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }",
        b"{'descr': '<U7', 'fortran_order': True, 'shape': (), }",
    ]
    files = [
        bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 28, 28) + bytes(1568),
        bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + b"\0\1",
    ]

    def drawn(blob: bytes) -> None:
        (place / "pictures.npz").unlink(missing_ok=True)
        (place / "pictures.npz").write_bytes(blob)
        read_figure_data(place / "pictures.npz")

    def two(blob: bytes) -> None:
        idx.idx_examples([bytearray(blob), bytearray(files[1])])

    yield Target("npz", through(changed_bytes, npzs), lambda blob: npz_arrays(bytearray(blob), 1 << 20))
    yield Target(
        "npz batches", through(changed_bytes, npzs), lambda blob: npz.npz_examples(bytearray(blob), SHAPE, 1 << 20)
    )
    yield Target("pictures", through(changed_bytes, [pictures, *npzs]), drawn)
    yield Target("npy headers", through(changed_bytes, heads), lambda blob: array_header(blob, "x.npy"))
    yield Target(
        "pickles",
        through(changed_bytes, pickles),
        lambda blob: archive.pickled_examples(bytearray(blob), "labels", SHAPE),
    )
    yield Target("idx", through(changed_bytes, files), two)


def folders(place: Path) -> Iterator[Target]:
    """The files of run folders, their seals put right in most cases, so that what lies behind is tried too."""
    done, begun = described(place / "done"), described(place / "begun")
    fit(done)
    broken_off(begun)
    grounds = [Ground(done.folder), Ground(begun.folder)]
    kinds = (CONFIGURATION, RESULT, RECORD, KERNELS, "facts.json", "manifest.json")

    def looked_at(which: int, name: str, blob: bytes, mend: bool) -> None:
        ground = grounds[which]
        ground.put({name: blob})
        file = ground.folder / name
        if mend:
            mended(ground.folder, file)
        if which:
            fit(begun)
            return
        listing(ground.folder.parent, csv=True)
        for action in (lambda: load_run(ground.folder), lambda: load_epoch(ground.folder, 2), lambda: fit(done)):
            action()

    for which, ground in enumerate(grounds):
        names = [name for name in ground.blobs if Path(name).name in kinds]
        seeds = [json.dumps([name, ground.blobs[name].decode()]).encode() for name in names]

        def make(random: Random, seed: bytes, others: Sequence[bytes]) -> bytes:
            name, text = json.loads(seed)
            blob = changed_json(random, text.encode(), [one[:3000] for one in others])
            return json.dumps([name, random.random() < 0.8, blob.decode("latin1")]).encode()

        def act(blob: bytes, which: int = which) -> None:
            name, mend, text = json.loads(blob)
            looked_at(which, name, text.encode("latin1"), mend)

        yield Target(f"JSON of a run that is {('finished', 'continued')[which]}", through(make, seeds), act)
    (final,) = (name for name in grounds[0].blobs if name.startswith(f"{FINAL}/") and name.endswith("safetensors"))
    (*_, newest) = (name for name in grounds[1].blobs if name.startswith(CHECKPOINTS) and name.endswith("safetensors"))
    for which, name in enumerate((final, newest)):
        yield Target(
            f"tensors of a run that is {('finished', 'continued')[which]}",
            through(changed_tensors, [grounds[which].blobs[name]]),
            lambda blob, which=which, name=name: looked_at(which, name, blob, True),
        )
    grounds[0].put({})
    given = export(done.folder, place / "given.safetensors") and (place / "given.safetensors").read_bytes()

    def exported(blob: bytes) -> None:
        (place / "given.safetensors").write_bytes(blob)
        read_weights(place / "given.safetensors")
        load_run(place / "given.safetensors")

    yield Target("exported weights", through(changed_tensors, [given]), exported)


def changed_tensors(random: Random, blob: bytes, others: Sequence[bytes]) -> bytes:
    """A mutation of a file of tensors: of its header as JSON, of its tensors, or of its bytes."""
    kind = random.randrange(3)
    if kind == 0:
        return changed_bytes(random, blob, others)
    if kind == 1:
        size = int.from_bytes(blob[:8], "little")
        text = json.dumps(changed_values(random, json.loads(blob[8 : 8 + size]))).encode()
        return struct.pack("<Q", len(text)) + text + blob[8 + size :]
    tensors = safetensors.torch.load(blob)
    for name in random.sample(sorted(tensors), min(2, len(tensors))):
        one = tensors.pop(name)
        how = random.randrange(4)
        if how == 0:
            tensors[name] = one.double()
        elif how == 1:
            tensors[name] = one.reshape(-1)[: random.randrange(4)].clone()
        elif how == 2:
            tensors[random.choice((f"{name}x", "", "weights/", "tally/steps/all", "optimizer/0/x"))] = one
        else:
            tensors[name] = (one.float() * float("nan")).to(one.dtype) if one.is_floating_point() else one
    return safetensors.torch.save(tensors)


def mended(folder: Path, file: Path) -> None:
    """Put right the seals that stand on a file, as far as it can still be read."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError, UnicodeError):
        if file.parent.name.startswith("step-"):
            if file.name != "manifest.json":
                sealed(file.parent)
            (folder / RESULT).unlink(missing_ok=True)
        elif file.name in (RESULT, CONFIGURATION):
            plain = json.loads(file.read_bytes())
            plain.pop("sha256", None)
            if file.name == RESULT:
                plain["sha256"] = content_digest(plain)
            file.write_text(json.dumps(plain))


def test_mutations_are_read_or_refused(place: Path) -> None:
    targets = [*commands(), *texts(place), *binaries(place), *folders(place)]
    counts: Counter[str] = Counter()
    faults: dict[str, str] = {}
    begun, slowest = time.monotonic(), 0.0
    number = 0
    while time.monotonic() - begun < SECONDS:
        for target in targets:
            seed = f"{SEED} {target.name} {number}"
            blob = target.make(Random(seed))
            started = time.process_time()
            kind, told = outcome(target.act, blob)
            slowest = max(slowest, time.process_time() - started)
            counts["cases"] += 1
            counts[kind] += 1
            if kind not in ("done", "refused") and f"{target.name}: {told}" not in faults and len(faults) < 30:
                fault = (kind, told)
                tries = 3 if kind == "slow" else 200
                least = shortened(blob, lambda less, act=target.act, fault=fault: outcome(act, less) == fault, tries)
                faults[f"{target.name}: {told}"] = f"{kind}, Random({seed!r}), shortened to {least[:600]!r}"
        number += 1
    record(
        "fuzzing",
        targets=len(targets),
        **counts,
        faults=len(faults),
        slowest_s=round(slowest, 2),
        seconds=round(time.monotonic() - begun),
    )
    told = "\n".join(f"{name}\n    {how}" for name, how in faults.items())
    assert not faults, f"{len(faults)} faults:\n{told}"
    assert counts["refused"] > counts["cases"] // 4 and counts["done"] > counts["cases"] // 20
