"""Hostile files of every kind that the toolkit reads, each with the command line that it is given to.

A case is made inside a folder `work` with a finished run in `run`; `outside` and `evil.py` lie beside and in it.
"""

import gzip
import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch

from energy.io.record import CONFIGURATION, FILES, FOLDERS, RECORD, RESULT
from energy.io.weights import read_weights, write_weights
from tests.cli.test_hostile_tables import BLOBS, CELLS, RECORDS
from tests.cli.test_hostile_yaml import HOSTILE, NAMES
from tests.data.test_hostile_arrays import entry, head, packed
from tests.data.test_hostile_pickles import NESTED
from tests.study.records import study_record

CIFAR: Final = ("train", "data=cifar10", "data.verify=false", "model.sizes=[4]", "settler=dual_propagation", "out=new")
MNIST: Final = ("train", "data=mnist", "data.verify=false", "model.sizes=[4]", "settler=dual_propagation", "out=new")
IMAGES: Final = ("train", "data=image_folder", "data.root=pets", "model.sizes=[4]", "out=new")
ONWARD: Final = (
    *("train", "model.sizes=[4]", "model.hidden=hard_sigmoid", "data=digits", "data.limit=60", "data.crop=1"),
    *("settler=dual_propagation", "train.epochs=2", "train.batch_size=16", "train.probe_every=0", "out=run"),
)
Put = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """A hostile file.

    Attributes:
        name: the kind and what is wrong.
        put: makes it in the folder that the command runs in.
        words: the command line.
        status: the exit statuses that are documented for it.
    """

    name: str
    put: Put
    words: Sequence[str]
    status: tuple[int, ...] = (1,)


def cases() -> Iterator[Case]:
    """Every case."""
    yield from pickles()
    yield from archives()
    yield from idx_files()
    yield from image_folders()
    yield from experiments()
    yield from plugins()
    yield from records()
    yield from weights()
    yield from tables()
    yield from studies()
    yield from other_kinds()


def at(path: str, blob: bytes) -> Put:
    """A file of this content."""

    def put(work: Path) -> None:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).unlink(missing_ok=True)
        (work / path).write_bytes(blob)

    return put


def sparse(path: str, size: int, start: bytes = b"") -> Put:
    """A file that begins so, and is as long as it may be without taking room."""

    def put(work: Path) -> None:
        at(path, start)(work)
        os.truncate(work / path, size)

    return put


def call(function: str, argument: str) -> bytes:
    """A pickle that calls a function with one text."""
    module, _, name = function.rpartition(".")
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


def pickles() -> Iterator[Case]:
    """Batches of CIFAR-10 as Python wrote them."""
    canary = "open('canary', 'w')"
    blobs = {
        "reduce": b"\x80\x02" + call("posix.system", "touch canary"),
        "reduce inside": b"\x80\x02}U\x04data" + call("posix.system", "touch canary")[:-1] + b"s.",
        "eval": b"\x80\x02" + call("builtins.eval", canary),
        "exec by another name": b"\x80\x02" + call("__builtin__.execfile", "evil.py"),
        "import": b"\x80\x02" + call("builtins.__import__", "evil"),
        "runpy": b"\x80\x02" + call("runpy.run_path", "evil.py"),
        "torch": b"\x80\x02" + call("torch.load", "evil.pt"),
        "numpy": b"\x80\x02" + call("numpy.testing._private.utils.runstring", canary),
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.system\x93\x8c\x0ctouch canary\x85R.",
        "instance": b"(S'touch canary'\niposix\nsystem\n.",
        "object": b"(cposix\nsystem\nS'touch canary'\no.",
        "new": b"\x80\x02cposix\nsystem\nU\x0ctouch canary\x85\x81.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pcanary\n.",
        "state": b"\x80\x02cnumpy\ndtype\n(U\x02u1K\0K\1tR}U\x0c__setstate__cposix\nsystem\nsb.",
        "long number": b"\x80\x02\x8b" + struct.pack("<I", (1 << 31) - 1) + b"\1" * 99 + b".",
        "long text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        "buffer": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", (1 << 64) - 1) + b"N.",
        "far memo": b"\x80\x02]r\xff\xff\xff\x7fj\xff\xff\xff\x7f.",
        "doubled": b"\x80\x02]q\0" + b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(60)) + b".",
        "empty sets": b"\x80\x04" + b"\x8f" * 20_000_000 + b".",
        "marks": b"\x80\x02" + b"(" * 20_000_000 + b".",
        "numbers": b"\x80\x02](" + b"K\1" * 10_000_000 + b"e.",
        "doubles": b"\x80\x02N" + b"2\x86" * 10_000_000 + b".",
        "itself": b"\x80\x02]q\0h\0a.",
        "digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "an array of many": pickle.dumps({"data": np.zeros(0, np.uint8), "labels": []})[:-40] + b".",
        "nothing": b"",
        "not a pickle": b"\x89PNG\r\n\x1a\n",
        **{f"nested, {name}": b"\x80\x02" + blob for name, blob in NESTED.items()},
    }
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    good = pickle.dumps({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 3]}, 2)
    for name, blob in blobs.items():

        def put(work: Path, blob: bytes = blob) -> None:
            for file in names:
                at(f"data/cifar-10-batches-py/{file}", good)(work)
            at("data/cifar-10-batches-py/data_batch_3", blob)(work)

        yield Case(f"pickle: {name}", put, CIFAR)


def archives() -> Iterator[Case]:
    """Archives of arrays: batches of a set, and the pictures of a run."""
    objects = entry(head("'|O'", "(2,)"), b"\x80\x02" + call("posix.system", "touch canary"))
    blobs = {
        "bomb": npz_bomb(1 << 30),
        "objects": packed({"data.npy": objects, "labels.npy": objects}),
        "belied": packed({"data.npy": entry(head(shape="(99999999999, 3072)"), bytes(99))}),
        "negative": packed({"data.npy": entry(head(shape="(-1, 3072)"), bytes(99))}),
        "program": packed({"data.npy": entry(head(descr="__import__('os').system('touch canary')"), bytes(9))}),
        "deep": packed({"data.npy": entry(head(shape="(" * 60_000), bytes(9), 2)}),
        "long header": packed({"data.npy": b"\x93NUMPY\x02\0" + b"\xff\xff\xff\xff" + b"{" * 99}),
        "outside": packed({"../../../outside/data.npy": entry(head(), bytes(12))}),
        "many": packed({f"{number}.npy": entry(head(), bytes(12)) for number in range(20_000)}),
        "half": packed({"data.npy": entry(head(), bytes(12))})[:-30],
        "empty": b"PK\5\6" + bytes(18),
        "quine of directories": b"PK\5\6" + bytes(4) + b"\xff" * 8 + bytes(6),
        "pickle": call("posix.system", "touch canary"),
    }
    good = packed(
        {"data.npy": entry(head(shape="(1, 3072)"), bytes(3072)), "labels.npy": entry(head("'|u1'", "(1,)"), b"\1")}
    )
    names = [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]
    for name, blob in blobs.items():

        def put(work: Path, blob: bytes = blob) -> None:
            for file in names:
                at(f"data/imagenette32/{file}.npz", good)(work)
            at("data/imagenette32/val_data.npz", blob)(work)

        words = ("train", "data=imagenette32", "data.verify=false", *CIFAR[3:])
        yield Case(f"npz: {name}", put, words)
        yield Case(f"pictures: {name}", at("run/pictures.npz", blob), ("plot", "run"))


def npz_bomb(size: int) -> bytes:
    """An archive with an array of zeros of this size."""
    stream, chunk = io.BytesIO(), bytes(1 << 24)
    archive = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("data.npy", "w", force_zip64=True) as file:
        file.write(entry(head(shape=f"({size},)"), b""))
        for _ in range(size // len(chunk)):
            file.write(chunk)
    return stream.getvalue()


def zipped_zeros(size: int) -> bytes:
    """So many zeros, zipped."""
    stream, chunk = io.BytesIO(), bytes(1 << 24)
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        for _ in range(size // len(chunk)):
            file.write(chunk)
    return stream.getvalue()


def idx_files() -> Iterator[Case]:
    """MNIST, zipped or not."""
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

    def idx(*sizes: int, body: bytes = b"", kind: int = 8) -> bytes:
        return bytes([0, 0, kind, len(sizes)]) + b"".join(struct.pack(">I", size) for size in sizes) + body

    good = (idx(2, 28, 28, body=bytes(2 * 784)), idx(2, body=b"\0\1")) * 2
    zeros = zipped_zeros(1 << 30)
    blobs = {
        "giant count": idx((1 << 32) - 1, 28, 28, body=bytes(784)),
        "giant product": idx((1 << 32) - 1, (1 << 32) - 1, (1 << 32) - 1),
        "many dimensions": bytes([0, 0, 8, 255]) + b"\xff" * 1020,
        "no dimensions": bytes([0, 0, 8, 0]),
        "another kind": idx(2, 28, 28, body=bytes(2 * 784), kind=0x0E),
        "other magic": b"\1\1\x08\3" + idx(2, 28, 28)[4:],
        "cut off": idx(2, 28, 28, body=bytes(700)),
        "nothing": b"",
        "count of labels": idx(1, 28, 28, body=bytes(784)),
    }
    packed_blobs = {
        "gz bomb": zeros,
        "gz bomb of bombs": gzip.compress(zeros),
        "gz cut off": gzip.compress(good[0])[:-9],
        "gz with another check": gzip.compress(good[0])[:-8] + bytes(8),
        "gz that is none": b"\x1f\x8b\x08\0" + b"\xff" * 99,
        "gz of many members": gzip.compress(b"") * 200_000,
    }
    for suffix, kinds in (("", blobs), (".gz", packed_blobs)):
        for name, blob in kinds.items():

            def put(work: Path, blob: bytes = blob, suffix: str = suffix) -> None:
                for file, content in zip(names, good, strict=True):
                    at(f"data/MNIST/raw/{file}", content)(work)
                (work / "data/MNIST/raw" / names[0]).unlink()
                at(f"data/MNIST/raw/{names[0]}{suffix}", blob)(work)

            yield Case(f"idx: {name}", put, MNIST)
    yield Case("idx: sparse", sparse(f"data/MNIST/raw/{names[0]}", 1 << 42), MNIST)

    def pipe(work: Path) -> None:
        put(work)
        (work / "data/MNIST/raw" / f"{names[0]}.gz").unlink()
        os.mkfifo(work / "data/MNIST/raw" / names[0])

    yield Case("idx: pipe", pipe, MNIST)


def image_folders() -> Iterator[Case]:
    """Images in folders of classes."""

    def drawn(width: int, height: int, rows: bytes) -> bytes:
        parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
        chunks = (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in (*parts, (b"IEND", b""))
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    sound = drawn(2, 2, bytes(14))
    blobs = {
        "nothing": b"",
        "bomb": drawn(60_000, 60_000, bytes(1 << 24)),
        "wide": drawn((1 << 31) - 1, 1, bytes(100)),
        "cut off": sound[:-20],
        "rows missing": drawn(64, 64, bytes(100)),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(canary) (w) file closefile\n",
        "pickle": b"\x80\x02" + call("posix.system", "touch canary"),
    }

    def folder(work: Path, put: Put) -> None:
        for place in ("train/a", "train/b", "test/a", "test/b"):
            at(f"pets/{place}/1.png", sound)(work)
        put(work)

    def linked(name: str, there: str) -> Put:
        return lambda work: (work / "pets" / name).symlink_to(work.parent / there)

    puts: dict[str, Put] = {name: at("pets/train/a/2.png", blob) for name, blob in blobs.items()}
    puts |= {"link to a file": linked("train/a/2.png", "outside"), "link to a folder": linked("train/c", "outside")}
    puts |= {"pipe": lambda work: os.mkfifo(work / "pets/train/a/2.png")}
    puts |= {"endless": lambda work: (work / "pets/train/a/2.png").symlink_to("/dev/zero")}
    puts |= {"long": sparse("pets/train/a/2.png", 1 << 33, sound)}
    for name, put in puts.items():

        def whole(work: Path, put: Put = put) -> None:
            folder(work, put)

        yield Case(f"images: {name}", whole, IMAGES, (1, 2))


def experiments() -> Iterator[Case]:
    """Experiment files and their neighbors."""
    words = ("train", "--config-dir", "mine", "experiment=trial", "out=new")
    for name, (blob, _) in HOSTILE.items():
        text = blob if blob.startswith(b"# @") or b"header" in blob else b"# @package _global_\n" + blob
        yield Case(f"yaml: {name}", at("mine/experiment/trial.yaml", text), ("-m", *words), (2,))
    bodies = ("title: '{}'\n", "model:\n  '{}': 1\n", "train:\n  keep_epochs: [1, '{}']\n", "data: {{name: '{}'}}\n")
    for text, body in zip(NAMES, itertools.cycle(bodies), strict=False):
        content = f"# @package _global_\nmodel: {{sizes: [4]}}\n{body.format(text)}"
        yield Case(f"yaml: {text} in {body!r}", at("mine/experiment/trial.yaml", content.encode()), words, (2,))
    targets = (
        "model:\n  _target_: os.system\n  command: touch canary\n",
        "settler: {_target_: builtins.exec, _args_: ['import evil']}\n",
        "hydra:\n  callbacks: {a: {_target_: evil.Callback}}\n",
        "hydra:\n  launcher: {_target_: evil.Launcher}\n",
        "hydra:\n  job_logging: {version: 1, handlers: {h: {(): evil.Handler}}}\n",
        "train:\n  start: {_target_: evil.x, _partial_: true}\n",
        "model:\n  class: evil.Model\n",
        "defaults:\n  - /hydra/launcher: evil\n",
        "model: {name: evil.Model}\n",
        "model: {name: ../../evil}\n",
    )
    for text in targets:
        blob = f"# @package _global_\n{text}".encode()
        yield Case(f"yaml: {text.strip()!r}", at("mine/experiment/trial.yaml", blob), words, (2,))
    for name, blob in CELLS.items():
        yield Case(f"cells.yaml: {name}", at("paper_repro/bad/cells.yaml", blob), ("repro", "bad", "--list"), (2,))
    yield Case("yaml: sparse", sparse("mine/experiment/trial.yaml", 1 << 42), words, (2,))


def plugins() -> Iterator[Case]:
    """Files that name code, and folders of code with the names of ours."""
    words = ("train", "--config-dir", "mine", "experiment=trial", "out=new")
    for text in (
        "plugins: evil.py\n",
        "plugins: [evil.py]\n",
        "'+plugins': evil.py\n",
        "model: {plugins: evil.py}\n",
        "defaults: [{plugins: evil}]\n",
        "hydra: {sweeper: {params: {plugins: evil.py}}}\n",
        "hydra: {sweeper: {params: {--plugin: evil.py}}}\n",
    ):
        blob = f"# @package _global_\n{text}".encode()
        yield Case(f"plugin: {text.strip()}", at("mine/experiment/trial.yaml", blob), ("-m", *words), (2,))

    def changed(path: str, change: Callable[[dict[str, Any]], Any]) -> Put:
        def put(work: Path) -> None:
            (place,) = work.glob(path)
            plain = json.loads(place.read_bytes())
            change(plain)
            place.write_text(json.dumps(plain))
            if place.name == "facts.json":
                sealed(place.parent)
                for name in (RESULT, CONFIGURATION):
                    (work / "run" / name).unlink()

        return put

    named = {"plugins": {"evil.py": "0" * 64}}
    yield Case(
        "plugin: in a configuration",
        changed("run/configuration.json", lambda one: one["identity"].update(named)),
        ("evaluate", "run"),
        (1, 2),
    )
    for name in ("evil", "evil.Model", "../evil.py", "os.system"):
        put = changed(
            "run/final/step-*/facts.json", lambda one, name=name: one["facts"]["run"]["model"].update(name=name)
        )
        yield Case(f"plugin: a run whose model is {name}", put, ("evaluate", "run"), (1, 2))
    put = changed("run/final/step-*/facts.json", lambda one: one["facts"]["run"].update(plugins="evil.py"))
    yield Case("plugin: a run that names one", put, ("evaluate", "run"), (1, 2))

    def shadows(work: Path) -> None:
        for name in ("models", "configs", "energy", "torch", "hydra_plugins"):
            at(f"{name}/__init__.py", b"import evil\n")(work)
        at("sitecustomize.py", b"import evil\n")(work)

    yield Case("plugin: folders with the names of ours", shadows, ("runs", "."), (0,))


def sealed(path: Path) -> None:
    """Put the manifest of a checkpoint right."""
    files = {name: (path / name).read_bytes() for name in ("tensors.safetensors", "facts.json")}
    held = {name: {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()} for name, blob in files.items()}
    (path / "manifest.json").write_text(json.dumps({"format": 1, "files": held}))


JSONS: Final = {
    "nothing": b"",
    "a list": b"[1]",
    "deep lists": b'{"run": ' + b"[" * 5_000_000,
    "deep objects": b'{"run":' * 3_000_000,
    "NaN": b'{"epoch": NaN, "test_accuracy": NaN, "format": NaN}',
    "infinity": b'{"epoch": 0, "seconds": 1e999, "format": 1e999}',
    "names twice": b'{"epoch": 0, "epoch": 0, "format": 1, "format": 1, "run": {}, "run": {}}',
    "digits": b'{"epoch": ' + b"9" * 5000 + b', "format": ' + b"9" * 4000 + b"}",
    "large number": b'{"epoch": ' + b"9" * 400 + b', "seed": ' + b"9" * 400 + b', "format": ' + b"9" * 400 + b"}",
    "half a letter": b'{"epoch": 0, "title": "\\ud800", "format": 1}',
    "terminal": b'{"epoch": 0, "title": "\\u001b]0;x\\u0007", "\\u001b[2J": 1, "run": {"title": "\\u001b[2J"}}',
    "not UTF-8": b'{"epoch": "\xff"}',
    "UTF-16": '{"epoch": 0}'.encode("utf-16"),
    "zeros": bytes(100_000),
    "many names": b"{" + b",".join(b'"%d": 0' % number for number in range(300_000)) + b"}",
    "open text": b'{"epoch": "' + b"\\" * 1_000_001,
    "targets": b'{"run": {"_target_": "evil.x", "model": {"_target_": "os.system"}}, "key": "${oc.env:API_TOKEN}"}',
}


def records() -> Iterator[Case]:
    """The JSON files of a run folder, and records beside it."""
    places = {
        CONFIGURATION: (("runs", "."), ("evaluate", "run"), ONWARD),
        RESULT: (("runs", "."), ("evaluate", "run")),
        RECORD: (("runs", "."), ("plot", "run")),
        "final/step-000006/manifest.json": (("evaluate", "run"),),
        "final/step-000006/facts.json": (("export", "run", "given.safetensors"),),
    }
    for file, commands in places.items():
        for name, blob in JSONS.items():
            for words in commands:
                status = (0,) if words[0] == "runs" else (1, 2)
                if words[0] == "plot" and name in ("nothing", "half a letter"):
                    status = (0, 1)  # an empty record has an empty figure
                end = b"\n" if file == RECORD and blob else b""
                yield Case(f"{file}: {name}, {words[0]}", at(f"run/{file}", blob + end), words, status)
        yield Case(f"{file}: sparse", sparse(f"run/{file}", 1 << 42, b"{"), commands[-1], (1, 2))
    for name, blob in RECORDS.items():
        yield Case(f"compare.json: {name}", at("drawn/compare.json", blob), ("plot", "drawn"), (1, 2))
        yield Case(f"bench.json: {name}", at("drawn/bench.json", blob), ("plot", "drawn"), (1, 2))
    for name, blob in JSONS.items():
        yield Case(f"kernels.json: {name}", at("run/kernels.json", blob), ("evaluate", "run"), (0,))


def weights() -> Iterator[Case]:
    """Files of weights: exported ones, and those of a run folder under a manifest that is right."""

    def stored(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + body

    def one(start: int, end: int, shape: Sequence[int] = (4,), kind: str = "F32") -> dict[str, Any]:
        return {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}

    blobs = {
        "nothing": b"",
        "seven bytes": b"\0" * 7,
        "huge header": stored({}, length=(1 << 63) + 5),
        "header beyond its end": stored({}, length=1000),
        "overlapping": stored({"a": one(0, 16), "b": one(8, 24)}, bytes(24)),
        "one inside another": stored({"a": one(0, 32, (8,)), "b": one(8, 24)}, bytes(32)),
        "huge offsets": stored({"a": one(1 << 60, (1 << 60) + 16)}, bytes(16)),
        "offsets around": stored({"a": one(16, 0)}, bytes(16)),
        "huge shape": stored({"a": one(0, 16, (1 << 32, 1 << 32))}, bytes(16)),
        "shape of zeros": stored({"a": one(0, 0, (0, 1 << 62, 1 << 62))}),
        "negative": stored({"a": one(0, 16, (-4,))}, bytes(16)),
        "hole": stored({"a": one(8, 24)}, bytes(24)),
        "more behind": stored({"a": one(0, 16)}, bytes(99)),
        "kind": stored({"a": one(0, 16, kind="O")}, bytes(16)),
        "deep": stored(b"[" * 900_000),
        "names twice": stored(b"{%s}" % b",".join([b'"a": {"dtype":"F32","shape":[0],"data_offsets":[0,0]}'] * 2)),
        "metadata": stored({"__metadata__": {"format": "pt", "energy": "[" * 100_000, "sha256": "0" * 64}}),
        "pickle": b"\x80\x02" + call("posix.system", "touch canary"),
        "many": stored({str(number): one(0, 0, (0,)) for number in range(12_000)}),
    }
    for name, blob in blobs.items():
        yield Case(f"weights: {name}", at("given.safetensors", blob), ("evaluate", "given.safetensors"), (1,))

        def inside(work: Path, blob: bytes = blob) -> None:
            (place,) = (work / "run/final").glob("step-*")
            at(f"run/final/{place.name}/tensors.safetensors", blob)(work)
            sealed(place)
            for other in (RESULT, CONFIGURATION):
                (work / "run" / other).unlink()

        yield Case(f"weights in a run: {name}", inside, ("evaluate", "run"), (1,))
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "huge network": lambda run: run["model"].update(sizes=[200_000_000]),
        "many layers": lambda run: run["model"].update(sizes=[2] * 100_000),
        "huge batches": lambda run: run["data"].update(limit=10**18),
        "unknown model": lambda run: run["model"].update(name="evil"),
        "code": lambda run: run["model"].update({"_target_": "os.system"}),
        "plug-ins": lambda run: run.update(plugins=["evil.py"]),
        "environment": lambda run: run["data"].update(name="${oc.env:API_TOKEN}"),
        "a run to start from": lambda run: run["train"].update(start=3),
        "deep": lambda run: run.update(model=deep(60)),
    }
    for name, change in changes.items():

        def given(work: Path, change: Callable[[dict[str, Any]], Any] = change) -> None:
            tensors, facts = read_weights(work / "sound.safetensors")
            change(facts["run"])
            write_weights(work / "given.safetensors", tensors, {key: facts[key] for key in facts if key != "schema"})

        status = (0,) if name == "a run to start from" else (1, 2)  # which an evaluation does not look at
        yield Case(f"weights: of {name}", given, ("evaluate", "given.safetensors"), status)


def deep(levels: int) -> Any:
    """Objects within each other."""
    return {"hidden": deep(levels - 1)} if levels else {}


def tables() -> Iterator[Case]:
    """The table of a paper."""
    paper = Path(__file__).parents[2] / "paper_repro" / "krotov_hopfield" / "cells.yaml"
    for name, blob in BLOBS.items():

        def put(work: Path, blob: bytes = blob) -> None:
            at("paper_repro/bad/cells.yaml", paper.read_bytes())(work)
            at("paper_repro/bad/results.csv", blob)(work)

        yield Case(f"results.csv: {name}", put, ("repro", "bad", "--list"), (1, 2))


def studies() -> Iterator[Case]:
    """The record of a study."""
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "schema": lambda one: one.update(schema="1"),
        "no points": lambda one: one.pop("points"),
        "points that are numbers": lambda one: one.update(points=[3]),
        "points in an object": lambda one: one.update(points={"a": 1}),
        "protocol": lambda one: one.update(protocol=3),
        "limits": lambda one: one.update(limits=[3]),
        "spent": lambda one: one.update(spent={}),
        "spent in words": lambda one: one["spent"].update(seconds="long"),
        "spent beyond numbers": lambda one: one["spent"].update(seconds=1e308),
        "whole number": lambda one: one["spent"].update(multiply_adds=10**400),
        "trainings": lambda one: one.update(trainings=[3]),
        "key": lambda one: one.update(key=["x"]),
        "axes": lambda one: one["points"][0].update(axes=[1]),
        "axes of lists": lambda one: one["points"][0]["axes"].update(settler=[1], gamma={"a": 1}),
        "gain in words": lambda one: one["points"][0]["axes"].update(gain="large"),
        "measures": lambda one: one["points"][0].update(measures=3),
        "price in a list": lambda one: one["points"][0]["measures"].update(backprop_steps=[1]),
        "accuracy in words": lambda one: one["points"][0]["measures"].update(accuracy="good"),
        "layers": lambda one: one["points"][0].update(layers={"a": 3}),
        "cosine of a layer": lambda one: one["points"][0].update(layers={"a": {"cosine": ["x"]}}),
        "samples": lambda one: one["points"][0].update(samples={}),
        "sweeps": lambda one: one["points"][0]["samples"].update(sweeps=[1]),
        "sweeps in words": lambda one: one["points"][0]["samples"].update(sweeps={"free": ["many"]}),
        "sweeps beyond numbers": lambda one: one["points"][0]["samples"].update(sweeps={"free": [1e308, 1e308]}),
        "no sweeps known": lambda one: one["points"][0]["samples"].update(sweeps={"free": [None]}),
        "residual": lambda one: one["points"][0]["samples"].update(residual={"a": 1}),
        "residuals in words": lambda one: one["points"][0]["samples"].update(residual=["x"]),
        "blocks": lambda one: one["points"][0].update(blocks=[1]),
        "identity of a point": lambda one: one["points"][0].update(id=["x"]),
        "origin": lambda one: one["points"][0].update(origin=3),
    }
    words = ("study", "merge", "one", "two", "out=merged")
    for name, change in changes.items():
        for place in ("one", "two"):

            def put(work: Path, change: Callable[[dict[str, Any]], Any] = change, place: str = place) -> None:
                for folder in ("one", "two"):
                    record = study_record()
                    if folder == place:
                        change(record)
                    at(f"{folder}/study.json", json.dumps(record).encode())(work)

            yield Case(f"study.json: {name}, {place}", put, words, (1,))
    for name, blob in JSONS.items():
        yield Case(f"study.json: {name}", at("one/study.json", blob), ("study", "merge", "one", "out=merged"))


def other_kinds() -> Iterator[Case]:
    """Links, pipes and folders in place of what a run folder holds."""
    for name in (*FILES, *FOLDERS):

        def link(work: Path, name: str = name) -> None:
            place, there = work / "run" / name, work.parent / "outside" / "target"
            if place.is_dir():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            there.mkdir() if name in FOLDERS else there.write_text("{}")
            place.symlink_to(there)

        yield Case(f"link: {name}, train", link, ONWARD)
    for name, words in (
        *((name, ONWARD) for name in FILES),
        *((name, ("evaluate", "run")) for name in (CONFIGURATION, RESULT)),
        *((name, ("runs", ".")) for name in (CONFIGURATION, RESULT, RECORD)),
        *((name, ("plot", "run")) for name in (RECORD, "compare.json", "snapshot.json", "pictures.npz")),
        ("../one/study.json", ("study", "merge", "one", "out=merged")),
        ("../given.safetensors", ("evaluate", "given.safetensors")),
    ):

        def pipe(work: Path, name: str = name) -> None:
            place = work / "run" / name
            place.parent.mkdir(exist_ok=True)
            place.unlink(missing_ok=True)
            os.mkfifo(place)

        yield Case(f"pipe: {name}, {words[0]}", pipe, words, (0,) if words[0] == "runs" else (1, 2))

    def device(work: Path) -> None:
        (work / "run" / RECORD).unlink()
        (work / "run" / RECORD).symlink_to("/dev/zero")

    for words in (("runs", "."), ("plot", "run"), ("doctor", "run")):
        yield Case(f"link: endless, {words[0]}", device, words, (0,) if words[0] == "runs" else (0, 1))

    def around(work: Path) -> None:
        for number in range(3):
            (work / f"loop{number}").symlink_to(work)
        (work / "run" / "inner").symlink_to(work)

    yield Case("link: folders that hold themselves", around, ("runs", "."), (0,))

    def tensor(work: Path) -> None:
        safetensors.torch.save_file({"a": torch.zeros(3)}, work.parent / "outside" / "x.safetensors")
        (work / "given.safetensors").symlink_to(work.parent / "outside" / "x.safetensors")

    yield Case("link: weights of others", tensor, ("evaluate", "given.safetensors"), (1,))
