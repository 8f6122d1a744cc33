"""The control of contraction in a run: it holds the bound, its record says by how much, and the end of the run too."""

from collections.abc import Callable
from typing import Any

import pytest

from energy.io.record import CONFIGURATION, RECORD, RESULT, read_json, read_lines, write_json
from energy.relax.contraction import ContractBy, loop_gain
from energy.train import fit as page
from energy.train.evaluate import load_run
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
FAMILIES = ("equilibrium_propagation", "two_phase")
BOUND = 0.3


@pytest.fixture
def held(make_run: Maker) -> Callable[..., Run]:
    """``held("two_phase", ContractBy.GAMMA, **train)``: a run whose weights begin and grow beyond the bound."""

    def make(family: str, by: ContractBy, bound: float = BOUND, name: str = "run", **train: Any) -> Run:
        settler = {"name": family, "keep_contracting": bound, "contract_by": by.name.lower()}
        model = {"sizes": [12, 10], "gain": 1.0}
        return make_run(name, settler=settler, model=model, objective={"name": "squared_error"}, train=train)

    return make


@pytest.mark.filterwarnings("ignore::energy.cautions.Caution")
@pytest.mark.parametrize("by", ContractBy)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_is_held_and_the_record_says_how(
    held: Callable[..., Run], family: str, by: ContractBy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = held(family, by, progress=True)
    result = fit(run)
    _, network, _ = load_run(run.folder)
    network.double()
    x = run.data.load("cpu", run.seed).train.take(slice(0, 1))[0].double()
    gamma = run.settler.gain(network)
    gain, _ = loop_gain(network, x, network.activity(x), gamma, steps=300)
    assert gain == pytest.approx(BOUND, rel=0.1)  # the last step moved the weights once more
    lines, whole = [line["control"] for line in read_lines(run.folder / RECORD)], result["control"]
    assert lines[0]["acted_percent"] > 50 and whole["acted_percent"] > 25
    assert result["evaluation"]["gamma"] == gamma
    said = next(line for line in capsys.readouterr().err.splitlines() if "keep_contracting=0.3 acted in" in line)
    if by is ContractBy.GAMMA:
        assert whole["weight_factor"] == 1.0 and 0 < whole["gamma_scale_min"] <= whole["gamma_scale_mean"] < 1
        assert whole["gamma_scale_min"] == min(line["gamma_scale_min"] for line in lines) <= gamma
        assert f"gamma=1 was {whole['gamma_scale_mean']:.3g} on average" in said and f"{gamma:.3g}" in said
    else:
        assert whole["gamma_scale_min"] == whole["gamma_scale_mean"] == gamma == 1.0
        product = lines[0]["weight_factor"] * lines[1]["weight_factor"]
        assert whole["weight_factor"] == pytest.approx(product) and product < 0.9
        assert f"were multiplied by {product:.3g} in all" in said


def test_a_bound_that_is_never_reached_does_nothing(
    held: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    result = fit(held(FAMILIES[0], ContractBy.GAMMA, bound=1e3, progress=True))
    nothing = {"acted_percent": 0.0, "gamma_scale_mean": 1.0, "gamma_scale_min": 1.0, "weight_factor": 1.0}
    assert result["control"] == nothing
    assert "acted in 0 % of the steps: the loop gain stayed below it" in capsys.readouterr().err


def test_a_run_without_it_has_no_word_of_it(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(train={"epochs": 1, "progress": True})
    assert fit(run)["control"] == {} and read_lines(run.folder / RECORD)[0]["control"] == {}
    assert "keep_contracting" not in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::energy.cautions.Caution")
@pytest.mark.parametrize("by", ContractBy)
def test_a_run_that_is_taken_up_in_mid_epoch_says_the_same(
    held: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, by: ContractBy
) -> None:
    whole = held(FAMILIES[0], by, name="whole")
    fit(whole)
    broken = held(FAMILIES[0], by, name="broken")
    monkeypatch.setattr(Impatient, "patience", 3)
    monkeypatch.setattr(page, "Interrupt", Impatient)
    left = 0
    while not (broken.folder / RESULT).exists():
        try:
            fit(broken)
        except Stopped:
            left += 1
    assert left > 2
    for one, other in zip(read_lines(whole.folder / RECORD), read_lines(broken.folder / RECORD), strict=True):
        assert one["control"] == other["control"] and one["settle"] == other["settle"]


def test_a_folder_of_before_is_known_again(held: Callable[..., Run]) -> None:
    """A field that has come since is at its default there; at another value the folder holds another run."""
    run = held(FAMILIES[0], ContractBy.GAMMA, bound=1e3, epochs=1)
    result = fit(run)
    facts = read_json(run.folder / CONFIGURATION)
    for part in ("run", "identity"):
        del facts[part]["settler"]["contract_by"]
    del facts["sha256"]
    write_json(run.folder / CONFIGURATION, facts)
    assert fit(run) == result
    with pytest.raises(ValueError, match=r"there settler\.contract_by='gamma', here 'weights'"):
        fit(held(FAMILIES[0], ContractBy.WEIGHTS, bound=1e3, epochs=1))


def test_the_probe_measures_the_contraction(make_run: Maker) -> None:
    settler = {"name": "equilibrium_propagation"}
    run = make_run(settler=settler, objective={"name": "squared_error"}, train={"epochs": 3, "probe_every": 2})
    fit(run)
    probed, left_out, again = (line["contraction"] for line in read_lines(run.folder / RECORD))
    assert left_out == {}
    for found in (probed, again):
        assert found["gamma"] == 1.0 and 0 <= found["loop_gain"]["median"] <= found["loop_gain"]["max"]
        assert found["steps_taken"]["max"] >= 1 and found["layer"] in {"dense1", "output"}
    plain = make_run("plain", train={"epochs": 1})
    fit(plain)
    assert read_lines(plain.folder / RECORD)[0]["contraction"] == {}  # no feedback


def test_the_probe_changes_no_weight(make_run: Maker, final_tensors: Callable[[Run], bytes]) -> None:
    settler = {"name": "equilibrium_propagation", "keep_contracting": BOUND}
    runs = [
        make_run(f"run{every}", settler=settler, objective={"name": "squared_error"}, train={"probe_every": every})
        for every in (0, 1)
    ]
    for run in runs:
        fit(run)
    assert final_tensors(runs[0]) == final_tensors(runs[1])
