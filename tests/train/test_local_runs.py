"""Runs without feedback: layers and read-out, greedy and joint, frozen, started from another, broken and continued."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError, from_dict, to_dict
from energy.io import checkpoint
from energy.io.record import FAILED, READOUT, RECORD
from energy.ledger import Ledger
from energy.objectives import CrossEntropy, one_hot
from energy.readout.decoder import accuracy, dense_output
from energy.readout.features import batch_features, features
from energy.readout.linear import LinearReadout
from energy.rules.local import Local
from energy.train import fit as page
from energy.train.evaluate import evaluate, load_run, predict
from energy.train.finite_check import NonFinite
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.matching_layers import load_matching_layers
from energy.train.run import Run
from energy.train.session import Session
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
NET: dict[str, Any] = {
    "name": "softhebb",
    "channels": [5],
    "kernels": [3],
    "powers": [1.4],
    "pools": ["max_2_2_0"],
    "dense": [7],
    "radius": 5.0,
}
LOCAL: dict[str, Any] = {
    "model": NET,
    "settler": {"name": "feedforward"},
    "rule": {"name": "per_layer", "rules": [{"name": "softhebb"}, {"name": "krotov_hopfield"}]},
    "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0},
    "schedule": {"name": "constant"},
    "readout": {"name": "linear", "epochs": 3, "batch_size": 32, "lr": 0.01},
}
HEBBIAN_OUTPUT = [
    {"name": "softhebb"},
    {"name": "softhebb"},
    {"name": "softhebb", "variant": "supervised", "scaled": False},
]


@pytest.fixture
def make(make_run: Maker) -> Maker:
    """``make("name", group={...})``: the tiny run with local rules on two blocks, and a linear read-out."""

    def made(name: str = "run", **changes: Any) -> Run:
        merged = {group: {**value, **changes.pop(group, {})} for group, value in LOCAL.items() if group != "rule"}
        return make_run(name, **{**merged, "rule": changes.pop("rule", LOCAL["rule"]), **changes})

    return made


def lines(run: Run, name: str = RECORD) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / name).read_text().splitlines()]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_run(run.folder)[1].state_dict()


def by_hand(run: Run) -> dict[str, torch.Tensor]:
    """`learn` on the batches of the data set and w ← w − grad, layer by layer or together; no read-out."""
    assert isinstance(run.rule, Local)
    network, train = run.network(), run.data.load("cpu", run.seed).train
    stages = [[0], [1]] if run.train.order.name == "GREEDY" else [[0, 1]]
    for epoch in range(run.train.epochs * len(stages)):
        for edge in network.edges:
            edge.coupling.requires_grad_(edge.index in stages[epoch // run.train.epochs])
        for x, labels in train.batches(run.train.batch_size, seed=run.seed, epoch=epoch, train=True):
            run.rule.learn(network, run.settler, x, one_hot(labels, 10), CrossEntropy())
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.data.sub_(parameter.grad)
    return network.state_dict()


@pytest.mark.parametrize("order", ["joint", "greedy"])
def test_layers_by_hand_have_the_same_weights_and_statistics(make: Maker, order: str) -> None:
    run = make(train={"order": order, "epochs": 1})
    result = fit(run)
    found, wanted = weights(run), by_hand(run)
    for name, tensor in wanted.items():
        if not name.startswith("couplings.2"):
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6, msg=name)
    assert int(found["couplings.1.prepare.2.num_batches_tracked"]) == 7
    assert result["epochs"] == (2 if order == "greedy" else 1) and result["steps"] == 7 * result["epochs"]


def test_the_read_out_is_fitted_to_the_final_layers(make: Maker) -> None:
    """By hand from the stored run: features, the same training; and its accuracy is what the result says."""
    run = make(train={"epochs": 1})
    result = fit(run)
    network, splits = load_run(run.folder)[1], run.data.load("cpu", run.seed)
    train, test = (features(network, run.settler, one, 500, Ledger()) for one in (splits.train, splits.test))
    assert isinstance(run.readout, LinearReadout)
    told: list[dict[str, Any]] = []
    decoder = run.readout.fit(train, None, 10, run.seed, told.append)
    output = network.edges[-1].coupling
    assert torch.equal(output.get_parameter("filters.weight"), decoder.weight)
    assert torch.equal(output.get_parameter("filters.bias"), decoder.bias)
    assert [line["train_accuracy"] for line in lines(run, READOUT)] == [line["train_accuracy"] for line in told]
    assert result["test_accuracy"] == pytest.approx(accuracy(decoder, test), abs=1.2)  # bfloat16 features, not images
    assert result["readout_epochs"] == 3 and result["readout"]["name"] == "linear"
    assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]


def test_the_record_speaks_of_populations_and_not_of_an_output_that_does_not_learn(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(train={"epochs": 2, "progress": True})
    fit(run)
    for line in lines(run):
        assert line["train_accuracy"] is line["train_objective"] is line["validation_accuracy"] is None
        assert set(line["unit_diagnostics"]) == {"conv1", "dense1"}
        assert line["cosine_worst"] is None and line["multiply_adds"] > 0
    said = capsys.readouterr().err
    assert "conv1 norm" in said and "read-out, epoch 3" in said and "accuracy not finite" not in said


def test_an_epoch_without_a_probe_says_nothing_of_what_was_not_measured(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(make(train={"epochs": 2, "progress": True, "probe_every": 2}))
    _, header, first, second, *_ = capsys.readouterr().err.splitlines()
    assert "conv1 norm" in header and "objective" not in header and "train %" not in header
    assert "epoch 1/2" in first and "–" not in first
    assert "epoch 2/2" in second and second.split()[3:5] == ["–", "–"]  # conv1 and dense1


def test_a_read_out_in_between_scores_the_layers_on_the_validation_split(make: Maker) -> None:
    run = make(train={"epochs": 3, "weights": "best"}, readout={"every": 2})
    result = fit(run)
    scores = [line["validation_accuracy"] for line in lines(run)]
    assert scores[0] is scores[2] is None and 0 <= scores[1] <= 100
    assert result["weights"] == "best validation, epoch 1" and result["validation_accuracy"] == scores[1]


def test_what_is_said_of_a_read_out_that_stopped_early_is_true_of_its_weights(make: Maker) -> None:
    """Features in float64, so that the stored network and the decoder score alike."""
    run = make(
        readout={"epochs": 12, "patience": 2, "lr": 0.3, "dropout": 0.0},
        train={"epochs": 1},
        data={"validation": 0.3},
        precision="float64",
    )
    result, told = fit(run), lines(run, READOUT)
    best = max(k for k, line in enumerate(told) if line["kept"])
    assert best < len(told) - 1  # or the test says nothing
    assert result["readout_validation_accuracy"] == told[best]["validation_accuracy"]
    assert evaluate(run.folder, "validation")["accuracy"] == told[best]["validation_accuracy"]


# broken and continued


@pytest.mark.parametrize("order", ["joint", "greedy"])
def test_broken_in_the_layers_and_in_the_read_out_equals_unbroken(
    make: Maker,
    monkeypatch: pytest.MonkeyPatch,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    order: str,
) -> None:
    """A look a step, an epoch, an epoch of the read-out: five a start leave it in both epochs and in the read-out."""
    changes: dict[str, Any] = {"train": {"epochs": 1 if order == "greedy" else 2, "order": order}}
    one, other = make("unbroken", **changes), make("broken", **changes)
    unbroken = fit(one)
    monkeypatch.setattr(Impatient, "patience", 5)
    monkeypatch.setattr(page, "Interrupt", Impatient)
    left: list[int] = []
    while not (other.folder / "result.json").exists():
        try:
            fit(other)
        except Stopped as stopped:
            left.append(int(str(stopped).split("after step ")[1].split(";")[0]))
    assert left == [6, 11, 14]  # of 2 × 7 steps
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    strip = [{k: v for k, v in line.items() if k != "seconds"} for line in lines(other, READOUT)]
    assert strip == [{k: v for k, v in line.items() if k != "seconds"} for line in lines(one, READOUT)]
    result = json.loads((other.folder / "result.json").read_text())
    assert all(result[name] == unbroken[name] for name in ("test_accuracy", "multiply_adds", "readout_train_accuracy"))


def test_the_time_to_leave_is_seen_in_the_read_out(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fitted by then is not in the saved weights: the read-out begins anew."""
    run = make(train={"epochs": 1})
    monkeypatch.setattr(Impatient, "patience", 9)  # 7 steps, the end of the epoch, one epoch of the read-out
    monkeypatch.setattr(page, "Interrupt", Impatient)
    with pytest.raises(Stopped, match="left after step 7"):
        fit(run)
    tensors, facts = checkpoint.read(checkpoint.steps(run.folder / "checkpoints")[-1])
    assert len(lines(run, READOUT)) == 2 and facts["epoch"] == 1
    assert torch.equal(
        tensors["weights/couplings.2.filters.weight"], run.network().state_dict()["couplings.2.filters.weight"]
    )


# frozen layers


def test_a_frozen_layer_neither_learns_nor_drifts(make: Maker) -> None:
    run = make(train={"epochs": 1, "freeze": ["conv*"]})
    fit(run)
    found, first = weights(run), run.network().state_dict()
    for name, tensor in first.items():
        assert torch.equal(found[name], tensor) == name.startswith("couplings.0"), name


def test_frozen_layers_stay_under_feedback_too(make_run: Maker) -> None:
    run = make_run(
        model={"name": "mlp", "sizes": [12, 9]},
        train={"epochs": 1, "freeze": ["dense2"]},
        optimizer={"weight_decay": 0.1},
    )
    fit(run)
    found, first = weights(run), run.network().state_dict()
    assert {name for name, tensor in first.items() if torch.equal(found[name], tensor)} == {
        "couplings.1.weight",
        "couplings.1.bias",
    }


def test_patterns_that_freeze_nothing_or_everything_are_refused(make: Maker) -> None:
    run = make(train={"freeze": ["conv2"]})
    with pytest.raises(ConfigurationError, match=r"train\.freeze: no layer is called 'conv2'; did you mean 'conv1'"):
        fit(run)
    assert not run.folder.exists()
    run = from_dict(
        Run, {**to_dict(make()), "train": {"freeze": ["*"]}, "rule": "contrast", "readout": "joint"}, path=""
    )
    with pytest.raises(ConfigurationError, match="leaves no layer that rule=contrast trains"):
        fit(run)
    assert not run.folder.exists()


def test_a_read_out_alone_may_learn(make: Maker) -> None:
    """Everything frozen: the first weights, normalisation that has seen nothing, and a read-out fitted to them."""
    run = make(train={"freeze": ["conv1", "dense*"]})
    result = fit(run)
    assert (result["weights"], result["epochs"], result["steps"], result["multiply_adds"]) == ("initial", 0, 0, 0)
    assert result["readout_epochs"] >= 1 and result["seconds"]["total"] == 0
    found, start = weights(run), run.network().state_dict()
    same = [name for name in start if torch.equal(found[name], start[name])]
    output = [name for name in start if name not in same]
    assert output and all(name.startswith(f"couplings.{len(run.network().edges) - 1}.") for name in output)


# started from another run


def test_a_run_starts_from_another(make: Maker) -> None:
    """Layers of the same name, statistics included; with `layer_map` only those named."""
    first = make("first", train={"epochs": 1})
    fit(first)
    given = weights(first)
    same = Session(make("same", train={"start": str(first.folder)}), Path("nowhere")).network.state_dict()
    assert all(torch.equal(same[name], given[name]) for name in given)
    plan = {"channels": [5, 6], "kernels": [3, 3], "powers": [1, 1], "pools": ["max_2_2_0", "none"], "dense": []}
    renamed = make("layer_map", model=plan, train={"start": str(first.folder), "layer_map": ["conv1=conv1"]}, seed=4)
    fresh, found = renamed.network().state_dict(), Session(renamed, Path("nowhere")).network.state_dict()
    for name in fresh:
        assert torch.equal(found[name], (given if name.startswith("couplings.0") else fresh)[name]), name


def test_what_cannot_be_carried_over_names_both_sides(make: Maker) -> None:
    first = make("first", train={"epochs": 1})
    fit(first)
    where = {"start": str(first.folder)}
    for changes, words in (
        (
            {"train": where, "model": {"channels": [6]}},
            r"conv1 holds {'filters.weight': \(5, 1, 3, 3\).*conv1 needs .*\(6, 1",
        ),
        ({"train": {**where, "layer_map": ["dense1=conv1"]}}, r"first: dense1 holds .* here: conv1 needs"),
        ({"train": {**where, "layer_map": ["conv9=conv1"]}}, r"has no layer 'conv9'; did you mean 'conv1'"),
        (
            {"train": {**where, "layer_map": ["conv1=output2"]}},
            r"this network has no layer 'output2'; did you mean 'output'",
        ),
    ):
        run = make("second", **changes)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=words):
            fit(run)
        assert not run.folder.exists()
    with pytest.raises(ConfigurationError, match=r"layer_map=\['conv1'\]: must be pairs there=here"):
        make(train={**where, "layer_map": ["conv1"]})
    with pytest.raises(ConfigurationError, match=r"layer_map=.*: must be empty without a run to start from"):
        make(train={"layer_map": ["conv1=conv1"]})
    with pytest.raises(FileNotFoundError, match="has no final weights"):
        fit(make("third", train={"start": str(first.folder.parent)}))


def test_nothing_in_common_is_refused(make: Maker, make_run: Maker) -> None:
    first = make("first", train={"epochs": 1})
    fit(first)
    network = make_run(model={"name": "mlp", "sizes": [12]}).network()
    object.__setattr__(network.layers[0], "name", "other")
    object.__setattr__(network.layers[1], "name", "top")
    with pytest.raises(ConfigurationError, match=r"no layer has the same name; say train\.layer_map"):
        load_matching_layers(network, first.folder)


# the output layer


def test_a_supervised_output_learns_in_its_turn(make_run: Maker) -> None:
    """In greedy order the output is scored in its own stage alone."""
    plain = {group: value for group, value in LOCAL.items() if group not in {"readout", "rule"}}
    run = make_run(rule={"name": "per_layer", "rules": HEBBIAN_OUTPUT}, train={"epochs": 1, "order": "greedy"}, **plain)
    result = fit(run)
    assert [line["train_accuracy"] is None for line in lines(run)] == [True, True, False]
    assert "readout" not in result and result["epochs"] == 3


def test_an_output_that_nobody_trains_is_refused(make: Maker, make_run: Maker) -> None:
    plain = {group: value for group, value in LOCAL.items() if group != "readout"}
    with pytest.raises(ConfigurationError, match="readout=joint: rule=per_layer leaves the output layer as it is; say"):
        fit(make_run(**plain))
    with pytest.raises(ConfigurationError, match=r"readout=.*: must be one that leaves weights"):
        make_run(**plain, readout={"name": "nearest"})
    with pytest.raises(ConfigurationError, match=r"train\.order=greedy: rule=contrast needs all layers at once"):
        make_run(train={"order": "greedy"})


def test_an_output_that_takes_no_decoder_is_refused_before_anything_is_written(make_run: Maker) -> None:
    run = make_run(model={"name": "mlp", "sizes": []}, readout={"name": "ridge"})
    with pytest.raises(ConfigurationError, match="readout: needs one dense coupling with bias"):
        fit(run)
    assert not run.folder.exists()


def test_a_read_out_may_follow_learning_with_feedback(make_run: Maker) -> None:
    """Dual propagation trains all layers; then the output is fitted anew, by ridge regression."""
    run = make_run(readout={"name": "ridge"}, train={"epochs": 1})
    result = fit(run)
    assert result["readout"]["name"] == "ridge" and lines(run)[0]["train_accuracy"] is not None


def test_measuring_the_angle_leaves_the_statistics_of_a_normalization(
    make_run: Maker, final_tensors: Callable[[Run], bytes]
) -> None:
    """Back-propagation learns through them, and the probe asks it for a gradient: with or without, one run."""
    runs = [
        make_run(f"probe{every}", model=NET, settler={"name": "backprop"}, train={"epochs": 2, "probe_every": every})
        for every in (0, 1)
    ]
    for run in runs:
        fit(run)
    assert final_tensors(runs[0]) == final_tensors(runs[1])
    assert lines(runs[1])[0]["cosine_whole"] is not None


# accidents


def test_norms_that_diverge_stop_the_run_before_the_update(make: Maker) -> None:
    """Hebb's rule doubles by many orders of magnitude a step: the saved weights are the last that were finite."""
    run = make(rule={"name": "hebb", "rate": 1e12}, train={"check_every": 1000})
    with pytest.raises(NonFinite, match=r"step \d+: .*not finite.*no update was made from it"):
        fit(run)
    (path,) = (run.folder / FAILED).glob("step-*")
    saved, _ = checkpoint.read(path)
    assert all(t.isfinite().all() for name, t in saved.items() if "filters." in name)
    assert not (run.folder / "result.json").exists()


def test_a_huge_rate_of_a_scaled_rule_never_leaves_a_number_that_is_none(make: Maker) -> None:
    run = make(rule={"name": "softhebb", "rate": 1e30}, train={"epochs": 1, "probe_every": 0})
    try:
        fit(run)
    except NonFinite:
        (path,) = (run.folder / FAILED).glob("step-*")
        saved, _ = checkpoint.read(path)
        assert all(t.isfinite().all() for name, t in saved.items() if "filters." in name)
    else:
        assert all(t.isfinite().all() for t in weights(run).values())


def test_a_rank_beyond_the_neurons_is_named(make: Maker) -> None:
    with pytest.raises(ValueError, match="rank=9: there are 5 neurons that compete"):
        fit(make(rule={"name": "krotov_hopfield", "rank": 9}))


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_precisions(make: Maker, precision: str) -> None:
    run = make(precision=precision, train={"epochs": 1})
    fit(run)
    assert all(t.isfinite().all() for t in weights(run).values())
    assert weights(run)["couplings.0.filters.weight"].dtype == run.precision.weight


def test_the_scores_of_a_read_out_are_not_rounded_with_the_activities(make: Maker) -> None:
    """In bfloat16, what is tested is the fitted weights on the features in float32."""
    run = make(precision="bfloat16")
    fit(run)
    _, network, _ = load_run(run.folder)
    x, _ = run.data.load("cpu", run.seed, torch.bfloat16).test.take(slice(0, 8))
    found = predict(run, network, x, Ledger()).output
    dense = dense_output(network)
    assert dense.bias is not None
    expected = batch_features(network, run.settler, x, Ledger()).float() @ dense.weight.T + dense.bias
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
