"""The gradient flow ds/dt = response(s) − s by torchdiffeq, whose steps are as long as a local error allows.

The field, the event and every end of a window are in `energy.relax.trajectory`; torchdiffeq is imported here, on first
use.
"""

from __future__ import annotations

import enum
import math
from typing import Final, NamedTuple

import torch

from energy.component import require
from energy.errors import UsageError
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.trajectory import Accuracy, Ended, Trajectory
from energy.state import State
from energy.tracing import tracing

FIRST: Final = 0.1  # time constants, of the first step that is tried
STEADY: Final = 0.1  # κ; |E(z)/z| at the end of stability is 0.12 or more for these integrators


class AdaptiveMethod(enum.Enum):
    """Integrators of adaptive steps, named as in torchdiffeq; evaluations of the response per step: 6, 3, 13.

    The last evaluation of each step is the field at its end. Torchdiffeq's others, `adaptive_heun` and `fehlberg2`,
    take it for that though it is not, so that their steps from near an equilibrium lead away from it.
    """

    DOPRI5 = "dopri5"
    BOSH3 = "bosh3"
    DOPRI8 = "dopri8"

    @property
    def rounding(self) -> float:
        """Return the factor by which an estimate of the error, a weighted sum of fields, passes on their rounding."""
        return {AdaptiveMethod.DOPRI5: 0.1, AdaptiveMethod.BOSH3: 0.2}.get(self, 3.0)


class Progress(NamedTuple):
    """The memory of a flow.

    Attributes:
        evaluations: of the response so far.
        windows: the steps of the relaxation so far.
        length: of the step that the integrator would take next.
        state: the last state.
        change: response − state there; None if it is not known.
        stuck: true if the integrator cannot go on: its step has become too short to move the time.
    """

    evaluations: int
    windows: int
    length: float
    state: State
    change: State | None
    stuck: bool


class AdaptiveFlow(Relaxation, name="adaptive_flow"):
    """The gradient flow ds/dt = response(s) − s, with steps as long as the local error allows.

    For an energy of one's own (`energy.relax.custom.EnergyProblem`) the right side is −∂E/∂s exactly. For layers it is
    f(J(s)) − s: with G = s²/2 on an interval that is −∂E/∂s of the layer (up to its weight γ^(d−1)) inside the bounds
    and its projection at them. For any other convex G it is not the Euclidean gradient J(s) − G′(s), which is infinite
    at the bounds of tanh and sigmoid; but it vanishes at the same states, and E falls along it, since f is monotone:
    with s = f(b), ⟨b − J, f(J) − f(b)⟩ ≤ 0.

    A step of the relaxation integrates a window of `time`, or less: it ends at the first state that the integrator
    accepts where every sample's true residual ‖response − s‖/‖s‖ is within `tolerance`, or at which a layer has blown
    up, or when `max_evaluations` are used. The field at an accepted state is the last evaluation of the step that led
    there, so the event costs nothing; an event function of torchdiffeq would cost an evaluation per step, thirty to
    find its time, and none of them would end a path that has no event. Arguments of the field and states that a step
    returns are projected onto the interval of the potential; the flow itself never leaves it.

    The local error of each layer and sample, as a root mean square over units, is kept within

        atol + rtol ‖s‖        and        κ · (length of the step) · max(‖ds/dt‖, tolerance · ‖s‖),   κ = 0.1

    (ds/dt of the layer where it is largest), at the worst layer and sample, so that each sample keeps its tolerance. By
    the second bound every decaying mode decays in the integrator too: its error per length of the step, |E(z)/z| at
    z = rate · length, is below κ only where the amplification |R(z)| is below 1 (for rates that are real, or within 15
    degrees of it). Without that a stiff flow hovers about its equilibrium at a distance set by `rtol`, and the event
    may never come. The host reads the device several times per step of the integrator, and no program records a step.

    Attributes:
        check_every: windows between two looks.
        time: length of a window, in units of the layers' time constant.
        method: the integrator.
        rtol: relative local error.
        atol: absolute local error.
        max_evaluations: evaluations of the response per solve, without those of the solver's looks; after these the
            last accepted state stays, and the solve ends with its budget spent.

    Reference:
        Dormand & Prince, J. Comput. Appl. Math. 1980 (dopri5); Hairer, Nørsett & Wanner, Solving Ordinary Differential
        Equations I (step size control).
    """

    check_every: int = 1
    time: float = 10.0
    method: AdaptiveMethod = AdaptiveMethod.DOPRI5
    rtol: float = 1e-3
    atol: float = 1e-6
    max_evaluations: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.time < math.inf, self, "time", "> 0 and finite")
        require(0 < self.rtol < 1, self, "rtol", "in (0, 1)")
        require(0 < self.atol < math.inf, self, "atol", "> 0 and finite")
        require(self.max_evaluations >= 1, self, "max_evaluations", ">= 1")

    def spent(self, memory: Progress | None) -> bool:
        """Return True if no step will move the state any more, converged or not."""
        return memory is not None and (memory.stuck or memory.evaluations >= self.max_evaluations)

    def step(self, problem: Problem, state: State, memory: Progress | None) -> tuple[State, Progress]:
        if tracing() is not None:
            raise UsageError(f"{self.name}: cannot be recorded: the numbers that it reads decide how much it evaluates")
        before = memory or Progress(0, 0, min(FIRST, self.time), state, None, False)
        if self.spent(before):
            return state, before._replace(windows=before.windows + 1)
        if state[0].is_meta:  # no numbers to choose a step by
            return problem.response(state), before
        path = self._path(problem, (state, before.change if before.state is state else None), before)
        stuck = self._followed(path, before.length)
        after, change = path.end()
        used = before.evaluations + path.evaluations
        return after, Progress(used, before.windows + 1, path.length or before.length, after, change, stuck)

    def _path(self, problem: Problem, start: tuple[State, State | None], before: Progress) -> Trajectory:
        """The path from `start`, with the evaluations that are left."""
        accuracy = Accuracy(self.rtol, self.atol, STEADY, self.method.rounding, self.tolerance)
        left = self.max_evaluations - before.evaluations
        return Trajectory(problem, start, accuracy, left, self.time)

    def _followed(self, path: Trajectory, length: float) -> bool:
        """Follow a path to the end of the window or to what ends it before; true if it is stuck."""
        from torchdiffeq import odeint

        window = torch.tensor([0.0, self.time], dtype=torch.float64, device=path.start.device)
        options = {"norm": path.excess, "first_step": length, "step_t": window[1:]}
        try:  # errors come to `excess` as they are: it knows the measure of each
            odeint(path, path.start, window, rtol=0.0, atol=1.0, method=self.method.value, options=options)
            path.finish()
        except Ended as end:
            return end.stuck
        return False
