"""A training step as one program: recorded once for its shapes and settings, compiled whole, then replayed.

For fixed shapes, settler, rule and objective a step is a function of (weights, buffers, x, target), so its operations
can be recorded once. What they cost is counted while they are recorded, and added at every replay. A solve with a
tolerance is one call of the program (`energy.program.loop`). The rule itself, carried out plainly, defines what is
right.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import field
from typing import Any, Final, NamedTuple
from weakref import ref

import torch
from torch import Tensor

from energy.energy_network import EnergyNetwork
from energy.errors import NonFiniteError
from energy.health import guarding, health
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.program.key import Key, key_of
from energy.program.record import Untraceable, tensors_of
from energy.program.replay import Replay, SettledProgram
from energy.relax.contraction import contraction
from energy.relax.visits import visits
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.rules.unit_rule import UnitRule
from energy.settle.settled import Settled
from energy.settle.settler import Settler, require_finite
from energy.state import State

KEPT: Final = 8  # programs of a rule that are kept


class _Known(NamedTuple):
    """A step that has been met, and its recording; None for one that stays plain."""

    network: ref[Network]
    settler: Settler
    objective: Objective
    guarded: bool
    key: Key
    replay: Replay | None


class Program(Rule):
    """A rule whose step is recorded, compiled and replayed; used like the rule itself.

        program = Program(rule=Contrast())
        program.learn(network, settler, x, target, objective)  # recorded and compiled at the first call

    A step is recorded anew when anything but numbers has changed: shapes, dtypes, devices, frozen weights, settler,
    objective, feedback weights, couplings. One that cannot be recorded or compiled is carried out plainly, and one
    warning says why. The result of a step has its output and solutions, and no layers.

    Attributes:
        rule: the rule.
        compiled: compile the recording, which takes seconds; if false its operations are called one by one.
    """

    rule: Rule = field(default_factory=Contrast)
    compiled: bool = True

    def __post_init__(self) -> None:
        self.descends, self.exact = self.rule.descends, self.rule.exact  # pyright: ignore[reportAttributeAccessIssue]
        self.supports_greedy = self.rule.supports_greedy  # pyright: ignore[reportAttributeAccessIssue]
        self._known: list[_Known] = []  # pyright: ignore[reportAttributeAccessIssue]

    def learns(self, network: Network) -> list[str]:
        return self.rule.learns(network)

    def scores_output(self, network: Network, learning: Collection[str]) -> bool:
        return self.rule.scores_output(network, learning)

    def rule_for(self, network: Network, layer: int) -> UnitRule | None:
        return self.rule.rule_for(network, layer)

    def unit_rules(self) -> Sequence[UnitRule]:
        return self.rule.unit_rules()

    def attach(self, network: Network) -> None:
        self.rule.attach(network)

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return self.rule.update(network, settled)

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return self.rule.gradients(network, settled)

    def apply(self, network: Network, settled: Settled) -> None:
        self.rule.apply(network, settled)

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        """Replay the step, after recording it if it is new.

        Args:
            network, settler, x, target, objective, ledger: as for `learn`.
        """
        if begins(network, settler):
            return self.rule.batch(network, settler, x, target, objective, ledger)
        network.validate_batch(x)  # what a settler would find at every step, such as a hook that was added
        key = key_of(network, x, target)
        known = self._find(network, settler, objective, key)
        if known is None:
            return self._first(network, settler, x, target, objective, ledger, key)
        if known.replay is None:
            return self.rule.batch(network, settler, x, target, objective, ledger)
        try:
            return _carried_out(known.replay, x, target, ledger)
        except Untraceable as error:  # of a solve that goes on in a form that it never had before
            self._known.remove(known)
            return self._plainly(network, settler, x, target, objective, ledger, key, error)

    def _find(self, network: Network, settler: Settler, objective: Objective, key: Key) -> _Known | None:
        for known in self._known:
            same = known.network() is network and known.key == key and known.guarded is guarding()
            if same and known.settler == settler and known.objective == objective:
                return known
        return None

    def _first(
        self,
        network: Network,
        settler: Settler,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger,
        key: Key,
    ) -> Settled:
        """The first step of its kind: by a new program or, if there can be none, plainly."""
        try:
            replay = Replay(self.rule, network, settler, objective, x, target, compiled=self.compiled)
            found = _carried_out(replay, x, target, ledger)
        except NonFiniteError:  # of the numbers, whatever carries out the step
            raise
        except Exception as error:
            return self._plainly(network, settler, x, target, objective, ledger, key, error)
        self._remember(_Known(ref(network), settler, objective, guarding(), key, replay))
        return found

    def _plainly(
        self,
        network: Network,
        settler: Settler,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger,
        key: Key,
        error: Exception,
    ) -> Settled:
        """The step by the rule itself, after an `error` of a program that the next one of its kind is spared."""
        plain = self.rule.batch(network, settler, x, target, objective, ledger)  # a fault of the caller is raised here
        self._remember(_Known(ref(network), settler, objective, guarding(), key, None))
        warnings.warn(f"program: this step stays plain: {error!r:.300}", stacklevel=2)
        return plain

    def _remember(self, known: _Known) -> None:
        living = [one for one in self._known if one.network() is not None]
        self._known[:] = [*living[1 - KEPT :], known]


def begins(network: Network, settler: Settler) -> bool:
    """Return True if this step stays plain: it begins the estimate of a network's loop gain, as no later one does, or
    it remembers visits.
    """
    if visits(network) is not None:
        return True  # its many buffers are written to
    found = contraction(network)
    return found is not None and not found.begun and bool(getattr(settler, "keep_contracting", 0) and settler.gamma)


def _carried_out(replay: Replay, x: Tensor, target: Tensor, ledger: Ledger) -> Settled:
    """Replay a step, check what came out, and write the gradients."""
    network = replay.network
    network.zero_grad()
    settled, found = _replayed(replay, x, target, ledger)
    if replay.settler.gamma == 0 and not isinstance(network, EnergyNetwork):  # where a settler checks it
        require_finite(network, x, State([settled.output]))
    health(network).solved(network, replay.settler, settled)
    gradients = found["gradients"]
    if found["sound"] is not None:
        health(network).judge(network, gradients[: len(list(network.parameters()))], found["sound"])
    for tensor, gradient in zip(tensors_of(network), gradients, strict=True):
        tensor.grad = gradient
    return settled


def _replayed(replay: Replay, x: Tensor, target: Tensor, ledger: Ledger) -> tuple[SettledProgram, dict[str, Any]]:
    """Replay the step; if a solve in it fails, what was written before it is taken back."""
    tensors = tensors_of(replay.network)
    held = [(tensors[k], tensors[k].detach().clone()) for k in replay.written if replay.loops]
    try:
        return replay(x, target, ledger)
    except Exception:
        with torch.no_grad():
            for tensor, before in held:
                tensor.copy_(before)
        raise
