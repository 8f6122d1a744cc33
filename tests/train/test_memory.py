"""Running out of memory is one line: where, how much, what to reduce; what can be kept is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from energy.errors import OutOfMemory
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS
from energy.train import fit as page
from energy.train.fit import fit
from energy.train.memory import lacks_memory, memory_line
from energy.train.run import Run

Maker = Callable[..., Run]
HUGE = 1 << 46


def exhausted(*_: object) -> torch.Tensor:
    """What torch does when the processor's memory does not suffice."""
    return torch.empty(HUGE)


@pytest.mark.parametrize(
    "fails",
    [
        exhausted,
        lambda: np.empty(HUGE, dtype=np.float32),
        lambda: (_ for _ in ()).throw(MemoryError()),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")),
    ],
)
def test_the_ways_in_which_memory_runs_out(fails: Callable[[], Any]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as raised:
        next(found) if hasattr(found := fails(), "__next__") else found
    assert lacks_memory(raised.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("x"), OSError()]
)
def test_other_errors_are_other_errors(error: Exception) -> None:
    assert not lacks_memory(error)


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        (
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 10737418240 bytes. Error code 12",
            "10 GiB",
        ),
        ("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has", "20.00 GiB"),
        ("Unable to allocate 7.28 TiB for an array with shape", "7.28 TiB"),
    ],
)
def test_the_line_says_how_much(said: str, amount: str) -> None:
    assert memory_line(RuntimeError(said), "in a step", "reduce x") == (
        f"out of memory in a step, {amount} wanted at once: reduce x"
    )


def test_in_a_step_nothing_half_done_is_saved(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes]
) -> None:
    one, other = make_run("unbroken"), make_run("broken")
    fit(one)
    real, calls = page.train_step, iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(page, "train_step", lambda *given: exhausted() if next(calls) == 10 else real(*given))
        with pytest.raises(OutOfMemory, match=r"^out of memory in a step, after step 10, .* GiB wanted") as raised:
            fit(other)
    assert "reduce train.batch_size=20 or model" in str(raised.value)
    assert str(raised.value).endswith(
        "the same command continues from " + str(other.folder / "checkpoints/step-000007")
    )
    fit(other)
    assert final_tensors(one) == final_tensors(other)


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("energy.train.fit.validate", "train.evaluate_batch=500"),
        ("energy.train.measure.gradient_alignment_of_run", "train.probe_batch=8"),
    ],
)
def test_between_steps_the_state_is_saved(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes], place: str, field: str
) -> None:
    one, other = make_run("unbroken"), make_run("broken")
    fit(one)
    with monkeypatch.context() as patch:
        patch.setattr(place, exhausted)
        with pytest.raises(OutOfMemory, match=f"after step 7, .*reduce {field}; .*step-000007-open$"):
            fit(other)
    fit(other)
    assert final_tensors(one) == final_tensors(other)


def test_before_the_first_step_nothing_is_written(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("broken")
    monkeypatch.setattr(type(run.data), "load", exhausted)
    with pytest.raises(OutOfMemory, match=r"before the first step, .*: reduce the model, or data\.limit$"):
        fit(run)
    assert not run.folder.exists()


def test_where_nothing_can_be_saved_either_the_line_stands(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("broken")
    monkeypatch.setattr(page, "validate", exhausted)
    monkeypatch.setattr(checkpoint, "write", exhausted)
    with pytest.raises(OutOfMemory, match=r"no checkpoint had been written$"):
        fit(run)
    assert not checkpoint.steps(run.folder / CHECKPOINTS)
