"""The result of the inference phase on one batch, which a rule turns into gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from energy.couplings import Linearization
from energy.errors import UsageError
from energy.ledger import Ledger
from energy.relax.solver import Solution
from energy.relax.top_down import FinalLayer
from energy.state import State

CONSUMED = "were read by Rule.learn, which frees them: settle again, and keep what settler.settle returns"


@dataclass(kw_only=True)
class Settled:
    """The result of the inference phase on one batch.

    Args:
        x: the input, (B, *input shape).
        output: the free output (the forward pass at γ = 0), (B, *output shape).
        ledger: what it cost, and what its products will.
        solutions: how the solve of each phase ended.
    """

    x: Tensor
    output: Tensor
    ledger: Ledger
    solutions: dict[str, Solution] = field(default_factory=dict)


@dataclass(kw_only=True)
class SettledDyad(Settled):
    """Mean and normalized difference of every layer, at feedback gain `gamma`.

    `final` holds the layers, the output first: in a tuple, which can be read any number of times; or, after
    `Settler.settle_once`, in an iterator that is read once and frees each layer as the next one comes.
    """

    final: Iterable[FinalLayer]
    gamma: float

    def layers(self) -> Iterator[FinalLayer]:
        """The layers, the output first.

        Raises:
            ValueError: where they were to be read once, and have been.
        """
        if isinstance(self.final, tuple):
            return iter(self.final)
        final, self.final = iter(self.final), _consumed()
        return final

    def retained(self) -> SettledDyad:
        """This result, made one that can be read any number of times."""
        self.final = tuple(self.layers())
        return self

    @property
    def mean(self) -> State:
        """m of every layer, from the bottom up."""
        return State(layer.mean for layer in reversed(tuple(self.retained().layers())))

    @property
    def delta(self) -> list[Tensor | None]:
        """δ of every layer, from the bottom up; None where nothing is to be learnt."""
        return [layer.delta for layer in reversed(tuple(self.retained().layers()))]

    @property
    def linear(self) -> list[Linearization | None]:
        """The couplings linearized at the mean, edge by edge."""
        found = {edge: linear for layer in self.retained().layers() for edge, linear in layer.linear.items()}
        return [found[edge] for edge in sorted(found)]


def _consumed() -> Iterator[FinalLayer]:
    raise UsageError(f"the layers of this result {CONSUMED}")
    yield  # a generator, so that it is said when a layer is asked for


def freeing(layers: list[FinalLayer]) -> Iterator[FinalLayer]:
    """The layers one by one, none of which stays here; the last one of the list comes first."""
    while layers:
        yield layers.pop()


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stored state of a multi-phase method, and the weight with which its ∂E/∂θ enters the gradient.

    `linear` holds the couplings linearized there, edge by edge; `errors` is ∂C/∂a of the layers outside the dynamics;
    `sign`, +1 or −1, multiplies the weight on the device.
    """

    state: State
    weight: float
    linear: Sequence[Linearization | None]
    errors: dict[int, Tensor] = field(default_factory=dict)
    sign: Tensor | None = None


@dataclass(kw_only=True)
class SettledPhases(Settled):
    """Separately settled states. `factors[e]` multiplies the contrast of edge e (Xie–Seung's γ^(k−L); otherwise 1)."""

    phases: list[Phase]
    factors: list[float]


@dataclass(kw_only=True)
class SettledTape(Settled):
    """Minus the summed objective with autograd's tape, `negative_loss` ().

    `passes` is how often each sample went through the couplings; `once` says that the tape may be freed as it is read,
    and `negative_loss` is None when it has been.
    """

    negative_loss: Tensor | None
    passes: int = 1
    once: bool = False

    def take(self) -> tuple[Tensor, bool]:
        """The tape's end, and whether the tape must stay.

        Raises:
            ValueError: where it was to be read once, and has been.
        """
        if self.negative_loss is None:
            raise UsageError(f"the tape of this result {CONSUMED}")
        found = self.negative_loss
        if self.once:
            self.negative_loss = None
        return found, not self.once


@dataclass(frozen=True)
class Prediction:
    """The free output, and how its solve ended; None where there was nothing to solve."""

    output: Tensor
    solution: Solution | None = None

    @property
    def alone(self) -> Tensor:
        """The output that each sample has where its own solve ends, whichever samples settle beside it."""
        return self.output if self.solution is None or self.solution.output is None else self.solution.output
