"""Exported weights: scored as the run folder is, damage noticed wherever it is, and hostile files refused by name."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from energy.component import ConfigurationError
from energy.data import Mnist
from energy.data.digests import examples_digest, set_digests
from energy.errors import DamagedFileError, DataError, MissingFileError, UsageError
from energy.io.record import RESULT
from energy.io.weights import LARGEST_HEADER, read_weights, weights_digest, write_weights
from energy.train.evaluate import evaluate, load_run
from energy.train.export import export
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]
SHORT = {"epochs": 1, "probe_every": 0}


@pytest.fixture
def exported(make_run: Maker, tmp_path: Path) -> tuple[Run, Path]:
    """A finished run and its weights in one file."""
    run = make_run(train=SHORT)
    fit(run)
    return run, export(run.folder, tmp_path / "given" / "tiny.safetensors")[0]


def rewritten(path: Path, tensors: dict[str, Any], facts: Any, sha: str | None = None) -> Path:
    """A file with any facts and tensors, and the digest that belongs to them unless another is given."""
    text = facts if isinstance(facts, str) else json.dumps(facts)
    digest = weights_digest(tensors, text) if sha is None else sha
    path.write_bytes(safetensors.torch.save(tensors, {"format": "pt", "energy": text, "sha256": digest}))
    return path


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"precision": "float64", "settler": {"name": "equilibrium_propagation", "gamma": 0.5}},
        {"precision": "bfloat16"},
        {"model": {"name": "hopfield", "channels": [3, 4], "paddings": [1, 1]}},
        {"settler": {"name": "dual_propagation", "feedback": {"name": "random"}}},
        {"rule": {"name": "softhebb"}, "settler": {"name": "feedforward"}, "readout": {"name": "ridge"}},
    ],
    ids=["plain", "float64", "bfloat16", "channels_last", "feedback", "readout"],
)
def test_the_file_scores_as_the_folder_does(make_run: Maker, tmp_path: Path, overrides: dict[str, Any]) -> None:
    """To the last digit, on two splits, after the run folder is gone."""
    run = make_run(train=SHORT, **overrides)
    result = fit(run)
    expected = {split: evaluate(run.folder, split) for split in ("test", "validation")}
    file, _ = export(run.folder, tmp_path / "weights.safetensors")
    shutil.rmtree(run.folder)
    for split, before in expected.items():
        found = evaluate(file, split)
        assert {**found, "seconds": 0} == {**before, "seconds": 0}
    assert evaluate(file)["accuracy"] == result["test_accuracy"]


def test_what_the_metadata_say(exported: tuple[Run, Path], tmp_path: Path) -> None:
    """As any reader of safetensors finds it; nothing in it names the folder of the run."""
    run, file = exported
    result = json.loads((run.folder / RESULT).read_text())
    with safetensors.safe_open(file, framework="numpy") as stored:
        text = stored.metadata()["energy"]
    facts = json.loads(text)
    assert facts["schema"] == 1 and facts["key"] == result["key"] and facts["step"] == result["steps"]
    assert facts["scores"]["test_accuracy"] == result["test_accuracy"] and "test_top5_accuracy" not in facts["scores"]
    assert facts["run"] == {**result["configuration"], "out": ""} and str(tmp_path) not in text
    assert {name: facts["provenance"][name] for name in ("commit", "torch", "device")} == {
        name: result[name] for name in ("commit", "torch", "device")
    }
    assert facts["data"] == {"name": "digits", "digests": set_digests(run.data)}


def test_the_digest_is_the_documented_one(exported: tuple[Run, Path]) -> None:
    """The facts, then each tensor by name: its head as JSON, and its bytes as they lie in the file."""
    _, file = exported
    blob = file.read_bytes()
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + size])
    metadata = header.pop("__metadata__")
    by_hand = hashlib.sha256(metadata["energy"].encode() + b"\n")
    for name, entry in sorted(header.items()):
        start, stop = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        by_hand.update(json.dumps([name, "float32", entry["shape"]]).encode() + b"\n")
        by_hand.update(blob[8 + size + start : 8 + size + stop])
    assert metadata["sha256"] == by_hand.hexdigest()


def test_the_same_weights_are_the_same_bytes(exported: tuple[Run, Path], tmp_path: Path) -> None:
    """safetensors alone writes metadata in another order each time."""
    run, file = exported
    for number in range(8):
        export(run.folder, tmp_path / f"{number}.safetensors")
        assert (tmp_path / f"{number}.safetensors").read_bytes() == file.read_bytes()


def test_a_flipped_bit_anywhere_is_noticed(exported: tuple[Run, Path], tmp_path: Path) -> None:
    """In the length, in every byte of the header, and in the numbers: every 13th byte and the last eight."""
    _, file = exported
    blob, copy = file.read_bytes(), tmp_path / "copy.safetensors"
    read_weights(file)
    numbers = 8 + int.from_bytes(blob[:8], "little")
    for place in [*range(numbers), *range(numbers, len(blob), 13), *range(len(blob) - 8, len(blob))]:
        damaged = bytearray(blob)
        damaged[place] ^= 1
        copy.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"copy\.safetensors: "):
            read_weights(copy)


@pytest.mark.parametrize("size", [0, 7, 8, 300, -1])
def test_a_file_that_was_cut_off_is_named(exported: tuple[Run, Path], tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(exported[1].read_bytes()[:size])
    with pytest.raises(DamagedFileError, match=r"cut\.safetensors: "):
        evaluate(cut)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 something else entirely", "announces a header of"),
        ((LARGEST_HEADER + 1).to_bytes(8, "little") + b"{" * 64, f"a header of {LARGEST_HEADER + 1} bytes; .* at most"),
        ((2**64 - 1).to_bytes(8, "little"), "announces a header of 18446744073709551615 bytes"),
        ((2).to_bytes(8, "little") + b"[]", "cannot be read as safetensors"),
        ((2).to_bytes(8, "little") + b"{}", r"its metadata are \[\]; it was not written by energy export"),
        (safetensors.torch.save({"w": torch.zeros(2)}), r"its metadata are \[\]"),
        (safetensors.torch.save({"w": torch.zeros(2)}, {"format": "pt"}), r"its metadata are \['format'\]"),
    ],
    ids=["zip", "large", "huge", "list", "empty", "foreign", "others"],
)
def test_a_foreign_file_is_one_error_that_names_it(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"foreign\.safetensors: .*{said}"):
        evaluate(path)


def test_metadata_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """The format itself asks for text, so numbers and objects do not get in."""
    for inside in (b"1", b'{"a": 1}', b"[]", b"null"):
        header = b'{"__metadata__":{"format":"pt","sha256":"0","energy":' + inside + b"}}"
        (tmp_path / "bad.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(DamagedFileError, match=r"bad\.safetensors: "):
            evaluate(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("kind", ["F4", "F6_E2M3", "F8_E8M0", "C64", "U64", "Q7"])
def test_a_tensor_of_an_odd_type_is_refused(tmp_path: Path, kind: str) -> None:
    header = json.dumps({"w": {"dtype": kind, "shape": [8], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(DamagedFileError, match=r"odd\.safetensors: "):
        evaluate(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema=2, this version reads 1"),
        ({"run": []}, r"run='\[\]': must be an object"),
        ({"run": None}, "run='None': must be an object"),
        ({"step": "3"}, "step='3': must be a whole number"),
        ({"step": True}, "step='True': must be a whole number"),
        ({"weights": 7}, "weights='7': must be text"),
        ({"scores": "high"}, "scores='high': must be an object"),
        ({"plugins": {"a.py": 1}}, "plugins=.*must be digests by file"),
        ({"provenance": [1]}, "provenance=.*must be an object"),
    ],
)
def test_facts_of_a_wrong_type_are_named(
    exported: tuple[Run, Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    tensors, facts = read_weights(exported[1])
    path = rewritten(tmp_path / "bad.safetensors", tensors, {**facts, **change})
    with pytest.raises(DamagedFileError, match=rf"bad\.safetensors: metadata: {said}"):
        evaluate(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON", "not JSON"),
        ("[1, 2]", "must be one JSON object"),
        ('{"schema": ' + "9" * 5000 + "}", "not JSON"),
        ('{"run": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deeply"),
    ],
    ids=["words", "list", "digits", "deep"],
)
def test_facts_that_are_no_facts_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = rewritten(tmp_path / "bad.safetensors", {"w": torch.zeros(1)}, text)
    with pytest.raises(DamagedFileError, match=rf"bad\.safetensors: metadata: .*{said}"):
        evaluate(path)


@pytest.mark.parametrize(
    ("group", "change", "said"),
    [
        ("model", {"name": "os.system"}, r"model=os\.system: unknown"),
        ("model", {"sizes": "many"}, "model.sizes"),
        (
            "model",
            {"sizes": [10**12]},
            r"couplings\.0\.weight is float32 of shape \(12, 64\), .* \(1000000000000, 64\)",
        ),
        ("model", {"sizes": [10**40]}, "model"),
        ("model", {"sizes": [13]}, r"is float32 of shape \(12, 64\), its configuration asks for .*\(13, 64\)"),
        ("model", {"sizes": [12, 12]}, r"lacks the tensor couplings\.2|couplings\.1\.weight is"),
        ("data", {"name": "cifar10"}, r"\(12, 64\), its configuration asks for .*\(12, 3072\)"),
        ("settler", {"beta": "x"}, "settler.beta"),
        ("settler", {"nosuch": 1}, "settler.nosuch: unknown field"),
    ],
)
def test_a_configuration_that_is_not_that_of_the_tensors(
    exported: tuple[Run, Path], tmp_path: Path, group: str, change: dict[str, Any], said: str
) -> None:
    """It is refused before a weight is drawn: a network of 10^12 neurons would fill any memory."""
    tensors, facts = read_weights(exported[1])
    facts["run"][group] = change if "name" in change else {**facts["run"][group], **change}
    path = rewritten(tmp_path / "bad.safetensors", tensors, facts)
    with pytest.raises((DamagedFileError, ConfigurationError), match=rf"bad\.safetensors: .*({said})") as caught:
        evaluate(path)
    assert str(caught.value).count("bad.safetensors") == 1


def test_tensors_too_many_too_few_or_of_another_type(exported: tuple[Run, Path], tmp_path: Path) -> None:
    tensors, facts = read_weights(exported[1])
    name = "couplings.0.weight"
    path = tmp_path / "bad.safetensors"
    for changed, said in (
        ({**tensors, "extra": torch.zeros(1)}, "has a tensor extra"),
        ({key: x for key, x in tensors.items() if key != name}, f"lacks the tensor {name}"),
        ({**tensors, name: tensors[name].double()}, f"{name} is float64 of shape"),
        ({**tensors, name: tensors[name].T.contiguous()}, r"is float32 of shape \(64, 12\)"),
    ):
        with pytest.raises(DamagedFileError, match=rf"bad\.safetensors: .*{said}"):
            load_run(rewritten(path, changed, facts))


def test_other_code_than_it_was_trained_with_is_named(exported: tuple[Run, Path], tmp_path: Path) -> None:
    tensors, facts = read_weights(exported[1])
    path = rewritten(tmp_path / "own.safetensors", tensors, {**facts, "plugins": {"mine.py": "0" * 64}})
    with pytest.raises(ConfigurationError, match=r"own\.safetensors: its code in mine\.py was another"):
        evaluate(path)
    facts["run"]["model"] = {"name": "of_my_own"}
    rewritten(path, tensors, {**facts, "plugins": {"mine.py": "0" * 64}})
    with pytest.raises(ConfigurationError, match=r"own\.safetensors: was trained with mine\.py; give --plugin"):
        evaluate(path)


def test_nothing_is_written_over_and_nothing_half_written(make_run: Maker, tmp_path: Path) -> None:
    run = make_run(train=SHORT)
    with pytest.raises(MissingFileError, match="not finished"):
        export(tmp_path, tmp_path / "a.safetensors")
    fit(run)
    for name in ("a.safetensors", "a.md"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError, match=rf"{name} is there already"):
            export(run.folder, tmp_path / "a.safetensors")
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=r"must end in \.safetensors"):
        export(run.folder, tmp_path / "a.pt")
    (run.folder / RESULT).write_text("{}")
    with pytest.raises(DamagedFileError, match=r"result\.json: has no test_accuracy"):
        export(run.folder, tmp_path / "a.safetensors")
    (run.folder / RESULT).unlink()
    with pytest.raises(MissingFileError, match="not finished"):
        export(run.folder, tmp_path / "a.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_shared_and_strided_tensors_are_written_out(exported: tuple[Run, Path], tmp_path: Path) -> None:
    """Views of one tensor, channels last and of no dimension; facts that cannot be read again are not written."""
    _, facts = read_weights(exported[1])
    whole = torch.arange(48.0).view(2, 4, 3, 2)
    tensors = {
        "first": whole,
        "again": whole,
        "last": whole.to(memory_format=torch.channels_last),
        "turned": whole.permute(3, 2, 1, 0),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(7, dtype=torch.int64),
        "half": whole.bfloat16(),
    }
    write_weights(tmp_path / "all.safetensors", tensors, facts)
    found, _ = read_weights(tmp_path / "all.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], x) and found[name].dtype == x.dtype for name, x in tensors.items())
    with pytest.raises(DamagedFileError, match="step='x'"):
        write_weights(tmp_path / "bad.safetensors", tensors, {**facts, "step": "x"})
    with pytest.raises(ValueError, match="JSON"):
        write_weights(tmp_path / "bad.safetensors", tensors, {**facts, "scores": {"a": float("nan")}})
    with pytest.raises(DamagedFileError, match="at most"):
        write_weights(tmp_path / "bad.safetensors", tensors, {**facts, "data": {"name": "x" * LARGEST_HEADER}})
    assert not (tmp_path / "bad.safetensors").exists()


def test_digests_of_examples(make_run: Maker) -> None:
    """Type, shape and bytes of pixels and labels by hand; one other pixel or label is another digest."""
    train, _ = raw = make_run().data.examples()
    by_hand = hashlib.sha256(b'["uint8", [1437, 1, 8, 8]]\n' + train.pixels.numpy().tobytes())
    by_hand.update(b'["int64", [1437]]\n' + train.labels.numpy().tobytes())
    assert set_digests(make_run().data) == {"train": by_hand.hexdigest(), "test": examples_digest(raw.test)}
    pixels = train.pixels.clone()
    pixels[3, 0, 1, 2] ^= 1
    assert examples_digest(train._replace(pixels=pixels)) != by_hand.hexdigest()
    assert examples_digest(train._replace(labels=train.labels.roll(1))) != by_hand.hexdigest()


def test_digests_of_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their paths below the data folder, zipped as they lie."""
    monkeypatch.setenv("ENERGY_DATA", str(tmp_path))
    data = Mnist()
    with pytest.raises(DataError):
        set_digests(data)
    layout = data.layouts[0]
    for number, file in enumerate(layout.locate(tmp_path)):
        path = tmp_path / layout.folders[0] / f"{file.name}{'.gz' if number == 0 else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)
    found = set_digests(data)
    assert len(found) == len(layout.locate(tmp_path))
    assert all(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha for name, sha in found.items())
