"""The health of a network that learns: the checks of `Rule.learn` from batch to batch, each reported once.

Checks are made at calls 1, 2, 4, … 64 and at every 64th after that; on a GPU, which would have to be waited for, at
every 64th alone. Between them a GPU computes whether gradients are finite and fixed solves within bounds, and the next
look reads it. A caution names the layer, the number and the cure, and changes nothing.

    finite       an input, a weight, an activity or a gradient that is not: an error
    diverged     a solve whose activity left every bound
    converging   fewer than half of the samples within the tolerance, at two looks (`health_of_solves`)
    loop gain    above 2 at γ > 0, and half as large again as at first: activity feeds itself (`relax.contraction`)
    bounds       three quarters of a hidden layer at a bound for every sample: no gradient passes
    zero         a hidden layer without any gradient at two looks
    objective    a hundred times its value at the first two looks
    replaced     gradients that no optimizer has used
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from weakref import WeakKeyDictionary

from torch import Tensor

from energy import foreach, reading
from energy.cautions import caution
from energy.errors import NonFiniteError
from energy.feedback.direct import leading
from energy.health_of_solves import SolveHealth
from energy.network import Layer, Network
from energy.reading import Flags
from energy.relax.contraction import contraction, loop_gain
from energy.relax.solution import Outcome
from energy.settle.settled import Settled
from energy.settle.settler import Settler, refuse_nonfinite
from energy.state import State
from energy.tracing import tracing
from energy.written_gradient import WrittenGradient

OFTEN: Final = 64
LOOP_GAIN: Final = 2.0
GROWN: Final = 1.5  # times the loop gain of the first look
STUCK: Final = 0.75
SAMPLES: Final = 8  # below which a unit at its bound for all of them says little
HUNDREDFOLD: Final = 100.0
WRITTEN: Final = 2  # the first calls, whose gradients an optimizer must have used before the next; of a GPU any look's
CURE: Final = (
    "bounded units (hard_sigmoid), smaller weights (model.gain), a smaller learning rate or gamma, or an output "
    "outside the dynamics (feedback=False)"
)

_healths: WeakKeyDictionary[Network, Health] = WeakKeyDictionary()
_guarded: ContextVar[bool] = ContextVar("guarded", default=False)


@contextmanager
def guarded() -> Iterator[None]:
    """Leave the check for non-finite gradients to the caller while the context lasts."""
    token = _guarded.set(True)
    try:
        yield
    finally:
        _guarded.reset(token)


def guarding() -> bool:
    """Return True if the caller checks gradients itself."""
    return _guarded.get()


def health(network: Network) -> Health:
    """Return the health of `network`, which is kept as long as the network."""
    return _healths.setdefault(network, Health())


class Health:
    """The record of one network: its last checks, and the cautions it has had."""

    def __init__(self) -> None:
        self.calls = self.looks = 0
        self.said: set[str] = set()
        self.first = self.gain = 0.0
        self.zero: set[str] = set()
        self.unsound, self.lost = Flags(), Flags()  # gradients that were not finite, by parameter; solves, by layer
        self.written: WrittenGradient | None = None
        self.solves = SolveHealth()

    def due(self, x: Tensor) -> bool:
        """Return True if this call is one with checks."""
        return _due(self.calls, x)

    def due_next(self, x: Tensor) -> bool:
        """Return True if the call after this one is one with checks."""
        return _due(self.calls + 1, x)

    def say(self, kind: str, text: str) -> None:
        """Raise a caution of one kind, the first time."""
        if kind not in self.said:
            self.said.add(kind)
            caution(text)

    def check(self, network: Network, gradients: Sequence[Tensor | None]) -> None:
        """Check that gradients are finite: at once where reads are free, at the next look elsewhere.

        Raises:
            NonFiniteError: naming the parameters whose gradients are not.
        """
        there = [gradient for gradient in gradients if gradient is not None]
        if not _guarded.get() and there and tracing() is None:
            self.judge(network, gradients, foreach.all_finite(there))

    def judge(self, network: Network, gradients: Sequence[Tensor | None], sound: Tensor) -> None:
        """Check gradients by a tensor `sound` that is true for each one that is finite; raises as `check` does."""
        pairs = zip(network.named_parameters(), gradients, strict=False)
        names = tuple(name for (name, _), gradient in pairs if gradient is not None)
        unsound = ~sound
        if not reading.is_free(sound.device):
            self.unsound.add(names, unsound)
        elif bool(unsound.any()):
            bad = _bad(names, unsound.tolist())
            raise NonFiniteError(f"gradient of {bad}: not finite; nothing was written to .grad")

    def _require_finite(self, network: Network, settled: Settled) -> None:
        """Read what was computed since the last look.

        Raises:
            NonFiniteError: naming the input, weight or layer of this batch, or the parameters whose gradients were not
                finite since the last look.
        """
        refuse_nonfinite(network, settled.x, State([settled.output]))
        for names, found in self.unsound.read().items():
            if any(found):
                was = "was not finite since the last look, and may have reached the weights"
                raise NonFiniteError(f"gradient of {_bad(names, found)}: {was}")

    def fresh(self, network: Network, x: Tensor) -> None:
        """Check that an optimizer has used the gradients, before those of another batch `x` replace them."""
        written = self.written
        if written is None or self.calls > written.call + 1 or written.batch() is x:
            return
        last = _last(network)
        if last is not None and last.grad is not None and written.unused(last):
            self.say(
                "replaced",
                "Rule.learn replaces .grad, and no optimizer has used the gradients of the batch before: pass "
                "accumulate=True to add to them, or call zero_grad() first if they are not wanted",
            )

    def solved(self, network: Network, settler: Settler, settled: Settled) -> None:
        """Check that no solve has diverged, before a gradient is made of settled states; of those that the device alone
        knows about, all since the last look. At a look, check that solves converge.
        """
        if tracing() is not None:
            return
        for phase, solution in settled.solutions.items():
            if solution.lost is not None:
                self.lost.add((phase, *solution.names), solution.lost)
            if solution.outcome is Outcome.DIVERGED:
                self._diverged(network, settler, phase, solution.layer)
        if self.due(settled.x):
            for (phase, *names), found in self.lost.read().items():
                if any(found):
                    self._diverged(network, settler, phase, names[found.index(True)])
            for phase, solution in settled.solutions.items():
                if text := self.solves.look(phase, solution, early=self.calls < OFTEN):
                    caution(f"settler={settler.name}: {text}; {_cure(network)}")

    def _diverged(self, network: Network, settler: Settler, phase: str, layer: str) -> None:
        at = f" at layer {layer}" if layer else ""
        self.say("diverged", f"settler={settler.name}: the {phase} solve diverged{at}; {_cure(network)}")

    def look(self, network: Network, settler: Settler, settled: Settled, x: Tensor, descended: Tensor | None) -> None:
        """Check a network after a batch.

        Args:
            network: its gradients have been written.
            settler: the method.
            settled: the states.
            x: the batch, (B, *input shape).
            descended: the loss of each sample, (B,); None if the rule descends none.

        Raises:
            NonFiniteError: where reads wait, for what was not finite since the last look.
        """
        free = reading.is_free(x.device)
        if (self.calls <= WRITTEN if free else self.due(x)) and (last := _last(network)) is not None:
            self.written = WrittenGradient(self.calls, last, x)
        if not self.due(x):
            return
        if not free:
            self._require_finite(network, settled)
        if settler.gamma and "free" in settled.solutions:
            self._settled(network, settler, settled.x, settled.solutions["free"].state)
        if descended is not None:
            self._objective(float(descended.double().mean()))
            self._gradients(network, settler)

    def _settled(self, network: Network, settler: Settler, x: Tensor, state: State) -> None:
        if len(state) != len(network.layers):
            return
        if contraction(network) is None and "loop gain" not in self.said:
            gain, layer = loop_gain(network, x, state, settler.gamma)
            self.gain = self.gain or gain
            if gain > max(LOOP_GAIN, GROWN * self.gain):
                self.say(
                    "loop gain",
                    f"loop gain rose from {self.gain:.3g} to {gain:.3g} at gamma={settler.gamma:g}, most of it at "
                    f"layer {layer}: above 1 an equilibrium is not sure, and activity that feeds itself ends "
                    f"at the units' bounds; {_cure(network)}",
                )
        if len(x) >= SAMPLES and "bounds" not in self.said:
            for layer, tensor in zip(network.layers[:-1], state, strict=False):
                share = float(stuck(layer, tensor))
                if share > STUCK:
                    self.say(
                        "bounds",
                        f"layer {layer.name}: {100 * share:.0f} % of its units stand at a bound for every sample of a "
                        f"batch, and no gradient passes them; {_cure(network)}",
                    )

    def _objective(self, now: float) -> None:
        self.looks += 1
        if self.looks <= 2:
            self.first = max(self.first, now)
        elif now > HUNDREDFOLD * self.first > 0 or math.isnan(now):
            self.say(
                "objective",
                f"the objective rose from {self.first:.3g} to {now:.3g}: lower the learning rate (optimizer.lr), or "
                "warm it up (schedule.warmup)",
            )

    def _gradients(self, network: Network, settler: Settler) -> None:
        if not settler.reaches or "zero" in self.said:
            return
        zero = set[str]()
        hidden = leading(network) - {len(network.layers)}
        for edge in network.edges:
            given = [p.grad for p in edge.coupling.parameters() if p.grad is not None]
            if edge.target in hidden and given and not any(bool(gradient.any()) for gradient in given):
                zero.add(network.layers[edge.target - 1].name)
        lasting = [layer.name for layer in network.layers if layer.name in zero & self.zero]
        self.zero = zero
        if lasting:
            self.say(
                "zero",
                f"layer {_some(lasting)}: every gradient is zero, so nothing is learned there: its units or those "
                "above are dead or at their bounds (smaller learning rate, leaky_relu), or weights above are zero",
            )


def _due(calls: int, x: Tensor) -> bool:
    early = calls < OFTEN and calls & (calls - 1) == 0 and reading.is_free(x.device)
    return early or calls % OFTEN == 0


def stuck(layer: Layer, state: Tensor) -> Tensor:
    """Return the share of a layer's units that are at the same bound for every sample of `state` (B, …)."""
    low, high = layer.potential.lower, layer.potential.upper
    room = 1e-3 * (high - low) if math.isfinite(high - low) else 0.0
    at_low, at_high = (state <= low + room).all(0), (state >= high - room).all(0)
    return (at_low | at_high).double().mean()


def _cure(network: Network) -> str:
    """The remedies for activity that feeds itself."""
    return f"try {CURE}" if contraction(network) is not None else f"keep_contracting=0.5 holds it; so do {CURE}"


def _last(network: Network) -> Tensor | None:
    """The last parameter that is not frozen."""
    return next((p for p in reversed(list(network.parameters())) if p.requires_grad), None)


def _bad(names: Sequence[str], found: Sequence[bool]) -> str:
    return _some([name for name, bad in zip(names, found, strict=True) if bad])


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
