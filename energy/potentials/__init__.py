"""Potentials: the convex cost of a layer alone, its response, and the secant of that response."""

from energy.potentials.clamp import Clamp, ClippedReLU, HalfHardSigmoid, HardSigmoid, Identity, LeakyReLU, ReLU
from energy.potentials.gated import Gated
from energy.potentials.potential import Potential, per_sample
from energy.potentials.power import RePU
from energy.potentials.smooth import Sigmoid, Softplus, Tanh
from energy.potentials.softmax import Softmax

__all__ = [
    "Clamp",
    "ClippedReLU",
    "Gated",
    "HalfHardSigmoid",
    "HardSigmoid",
    "Identity",
    "LeakyReLU",
    "Potential",
    "ReLU",
    "RePU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "per_sample",
]
