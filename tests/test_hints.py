"""Who misspells a name is told the one that was meant, and nothing where nothing is near."""

from collections.abc import Mapping, Sequence

import pytest

from energy.command.catalog import load_all
from energy.component import ConfigurationError, choices, from_dict
from energy.hints import elsewhere, hint, meant, nearest
from energy.settle.settler import Settler
from energy.train.run import Run

SETTLERS = ["backprop", "contrastive_hebbian", "dual_propagation", "equilibrium_propagation", "spiking", "two_phase"]
CHOSEN = {"model": "mlp", "data": "digits", "settler": "dual_propagation", "optimizer": "sgd", "readout": "joint"}
TREE: dict[str, dict[str, list[str]]] = {
    "run": {"optimizer": ["sgd", "adam"], "settler": ["ep"], "seed": []},
    "sgd": {"lr": [], "momentum": []},
    "adam": {"lr": [], "beta": []},
    "ep": {"relax": ["sweep"], "beta": []},
    "sweep": {"tolerance": []},
}


@pytest.mark.parametrize(
    ("slip", "intended"),
    [
        ("ep", "equilibrium_propagation"),
        ("EqProp", "equilibrium_propagation"),
        ("dp", "dual_propagation"),
        ("dual-prop", "dual_propagation"),
        ("chl", "contrastive_hebbian"),
        ("bp", "backprop"),
        ("backpropagation", "backprop"),
        ("bakprop", "backprop"),
        ("dual", "dual_propagation"),
        ("equilibirum_propagation", "equilibrium_propagation"),
        ("hebbian", "contrastive_hebbian"),
        ("pc", ""),
        ("holomorphic", ""),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_slips_and_nonsense(slip: str, intended: str) -> None:
    assert nearest(slip, SETTLERS) == intended


@pytest.mark.parametrize(
    ("usual", "name"), [("mse", "squared_error"), ("ce", "cross_entropy"), ("xent", "cross_entropy")]
)
def test_usual_names_of_objectives(usual: str, name: str) -> None:
    assert meant(usual, ["cross_entropy", "squared_error"]) == f"; did you mean {name!r}?"


def test_nothing_near_makes_no_guess() -> None:
    assert meant("nosuch", SETTLERS) == ""
    assert hint("nosuch", ["b", "a"]) == "known: a, b"
    assert hint("nosuch", []) == "there is none"


def _below(node: str) -> Mapping[str, Sequence[str]]:
    return TREE.get(node, {})


@pytest.mark.parametrize(
    ("field", "paths"),
    [
        ("lr", ["optimizer.lr"]),
        ("learning_rate", ["optimizer.lr"]),
        ("beta", ["optimizer.beta", "settler.beta"]),
        ("tolerance", ["settler.relax.tolerance"]),
        ("momentun", ["optimizer.momentum"]),
        ("seed", []),
        ("zzz", []),
    ],
)
def test_a_field_is_found_where_it_stands(field: str, paths: list[str]) -> None:
    assert elsewhere(field, "run", _below) == paths


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("lr", "'optimizer.lr'"),
        ("epochs", "'train.epochs'"),
        ("beta", "'settler.beta'"),
        ("batch_size", "'train.batch_size'"),
        ("hidden", "'model.hidden'"),
        ("tolerance", "'settler.relax.tolerance' or 'settler.nudged.tolerance'"),
    ],
)
def test_a_run_says_where_its_fields_are(field: str, path: str) -> None:
    load_all()
    with pytest.raises(ConfigurationError) as caught:
        from_dict(Run, {**CHOSEN, field: 1}, path="")
    assert str(caught.value).startswith(f"{field}: unknown field; did you mean {path}?")


def test_what_is_chosen_is_looked_into_first() -> None:
    load_all()
    plain = {**CHOSEN, "optimizer": "adam", "beta1": 0.5}
    with pytest.raises(ConfigurationError, match=r"^beta1: unknown field; did you mean 'optimizer.beta1'\?"):
        from_dict(Run, plain, path="")


def test_every_usual_name_leads_to_one_that_exists() -> None:
    load_all()
    assert {nearest(one, choices(Settler)) for one in ("ep", "dp", "chl", "bp", "bptt", "cl", "ff")} == {
        "equilibrium_propagation",
        "dual_propagation",
        "contrastive_hebbian",
        "backprop",
        "surrogate_backprop",
        "coupled_learning",
        "feedforward",
    }
