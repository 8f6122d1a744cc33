"""The last phase of a dyad, up to layers that a rule reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from energy.relax.dyad import Dyad
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Solution, fixed
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.top_down import FinalLayer, final_layers, stream_final_layers
from energy.settle.settled import freeing
from energy.settle.settler import solve_layers
from energy.state import State


def run_to_layers(dyad: Dyad, state: State, relax: Relaxation, *, share: bool) -> tuple[Solution, Iterator[FinalLayer]]:
    """Return the solution of a dyad without its states, and its layers, the output first, to be read once.

    The downward half of the last of a fixed number of sweeps runs while the layers are read; that sweep counts in
    `steps` already.

    Args:
        dyad: the problem.
        state: the start.
        relax: the relaxation.
        share: as for `stream_final_layers`.
    """
    solution, final = _run(dyad, state, relax, share)
    return dataclasses.replace(solution, state=State(()), output=None), final  # `final` holds the states


def _run(dyad: Dyad, state: State, relax: Relaxation, share: bool) -> tuple[Solution, Iterator[FinalLayer]]:
    if type(relax).step is not Sweep.step or relax.tolerance:
        solution = solve_layers(dyad, state, relax)
        return solution, freeing(settled_layers(dyad, solution.state)[::-1])
    steps = relax.max_steps
    if steps == 1:
        solution = fixed(dyad, state, steps)
    else:
        before = solve(dyad, state, dataclasses.replace(relax, max_steps=steps - 1), output=dyad.depth - 1)
        solution = dataclasses.replace(before, steps=before.steps + 1, taken=steps, output=None)
    dyad.ledger.sweeps[dyad.phase] += steps
    return solution, stream_final_layers(dyad, dyad.bottom_up(solution.state), share=share)


def settled_layers(dyad: Dyad, state: State) -> list[FinalLayer]:
    """Return the layers of a settled dyad, the output first."""
    learned = [dyad.learned(state, layer) for layer in range(1, dyad.depth + 1)]
    return final_layers(dyad.network, dyad.messages.linear, State(state.tensors[: dyad.depth]), learned)
