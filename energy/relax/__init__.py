"""How one problem reaches its equilibrium: the relaxations, the loop around them, and what they solve."""

from energy.relax.dyad import Dyad, Form
from energy.relax.flow import Flow
from energy.relax.problem import Problem, Single
from energy.relax.relaxation import Relaxation
from energy.relax.solver import Outcome, Solution, solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra

__all__ = [
    "Dyad",
    "Flow",
    "Form",
    "Outcome",
    "Problem",
    "Relaxation",
    "Single",
    "Solution",
    "Sweep",
    "Synchronous",
    "Zebra",
    "solve",
]
