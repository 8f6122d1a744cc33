"""Scoring: against a hand count, with the stored gamma and settler, changing nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from energy.data.images import Images
from energy.errors import DataError
from energy.io import checkpoint
from energy.io.checkpoint import DamagedCheckpointError
from energy.io.record import FINAL
from energy.train.evaluate import evaluate, load_run, score
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]


def test_the_result_is_scored_again_alike(make_run: Maker) -> None:
    run = make_run()
    result = fit(run)
    again = evaluate(run.folder)
    assert (again["accuracy"], again["objective"]) == (result["test_accuracy"], result["test_objective"])
    assert again["examples"] == result["test_examples"] == 360


def test_accuracy_and_objective_by_hand(make_run: Maker) -> None:
    """Against torch's own cross-entropy on the forward pass, which is the equilibrium at gamma = 0."""
    run = make_run(train={"evaluate_batch": 7})
    fit(run)
    _, network, _ = load_run(run.folder)
    test = run.data.load("cpu", run.seed).test
    x, labels = test.take(slice(None))
    output = network(x)
    found = score(run, network, test)
    assert found["accuracy"] == pytest.approx(100 * (output.argmax(1) == labels).float().mean().item())
    assert found["objective"] == pytest.approx(torch.nn.functional.cross_entropy(output, labels).item(), rel=1e-5)


def test_gamma_comes_from_the_checkpoint(make_run: Maker) -> None:
    """A network trained with feedback is scored at its equilibrium; without feedback the outputs would differ."""
    run = make_run(
        settler={"name": "equilibrium_propagation", "gamma": 0.5, "relax": {"max_steps": 17, "tolerance": 0.0}},
        objective={"name": "squared_error"},
        train={"epochs": 1, "probe_every": 0},
    )
    result = fit(run)
    found = evaluate(run.folder)
    assert load_run(run.folder)[0].settler == run.settler
    assert found["settle"]["free"]["sweeps_mean"] == 17
    assert found["objective"] == result["test_objective"]
    assert result["evaluation"]["gamma"] == 0.5
    assert result["evaluation"]["nudge"] == "none"
    assert result["evaluation"]["relaxation"]["max_steps"] == 17
    forward = score(make_run("other", objective={"name": "squared_error"}), load_run(run.folder)[1], _test_images(run))
    assert abs(forward["objective"] - found["objective"]) > 1e-4


def _test_images(run: Run) -> Images:
    return run.data.load("cpu", run.seed).test


def test_weights_and_gradients_stay(make_run: Maker) -> None:
    run = make_run()
    fit(run)
    _, network, _ = load_run(run.folder)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    score(run, network, _test_images(run))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(("split", "count"), [("train", 150), ("test", 360)])
def test_splits(make_run: Maker, split: str, count: int) -> None:
    run = make_run(train={"epochs": 1})
    fit(run)
    assert evaluate(run.folder, split)["examples"] == count


def test_an_unknown_split_or_an_empty_one(make_run: Maker) -> None:
    run = make_run(data={"validation": 0.0}, train={"epochs": 1})
    fit(run)
    with pytest.raises(ValueError, match="must be one of train, validation, test"):
        evaluate(run.folder, "valid")
    with pytest.raises((ValueError, DataError), match="empty"):
        evaluate(run.folder, "validation")


def test_an_unfinished_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not finished"):
        evaluate(tmp_path)


def test_damaged_final_weights_are_named(make_run: Maker) -> None:
    run = make_run(train={"epochs": 1})
    fit(run)
    (path,) = checkpoint.steps(run.folder / FINAL)
    blob = bytearray((path / "tensors.safetensors").read_bytes())
    blob[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(blob)
    with pytest.raises(DamagedCheckpointError, match="SHA-256"):
        evaluate(run.folder)


def test_a_moved_folder_still_evaluates(make_run: Maker, tmp_path: Path) -> None:
    run = make_run(train={"epochs": 1})
    result = fit(run)
    moved = shutil.move(run.folder, tmp_path / "moved")
    assert evaluate(moved)["accuracy"] == result["test_accuracy"]


def test_a_component_that_is_not_there_is_named(make_run: Maker) -> None:
    """The record names components; it never says where code lies."""
    run = make_run(train={"epochs": 1})
    fit(run)
    (path,) = checkpoint.steps(run.folder / FINAL)
    tensors, facts = checkpoint.read(path)
    assert "_target_" not in json.dumps(facts)
    facts["run"]["model"]["name"] = "os.system"
    shutil.rmtree(path)
    checkpoint.write(run.folder / FINAL, 1, tensors, facts)
    with pytest.raises(ValueError, match=r"model=os\.system: unknown"):
        evaluate(run.folder)
