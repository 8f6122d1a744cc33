"""The result of the inference phase on one batch, which a rule turns into gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from torch import Tensor

from energy.couplings import Linearization
from energy.errors import UsageError
from energy.graph import Gain
from energy.ledger import Ledger
from energy.relax.solution import Solution
from energy.relax.top_down import FinalLayer
from energy.state import State

CONSUMED = "were read by Rule.learn, which frees them: settle again, and keep what settler.settle returns"


@dataclass(kw_only=True)
class Settled:
    """The result of the inference phase on one batch.

    Attributes:
        x: the input, (B, *input shape).
        output: the free output (the forward pass at γ = 0), (B, *output shape).
        ledger: counts the cost so far, and that of the products to come.
        solutions: the solution of each phase, by name.
    """

    x: Tensor
    output: Tensor
    ledger: Ledger
    solutions: dict[str, Solution] = field(default_factory=dict)

    def read_once(self) -> Self:
        """Return this result, of which a rule may free what it has read."""
        return self


@dataclass(kw_only=True)
class SettledDyad(Settled):
    """Mean and normalized difference of every layer.

    Attributes:
        final: the layers, the output first: a tuple, which can be read any number of times; or, after
            `Settler.settle_once`, an iterator that is read once and frees each layer as the next one comes.
        gamma: the feedback gain; a tensor () where the host would wait for its value.
    """

    final: Iterable[FinalLayer]
    gamma: Gain

    def layers(self) -> Iterator[FinalLayer]:
        """Return the layers, the output first.

        Raises:
            ValueError: if they can be read once only, and have been.
        """
        if isinstance(self.final, tuple):
            return iter(self.final)
        final, self.final = iter(self.final), _consumed()
        return final

    def retained(self) -> SettledDyad:
        """Return this result, after making it one that can be read any number of times."""
        self.final = tuple(self.layers())
        return self

    @property
    def mean(self) -> State:
        """m of every layer, from the bottom up."""
        return State(layer.mean for layer in reversed(tuple(self.retained().layers())))

    @property
    def delta(self) -> list[Tensor | None]:
        """δ of every layer, from the bottom up; None if nothing is to be learned."""
        return [layer.delta for layer in reversed(tuple(self.retained().layers()))]

    @property
    def linear(self) -> list[Linearization | None]:
        """The couplings linearized at the mean, edge by edge."""
        found = {edge: linear for layer in self.retained().layers() for edge, linear in layer.linear.items()}
        return [found[edge] for edge in sorted(found)]


@dataclass(kw_only=True)
class SettledDyads(Settled):
    """Several dyads on one batch, whose products are averaged.

    Attributes:
        dyads: each with the same input, output and ledger.
    """

    dyads: list[SettledDyad]


def _consumed() -> Iterator[FinalLayer]:
    raise UsageError(f"the layers of this result {CONSUMED}")
    yield  # makes this a generator, which raises when a layer is asked for


def freeing(layers: list[FinalLayer]) -> Iterator[FinalLayer]:
    """Yield the layers one by one, the last one of the list first, and keep none of them."""
    while layers:
        yield layers.pop()


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stored state of a multi-phase method.

    Attributes:
        state: the activities.
        weight: of ∂E/∂θ in the gradient.
        linear: the couplings linearized there, edge by edge.
        errors: ∂C/∂a of the layers outside the dynamics, by number.
        sign: +1 or −1, which multiplies the weight: a tensor () on the device, None for +1.
    """

    state: State
    weight: float
    linear: Sequence[Linearization | None]
    errors: dict[int, Tensor] = field(default_factory=dict)
    sign: Tensor | None = None


@dataclass(kw_only=True)
class SettledPhases(Settled):
    """Separately settled states.

    Attributes:
        phases: the states.
        factors: for each edge, the factor of its contrast (Xie–Seung's γ^(k−L); otherwise 1).
    """

    phases: list[Phase]
    factors: list[Gain]


@dataclass(kw_only=True)
class SettledTape(Settled):
    """Minus the summed objective with autograd's tape.

    Attributes:
        negative_loss: −Σ C, (), with its tape; None once a tape that is freed has been read.
        passes: the number of times that each sample went through the couplings.
        once: free the tape as it is read.
    """

    negative_loss: Tensor | None
    passes: int = 1
    once: bool = False

    def read_once(self) -> Self:
        self.once = True
        return self

    def take(self) -> tuple[Tensor, bool]:
        """Return the end of the tape, and true if the tape must be kept.

        Raises:
            ValueError: if it can be read once only, and has been.
        """
        if self.negative_loss is None:
            raise UsageError(f"the tape of this result {CONSUMED}")
        found = self.negative_loss
        if self.once:
            self.negative_loss = None
        return found, not self.once


@dataclass(frozen=True)
class Prediction:
    """The free output, and the solution of its solve; None if there was nothing to solve."""

    output: Tensor
    solution: Solution | None = None

    @property
    def alone(self) -> Tensor:
        """The output of each sample at the end of its own solve, independent of the other samples of the batch."""
        return self.output if self.solution is None or self.solution.output is None else self.solution.output
