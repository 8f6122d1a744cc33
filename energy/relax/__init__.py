"""The path of a problem to its equilibrium: relaxations, the loop around them, and the problems they solve."""

from energy.relax.anderson import Anderson
from energy.relax.dyad import Dyad, NudgeForm, Nudging
from energy.relax.flow import Flow
from energy.relax.layered import Layered
from energy.relax.messages import Messages
from energy.relax.newton import NewtonKrylov
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solver import Outcome, Solution, solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.top_down import FinalLayer
from energy.relax.zebra import Zebra

__all__ = [
    "Anderson",
    "Dyad",
    "FinalLayer",
    "Flow",
    "Layered",
    "Messages",
    "NewtonKrylov",
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
