"""The path of a problem to its equilibrium: relaxations, the loop around them, and the problems they solve."""

from energy.relax.adaptive_flow import AdaptiveFlow
from energy.relax.anderson import Anderson
from energy.relax.dyad import Dyad, NudgeForm, Nudging
from energy.relax.flow import Flow
from energy.relax.layered import Layered
from energy.relax.messages import Messages
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.top_down import FinalLayer
from energy.relax.zebra import Zebra

__all__ = [
    "AdaptiveFlow",
    "Anderson",
    "Dyad",
    "FinalLayer",
    "Flow",
    "Layered",
    "Messages",
    "NudgeForm",
    "Nudging",
    "Outcome",
    "PhaseNudge",
    "Problem",
    "Relaxation",
    "SinglePhase",
    "Solution",
    "Sweep",
    "Synchronous",
    "Zebra",
    "solve",
]
