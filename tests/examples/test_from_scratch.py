"""The pages of `examples/from_scratch` give the gradients and updates of the toolkit, to 1e-12 in float64."""

from __future__ import annotations

import ast
import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.component import from_dict
from energy.couplings import Dense
from energy.feedback import Feedback
from energy.network import Network
from energy.potentials import HardSigmoid, ReLU, Sigmoid
from energy.relax.dyad import NudgeForm
from energy.rules import Contrast, SoftHebb, Variant
from energy.settle import (
    ContrastiveHebbian,
    DualPropagation,
    EquilibriumPropagation,
    Settler,
    TwoPhase,
    TwoPhaseContrastiveHebbian,
)
from energy.settle.spiking import Spiking
from energy.settle.two_phase import PhaseContrast
from tests.rules.populations import population
from tests.settle import nets
from tests.spiking import oracle

FOLDER = Path(__file__).parents[2] / "examples" / "from_scratch"
FLOORS = {  # test accuracy in percent; a linear classifier reaches the nineties on these digits, chance is ten
    "contrastive_hebbian": 92.0,
    "dual_propagation": 90.0,
    "equilibrium_propagation": 93.0,
    "softhebb": 94.0,
    "spiking": 92.0,
}
SIZES = ((6, 5, 3), (6, 7, 5, 3), (6, 7, 5, 4, 3))
SEEDS = (0, 1, 2)
SETTLED = 600  # sweeps, to rounding on the contracting networks below


def page(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"from_scratch_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def layers(network: Network) -> list[tuple[Tensor, Tensor]]:
    """Copies of (W_k, b_k), from the bottom up."""
    found = [edge.coupling for edge in network.edges]
    assert all(isinstance(coupling, Dense) for coupling in found)
    return [(one.get_parameter("weight").detach().clone(), one.get_parameter("bias").detach().clone()) for one in found]


def ours(settler: Settler, network: Network, x: Tensor, y: Tensor, objective: Any) -> list[Tensor]:
    return Contrast().gradients(network, settler.settle(network, x, y, objective))


def same(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Equal to 1e-12 of the greatest entry, tensor by tensor, and nothing compared is zero."""
    for one, other in zip(found, wanted, strict=True):
        assert float(other.abs().max()) > 1e-6
        assert float((one - other).abs().max()) < 1e-12 * max(1.0, float(other.abs().max()))


def test_the_folder_has_the_pages_that_are_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(FLOORS)


@pytest.mark.parametrize("name", FLOORS)
def test_a_page_is_short_and_does_not_know_the_toolkit(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert 40 <= len(text.splitlines()) <= 70
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported == {"sklearn", "torch"}


@pytest.mark.parametrize("name", FLOORS)
def test_main_learns(name: str) -> None:
    assert page(name).main() >= FLOORS[name]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", SIZES, ids=len)
def test_dual_propagation(sizes: Sequence[int], seed: int) -> None:
    network = nets.mlp(ReLU(), sizes=sizes, gain=1.4, seed=seed)
    x, y = nets.batch(network, samples=5, seed=seed)
    for beta, alpha, form in itertools.product((1.0, 0.1), (0.0, 0.3, 0.5, 1.0), NudgeForm):
        r_plus = alpha if form is NudgeForm.SADDLE else 1 - alpha
        if (1 - r_plus) * beta >= 1:
            continue  # there the proximal step of s⁻ has no minimum
        found = page("dual_propagation").gradients(layers(network), x, y, beta, alpha, r_plus)
        settler = DualPropagation(beta=beta, alpha=alpha, form=form)
        same(found, ours(settler, network, x, y, nets.PROXIMAL))


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", SIZES, ids=len)
def test_equilibrium_propagation(sizes: Sequence[int], seed: int) -> None:
    """Three kinds of two phases; and the centered one as the toolkit's dyad, which never forms a difference."""
    network = nets.mlp(HardSigmoid(), sizes=sizes, seed=seed, norm=0.45)
    for edge in network.edges[:-1]:
        edge.coupling.get_parameter("bias").data += 0.5  # away from the bounds, where nothing is learned
    x, y = nets.batch(network, samples=5, seed=seed)
    for beta in (0.5, 0.1):
        betas = {
            PhaseContrast.POSITIVE: (0.0, beta),
            PhaseContrast.NEGATIVE: (-beta, 0.0),
            PhaseContrast.CENTERED: (-beta, beta),
        }
        found: list[Tensor] = []
        for kind, pair in betas.items():
            found = page("equilibrium_propagation").gradients(layers(network), x, y, pair, SETTLED)
            same(
                found,
                ours(TwoPhase(beta=beta, kind=kind, relax=nets.FIXED, nudged=nets.FIXED), network, x, y, nets.PROXIMAL),
            )
        dyad = EquilibriumPropagation(beta=2 * beta, freeze_mean=False, relax=nets.FIXED, nudged=nets.FIXED)
        same(found, ours(dyad, network, x, y, nets.PROXIMAL))


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", SIZES, ids=len)
def test_contrastive_hebbian(sizes: Sequence[int], seed: int, gamma: float) -> None:
    network = nets.mlp(Sigmoid(), sizes=sizes, seed=seed, output=Sigmoid(), norm=1.5)
    x, y = nets.batch(network, samples=5, seed=seed)
    updates = page("contrastive_hebbian").updates(layers(network), x, y, gamma, SETTLED)
    found = [-change for change in updates]
    same(
        found,
        ours(TwoPhaseContrastiveHebbian(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED), network, x, y, nets.LIVE),
    )
    if gamma == 1:
        same(found, ours(ContrastiveHebbian(relax=nets.FIXED, nudged=nets.FIXED), network, x, y, nets.LIVE))


@pytest.mark.parametrize("variant", [Variant.SOFT, Variant.SOFTKROTOV])
@pytest.mark.parametrize("seed", SEEDS)
def test_softhebb(seed: int, variant: Variant) -> None:
    layer, deep = population("dense", seed=seed), variant is Variant.SOFTKROTOV
    weight, module = layer.filters.weight.detach().clone(), page("softhebb")
    for temperature, rate, exponent in ((1.0, 0.1, 0.5), (0.3, 0.02, 0.75)):
        rule = SoftHebb(variant=variant, temperature=temperature, rate=rate, exponent=exponent)
        delta = module.change(weight, layer.x, temperature, deep=deep)
        same([delta], layer.update(rule))
        rule.apply(layer.network, layer.settle())
        assert layer.filters.weight.grad is not None
        same([module.step(weight, delta, rate, exponent)], [-layer.filters.weight.grad])


@pytest.mark.parametrize("kind", ["sign", "tied", "random"])
@pytest.mark.parametrize("seed", SEEDS)
def test_spiking(seed: int, kind: str) -> None:
    network, feedback = oracle.dense(seed=seed, bias=False), from_dict(Feedback, kind)
    feedback_weight = oracle.wired(network, feedback)
    weights = [edge.coupling.get_parameter("weight").detach() for edge in network.edges]
    x, y = oracle.batch(network, seed=seed)
    module = page("spiking")
    wanted = torch.stack([(1 - module.DECAY**t) * y for t in range(module.STEPS)])
    shown = x.expand(module.STEPS, -1, -1)
    for beta in (1.0, 0.1):
        _, *found = module.credit(
            weights, [feedback_weight.get(k, w) for k, w in enumerate(weights)], shown, wanted, beta
        )
        same(found, oracle.gradients(Spiking(beta=beta, feedback=feedback), network, x, y))
