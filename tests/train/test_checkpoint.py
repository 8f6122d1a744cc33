"""A checkpoint is whole or absent, and damage is noticed: each file and the manifest, a flipped byte, a cut, a gap."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.io import checkpoint
from energy.io.checkpoint import DamagedCheckpointError, prune, read, steps, write

NAMES = ("tensors.safetensors", "facts.json", "manifest.json")


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 4, 4, generator=generator)
    weight = torch.randn(5, 7, generator=generator)
    return {
        "weight": weight,
        "tied": weight,
        "transposed": weight.t(),
        "image": image.contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "half": torch.randn(3, generator=generator).bfloat16(),
        "count": torch.tensor([2**40, -1]),
        "empty": torch.empty(0, 3),
    }


@pytest.fixture
def path(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    return write(tmp_path, 150, tensors, {"epoch": 3, "best": None, "rates": [0.1]})


def test_what_is_written_is_read(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    found, facts = read(path)
    assert path.name == "step-000150"
    assert facts == {"epoch": 3, "best": None, "rates": [0.1]}
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_layout_and_ties_survive(path: Path) -> None:
    found, _ = read(path)
    assert found["image"].is_contiguous(memory_format=torch.channels_last)
    assert found["tied"].data_ptr() == found["weight"].data_ptr()
    inside = json.loads((path / "facts.json").read_text())
    assert inside["aliases"] == {"tied": "weight"}
    assert inside["channels_last"] == ["image"]


def test_the_folder_holds_three_files_and_the_parent_nothing_temporary(path: Path) -> None:
    assert sorted(entry.name for entry in path.iterdir()) == sorted(NAMES)
    assert [entry.name for entry in path.parent.iterdir()] == ["step-000150"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_flipped_bit_is_noticed(path: Path, name: str, place: float) -> None:
    blob = bytearray((path / name).read_bytes())
    blob[int(place * len(blob))] ^= 1
    (path / name).write_bytes(blob)
    with pytest.raises(DamagedCheckpointError, match="step-000150"):
        read(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_cut_is_noticed(path: Path, name: str, kept: float) -> None:
    blob = (path / name).read_bytes()
    (path / name).write_bytes(blob[: int(kept * len(blob))])
    with pytest.raises(DamagedCheckpointError, match=r"step-000150.*" + name.partition(".")[0]):
        read(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_noticed(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(DamagedCheckpointError, match="must hold"):
        read(path)


def test_a_file_too_many_is_noticed(path: Path) -> None:
    (path / "extra.py").write_text("print('hello')")
    with pytest.raises(DamagedCheckpointError, match="must hold"):
        read(path)


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"format": 1},
        {"format": 1, "files": {}},
        {"format": 1, "files": {"facts.json": {"bytes": 1, "sha256": ""}}},
        {"format": 2, "files": {}},
        [],
        {"format": 1, "files": {"facts.json": 3, "tensors.safetensors": None}},
    ],
)
def test_an_empty_or_foreign_manifest_is_refused(path: Path, manifest: Any) -> None:
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpointError, match="manifest"):
        read(path)


def test_a_consistent_manifest_over_another_format_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with pytest.raises(DamagedCheckpointError, match="format=1, this version reads 2"):
        read(path)


@pytest.mark.parametrize("shape", [[0, 1 << 62, 1 << 62], [1 << 62, 1 << 62], [-1], [1.5], [2]])
def test_a_shape_that_no_tensor_has_is_refused(path: Path, shape: list[float]) -> None:
    """Under digests that fit, as somebody writes who means harm."""
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (path / "tensors.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    manifest = json.loads((path / "manifest.json").read_bytes())
    blob = (path / "tensors.safetensors").read_bytes()
    manifest["files"]["tensors.safetensors"] = {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpointError, match=r"tensors\.safetensors cannot be read"):
        read(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpointError, match="no such"):
        read(tmp_path / "step-000001")


def test_a_sound_step_is_never_written_again(path: Path) -> None:
    before = {name: (path / name).stat().st_ino for name in NAMES}
    assert write(path.parent, 150, {"weight": torch.zeros(1)}, {}) == path
    assert before == {name: (path / name).stat().st_ino for name in NAMES}


def test_a_damaged_step_is_set_aside_not_deleted(path: Path) -> None:
    (path / "facts.json").write_text("{")
    write(path.parent, 150, {"weight": torch.ones(1)}, {"new": True})
    assert read(path)[1] == {"new": True}
    assert (path.parent / "damaged-step-000150-1" / "facts.json").read_text() == "{"
    assert steps(path.parent) == [path]


@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_a_full_disk_leaves_the_last_checkpoint_usable(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: int, tensors: dict[str, torch.Tensor]
) -> None:
    """The writer fails at its first, second ... request to the disk, as when the disk is full."""
    calls = iter(range(10))

    def full(handle: int) -> None:
        if next(calls) == call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path.parent, 151, tensors, {})
    monkeypatch.undo()
    assert steps(path.parent) == [path]
    assert read(path)[1]["epoch"] == 3


def test_facts_hold_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, 1, {}, {"loss": float("nan")})
    assert steps(tmp_path) == []


def test_leftovers_of_a_killed_writer_are_swept_up_and_never_read(path: Path) -> None:
    left = path.parent / ".writing-step-000200-99"
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    assert steps(path.parent) == [path]
    write(path.parent, 151, {}, {})
    assert not left.exists()


def test_pruning_keeps_the_newest_by_number(tmp_path: Path) -> None:
    for step in (5, 999_999, 1_000_000, 20):
        write(tmp_path, step, {}, {})
    prune(tmp_path, 2)
    assert [path.name for path in steps(tmp_path)] == ["step-999999", "step-1000000"]
    prune(tmp_path, 0)
    assert steps(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_a_link_out_of_the_folder_gives_no_other_content(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    (path / "facts.json").unlink()
    (path / "facts.json").symlink_to(other)
    with pytest.raises(DamagedCheckpointError, match=r"facts\.json"):
        read(path)
