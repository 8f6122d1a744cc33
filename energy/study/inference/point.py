"""One point of a study: a network with its weights, a settler with its relaxations, and a batch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from energy.component import Component, ConfigurationError, annotations, from_dict, to_dict
from energy.data.dataset import DataSet
from energy.hints import hint
from energy.model import Model
from energy.objectives import Objective
from energy.relax.relaxation import Relaxation
from energy.rules.rule import Rule
from energy.settle.settler import Settler
from energy.study.inference.block import Quantity, Variation, put
from energy.train.run import Precision, Run, hash_of_description, identity

PROTOCOL: Final = "inference-cost/1"
PARTS: Final[dict[str, type[Component]]] = {
    "model": Model,
    "data": DataSet,
    "settler": Settler,
    "objective": Objective,
    "rule": Rule,
}
WHOLE: Final = ("gain", "batch", "precision", "budget", "tolerance")
PHASES: Final = ("relax", "nudged")
MOST: Final = 300  # steps of a solve to a tolerance that a study varies


@dataclass(frozen=True)
class PlannedPoint:
    """One point of a study.

    Attributes:
        label: of the settler, as the study calls it.
        setting: model (its gain as the training's), data, settler, objective, rule.
        gain: the factor on the initial weights.
        batch: samples.
        precision: of activities and weights.
        seed: of weights and batch.
        age: epochs of training.
        training: the run that trains the weights; None at age 0.
        blocks: the blocks that ask for the point.
        measure: all that they ask for.
    """

    label: str
    setting: Mapping[str, Any]
    gain: float
    batch: int
    precision: Precision
    seed: int
    age: int
    training: Run | None
    blocks: tuple[str, ...]
    measure: frozenset[Quantity]

    @property
    def settler(self) -> Settler:
        """The settler, with its budgets and tolerances."""
        return self.setting["settler"]

    @cached_property
    def weights(self) -> dict[str, Any]:
        """Plain values on which the weights and the images depend."""
        held = {name: to_dict(self.setting[name]) for name in ("model", "data", "objective")}
        trained = None if self.training is None else identity(self.training)
        return {**held, "gain": self.gain, "seed": self.seed, "age": self.age, "training": trained}

    @cached_property
    def key(self) -> str:
        """The name of the point: ten hexadecimal digits of all that its numbers depend on."""
        own = {"settler": to_dict(self.settler), "rule": to_dict(self.setting["rule"])}
        where = {"batch": self.batch, "precision": self.precision.value, "protocol": PROTOCOL}
        return hash_of_description({**self.weights, **own, **where})

    @cached_property
    def group(self) -> str:
        """Return the name of all points on the same weights, images and precision."""
        return hash_of_description({**self.weights, "batch": self.batch, "precision": self.precision.value})

    def joined(self, other: PlannedPoint) -> PlannedPoint:
        """Return this point with the blocks and quantities of another one of the same key."""
        blocks = tuple(dict.fromkeys((*self.blocks, *other.blocks)))
        return replace(self, blocks=blocks, measure=self.measure | other.measure)


def with_variation(plain: dict[str, Any], variation: Variation) -> dict[str, Any]:
    """Return a description of a point with some values changed.

    Args:
        plain: the parts of `PARTS`, `gain`, `batch` and `precision`, as plain values.
        variation: paths and values.

    Raises:
        ConfigurationError: naming a path that is none.
    """
    plain = {name: _copy(value) for name, value in plain.items()}
    for path, value in variation:
        first = path.split(".")[0]
        if first not in PARTS and path not in WHOLE:
            known = [*(f"{name}." for name in PARTS), *WHOLE]
            raise ConfigurationError(f"block.vary: {path!r}: there is no such value; {hint(path, known)}")
        if path == "budget":
            plain["settler"] = with_budget(plain["settler"], str(value))
        elif path == "tolerance":
            plain["settler"] = with_tolerance(plain["settler"], float(value))
        else:
            put(plain, path, value)
    return plain


def with_budget(settler: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """Return a described settler that takes T steps in the free phase and K in each nudged one, from `T+K`.

    Raises:
        ConfigurationError: for a text of another form.

    Example:
        >>> with_budget({"relax": {"name": "sweep"}}, "12+3")
        {'relax': {'name': 'sweep', 'max_steps': 12, 'tolerance': 0.0}}
    """
    counts = budget.split("+")
    if len(counts) != 2 or not all(count.isdigit() and int(count) for count in counts):
        raise ConfigurationError(f"budget={budget!r}: must be T+K, the steps of free and nudged phases, from 1 on")
    steps = zip(PHASES, map(int, counts), strict=True)
    return _relaxing(settler, {phase: {"max_steps": count, "tolerance": 0.0} for phase, count in steps})


def with_tolerance(settler: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """Return a described settler with another tolerance of the free phase, and that of the nudged ones in proportion.

    A phase of a fixed number of steps stays as it is.
    """
    full = to_dict(from_dict(Settler, settler))
    held = {phase: full[phase]["tolerance"] for phase in PHASES if isinstance(full.get(phase), Mapping)}
    scale = tolerance / held["relax"] if held.get("relax") else 1.0
    asked = {"relax": tolerance, "nudged": min(0.5, held.get("nudged", 0.0) * scale)}
    changes = {phase: {"max_steps": MOST, "tolerance": asked[phase]} for phase in held if held[phase]}
    return _relaxing(settler, changes)


def _relaxing(settler: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settler with fields of its relaxations changed, as far as it has them."""
    held = {phase: settler.get(phase) for phase in changes}
    new = {phase: {**one, **changes[phase]} for phase, one in held.items() if isinstance(one, Mapping)}
    return {**settler, **new}


def setting(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Build the parts of a point from their description, without what takes no part: the free phase at γ = 0.

    Raises:
        ConfigurationError: for a combination that its parts do not admit.
    """
    built: dict[str, Any] = {name: from_dict(kind, plain[name], None, name) for name, kind in PARTS.items()}
    settler: Settler = built["settler"]
    if settler.gamma == 0 and settler.rates:  # the bottom-up pass is the equilibrium: no relaxation is run
        built["settler"] = dataclasses.replace(settler, relax=type(settler)().relax)
    output = getattr(built["model"], "output", None)
    built["settler"].validate_nudge(built["objective"], *([output] if output is not None else []))
    return built


def with_gain(model: Model, gain: float) -> Model:
    """Return the model with its initial weights times `gain`.

    Raises:
        ConfigurationError: for a model without a field `gain` or `gains`.
    """
    if gain == 1:
        return model
    fields, plain = annotations(type(model)), to_dict(model)
    if "gains" in fields:
        return dataclasses.replace(model, gains=[gain * one for one in plain["gains"]])
    if "gain" in fields:
        return dataclasses.replace(model, gain=gain * plain["gain"])
    raise ConfigurationError(f"gain={gain:g}: model={model.name} has no gain to scale; vary a field of it instead")


def phases(settler: Settler) -> dict[str, Relaxation]:
    """Return the relaxations that a settler runs: of the free phase (none at γ = 0), and of the nudged ones."""
    found = {phase: getattr(settler, phase, None) for phase in PHASES}
    idle = settler.gamma == 0 and settler.rates
    return {name: one for name, one in found.items() if isinstance(one, Relaxation) and not (idle and name == "relax")}


def axes(point: PlannedPoint) -> dict[str, Any]:
    """Return the values that tell points apart, in the words of the record; those of the network are added later."""
    settler, run = point.settler, phases(point.settler)
    fixed = bool(run) and all(one.tolerance == 0 for one in run.values())
    steps = [run[phase].max_steps if phase in run else 0 for phase in PHASES]
    free = run.get("relax", run.get("nudged"))
    beta = getattr(settler, "beta", None)
    return {
        "settler": point.label,
        "kind": settler.name,
        "relaxation": free.name if free is not None else "none",
        "gamma": settler.gamma,
        "beta": beta if beta is None or math.isfinite(beta) else None,
        "budget": "+".join(map(str, steps)) if fixed else None,
        "tolerance": free.tolerance if free is not None and free.tolerance else None,
        "precision": point.precision.value,
        "gain": point.gain,
        "batch": point.batch,
        "seed": point.seed,
        "age": point.age,
        "model": point.setting["model"].name,
        "data": point.setting["data"].name,
    }


def _copy(value: Any) -> Any:
    return {name: _copy(one) for name, one in value.items()} if isinstance(value, Mapping) else value
