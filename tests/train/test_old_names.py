"""Files of earlier versions are read under the present names."""

from pathlib import Path

import pytest
import torch

from energy.io.checkpoint import read, write
from energy.io.old_names import ledger_name, record_line, tensor_name
from energy.io.record import append_line, read_lines


@pytest.mark.parametrize("prefix", ["weights/", "best/"])
def test_feedback_weights_of_an_earlier_checkpoint(tmp_path: Path, prefix: str) -> None:
    values = torch.arange(6.0).view(2, 3)
    path = write(tmp_path, 3, {f"{prefix}wiring.wires12": values, f"{prefix}couplings.0.weight": values + 1}, {})
    tensors, _ = read(path)
    assert set(tensors) == {f"{prefix}feedback_weights.edge12", f"{prefix}couplings.0.weight"}
    assert torch.equal(tensors[f"{prefix}feedback_weights.edge12"], values)


def test_present_names_stay() -> None:
    for name in (
        "weights/feedback_weights.edge1",
        "weights/rewiring.wires1",
        "weights/wiring.wires1.x",
        "tally/correct",
    ):
        assert tensor_name(name) == name
    assert [ledger_name(name) for name in ("spent", "sweeps", "multiply_adds_by_phase")] == [
        "multiply_adds_by_phase",
        "sweeps",
        "multiply_adds_by_phase",
    ]


def test_diagnostics_of_an_earlier_record(tmp_path: Path) -> None:
    old = {"epoch": 0, "units": {"conv1": {"norm": 1.0, "never": 2.0, "silent": 3.0, "dead": 4.0}}}
    new = {
        "epoch": 1,
        "unit_diagnostics": {"conv1": {"norm": 1.0, "never_win": 2.0, "inactive": 3.0, "zero_weight": 4.0}},
    }
    for line in (old, new):
        append_line(tmp_path / "record.jsonl", line)
    first, second = read_lines(tmp_path / "record.jsonl")
    assert second == new and first == new | {"epoch": 0}
    assert record_line({"epoch": 2, "seed": 0}) == {"epoch": 2, "seed": 0}
