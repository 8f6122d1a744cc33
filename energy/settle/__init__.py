"""The settlers: the equilibria that each method needs, and their results."""

from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, Dyadic, EquilibriumPropagation, Implicit
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.feedforward import Feedforward
from energy.settle.predictive_coding import ErrorPredictiveCoding, PredictiveCoding
from energy.settle.predictive_ep import PredictiveCodingEP
from energy.settle.reference import exact_settler
from energy.settle.settled import Prediction, Settled
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking, TemporalCredit
from energy.settle.surrogate import SurrogateBackprop
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase, TwoPhaseContrastiveHebbian

__all__ = [
    "Backprop",
    "ContrastiveHebbian",
    "CoupledLearning",
    "DualPropagation",
    "Dyadic",
    "EnergyTwoPhase",
    "EquilibriumPropagation",
    "ErrorPredictiveCoding",
    "Feedforward",
    "Implicit",
    "PhaseContrast",
    "Prediction",
    "PredictiveCoding",
    "PredictiveCodingEP",
    "Settled",
    "Settler",
    "Spiking",
    "SurrogateBackprop",
    "TemporalCredit",
    "TwoPhase",
    "TwoPhaseContrastiveHebbian",
    "exact_settler",
]
