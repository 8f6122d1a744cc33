"""Broken and continued equals unbroken, bit for bit, in mid-epoch too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.io import checkpoint
from energy.io.checkpoint import DamagedCheckpointError
from energy.io.record import CHECKPOINTS, RECORD
from energy.train import fit as page
from energy.train.evaluate import evaluate
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``broken(run, 3)``: leave after every few looks and start again until the run is finished; how often it left."""

    def carry_on(run: Run, patience: int) -> int:
        monkeypatch.setattr(Impatient, "patience", patience)
        monkeypatch.setattr(page, "Interrupt", Impatient)
        for count in range(100):
            try:
                fit(run)
            except Stopped as stopped:
                assert stopped.code == 0
            else:
                return count
        raise AssertionError("the run never ended")

    return carry_on


VARIANTS: list[dict[str, Any]] = [
    {},
    {"train": {"weights": "best"}},
    {"optimizer": {"name": "adam", "lr": 0.01}, "settler": {"name": "backprop"}},
    {
        "settler": {"name": "equilibrium_propagation", "relax": {"max_steps": 8}, "nudged": {"max_steps": 4}},
        "objective": {"name": "squared_error"},
    },
    {
        "settler": {"name": "two_phase", "kind": "random_sign", "relax": {"max_steps": 8}},
        "objective": {"name": "squared_error"},
    },
    {"settler": {"name": "dual_propagation", "feedback": "kolen_pollack"}, "optimizer": {"weight_decay": 1e-2}},
    {
        "settler": {"name": "dual_propagation", "feedback": {"name": "sign_batch", "sign_agreement": 0.8}},
        "train": {"weights": "best"},
    },
    {"schedule": {"name": "cosine", "warmup": 0.5}, "optimizer": {"layer_lr": [0.2, 0.1], "weight_decay": 1e-3}},
    {"train": {"average": 0.9, "mirrored": True}, "data": {"flip": True, "alternate": True}},
    {
        "model": {"name": "normalized_vgg", "groups": [4], "whitened": 3},
        "settler": {"freeze_mean": True},
        "train": {"average": 0.8, "weights": "best"},
    },
]


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("patience", [3, 8])
def test_broken_and_continued_equals_unbroken(
    make_run: Maker,
    broken: Callable[..., int],
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    variant: dict[str, Any],
    patience: int,
) -> None:
    one, other = make_run("unbroken", **variant), make_run("broken", **variant)
    unbroken = fit(one)
    assert broken(other, patience) >= 1
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    result = json.loads((other.folder / "result.json").read_text())
    same = ("test_accuracy", "test_objective", "validation_accuracy", "multiply_adds", "sweeps", "outcomes", "weights")
    assert {name: result[name] for name in same} == {name: unbroken[name] for name in same}
    assert len(result["continued"]) >= 1
    assert {"step", "torch", "device_name"} <= set(result["continued"][0])


EVERYWHERE: list[dict[str, Any]] = [
    {"schedule": {"name": "cosine", "warmup": 0.5}, "train": {"epochs": 3, "probe_every": 2}},
    {"optimizer": {"name": "adam", "lr": 0.01}, "schedule": {"name": "linear"}, "train": {"epochs": 3}},
    {"optimizer": {"layer_lr": [0.01, 0.1]}, "schedule": {"name": "constant"}, "train": {"epochs": 3}},
    {
        "settler": {"name": "equilibrium_propagation", "relax": {"max_steps": 8}, "nudged": {"max_steps": 4}},
        "objective": {"name": "squared_error"},
        "schedule": {"name": "exponential", "factor": 0.5, "staircase": False},
        "train": {"epochs": 3, "probe_every": 2, "weights": "best"},
    },
    {
        "settler": {"name": "dual_propagation", "feedback": {"name": "sign_batch", "sign_agreement": 0.8}},
        "train": {"epochs": 3, "checkpoint_every": 3},
    },
]


@pytest.mark.thinned(by=5)
@pytest.mark.parametrize("look", range(12))
@pytest.mark.parametrize("variant", EVERYWHERE)
def test_a_run_broken_at_any_place_leaves_the_record_of_an_unbroken_one(
    make_run: Maker,
    monkeypatch: pytest.MonkeyPatch,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    variant: dict[str, Any],
    look: int,
) -> None:
    """Three epochs of three steps: after each step, after the last of an epoch before it is closed, and after that."""
    variant = {**variant, "data": {"limit": 60}}
    one, other = make_run("unbroken", **variant), make_run("broken", **variant)
    fit(one)
    with monkeypatch.context() as patch:
        patch.setattr(Impatient, "patience", look)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(other)
    (*_, last) = checkpoint.steps(other.folder / CHECKPOINTS)
    epoch, place = divmod(look, 4)
    assert last.name == f"step-{3 * epoch + min(place + 1, 3):06d}" + ("-open" if place == 2 else "")
    fit(other)
    assert final_tensors(one) == final_tensors(other), last.name
    assert timeless(one.folder) == timeless(other.folder), last.name


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"name": "constant"}, [0.1, 0.1, 0.1]),
        ({"name": "linear"}, [0.1 * (1 - (epoch + 2 / 3) / 3) for epoch in range(3)]),
        ({"name": "linear", "warmup": 1.0}, [0.1 * (2 / 3), 0.1 * (1 - 2 / 3 / 2), 0.1 * (1 - (5 / 3) / 2)]),
    ],
)
@pytest.mark.parametrize("layers", [[], [0.01, 0.1]])
def test_the_recorded_rate_is_the_greatest_of_the_last_step(
    make_run: Maker, schedule: dict[str, Any], rates: list[float], layers: list[float]
) -> None:
    """Three epochs of three steps: the last step of epoch e is at e + 2/3."""
    run = make_run(data={"limit": 60}, schedule=schedule, optimizer={"layer_lr": layers}, train={"epochs": 3})
    fit(run)
    lines = [json.loads(line) for line in (run.folder / RECORD).read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == pytest.approx(rates)


LIMITED: list[dict[str, Any]] = [
    {},
    {"train": {"batch_size": 60}},  # one batch an epoch
    {"train": {"checkpoint_every": 2}},
    {"train": {"keep": 1, "weights": "best"}},
    {"rule": {"name": "softhebb"}, "settler": {"name": "feedforward"}, "readout": {"name": "linear", "epochs": 3}},
]


@pytest.mark.parametrize("variant", LIMITED)
def test_a_time_limit_that_is_always_over_ends_in_as_many_calls_as_there_are_places(
    make_run: Maker,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    variant: dict[str, Any],
) -> None:
    variant = {**variant, "data": {"limit": 60}}
    training = variant.pop("train", {})
    if "rule" in variant:
        variant["model"] = {"name": "softhebb", "channels": [], "kernels": [], "powers": [], "pools": [], "dense": [12]}
    one = make_run("unbroken", train=training, **variant)
    other = make_run("limited", train={**training, "time_limit": 1e-9}, **variant)
    unbroken = fit(one)
    steps = unbroken["steps"]
    for calls in range(steps + 2):  # one more for the end of each epoch
        before = [path.name for path in checkpoint.steps(other.folder / CHECKPOINTS)]
        with pytest.raises(Stopped) as stopped:
            fit(other)
        assert stopped.value.code == 0
        assert checkpoint.steps(other.folder / CHECKPOINTS)[-1].name not in before, f"call {calls} came no further"
    result = fit(other)
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    assert result["test_accuracy"] == unbroken["test_accuracy"]
    assert len(result["continued"]) == steps + 2


def test_an_open_state_of_an_earlier_version_gets_on(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes]
) -> None:
    """It was written under the plain name of its step, as the closed one is."""
    one, other = make_run("unbroken"), make_run("early", train={"time_limit": 1e-9})
    fit(one)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "OPEN", "")
        for _ in range(7):
            with pytest.raises(Stopped):
                fit(other)
    (*_, last) = checkpoint.steps(other.folder / CHECKPOINTS)
    assert last.name == "step-000007"
    names = []
    for _ in range(3):
        with pytest.raises(Stopped):
            fit(other)
        names.append(checkpoint.steps(other.folder / CHECKPOINTS)[-1].name)
    assert names == ["step-000007", "step-000008", "step-000009"]
    fit(make_run("early"))
    assert final_tensors(one) == final_tensors(other)


def test_an_open_epoch_comes_before_its_end(tmp_path: Path) -> None:
    for name in ("step-000012", "step-000012-open", "step-000009-open", "step-000010", "step-000012-other"):
        (tmp_path / name).mkdir()
    names = ["step-000009-open", "step-000010", "step-000012-open", "step-000012"]
    assert [path.name for path in checkpoint.steps(tmp_path)] == names
    checkpoint.prune(tmp_path, 1)
    assert [path.name for path in checkpoint.steps(tmp_path)] == names[-1:]


def test_a_convolution_with_momentum_comes_back_in_its_layout(
    make_run: Maker, broken: Callable[..., int], final_tensors: Callable[[Run], bytes]
) -> None:
    variant = {"model": {"name": "vgg", "plan": [4, 0, 6]}, "train": {"epochs": 1}}
    one, other = make_run("unbroken", **variant), make_run("broken", **variant)
    fit(one)
    assert broken(other, 2) >= 2
    assert final_tensors(one) == final_tensors(other)


@pytest.mark.gpu
def test_on_one_gpu_with_deterministic_kernels(
    make_run: Maker, broken: Callable[..., int], final_tensors: Callable[[Run], bytes]
) -> None:
    variant: dict[str, Any] = {
        "device": "cuda",
        "model": {"name": "vgg", "plan": [8, 0, 8]},
        "train": {"epochs": 2, "deterministic": True},
    }
    one, other = make_run("unbroken", **variant), make_run("broken", **variant)
    fit(one)
    assert broken(other, 3) >= 1
    assert final_tensors(one) == final_tensors(other)


def test_a_kill_between_checkpoints_repeats_what_was_lost(
    make_run: Maker,
    monkeypatch: pytest.MonkeyPatch,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
) -> None:
    """Nothing is saved at the moment of death; the record already holds a line from after the last checkpoint.

    Seven steps an epoch, a checkpoint every five: the second line is of step 14, the checkpoint of step 10.
    """
    variant = {"train": {"checkpoint_every": 5, "epochs": 3}}
    one, other = make_run("unbroken", **variant), make_run("killed", **variant)
    fit(one)
    real, calls = page.train_step, iter(range(1000))

    def mortal(*given: Any) -> None:
        if next(calls) == 14:
            raise MemoryError
        real(*given)

    monkeypatch.setattr(page, "train_step", mortal)
    with pytest.raises(MemoryError):
        fit(other)
    monkeypatch.undo()
    assert [line["step"] for line in timeless(other.folder)] == [7, 14]
    assert checkpoint.steps(other.folder / CHECKPOINTS)[-1].name == "step-000010"
    fit(other)
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)


@pytest.mark.parametrize("name", ["tensors.safetensors", "facts.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_the_choice_is_left_to_the_user(
    make_run: Maker, broken: Callable[..., int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = make_run("damaged", train={"checkpoint_every": 3})
    monkeypatch.setattr(Impatient, "patience", 5)
    monkeypatch.setattr(page, "Interrupt", Impatient)
    with pytest.raises(Stopped):
        fit(run)
    monkeypatch.undo()
    found = checkpoint.steps(run.folder / CHECKPOINTS)
    assert len(found) == 2
    blob = bytearray((found[-1] / name).read_bytes())
    blob[len(blob) // 2] ^= 4
    (found[-1] / name).write_bytes(blob)
    with pytest.raises(DamagedCheckpointError, match=found[-1].name):
        fit(run)
    found[-1].rename(run.folder / "put-away")
    assert fit(run)["epochs"] == 2


def test_evaluating_in_between_changes_nothing(
    make_run: Maker, final_tensors: Callable[[Run], bytes], timeless: Callable[[Path], list[dict[str, Any]]]
) -> None:
    """Promise 8: with validation and probe, or with neither, the weights are the same."""
    one = make_run("watched", train={"probe_every": 1})
    other = make_run("alone", train={"probe_every": 0})
    fit(one)
    torch.rand(7)  # what was drawn before is of no matter
    fit(other)
    assert final_tensors(one) == final_tensors(other)
    before = final_tensors(one)
    evaluate(one.folder)
    assert final_tensors(one) == before
