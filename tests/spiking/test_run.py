"""Spiking runs from end to end: records, resuming bit for bit, evaluation, figures, comparison, and that they learn."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.command.figures import draw_folder
from energy.io.record import FINAL, SNAPSHOT, read_json, read_lines
from energy.train import fit as page
from energy.train.evaluate import evaluate, load_run
from energy.train.finite_check import NonFinite
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
CASES: dict[str, dict[str, Any]] = {
    "sign": {"name": "spiking", "feedback": {"name": "sign"}},
    "sign_batch, causal": {"name": "spiking", "feedback": {"name": "sign_batch"}, "credit": "causal"},
    "kolen_pollack": {"name": "spiking", "feedback": {"name": "kolen_pollack"}},
    "rate": {"name": "spiking", "encoder": {"name": "rate"}},
    "reference": {"name": "surrogate_backprop"},
}


def tensors(run: Run) -> bytes:
    (folder,) = (run.folder / FINAL).glob("step-*")
    return (folder / "tensors.safetensors").read_bytes()


@pytest.mark.parametrize("settler", CASES.values(), ids=CASES)
def test_a_broken_run_goes_on_bit_for_bit(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, settler: dict[str, Any]
) -> None:
    """Left in the middle of both epochs."""
    whole, broken = make_run("whole", settler=settler), make_run("broken", settler=settler)
    result, again = fit(whole), None
    monkeypatch.setattr(Impatient, "patience", 4)
    monkeypatch.setattr(page, "Interrupt", Impatient)
    for _ in range(10):
        with contextlib.suppress(Stopped):
            again = again or fit(broken)
    assert again is not None and len(again["continued"]) >= 2
    assert tensors(broken) == tensors(whole)
    assert again["test_accuracy"] == result["test_accuracy"]
    pairs = zip(read_lines(whole.folder / "record.jsonl"), read_lines(broken.folder / "record.jsonl"), strict=True)
    for one, other in pairs:
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_records_say_what_fired(make_run: Maker) -> None:
    run = make_run()
    result = fit(run)
    line = read_lines(run.folder / "record.jsonl")[-1]
    assert set(line["spikes_by_layer"]) == {"dense1", "dense2", "output"}
    assert line["spikes"] == pytest.approx(sum(line["spikes_by_layer"].values())) and line["spikes"] > 0
    wanted = 20 * line["spikes_by_layer"]["dense1"] + 10 * line["spikes_by_layer"]["dense2"]
    assert line["synaptic_operations"] == pytest.approx(wanted)
    assert result["evaluation"]["spikes"] > 0 and result["evaluation"]["synaptic_operations"] > 0
    assert line["cosine_worst"] is None or line["cosine_worst"] > 0.999
    assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]
    assert evaluate(run.folder)["spikes"] == result["evaluation"]["spikes"]
    units = read_json(run.folder / "configuration.json")["units"]
    assert {"spikes", "synaptic_operations", "spikes_by_layer"} <= set(units)


def test_runs_of_rates_have_none_of_it(make_run: Maker) -> None:
    run = make_run(settler={"name": "dual_propagation"})
    result = fit(run)
    assert "spikes" not in read_lines(run.folder / "record.jsonl")[0] and "spikes" not in result["evaluation"]
    assert not (run.folder / SNAPSHOT).exists()


def test_the_objective_in_the_record_is_the_spike_train_error(make_run: Maker) -> None:
    """Of silent networks: ½ Σ x*² of the desired train, whatever the objective says of the scores."""
    run = make_run(model={"name": "spiking", "dense": [30], "gain": 1e-6}, optimizer={"name": "sgd", "lr": 1e-12})
    fit(run)
    trace, total = 0.0, 0.0
    for s in (0, 1, 1, 1, 1):
        trace = trace * 2 / 3 + s / 3
        total += trace**2 / 2
    line = read_lines(run.folder / "record.jsonl")[0]
    assert line["train_objective"] == pytest.approx(total) and line["validation_objective"] == pytest.approx(total)


def test_figures_of_a_spiking_run(make_run: Maker) -> None:
    pytest.importorskip("matplotlib")
    run = make_run()
    fit(run)
    snapshot = read_json(run.folder / SNAPSHOT)
    assert snapshot["steps"] == 5 and [layer["units"] for layer in snapshot["layers"]] == [30, 20, 10]
    x = run.data.load("cpu", run.seed).test.take(slice(0, 1))[0]
    again = run.settler.snapshot(load_run(run.folder)[1], x)
    assert json.loads(json.dumps(again)) == snapshot
    drawn = list(draw_folder(run.folder))
    assert [path.name for path in drawn] == ["curves.png", "spikes.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_comparison_of_spiking_settlers(make_run: Maker, tmp_path: Path) -> None:
    from energy.component import from_dict, to_dict
    from energy.study.compare import Comparison, compare

    plain = to_dict(make_run())
    shared = {name: plain[name] for name in ("model", "data", "objective", "optimizer", "schedule")}
    comparison = from_dict(
        Comparison,
        {
            **shared,
            "train": {**plain["train"], "epochs": 1},
            "settlers": ["spiking", "sign: spiking feedback=sign", "late: spiking credit=online", "surrogate_backprop"],
            "seeds": [0],
            "timing_rounds": 3,
            "out": str(tmp_path / "compared"),
        },
        path="",
    )
    compare(comparison)
    rows = {row["label"]: row for row in read_json(tmp_path / "compared" / "compare.json")["rows"]}
    assert list(rows) == ["spiking", "sign", "late", "surrogate_backprop"]
    assert rows["spiking"]["cosine_worst_initial"]["mean"] == pytest.approx(1, abs=1e-5)
    assert rows["spiking"]["test_accuracy"] == rows["surrogate_backprop"]["test_accuracy"]
    assert 0.2 < rows["sign"]["cosine_whole_initial"]["mean"] < 0.999


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
@pytest.mark.slow
def test_other_precisions_train(make_run: Maker, precision: str) -> None:
    train = {"epochs": 15, "batch_size": 20, "progress": False, "probe_every": 0, "weights": "last"}
    run = make_run(precision=precision, train=train)
    fit(run)
    objectives = [line["train_objective"] for line in read_lines(run.folder / "record.jsonl")]
    assert objectives[-1] < 0.8 * objectives[0]


def test_the_library_trains_on_models_made_for_rates(make_run: Maker) -> None:
    """mlp has biases, vgg max-pooling."""
    for model in ({"name": "mlp", "sizes": [30], "gain": 1.5}, {"name": "vgg", "plan": [6, 0, 8, 0], "gain": 1.5}):
        result = fit(make_run(model["name"], model=model))
        assert result["multiply_adds"] > 0 and 0 <= result["test_accuracy"] <= 100


@pytest.mark.slow
def test_digits_are_learned_with_sign_concordant_wires_and_less_well_with_random_ones(make_run: Maker) -> None:
    """64-200-100-10, 30 epochs, three seeds: tied and sign above 96.5 % in the mean, tied less random above 0.8."""
    means = {}
    for kind in ("tied", "sign", "random"):
        found = []
        for seed in range(3):
            run = make_run(
                f"{kind}{seed}",
                model={"name": "spiking", "dense": [200, 100]},
                data={"name": "digits", "mean": [0.0], "std": [1.0], "validation": 0.0},
                settler={"name": "spiking", "feedback": {"name": kind}},
                optimizer={"name": "adam", "lr": 1e-3},
                train={"epochs": 30, "batch_size": 64, "weights": "last", "progress": False, "probe_every": 0},
                seed=seed,
            )
            found.append(fit(run)["test_accuracy"])
        means[kind] = sum(found) / len(found)
    assert means["tied"] > 96.5 and means["sign"] > 96.5, means
    assert means["tied"] - means["random"] > 0.8, means


def test_non_finite_numbers_stop_the_run(make_run: Maker) -> None:
    run = make_run(data={"name": "digits", "limit": 150, "mean": [0.0], "std": [1e-39]})
    with pytest.raises(
        NonFinite, match=r"dense1 is not finite; name=spiking, beta=0\.0, gamma=0\.0; no update was made"
    ):
        fit(run)


def test_a_layer_that_is_not_finite_is_named() -> None:
    from energy.objectives import CrossEntropy
    from energy.settle.spiking import Spiking
    from tests.spiking.oracle import batch, dense

    network = dense()
    x, target = batch(network)
    with torch.no_grad():
        network.edges[-1].coupling.get_parameter("weight")[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"couplings\.2\.weight: not finite"):
        Spiking().settle(network, x, target, CrossEntropy())
