"""A whole training step as one program: states, gradients, the check that they are finite, and the optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakMethod

import torch
from torch import Tensor

from energy import foreach
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.program.key import Key, key_of
from energy.program.record import Untraceable
from energy.program.replay import Replay, SettledProgram
from energy.program.update import Update
from energy.rules.rule import Rule
from energy.settle.settler import Settler


class Trained(NamedTuple):
    """The result of a step.

    Attributes:
        settled: output and solutions.
        loss: of each sample, (B,); None if the step has no objective of the output.
        sound: true for the loss and for each gradient that is finite, (1 + parameters,).
    """

    settled: SettledProgram
    loss: Tensor | None
    sound: Tensor


class TrainingReplay(Replay):
    """A step that also writes the weights; `.grad` stays empty.

    Args:
        rule, network, settler, objective, x, target, compiled: as for `Replay`.
        update: the step of the optimizer.
        scored: whether the step has an objective of the output.
        found: above 0 on the device, (), if no update is to be made any more.
    """

    def __init__(
        self,
        rule: Rule,
        network: Network,
        settler: Settler,
        objective: Objective,
        x: Tensor,
        target: Tensor,
        update: Update,
        found: Tensor,
        *,
        scored: bool = True,
        compiled: bool = True,
    ) -> None:
        self.update, self.scored = update, scored
        self.found = found
        self.key = (key_of(network, x, target), update.key)
        self.copied = [k for k, p in enumerate(network.parameters()) if p.dtype is not x.dtype and p.ndim > 1]
        self.copies: list[Tensor] = []
        self.dtype = x.dtype
        self.stale = True
        self._recorded: dict[int, Tensor] = {}
        self._versions: list[int] = []
        super().__init__(rule, network, settler, objective, x, target, compiled=compiled)

    def given(self, x: Tensor, target: Tensor) -> list[Tensor]:
        return [x, target, self.found, *self._copies(), *(one for some in self.update.tensors() for one in some)]

    def _copies(self) -> list[Tensor]:
        """The weights in the precision of the states, made anew unless the last step has written them."""
        if self.copied and (self.stale or self._seen() != self._versions):
            parameters = list(self.network.parameters())
            self.copies = [parameters[k].detach().to(self.dtype) for k in self.copied]
            self.stale = False
        return self.copies

    def _seen(self) -> list[int]:
        """The versions of the weights, which rise as torch writes to them."""
        parameters = list(self.network.parameters())
        return [parameters[k]._version for k in self.copied]

    def __call__(self, x: Tensor, target: Tensor, ledger: Ledger) -> tuple[SettledProgram, dict[str, Any]]:
        found = super().__call__(x, target, ledger)
        self._versions = self._seen() if self.copied else []
        return found

    def cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        found = self._recorded.get(id(weight))
        return weight.to(dtype) if found is None or found.dtype is not dtype else found

    def _step(self, given: list[Tensor]) -> dict[str, Any]:
        x, target, found, *others = given
        parameters = list(self.network.parameters())
        copies, states = others[: len(self.copied)], iter(others[len(self.copied) :])
        self._recorded = {id(parameters[k]): copy for k, copy in zip(self.copied, copies, strict=True)}
        self.checked = False  # below
        result = super()._step([x, target])
        self._recorded = {}
        gradients = result["gradients"][: len(parameters)]
        loss = self._loss(x, result, target)
        given_ones = [
            loss if loss is not None else x.new_zeros(1),
            *(x.new_zeros(1) if g is None else g for g in gradients),
        ]
        sound = foreach.all_finite(given_ones)
        tensors = [[next(states) for _ in some] for some in self.update.tensors()]
        self.update.write(parameters, gradients, tensors, sound.all() & (found == 0))
        with torch.no_grad():
            for k, copy in zip(self.copied, copies, strict=True):
                copy.copy_(parameters[k])
        return {**result, "gradients": [], "sound": sound, "loss": loss}

    def _loss(self, x: Tensor, result: dict[str, Any], target: Tensor) -> Tensor | None:
        if not self.scored:
            return None
        settled = SettledProgram(x=x, output=result["output"], ledger=Ledger(), error=result["error"])
        return self.settler.value(self.objective, settled, target)


class TrainingStep:
    """A rule and an optimizer that train in one program per kind of batch.

    Args:
        rule: the rule.
        optimizer: as `energy.program.update.admits` takes it. Its own `step` may be called in between, and weights may
            be written in place; after a write to their `.data`, which torch does not count, call `forget`.
        compiled: as for `Program`.
    """

    def __init__(self, rule: Rule, optimizer: torch.optim.Optimizer, *, compiled: bool = True) -> None:
        self.rule, self.optimizer = rule, optimizer
        self.compiled = compiled
        self.replays: list[TrainingReplay] = []
        forget = WeakMethod(self.forget)

        def stepped(*_: Any) -> None:
            if (call := forget()) is not None:
                call()

        optimizer.register_step_post_hook(stepped)

    def forget(self) -> None:
        """Make the copies of weights anew at the next step: the weights have been written by others."""
        for replay in self.replays:
            replay.stale = True

    def __call__(
        self,
        network: Network,
        settler: Settler,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger,
        found: Tensor,
        *,
        scored: bool = True,
    ) -> Trained:
        """Take one batch from its inputs to new weights.

        Args:
            network, settler, x, target, objective, ledger: as for `Rule.learn`.
            found: above 0, (), if no update is to be made any more.
            scored: whether the step has an objective of the output.

        Raises:
            Untraceable: for a step that cannot be recorded or compiled; nothing has been written then.
        """
        network.validate_batch(x)
        update = Update(self.optimizer, network)
        replay = self._find(network, settler, objective, (key_of(network, x, target), update.key), scored)
        network.zero_grad()
        if replay is None:
            try:
                replay = TrainingReplay(
                    self.rule,
                    network,
                    settler,
                    objective,
                    x,
                    target,
                    update,
                    found,
                    scored=scored,
                    compiled=self.compiled,
                )
                settled, result = replay(x, target, ledger)
            except Exception as error:
                raise Untraceable(f"{error!r:.300}") from error
            self.replays = [*self.replays[-3:], replay]
        else:
            replay.update, replay.found = update, found
            settled, result = replay(x, target, ledger)
        for other in self.replays:
            other.stale = other.stale or other is not replay
        return Trained(settled, result["loss"], result["sound"])

    def _find(
        self, network: Network, settler: Settler, objective: Objective, key: Key, scored: bool
    ) -> TrainingReplay | None:
        for replay in self.replays:
            same = replay.of(network) and replay.key == key and replay.scored is scored
            if same and replay.settler == settler and replay.objective == objective:
                return replay
        return None
