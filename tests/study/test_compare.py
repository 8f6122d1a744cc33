"""The comparison: same network, same data, same order; its table against the records it stands on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energy.component import ConfigurationError, from_dict, to_dict
from energy.feedback import KolenPollack, Sign
from energy.io.record import FINAL
from energy.plots.comparison import draw_comparison
from energy.plots.curves import draw_curves
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, Dyadic, EquilibriumPropagation
from energy.settle.two_phase import PhaseContrast, TwoPhase
from energy.study.compare import Comparison, compare, entrant_runs, entrants
from energy.study.report import accuracy_differences, report_text
from energy.study.statistics import sample_statistics
from energy.train.registration import register_builtins

pytestmark = pytest.mark.usefixtures("one_thread")


def _comparison(folder: Path, **changes: Any) -> Comparison:
    register_builtins()
    plain = {
        "model": {"name": "mlp", "sizes": [10], "hidden": "hard_sigmoid"},
        "data": {"name": "digits", "limit": 100},
        "train": {"epochs": 1, "batch_size": 20, "progress": False, "probe_batch": 8, "weights": "last"},
        "settlers": ["backprop", "dual_propagation beta=0.01"],
        "seeds": [0, 1],
        "timing_rounds": 3,
        "out": str(folder),
        **changes,
    }
    return from_dict(Comparison, plain, path="")


def test_described_and_built_again(tmp_path: Path) -> None:
    comparison = _comparison(tmp_path)
    assert from_dict(Comparison, json.loads(json.dumps(to_dict(comparison))), path="") == comparison


def test_entries_are_settlers_with_fields(tmp_path: Path) -> None:
    found = entrants(
        _comparison(
            tmp_path,
            settlers=[
                "backprop",
                "centered: two_phase kind=centered beta=0.05 relax.max_steps=30",
                "ep: equilibrium_propagation relax=zebra relax.tolerance=1e-4 optimizer.lr=0.5",
            ],
        )
    )
    assert [entrant.label for entrant in found] == ["backprop", "centered", "ep"]
    assert found[0].settler == Backprop()
    two_phase, ep = found[1].settler, found[2].settler
    assert isinstance(two_phase, TwoPhase)
    assert (two_phase.kind, two_phase.beta, two_phase.relax.max_steps) == (PhaseContrast.CENTERED, 0.05, 30)
    assert isinstance(ep, EquilibriumPropagation)
    assert (ep.relax.name, ep.relax.tolerance) == ("zebra", 1e-4)
    assert found[2].changes["optimizer"].lr == 0.5


def test_entries_may_choose_the_wires_that_carry_the_difference(tmp_path: Path) -> None:
    settlers = [
        "sign: dual_propagation feedback=sign",
        "half: dual_propagation settler.feedback=sign settler.feedback.sign_agreement=.75",
        "kp: equilibrium_propagation feedback.name=kolen_pollack optimizer.weight_decay=0.1",
    ]
    found = entrants(_comparison(tmp_path, settlers=settlers))
    feedback_weight = [entrant.settler.feedback for entrant in found if isinstance(entrant.settler, Dyadic)]
    assert feedback_weight == [Sign(), Sign(sign_agreement=0.75), KolenPollack()]
    assert found[2].changes["optimizer"].weight_decay == 0.1


def test_runs_differ_in_settler_and_seed_alone(tmp_path: Path) -> None:
    comparison = _comparison(tmp_path)
    plain = [to_dict(run) for entrant in entrants(comparison) for run in entrant_runs(comparison, entrant)]
    assert len(plain) == 4
    for one in plain:
        for name in ("settler", "seed", "title", "out"):
            del one[name]
    assert all(one == plain[0] for one in plain)


@pytest.mark.parametrize(
    ("settlers", "said"),
    [
        (["dual_propagation betta=0.1"], "betta: unknown field; did you mean 'beta'"),
        (["dual_propagatoin"], "did you mean 'dual_propagation'"),
        (["dual_propagation beta=nan"], "beta"),
        (["backprop", "backprop"], "called 'backprop'"),
        (["dual_propagation feedback=sing"], r"feedback=sing: unknown; did you mean 'sign'"),
        (["dual_propagation feedback=random feedback.sign_agreement=1"], "feedback.sign_agreement: unknown field"),
        (["backprop feedback=sign"], "feedback: unknown field"),
        (["backprop fast"], "must read"),
        ([""], "must read"),
        (["backprop seed=3"], "seed: unknown field"),
        (["backprop device=cpu"], "only parts of the run"),
        ([], "at least one settler"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path: Path, settlers: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        _comparison(tmp_path / "out", settlers=settlers)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("comparison")
    text = compare(_comparison(folder, settlers=["backprop", "dual_propagation beta=0.01", "feedforward"]))
    return folder, text, json.loads((folder / "compare.json").read_text())


def test_numbers_are_those_of_the_records(report: tuple[Path, str, dict[str, Any]]) -> None:
    folder, _, found = report
    for row in found["rows"]:
        results = [json.loads((folder / row["label"] / f"seed-{seed}" / "result.json").read_text()) for seed in (0, 1)]
        values = [result["test_accuracy"] for result in results]
        assert row["test_accuracy"]["values"] == values
        assert row["test_accuracy"]["mean"] == pytest.approx(np.mean(values))
        assert row["test_accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))


def test_differences_are_those_of_the_records_seed_by_seed(report: tuple[Path, str, dict[str, Any]]) -> None:
    folder, text, found = report
    accuracy = {
        label: [
            json.loads((folder / label / f"seed-{seed}" / "result.json").read_text())["test_accuracy"]
            for seed in (0, 1)
        ]
        for label in ("backprop", "dual_propagation", "feedforward")
    }
    paired = found["paired"]
    assert paired["reference"] == "backprop" and paired["differences"]["backprop"] is None
    for label in ("dual_propagation", "feedforward"):
        known = paired["differences"][label]
        assert known["seeds"] == [0, 1] and known["smallest_p"] == 0.5
        assert known["differences"] == list(np.subtract(accuracy[label], accuracy["backprop"]))
        line = next(line for line in text.splitlines() if line.startswith(f"| {label} "))
        assert line.split("|")[3].strip().startswith(f"{known['mean']:+z.2f}")
    means = {label: np.mean(values) for label, values in accuracy.items()}
    assert means[paired["within_noise"][0]] == max(means.values())
    assert "difference to backprop" in text and "Within noise of" in text


def _row(label: str, accuracies: dict[int, float], name: str = "feedforward") -> dict[str, Any]:
    values = list(accuracies.values())
    stats = sample_statistics(values) if values else None
    return {"label": label, "settler": {"name": name}, "seeds": list(accuracies), "test_accuracy": stats}


def test_differences_of_constructed_accuracies() -> None:
    """The second of two back-propagations is no reference; a seed that one did not finish is left out."""
    rows = [
        _row("first", {0: 90.0, 1: 91.0, 2: 92.0}),
        _row("bp", {0: 89.0, 1: 90.5, 2: 91.75}, "backprop"),
        _row("short", {1: 95.5}),
        _row("failed", {}),
        _row("other bp", {0: 50.0, 1: 51.5, 2: 52.75}, "backprop"),
    ]
    found = accuracy_differences(rows)
    assert found["reference"] == "bp"
    known = found["differences"]
    assert known["first"]["differences"] == [1.0, 0.5, 0.25] and known["short"]["differences"] == [5.0]
    assert known["failed"] is None and known["other bp"]["differences"] == [-39.0] * 3
    assert found["within_noise"][:2] == ["short", "first"]  # one shared seed tells nothing apart
    assert (found["closest"]["first"], found["closest"]["second"]) == ("first", "bp")
    assert accuracy_differences([rows[0], rows[2]])["reference"] == "first"


def _written(rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """A `compare.json` of rows that have an accuracy and nothing else."""
    nothing = dict.fromkeys(["backprop_steps", "time_ratio", "peak_bytes"]) | {"outcomes": {}, "failures": []}
    nothing |= {f"cosine_{what}_{when}": None for what in ("worst", "whole") for when in ("initial", "trained")}
    full = [{**row, **nothing, "sweeps": dict.fromkeys(["mean", "p95", "max"])} for row in rows]
    report = {"title": "constructed", "rows": full, "paired": accuracy_differences(rows)}
    (folder / "compare.json").write_text(json.dumps(report))
    return report


def test_the_sentence_below_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of 1, 2, 3 have d_z = 2, for which five seeds do: the power of four is 0.73, that of five 0.91."""
    monkeypatch.setenv("COLUMNS", "400")
    rows = [_row("a", {0: 91.0, 1: 92.0, 2: 93.0}), _row("b", {0: 90.0, 1: 90.0, 2: 90.0})]
    _written(rows, tmp_path)
    text = report_text(tmp_path)
    assert "Within noise of a, the best mean: b" in text and "a and b, the closest two (+2.00), take 5 seeds" in text
    assert "-2.00 (-4.48 to +0.48)" in text  # 2 ∓ 4.3027/√3


def test_a_record_without_differences_is_shown_as_before(tmp_path: Path) -> None:
    report = _written([_row("a", {0: 91.0}), _row("b", {0: 90.0})], tmp_path)
    assert "difference" in report_text(tmp_path) and "reference" in report_text(tmp_path)
    del report["paired"]
    (tmp_path / "compare.json").write_text(json.dumps(report))
    assert "difference" not in report_text(tmp_path) and "91.00" in report_text(tmp_path)


def test_prices(report: tuple[Path, str, dict[str, Any]]) -> None:
    rows = {row["label"]: row for row in report[2]["rows"]}
    assert rows["backprop"]["time_ratio"] == 1.0 and rows["backprop"]["time_ratio_interval"] == [1.0, 1.0]
    low, high = rows["feedforward"]["time_ratio_interval"]
    assert low <= rows["feedforward"]["time_ratio"] <= high
    assert rows["backprop"]["backprop_steps"] == rows["dual_propagation"]["backprop_steps"] == 1.0
    assert rows["dual_propagation"]["timed_backprop_steps"] == 1.0
    forward, top, every = 64 * 10 + 10 * 10, 10 * 10, 3 * (64 * 10 + 10 * 10) - 64 * 10
    assert rows["feedforward"]["backprop_steps"] == pytest.approx((forward + top) / every)
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 0 for row in rows.values())


def test_angles(report: tuple[Path, str, dict[str, Any]]) -> None:
    rows = {row["label"]: row for row in report[2]["rows"]}
    assert rows["backprop"]["cosine_worst_trained"]["mean"] == pytest.approx(1.0, abs=1e-6)
    assert rows["dual_propagation"]["cosine_worst_trained"]["mean"] > 0.999
    assert rows["feedforward"]["cosine_whole_trained"]["mean"] < 0.999


def test_the_table_says_what_it_stands_on(report: tuple[Path, str, dict[str, Any]]) -> None:
    folder, text, found = report
    assert text == (folder / "compare.md").read_text()
    assert found["torch"] in text
    assert "median" in text
    assert found["memory"] in text
    assert {"commit", "device_name", "seeds", "units", "comparison"} <= set(found)
    head = next(line for line in text.splitlines() if line.startswith("| settler"))
    for row in found["rows"]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['label']} "))
        assert line.count("|") == head.count("|")


def test_a_second_comparison_trains_nothing_again(report: tuple[Path, str, dict[str, Any]]) -> None:
    folder, _, found = report
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    compare(from_dict(Comparison, found["comparison"], path=""))
    again = json.loads((folder / "compare.json").read_text())
    assert weights == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    for one, other in zip(again["rows"], found["rows"], strict=True):
        assert one["test_accuracy"] == other["test_accuracy"]
        before, after = other["cosine_worst_trained"], one["cosine_worst_trained"]
        assert after["values"] == pytest.approx(before["values"], abs=1e-12)  # sums may differ by where tensors lie


def test_seeds_begin_with_the_same_weights_under_every_settler(report: tuple[Path, str, dict[str, Any]]) -> None:
    comparison = from_dict(Comparison, report[2]["comparison"], path="")
    first, second, _ = entrants(comparison)
    for one, other in zip(entrant_runs(comparison, first), entrant_runs(comparison, second), strict=True):
        for a, b in zip(one.network().parameters(), other.network().parameters(), strict=True):
            assert torch.equal(a, b)


def test_settlers_as_objects(tmp_path: Path) -> None:
    compare(_comparison(tmp_path, seeds=[0]), {"half": DualPropagation(beta=0.5), "small": DualPropagation(beta=1e-4)})
    found = json.loads((tmp_path / "compare.json").read_text())
    assert [row["label"] for row in found["rows"]] == ["half", "small"]
    assert found["rows"][0]["settler"]["beta"] == 0.5
    assert found["rows"][0]["time_ratio"] > 0  # over a back-propagation that is not in the table


def test_a_settler_that_fails_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradients are made infinite; the others are trained, measured and shown all the same."""
    real = Contrast.learn

    def planted(self: Contrast, network: Any, *batch: Any) -> Any:
        settled = real(self, network, *batch)
        if settled.solutions:
            next(network.parameters()).grad.fill_(float("inf"))
        return settled

    monkeypatch.setattr(Contrast, "learn", planted)
    text = compare(_comparison(tmp_path, seeds=[0]))
    found = {row["label"]: row for row in json.loads((tmp_path / "compare.json").read_text())["rows"]}
    assert found["dual_propagation"]["test_accuracy"] is None
    assert "not finite" in found["dual_propagation"]["failures"][0]
    assert found["backprop"]["test_accuracy"]["n"] == 1
    assert "no finished run" in text
    assert not (tmp_path / "dual_propagation" / "seed-0" / FINAL).exists()
    assert draw_comparison(json.loads((tmp_path / "compare.json").read_text()), tmp_path / "compare.png").stat().st_size


def test_figures_are_drawn_from_records(report: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    folder, _, found = report
    png = draw_comparison(found, tmp_path / "compare.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    curves = draw_curves({"bp": folder / "backprop" / "seed-0"}, tmp_path / "curves.svg").read_text()
    assert "<svg" in curves
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.png", "curves.svg"]
    with pytest.raises(ValueError, match="train first"):
        draw_curves({"none": tmp_path}, tmp_path / "nothing.png")
