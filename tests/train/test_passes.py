"""A signal while a split is scored or features are computed: left between two batches, and what is lost is said."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.data.dataset import Splits
from energy.data.images import Images
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, RESULT
from energy.train import conclusion
from energy.train import fit as page
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.interruptible import interruptible
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
pytestmark = pytest.mark.usefixtures("usual_signals")

SMALL: dict[str, Any] = {
    "data": {"limit": 60},
    "train": {"epochs": 1, "evaluate_batch": 2, "average": 0.9, "weights": "best"},
}
LOCAL: dict[str, Any] = {
    "rule": {"name": "softhebb"},
    "settler": {"name": "feedforward"},
    "model": {"name": "softhebb", "channels": [], "kernels": [], "powers": [], "pools": [], "dense": [12]},
    "readout": {"name": "linear", "epochs": 2},
    "data": {"limit": 60},
    "train": {"epochs": 1, "evaluate_batch": 20},
}


def stop(run: Run, look: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave at a look, counted from 0; the message."""
    with monkeypatch.context() as patch:
        patch.setattr(Impatient, "patience", look)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped) as stopped:
            fit(run)
    return str(stopped.value)


@pytest.mark.parametrize(
    ("look", "lost", "name"),
    [
        (2, "", "step-000003-open"),  # two looks before, one at each step
        (3, " and begins again in validation", "step-000003-open"),
        (4, " and begins again in validation", "step-000003-open"),
        (5, "", "step-000003"),
        (6, " and begins again in the test", "step-000003"),
        (100, " and begins again in the test", "step-000003"),
    ],
)
def test_left_during_validation_or_test_it_ends_as_an_unbroken_run(
    make_run: Maker,
    monkeypatch: pytest.MonkeyPatch,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    look: int,
    lost: str,
    name: str,
) -> None:
    """Three steps; six images of validation in three batches; the 360 of the test in 180."""
    one, other = make_run("unbroken", **SMALL), make_run("stopped", **SMALL)
    whole = fit(one)
    said = stop(other, look, monkeypatch)
    (path,) = checkpoint.steps(other.folder / CHECKPOINTS)
    assert path.name == name and said.endswith(f"after step 3; the same command continues from {path}{lost}")
    assert not (other.folder / RESULT).exists()
    found = fit(other)
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    assert (found["test_accuracy"], found["test_objective"]) == (whole["test_accuracy"], whole["test_objective"])


def test_what_is_saved_during_validation_are_the_weights_of_the_last_step(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is shown its average then; the weights are those saved right after the step."""
    runs = [make_run(name, **SMALL) for name in ("after the step", "in validation")]
    saved = []
    for run, look in zip(runs, (2, 3), strict=True):
        stop(run, look, monkeypatch)
        (path,) = checkpoint.steps(run.folder / CHECKPOINTS)
        saved.append(checkpoint.read(path)[0])
    weights = [name for name in saved[0] if name.startswith("weights/")]
    assert weights
    for name in weights:
        assert torch.equal(saved[0][name], saved[1][name]), name
        average = saved[0][name.replace("weights/", "average/")]
        assert not torch.equal(saved[1][name], average) or not saved[0][name].any(), name


def test_a_signal_while_features_are_computed_is_obeyed_between_two_batches(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, whole = make_run("stopped", **LOCAL), make_run("unbroken", **LOCAL)
    unbroken = fit(whole)
    taken, real = list[int](), Images.take

    def take(images: Images, rows: Any) -> Any:
        if isinstance(rows, slice) and rows == slice(0, 20):
            taken.append(len(images))
            os.kill(os.getpid(), signal.SIGTERM)
        return real(images, rows)

    decoder = conclusion.decoder

    def decoding(*given: Any) -> Any:
        monkeypatch.setattr(Images, "take", take)
        return decoder(*given)

    monkeypatch.setattr(conclusion, "decoder", decoding)
    with pytest.raises(Stopped) as stopped:
        fit(run)
    monkeypatch.undo()
    assert stopped.value.code == 143 and taken == [60]  # the training images alone, in three batches
    (path,) = checkpoint.steps(run.folder / CHECKPOINTS)
    last = capsys.readouterr().err.splitlines()[-1]
    said = f"SIGTERM: left after step 3; the same command continues from {path} and begins again in the read-out"
    assert last.endswith(said)
    assert fit(run)["test_accuracy"] == unbroken["test_accuracy"]


def test_a_watched_split_has_the_batches_of_the_split(make_run: Maker) -> None:
    run = make_run(**SMALL)
    images = run.data.load("cpu", 0, torch.float32).test
    looks: list[int] = []
    seen = interruptible(Splits(images, images, images), lambda: looks.append(len(looks))).test
    how: dict[str, Any] = {"seed": 0, "epoch": 0, "train": False}
    pairs = list(zip(images.batches(100, **how), seen.batches(100, **how), strict=True))
    assert len(looks) == 3 == len(pairs) - 1 and len(seen) == len(images)
    assert all(torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) for one, other in pairs)
    list(images.batches(100, **how))
    assert len(looks) == 3
