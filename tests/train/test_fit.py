"""The training page: what it leaves in the run folder, what it refuses, and how it stops."""

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, FAILED, RECORD
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.train import conclusion
from energy.train import fit as page
from energy.train.evaluate import load_run
from energy.train.finite_check import NonFinite
from energy.train.fit import fit
from energy.train.optimizer import Optimizer
from energy.train.run import Run

Maker = Callable[..., Run]


def test_a_run_folder_holds_what_was_promised(make_run: Maker) -> None:
    run = make_run()
    result = fit(run)
    assert result == json.loads((run.folder / "result.json").read_text())
    lines = [json.loads(line) for line in (run.folder / RECORD).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert sorted(path.name for path in run.folder.iterdir() if not path.name.startswith(".")) == [
        "checkpoints",
        "configuration.json",
        "final",
        "record.jsonl",
        "result.json",
    ]
    assert not checkpoint.steps(run.folder / CHECKPOINTS)
    wanted = {"test_accuracy", "test_objective", "configuration", "commit", "device", "torch", "threads", "seconds"}
    assert wanted | {"sweeps", "multiply_adds", "seed", "outcomes", "evaluation", "units", "key"} <= set(result)


def test_every_number_of_the_record_has_a_unit(make_run: Maker) -> None:
    """Each key of a line is explained, itself or by a pattern, in ``units``."""
    run = make_run()
    units = fit(run)["units"]
    line = json.loads((run.folder / RECORD).read_text().splitlines()[0])
    patterns = [name.strip("*") for name in units if "*" in name and "." not in name]
    for name, value in line.items():
        nested = any(known.startswith(f"{name}.") for known in units)
        explained = name in units or nested or any(pattern in name for pattern in patterns)
        assert explained or not isinstance(value, int | float), name


def test_multiply_adds_are_those_of_back_propagation_by_hand(make_run: Maker) -> None:
    """64-12-10: U = 64*12 + 12*10, U1 = 64*12; 2 epochs of 150 // 20 = 7 steps of 20."""
    result = fit(make_run())
    assert result["steps"] == 14
    assert result["multiply_adds"] == (3 * (64 * 12 + 12 * 10) - 64 * 12) * 20 * 14
    assert result["backprop_steps"] == 1.0


def test_training_by_hand_gives_the_same_weights(make_run: Maker) -> None:
    """Plain autograd and the update of SGD with momentum, on the batches of the data set."""
    run = make_run(settler={"name": "backprop"}, optimizer={"momentum": 0.5}, schedule={"name": "constant"})
    fit(run)
    network = run.network()
    velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]
    train = run.data.load("cpu", run.seed).train
    for epoch in range(2):
        for x, labels in train.batches(20, seed=run.seed, epoch=epoch, train=True):
            loss = torch.nn.functional.cross_entropy(network(x), labels)
            for parameter, v, g in zip(
                network.parameters(), velocity, torch.autograd.grad(loss, list(network.parameters())), strict=True
            ):
                v.mul_(0.5).add_(g)
                parameter.data.sub_(0.1 * v)
    trained = load_run(run.folder)[1]
    for one, other in zip(trained.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_finished_run_is_not_trained_again(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    first = fit(run)
    stamps = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(page, "Session", lambda *_: pytest.fail("a finished run was begun again"))
    assert fit(run) == first
    assert fit(make_run(train={"time_limit": 5.0})) == first  # the same run, with another limit
    assert stamps == {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}


def test_a_folder_of_another_run_is_refused_and_left_alone(make_run: Maker) -> None:
    run = make_run()
    fit(run)
    before = (run.folder / "configuration.json").read_text()
    with pytest.raises(ConfigurationError, match=r"optimizer\.lr=0\.1, here 0\.2"):
        fit(make_run(optimizer={"lr": 0.2}))
    with pytest.raises(ConfigurationError, match=r"settler\.name='dual_propagation', here 'backprop'"):
        fit(make_run(settler={"name": "backprop"}))
    assert (run.folder / "configuration.json").read_text() == before


def test_bad_input_writes_nothing(make_run: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that is not there, a batch larger than the set, a convolution on too small an image: no folder is left."""
    monkeypatch.setenv("ENERGY_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("ENERGY_CACHE", str(tmp_path / "cache"))
    for changes in ({"data": {"name": "mnist"}}, {"train": {"batch_size": 10**6}}, {"model": {"name": "hopfield"}}):
        run = make_run(**changes)
        with pytest.raises(ValueError):
            fit(run)
        assert not run.folder.exists()


@pytest.mark.parametrize("name", [RECORD, CHECKPOINTS])
def test_a_folder_with_a_strange_record_is_refused(make_run: Maker, name: str) -> None:
    """Checkpoints without a configuration may be another run's: this one must not continue from them."""
    run = make_run()
    run.folder.mkdir()
    (run.folder / name).write_text("mine")
    with pytest.raises(ConfigurationError, match=f"holds {re.escape(name)}"):
        fit(run)
    assert (run.folder / name).read_text() == "mine"


def test_nothing_is_written_outside_the_folder(
    make_run: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    fit(make_run("inside"))
    assert list(elsewhere.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"elsewhere", "inside", "cache"}


def test_best_weights_are_those_of_the_best_epoch(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation is made to prefer epoch 1 of 3; the weights kept are those that were there then."""
    run = make_run(train={"weights": "best", "epochs": 3})
    seen: list[torch.Tensor] = []
    accuracies = iter([50.0, 70.0, 60.0, 1.0])
    real = page.score

    def score(run: Run, network: Any, images: Any, mirrored: bool = False) -> dict[str, Any]:
        seen.append(next(network.parameters()).detach().clone())
        return {**real(run, network, images, mirrored), "accuracy": next(accuracies)}

    monkeypatch.setattr(page, "score", score)
    monkeypatch.setattr(conclusion, "score", score)
    result = fit(run)
    assert len(seen) == 4  # three validations, one test
    assert torch.equal(seen[3], seen[1])
    assert torch.equal(next(load_run(run.folder)[1].parameters()), seen[1])
    assert result["validation_accuracy"] == 70.0
    assert result["weights"] == "best validation, epoch 1"
    assert result["test_accuracy"] == 1.0


def test_the_test_split_is_scored_once_and_last(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the 150 training images is held out for every epoch; the 360 of the test set are for the end."""
    seen: list[int] = []
    real = page.score

    def score(run: Run, network: Any, images: Any, mirrored: bool = False) -> dict[str, Any]:
        seen.append(len(images))
        return real(run, network, images, mirrored)

    monkeypatch.setattr(page, "score", score)
    monkeypatch.setattr(conclusion, "score", score)
    fit(make_run(train={"epochs": 3}))
    assert seen == [15, 15, 15, 360]


def test_the_learning_rate_falls_with_every_step(make_run: Maker) -> None:
    """Linear to nothing over 2 epochs of 7 steps: the last step of an epoch is step 6 of 7, so e = 6/7 and 13/7."""
    run = make_run(schedule={"name": "linear"})
    fit(run)
    lines = [json.loads(line) for line in (run.folder / RECORD).read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.1 * (1 - 6 / 14), 0.1 * (1 - 13 / 14)])


def test_without_a_validation_split_the_last_weights_are_kept(make_run: Maker) -> None:
    run = make_run(data={"validation": 0.0}, train={"weights": "best"})
    result = fit(run)
    assert result["weights"] == "last, epoch 1"
    assert result["validation_accuracy"] is None


@pytest.mark.parametrize("check_every", [1, 4, 1000])
def test_an_infinity_stops_the_run_before_its_update(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, check_every: int
) -> None:
    """Planted in the gradient of step 2: the saved weights are those that two steps made, whenever the host looks."""
    unharmed = make_run("unharmed", train={"epochs": 1, "checkpoint_every": 2, "keep": 99})
    monkeypatch.setattr(page.checkpoint, "prune", lambda *_: None)
    monkeypatch.setattr("energy.train.session.checkpoint.prune", lambda *_: None)
    fit(unharmed)
    expected, _ = checkpoint.read(unharmed.folder / CHECKPOINTS / "step-000002")
    real, calls = Contrast.write, iter(range(99))

    def planted(self: Contrast, network: Any, gradients: Any) -> None:
        real(self, network, gradients)
        if next(calls) == 2:
            list(network.parameters())[2].grad[0, 0] = float("inf")

    monkeypatch.setattr(Contrast, "write", planted)
    run = make_run("harmed", train={"epochs": 1, "check_every": check_every})
    with pytest.raises(NonFinite, match=r"step 2: gradient of output is not finite.*beta=0\.1.*failed") as caught:
        fit(run)
    assert str(run.folder) in str(caught.value)
    (path,) = (run.folder / FAILED).glob("step-*")
    saved, _ = checkpoint.read(path)
    for name in (name for name in expected if name.startswith(("weights/", "optimizer/"))):
        assert torch.equal(saved[name], expected[name]), name
    assert not (run.folder / "result.json").exists()


class Plain(Optimizer):
    """An algorithm of torch without the flag that turns an update off."""

    def algorithm(self, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Rprop(groups, lr=self.lr)


def test_an_optimizer_without_a_fused_kernel_is_stopped_in_time_too(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = Contrast.write, []

    def planted(self: Contrast, network: Any, gradients: Any) -> None:
        real(self, network, gradients)
        before.append([parameter.detach().clone() for parameter in network.parameters()])
        if len(before) == 3:
            next(network.parameters()).grad[0, 0] = float("nan")

    monkeypatch.setattr(Contrast, "write", planted)
    with pytest.raises(NonFinite, match="step 2: gradient of dense1"):
        fit(replace(make_run(train={"check_every": 1000}), optimizer=Plain(lr=0.01)))
    (path,) = (make_run().folder / FAILED).glob("step-*")
    saved, _ = checkpoint.read(path)
    weights = [tensor for name, tensor in saved.items() if name.startswith("weights/")]
    assert {tuple(w.shape): w.sum().item() for w in weights} == {tuple(w.shape): w.sum().item() for w in before[2]}


@pytest.mark.parametrize("objective", ["squared_error", "cross_entropy"])
def test_a_relu_without_equilibrium_ends_as_diverged_with_its_layer(
    make_run: Maker, objective: str, timeless: Callable[[Path], list[dict[str, Any]]]
) -> None:
    """At full feedback and large weights there is no equilibrium; the record says so, or the run stops and says so."""
    run = make_run(
        model={"hidden": {"name": "relu"}, "gain": 4.0},
        settler={"name": "equilibrium_propagation"},
        objective={"name": objective},
        train={"epochs": 1, "probe_every": 0, "check_every": 1000},
    )
    try:
        fit(run)
    except NonFinite as error:
        assert "first diverged: dense1" in str(error) or "first diverged: output" in str(error)
        return
    (line,) = timeless(run.folder)
    assert line["settle"]["free"]["outcomes"]["diverged"] == 7
    assert line["diverged_layer"] in {"dense1", "output"}


def test_a_signal_during_the_final_test_still_ends_the_process(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is finished by then, but a sweep must not go on to the next one."""
    real = page.conclude

    def conclude(session: Any, interrupt: Any) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(session, interrupt)

    monkeypatch.setattr(page, "conclude", conclude)
    run = make_run(train={"epochs": 1})
    with pytest.raises(SystemExit) as left:
        fit(run)
    assert left.value.code == 143
    assert (run.folder / "result.json").exists()


def test_weights_that_overflow_are_named_with_their_layer(make_run: Maker) -> None:
    run = make_run(optimizer={"lr": 1e30, "momentum": 0.0}, model={"hidden": {"name": "relu"}})
    with pytest.raises(NonFinite, match=r"step \d.*(dense1|output|couplings)"):
        fit(run)


def test_settings_of_torch_are_put_back(make_run: Maker) -> None:
    def now() -> tuple[Any, ...]:
        flags = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)
        return torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(), flags

    before = now()
    fit(make_run(train={"deterministic": True, "epochs": 1}))
    assert now() == before


def test_float64_trains_in_float64(make_run: Maker) -> None:
    run = make_run(precision="float64", train={"epochs": 1})
    fit(run)
    assert {parameter.dtype for parameter in load_run(run.folder)[1].parameters()} == {torch.float64}


def test_bfloat16_keeps_float32_weights(make_run: Maker) -> None:
    run = make_run(precision="bfloat16", train={"epochs": 1}, data={"limit": 60})
    fit(run)
    assert {parameter.dtype for parameter in load_run(run.folder)[1].parameters()} == {torch.float32}


def test_epoch_lines_say_what_the_settler_did(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(
        settler={"name": "equilibrium_propagation"},
        objective={"name": "squared_error"},
        train={"epochs": 1, "progress": True},
    )
    fit(run)
    line = json.loads((run.folder / RECORD).read_text())
    assert set(line["settle"]) == {"free", "nudged"}
    assert sum(line["settle"]["free"]["outcomes"].values()) == 7
    assert "epoch 1/1" in capsys.readouterr().err


def test_the_reference_settler_has_cosine_one(make_run: Maker) -> None:
    run = make_run(settler={"name": "backprop"}, train={"epochs": 1})
    assert run.settler == Backprop()
    fit(run)
    line = json.loads((run.folder / RECORD).read_text())
    assert line["cosine_worst"] == pytest.approx(1.0, abs=1e-6)
    assert line["cosine_whole"] == pytest.approx(1.0, abs=1e-6)
