"""An energy-based equilibrium modeling toolkit: one energy, many settlers, one ledger.

The names that a script needs are attributes of the package, each imported when it is first asked for, so that
`import energy` costs nothing and does not import torch:

    import energy as eq

    network = eq.MLP(sizes=[64]).build((1, 8, 8), 10, seed=0)
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from energy.analysis.doctor import Diagnosis, diagnose
    from energy.cautions import strict
    from energy.component import Component, ConfigurationError, from_dict
    from energy.couplings import Block, Convolution, Coupling, Dense, Module, Skip
    from energy.data import Cifar10, DataSet, Digits, Mnist
    from energy.dropin import from_module, wrap
    from energy.feedback import Feedback
    from energy.ledger import Ledger
    from energy.model import Model
    from energy.models import MLP, VGG, Hopfield, ResNet, SoftHebbNet, SpikingNet
    from energy.network import Edge, Layer, Network
    from energy.objectives import CrossEntropy, Objective, SquaredError, one_hot
    from energy.pooling import AveragePool, MaxPool
    from energy.potentials import HardSigmoid, Identity, Potential, ReLU, Sigmoid, Softmax, Tanh
    from energy.program import Program
    from energy.relax import Flow, Problem, Relaxation, Sweep, Synchronous, Zebra
    from energy.relax.contraction import loop_gain
    from energy.rules import Contrast, KrotovHopfield, Rule, SoftHebb
    from energy.settle import (
        Backprop,
        ContrastiveHebbian,
        DualPropagation,
        EquilibriumPropagation,
        Feedforward,
        Implicit,
        Settler,
        Spiking,
        TwoPhase,
    )
    from energy.state import State
    from energy.study.compare import Comparison, compare
    from energy.train.evaluate import evaluate
    from energy.train.fit import fit
    from energy.train.run import Run, Training

__all__ = [
    "MLP",
    "VGG",
    "AveragePool",
    "Backprop",
    "Block",
    "Cifar10",
    "Comparison",
    "Component",
    "ConfigurationError",
    "Contrast",
    "ContrastiveHebbian",
    "Convolution",
    "Coupling",
    "CrossEntropy",
    "DataSet",
    "Dense",
    "Diagnosis",
    "Digits",
    "DualPropagation",
    "Edge",
    "EquilibriumPropagation",
    "Feedback",
    "Feedforward",
    "Flow",
    "HardSigmoid",
    "Hopfield",
    "Identity",
    "Implicit",
    "KrotovHopfield",
    "Layer",
    "Ledger",
    "MaxPool",
    "Mnist",
    "Model",
    "Module",
    "Network",
    "Objective",
    "Potential",
    "Problem",
    "Program",
    "ReLU",
    "Relaxation",
    "ResNet",
    "Rule",
    "Run",
    "Settler",
    "Sigmoid",
    "Skip",
    "SoftHebb",
    "SoftHebbNet",
    "Softmax",
    "Spiking",
    "SpikingNet",
    "SquaredError",
    "State",
    "Sweep",
    "Synchronous",
    "Tanh",
    "Training",
    "TwoPhase",
    "Zebra",
    "compare",
    "diagnose",
    "evaluate",
    "fit",
    "from_dict",
    "from_module",
    "loop_gain",
    "one_hot",
    "strict",
    "wrap",
]

_NAMES: Final = {
    "energy.cautions": ("strict",),
    "energy.component": ("Component", "ConfigurationError", "from_dict"),
    "energy.network": ("Edge", "Layer", "Network"),
    "energy.state": ("State",),
    "energy.couplings": ("Block", "Convolution", "Coupling", "Dense", "Module", "Skip"),
    "energy.pooling": ("AveragePool", "MaxPool"),
    "energy.potentials": ("HardSigmoid", "Identity", "Potential", "ReLU", "Sigmoid", "Softmax", "Tanh"),
    "energy.objectives": ("CrossEntropy", "Objective", "SquaredError", "one_hot"),
    "energy.feedback": ("Feedback",),
    "energy.relax": ("Flow", "Problem", "Relaxation", "Sweep", "Synchronous", "Zebra"),
    "energy.relax.contraction": ("loop_gain",),
    "energy.settle": (
        "Backprop",
        "ContrastiveHebbian",
        "DualPropagation",
        "EquilibriumPropagation",
        "Feedforward",
        "Implicit",
        "Settler",
        "Spiking",
        "TwoPhase",
    ),
    "energy.program": ("Program",),
    "energy.rules": ("Contrast", "KrotovHopfield", "Rule", "SoftHebb"),
    "energy.model": ("Model",),
    "energy.models": ("MLP", "VGG", "Hopfield", "ResNet", "SoftHebbNet", "SpikingNet"),
    "energy.data": ("Cifar10", "DataSet", "Digits", "Mnist"),
    "energy.ledger": ("Ledger",),
    "energy.dropin": ("from_module", "wrap"),
    "energy.train.run": ("Run", "Training"),
    "energy.train.fit": ("fit",),
    "energy.train.evaluate": ("evaluate",),
    "energy.study.compare": ("Comparison", "compare"),
    "energy.analysis.doctor": ("Diagnosis", "diagnose"),
}
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import `name` from its home, once."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(_unknown(name))
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _unknown(name: str) -> str:
    from energy.hints import meant

    return f"module 'energy' has no attribute {name!r}{meant(name, _HOMES)}"
