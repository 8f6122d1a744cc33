"""The numbers of a point: hand counts, closed forms, and what must hold at an equilibrium."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from energy.relax import Flow, Sweep, Synchronous, Zebra
from energy.settle import EquilibriumPropagation
from energy.study.inference.cases import digest, measure_cases
from energy.study.inference.exact import Polished, exact_gradient, onward, worst
from energy.study.inference.networks import Networks
from energy.study.inference.study import points
from tests.study.inference.small import Maker

EP = "EP: equilibrium_propagation keep_contracting=0"
FINE: dict[str, Any] = {"precision": "float64"}


def found(study: Any) -> list[dict[str, Any]]:
    return [one for _, one in measure_cases(study, Networks(torch.device("cpu")), points(study))]


@pytest.fixture
def counted(study_of: Maker) -> Any:
    """``counted(entry)``: the multiply-adds of one step in BP steps, and U₁/U and (U − U₁)/U of the network."""

    def count(entry: str, **changes: Any) -> tuple[float, float]:
        study = study_of(settlers=[entry], **changes)
        (point,) = points(study)
        network = Networks(torch.device("cpu")).network(point)
        every = sum(edge.multiply_adds for edge in network.edges)
        first = sum(edge.multiply_adds for edge in network.edges if edge.source == 0)
        return found(study)[0]["measures"]["backprop_steps"], first / every

    return count


TWO = "two_phase keep_contracting=0 relax.tolerance=0 nudged.tolerance=0"


@pytest.mark.parametrize(("relax", "free", "nudged"), [("zebra", 60, 20), ("synchronous", 250, 30), ("zebra", 3, 1)])
@pytest.mark.parametrize("kind", ["centered", "positive"])
def test_published_recipes_cost_what_a_hand_counts(counted: Any, relax: str, free: int, nudged: int, kind: str) -> None:
    """A bottom-up pass U; each step sends along every edge but the first up and down; ∂E/∂θ costs U in each phase.

    Centered: U + 2(T + 2K)(U − U₁) + 2U; one-sided: U + 2(T + K)(U − U₁) + 2U.
    """
    relaxing = f"relax={relax} relax.max_steps={free} nudged={relax} nudged.max_steps={nudged}"
    text = f"recipe: {TWO.replace('relax.tolerance=0 nudged.tolerance=0', '')} kind={kind} {relaxing} "
    price, first = counted(f"{text} relax.tolerance=0 nudged.tolerance=0", blocks=[{}])
    steps = free + nudged * (2 if kind == "centered" else 1)
    assert price == pytest.approx((3 + 2 * steps * (1 - first)) / (3 - first), rel=1e-12)


def test_dual_propagation_costs_what_back_propagation_does(counted: Any) -> None:
    assert counted("DP: dual_propagation", blocks=[{}])[0] == 1.0
    assert counted("BP: backprop", blocks=[{}])[0] == 1.0


def test_an_equilibrium_has_no_residual_no_gap_and_the_exact_gradient(study_of: Maker) -> None:
    tight = "relax.tolerance=1e-13 relax.max_steps=400 nudged.tolerance=1e-13 nudged.max_steps=400"
    entries = [f"{EP} beta=1e-6 {tight}", f"joint: equilibrium_propagation freeze_mean=false beta=1e-6 {tight}"]
    for one in found(study_of(settlers=entries, **FINE)):
        assert one["measures"]["outcome"] == "converged"
        assert one["measures"]["cosine_worst"] == pytest.approx(1, abs=1e-9)
        assert max(one["samples"]["residual"]) < 1e-12
        assert max(abs(gap) for gap in one["samples"]["energy_gap"]) < 1e-12
        assert {len(one["samples"][name]) for name in ("residual", "energy_gap")} == {6}


def test_more_sweeps_lower_the_energy_and_never_pass_its_minimum(study_of: Maker) -> None:
    """Without momentum a sweep minimizes block by block."""
    vary = [f"budget={','.join(f'{n}+1' for n in (1, 2, 4, 8, 16, 32))}"]
    study = study_of(settlers=[f"{EP} relax.momentum=0"], blocks=[{"vary": vary}], **FINE)
    gaps = torch.tensor([one["samples"]["energy_gap"] for one in found(study)])
    assert (gaps.diff(dim=0) <= 1e-12).all()
    assert (gaps >= -1e-7).all()  # the minimum itself is known to a tolerance
    assert (gaps[0] > 1e-4).all()


def test_residuals_are_those_of_the_layers(study_of: Maker) -> None:
    """After a bottom-up pass alone, as at γ = 0, every layer is its response; after one sweep at γ = 1 none need be."""
    dp, ep = found(study_of(settlers=["DP: dual_propagation beta=1e-9", EP], blocks=[{"vary": ["budget=1+1"]}], **FINE))
    assert set(ep["layers"]) == {"dense1", "dense2", "output"}
    whole = max(layer["residual_p95"] for layer in ep["layers"].values())
    assert max(ep["samples"]["residual"]) >= whole > 1e-6
    assert all(layer["residual_median"] <= layer["residual_p95"] for layer in ep["layers"].values())
    assert dp["samples"]["energy_gap"] == [], "at γ = 0 there is no energy of all layers"


def test_the_cosine_of_a_sample_is_that_of_the_sample_alone(study_of: Maker) -> None:
    blocks = [{"vary": ["batch=1,3", "budget=2+1"], "measure": ["gradient", "samples"]}]
    alone, three = found(study_of(settlers=[EP], blocks=blocks, **FINE))
    assert alone["samples"]["cosine"] == pytest.approx([alone["measures"]["cosine_whole"]], rel=1e-9)
    assert three["samples"]["cosine"][0] == pytest.approx(alone["samples"]["cosine"][0], rel=1e-9)
    assert len(three["samples"]["cosine"]) == 3


def test_measuring_changes_neither_weights_nor_gradients(study_of: Maker) -> None:
    study, networks = study_of(blocks=[{"measure": ["gradient", "spectrum", "samples"]}]), Networks(torch.device("cpu"))
    (first, _) = points(study)
    network = networks.network(first)
    before = digest(torch.cat([p.flatten() for p in network.parameters()]))
    list(measure_cases(study, networks, points(study)))
    assert digest(torch.cat([p.flatten() for p in network.parameters()])) == before
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    "relax", [Zebra(), Synchronous(damping=0.5), Flow(), Sweep(momentum=0.9)], ids=lambda r: r.name
)
def test_every_relaxation_is_judged_by_the_same_gradient_where_there_is_one_equilibrium(
    study_of: Maker, relax: Any
) -> None:
    study = study_of(settlers=[EP], model={"gain": 0.2}, **FINE)
    networks, (point,) = Networks(torch.device("cpu")), points(study)
    network, batch = networks.network(point), networks.batch(point)
    given = [
        exact_gradient(network, EquilibriumPropagation(relax=one), batch, study.objective)
        for one in (relax, Sweep(tolerance=1e-12))
    ]
    assert {outcome for one in given for outcome in one.outcomes.values()} == {"converged"}
    for one, other in zip(given[0].gradient, given[1].gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_slow_relaxation_is_run_on_and_then_polished() -> None:
    judge = onward(EquilibriumPropagation(relax=Flow(max_steps=3, tolerance=0.1)), torch.float32)
    assert isinstance(judge.relax, Polished)
    assert isinstance(judge.relax.inner, Flow)
    again = onward(EquilibriumPropagation(relax=Flow(max_steps=9, tolerance=0.0)), torch.float32)
    assert judge == again, "one judge for all budgets and tolerances"


def test_outcomes_are_ranked() -> None:
    assert worst({}) == "none"
    assert worst({"free": "converged", "nudged": "fixed"}) == "fixed"
    assert worst({"free": "budget", "nudged": "diverged"}) == "diverged"


def test_the_law_is_measured_where_it_is_asked_for(study_of: Maker) -> None:
    """A linear chain settled by zebra contracts by ρ² of its linearized response (Young 1971)."""
    study = study_of(
        settlers=[f"{EP} relax=zebra relax.tolerance=1e-12 relax.max_steps=300 relax.check_every=1"],
        model={"hidden": {"name": "identity"}, "gain": 0.3},
        blocks=[{"measure": ["gradient", "spectrum"]}],
        **FINE,
    )
    measures = found(study)[0]["measures"]
    assert measures["rate_predicted"] == pytest.approx(measures["loop_gain"], rel=1e-6)
    assert measures["rate_measured"] == pytest.approx(measures["loop_gain"], rel=0.1)
