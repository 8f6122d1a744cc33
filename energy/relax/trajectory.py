"""A path along the flow as an integrator asks for it: the field, the measure of an error, and what ends the path.

An integrator calls the path for the field, before each of its tries (`callback_step`), and for the size of an error
(`excess`). Whatever ends the path before its window does is raised as `Ended`, so that no integrator can go on without
end: an equilibrium, a layer that has blown up, the last evaluation, a step too short to move the time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from energy.errors import EnergyError
from energy.relax.block import BLOWN_UP
from energy.relax.problem import Problem
from energy.state import State


class Ended(EnergyError, RuntimeError):
    """The end of a path before that of its window; `stuck` if the integrator could not have gone on."""

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__()
        self.stuck = stuck


class Accuracy(NamedTuple):
    """The error that is admitted per step, and the residual at which a path ends.

    Attributes:
        rtol, atol: of a layer's local error, relative to its root mean square and absolute.
        steadiness: κ, of the local error per length of the step and size of the field.
        rounding: the part of a local error, per length of the step, that is the rounding of the field.
        tolerance: relative residual.
    """

    rtol: float
    atol: float
    steadiness: float
    rounding: float
    tolerance: float


class Flattened(NamedTuple):
    """The form of a state as one matrix (B, units), in float32 or wider.

    Attributes:
        like: the state.
        sizes: the units of each tensor.
        dtype: of the matrix.
    """

    like: State
    sizes: list[int]
    dtype: torch.dtype

    @staticmethod
    def of(state: State) -> Flattened:
        """Return the form of a state."""
        wide = torch.promote_types(state[0].dtype, torch.float32)
        return Flattened(state, [tensor[0].numel() for tensor in state], wide)

    def flat(self, state: State) -> Tensor:
        """Return a state as a matrix."""
        return torch.cat([tensor.flatten(1) for tensor in state], 1).to(self.dtype)

    def parts(self, flat: Tensor) -> State:
        """Return the columns of each tensor."""
        return State(flat.split(self.sizes, 1))

    def state(self, flat: Tensor) -> State:
        """Return a matrix as a state, each tensor in its own dtype and layout."""
        pairs = zip(self.parts(flat), self.like, strict=True)
        return State(torch.empty_like(like).copy_(part.view(like.shape)) for part, like in pairs)


class Velocity(NamedTuple):
    """The field at a point of the path.

    Attributes:
        flat: the point, as the integrator gives it.
        state: its projection onto the domain.
        change: response − state there.
    """

    flat: Tensor
    state: State
    change: State


class Trajectory:
    """The path of a state through one window.

    Args:
        problem: gives the response, and may give the `domain` of each tensor.
        start: the state, with response − state there if that is known.
        accuracy: of the steps.
        left: evaluations that may still be used.
        time: the length of the window.

    Attributes:
        accepted: the last point that the integrator has accepted, or the start.
        evaluations: of the response, so far.
        length: of the last step that was tried; 0 if none was.
    """

    def __init__(
        self,
        problem: Problem,
        start: tuple[State, State | None],
        accuracy: Accuracy,
        left: int,
        time: float,
    ) -> None:
        state, change = start
        self.problem, self.accuracy = problem, accuracy
        self.left = left
        self.time, self.form = time, Flattened.of(state)
        self.evaluations, self.length = 0, 0.0
        self._domain = getattr(problem, "domain", None)
        self.start = self.form.flat(state)
        self.accepted, self._looked = Velocity(self.start, state, state), False
        self._last = None if change is None else self.accepted._replace(change=change)

    def __call__(self, time: Tensor, flat: Tensor) -> Tensor:
        """Return ds/dt at the projection of `flat`.

        Raises:
            Ended: if no evaluation is left.
        """
        return self.form.flat(self._velocity(flat).change)

    def _velocity(self, flat: Tensor) -> Velocity:
        """The field at `flat`, as it was evaluated last if it was there."""
        if self._last is None or self._last.flat is not flat:
            if self.evaluations >= self.left:
                raise Ended
            self.evaluations += 1
            state = self._projected(self.form.state(flat))
            self._last = Velocity(flat, state, self.problem.response(state) - state)
        return self._last

    def callback_step(self, time: Tensor, flat: Tensor, length: Tensor) -> None:
        """Look at the state that a try starts from.

        Raises:
            Ended: if the path ends there.
        """
        if flat is not self.accepted.flat or not self._looked:
            self._accept(flat)
        self.length = float(length)
        if not self.time + self.length > self.time:
            raise Ended(stuck=True)
        self._admitted = self._scale(min(self.length, self.time - float(time)))

    def excess(self, error: Tensor) -> Tensor:
        """Return the local error over the one that is admitted, of the worst layer of the worst sample, (); huge if it
        is no number.
        """
        return torch.nan_to_num(self.form.parts(error).norms() / self._admitted, nan=torch.inf).max()

    def finish(self) -> None:
        """Look at the end of the window, where the field was evaluated last.

        Raises:
            Ended: if the path ends there.
        """
        if self._last is not None:
            self._accept(self._last.flat)

    def end(self) -> tuple[State, State | None]:
        """Return the last accepted state, with the response of the units where that is not finite; and response − state
        there, if it was evaluated.
        """
        state, change = self.accepted.state, self.accepted.change
        if not self._looked:
            return state, None
        if bool(self._moved.isfinite().all()):
            return state, change
        return State(torch.where(c.isfinite(), s, c) for s, c in zip(state, change, strict=True)), change

    def _accept(self, flat: Tensor) -> None:
        """Take up a point, and end the path at an equilibrium or if a layer has blown up."""
        if not bool(flat.isfinite().all()):
            raise Ended  # the point before it stays
        self.accepted, self._looked = self._velocity(flat), True
        size, moved = self.accepted.state.norms(), self.accepted.change.norms()
        self._size, self._moved = size, moved
        relative = moved / size.clamp_min(torch.finfo(size.dtype).tiny)  # as at the end of a block of steps
        still = ((relative <= self.accuracy.tolerance) | (moved == 0)).all()
        if bool(still | ~(size < BLOWN_UP).all() | ~moved.isfinite().all()):
            raise Ended

    def _scale(self, length: float) -> Tensor:
        """The local error that a step of `length` may make, (tensors, B), never below the rounding of the field."""
        asked = self.accuracy
        admitted = asked.atol + asked.rtol * self._size
        steady = asked.steadiness * length * torch.maximum(self._moved.amax(0), asked.tolerance * self._size)
        eps = torch.finfo(self.accepted.state[0].dtype).eps
        floor = (asked.rounding * eps * length * self._size.amax(0)).clamp_min(torch.finfo(admitted.dtype).tiny)
        return torch.maximum(torch.minimum(admitted, steady), floor)

    def _projected(self, state: State) -> State:
        """The nearest state within the domain of each tensor."""
        if self._domain is None:
            return state
        bounds = [self._domain(index) for index in range(len(state))]
        return State(_clamped(tensor, *ends) for tensor, ends in zip(state, bounds, strict=True))


def _clamped(tensor: Tensor, lower: float, upper: float) -> Tensor:
    return tensor if lower == -math.inf and upper == math.inf else tensor.clamp(lower, upper)
