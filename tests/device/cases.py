"""The runs that are rehearsed, by what is registered: a new component is among them by itself."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from energy.component import Component, ConfigurationError, annotations, choices
from energy.data import Digits
from energy.data.mnist import Mnist
from energy.energy_network import EnergyNetwork
from energy.errors import UsageError
from energy.model import Model
from energy.models import MLP, VGG, Chain, SpikingNet
from energy.models.chain import ChainLayer
from energy.network import Network
from energy.objectives import CrossEntropy, Objective, SquaredError
from energy.potentials import HardSigmoid, Potential
from energy.readout import LinearReadout
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.rules import Oja, PerLayer, Rule, SoftHebb, Variant
from energy.settle import (
    ContrastiveHebbian,
    DualPropagation,
    EnergyTwoPhase,
    EquilibriumPropagation,
    Feedforward,
    Settler,
    TwoPhase,
)
from energy.settle.two_phase import Clamping
from energy.specs import ConvolutionSpec, CouplingSpec, PoolingSpec
from energy.state import State
from energy.train.optimizer import Optimizer
from energy.train.registration import register_builtins
from energy.train.run import Precision, Run

register_builtins()
SOLVES = {"fixed": {"max_steps": 3, "tolerance": 0.0}, "asked": {"max_steps": 5, "tolerance": 1e-3, "check_every": 2}}
NUMBERS: Mapping[str, float] = {  # values beside the default, of fields that switch something on
    "alpha": 1.0,
    "beta": 0.2,
    "gamma": 0.5,
    "keep_contracting": 0.5,
    "momentum": 0.5,
    "damping": 0.5,
    "rate_strength": 0.1,
    "p": 3.0,
    "exponent": 0.5,
}


class Coding(Model):
    """E = ½‖s₁ − W₁x‖² + ½‖s₂ − W₂s₁‖²."""

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        theta = {"W1": torch.zeros(5, math.prod(shape)), "W2": torch.zeros(classes, 5)}

        def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
            low = (state[0] - x.flatten(1) @ theta["W1"].T).square().sum(1)
            return (low + (state[1] - state[0] @ theta["W2"].T).square().sum(1)) / 2

        return EnergyNetwork(shape, [5, classes], theta, energy)


MODELS: Mapping[str, Model] = {
    "mlp": MLP(sizes=[6, 5], hidden=HardSigmoid()),
    "conv": VGG(plan=[3, 0, 4], dense=[5], hidden=HardSigmoid()),
}
UNPOOLED: Mapping[str, Model] = {"mlp": MODELS["mlp"], "conv": VGG(plan=[3, 4], dense=[5])}  # for populations of units
SPIKING: Mapping[str, Model] = {
    "mlp": SpikingNet(dense=[6, 5], recurrent=True),
    "conv": SpikingNet(plan=[3, 0], dense=[5]),
}


def registered(base: type[Component]) -> list[type[Any]]:
    """Return the library's own components of one group."""
    return [kind for kind in choices(base).values() if kind.__module__.startswith("energy.")]


def variants(kind: type[Any], **given: Any) -> Iterator[tuple[str, Any]]:
    """Yield a component, and one for each other value of one of its fields, with a word for it."""
    if (default := _made(kind, given)) is not None:
        yield kind.name, default
    for name, annotation in annotations(kind).items():
        for word, value in _values(name, annotation):
            if (one := _made(kind, {**given, name: value})) is not None and one != default:
                yield f"{kind.name}-{name}={word}", one


def _values(name: str, annotation: Any) -> Iterator[tuple[str, Any]]:
    if name in NUMBERS:
        yield f"{NUMBERS[name]}", NUMBERS[name]
    elif annotation is bool:
        yield from (("true", True), ("false", False))
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        yield from ((one.name.lower(), one) for one in annotation)
    elif isinstance(annotation, type) and issubclass(annotation, Component):
        deep = annotation is not Relaxation or name == "nudged"
        for part in registered(annotation):
            yield from variants(part) if deep else ((part.name, part()),)


def _made(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A component; None if these values do not go together."""
    try:
        return kind(**fields)
    except ConfigurationError:
        return None


def short(settler: Settler, solve: str) -> Settler:
    """Return a settler all of whose relaxations take a few steps."""
    relaxes = {name: one for name, one in vars(settler).items() if isinstance(one, Relaxation)}
    lengths = {name: dataclasses.replace(one, **SOLVES[solve]) for name, one in relaxes.items()}
    return dataclasses.replace(settler, **lengths)


def objectives() -> Iterator[tuple[str, Objective]]:
    for kind in registered(Objective):
        yield from variants(kind)


def fitting(run: dict[str, Any]) -> Run | None:
    """Return the run; None if its parts do not go together."""
    try:
        made = Run(**{"data": Digits(), **run})
        drafted(made)
    except (ConfigurationError, UsageError):
        return None
    return made


def drafted(run: Run) -> Network:
    """Return the network of a run, on torch's meta device."""
    with torch.device("meta"):
        return run.draft().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def model(settler: Settler, name: str) -> Model:
    if isinstance(settler, EnergyTwoPhase):
        return Coding()
    return MODELS[name] if settler.rates else SPIKING[name]


PLACES = [("mlp", "fixed"), ("mlp", "asked"), ("conv", "fixed"), ("conv", "asked")]
BOTH = [("mlp", "asked"), ("conv", "fixed")]
ONE = [("conv", "fixed")]
ASKED = [("mlp", "asked")]


def _settled(word: str, settler: Settler, places: list[tuple[str, str]], **others: Any) -> Iterator[tuple[str, Run]]:
    """The runs of one settler at these places, with the first objective that it admits unless one is given."""
    wanted = [others["objective"]] if "objective" in others else [SquaredError(), CrossEntropy()]
    for name, solve in places:
        for objective in wanted:
            parts = {"model": model(settler, name), **others, "objective": objective, "settler": short(settler, solve)}
            if (run := fitting(parts)) is not None:
                yield f"{word}-{name}-{solve}", run
                break


@functools.cache
def every() -> dict[str, Run]:
    """Return the runs by a description."""
    return dict(itertools.chain(_of_settlers(), _of_objectives(), _of_rules(), _of_networks(), _of_the_rest()))


def _of_settlers() -> Iterator[tuple[str, Run]]:
    for kind in registered(Settler):
        for word, settler in variants(kind):
            field = word.partition("-")[2].partition("=")[0]
            unused = field == "relax" and settler.gamma == 0 and kind is not EnergyTwoPhase
            if kind is EnergyTwoPhase:  # has no layers to update one by one
                unused = any(isinstance(one, Sweep | Zebra) for one in vars(settler).values())
            places = PLACES if not field else ASKED if field in {"relax", "nudged"} else ONE
            yield from _settled(word, settler, [] if unused else places)


def _of_objectives() -> Iterator[tuple[str, Run]]:
    for kind in registered(Objective):
        for word, objective in variants(kind):
            for settler in registered(Settler):
                yield from _settled(f"{settler.name}-{word}", settler(), ONE, objective=objective)


def _of_rules() -> Iterator[tuple[str, Run]]:
    teach = PerLayer(rules=[Oja(), SoftHebb(), SoftHebb(variant=Variant.SUPERVISED)])
    rules = [("per_layer", teach), *(one for kind in registered(Rule) for one in variants(kind))]
    for word, rule in rules:
        for place in BOTH:
            unfit = "supervised" in word or (place[0] == "conv" and rule is teach)  # reads a class per unit
            found = {"rule": rule, "readout": LinearReadout(), "model": UNPOOLED[place[0]]}
            yield from _settled(f"{word}-feedforward", Feedforward(), [] if unfit else [place], **found)
    for kind in registered(Settler):
        if kind is not EnergyTwoPhase:
            found = {"rule": Oja(), "readout": LinearReadout(), "model": UNPOOLED["conv"]}
            yield from _settled(f"oja-{kind.name}", kind(), ONE, **found)


def _of_networks() -> Iterator[tuple[str, Run]]:
    """Every potential, coupling, pooling and model, by the two that learn from a dyad with and without feedback."""
    found: list[tuple[str, Model]] = [(kind.name, kind()) for kind in registered(Model)]
    found += [(word, MLP(sizes=[5], hidden=one)) for kind in registered(Potential) for word, one in variants(kind)]
    chains = [(kind.name, ChainLayer(coupling=one)) for kind in registered(CouplingSpec) if (one := _described(kind))]
    filters = ConvolutionSpec(channels=3, kernel=3)
    chains += [(kind.name, ChainLayer(coupling=filters, pooling=kind())) for kind in registered(PoolingSpec)]
    found += [(word, Chain(layers=[ChainLayer(coupling=filters), layer])) for word, layer in chains]
    for settler in (DualPropagation(), EquilibriumPropagation()):
        for word, one in found:
            yield from _settled(f"{settler.name}-of-{word}", settler, ONE, model=one, data=Mnist(pad=2))


def _described(kind: type[Any]) -> CouplingSpec | None:
    filters = ConvolutionSpec(channels=3, kernel=3)
    sizes = {"channels": 3, "kernel": 3, "units": 5, "size": 5, "filters": filters}
    return _made(kind, {name: sizes[name] for name in annotations(kind) if name in sizes})


def _of_the_rest() -> Iterator[tuple[str, Run]]:
    outside = Chain(layers=[ChainLayer(coupling=ConvolutionSpec(channels=3, kernel=3))], feedback=False)
    for kind in registered(Settler):
        for word, settler in variants(kind) if kind is TwoPhase else ((kind.name, kind()),):
            unfit = isinstance(settler, Clamping | EnergyTwoPhase | ContrastiveHebbian)  # need the output inside
            yield from _settled(f"{word}-with-readout", settler, [] if unfit else ONE, model=outside)
    for kind in registered(Optimizer):
        for word, optimizer in variants(kind):
            yield from _settled(f"dual_propagation-{word}", DualPropagation(), ONE, optimizer=optimizer)
    for settler in registered(Settler):
        yield from _settled(f"{settler.name}-bfloat16", settler(), ONE, precision=Precision.BFLOAT16)
