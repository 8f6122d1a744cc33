"""Splits whose batches are interrupted: between two batches of a pass somebody looks whether to leave."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from energy.data.dataset import Splits
from energy.data.images import Images
from energy.ranks import here


def _nothing() -> None:
    """Look at nothing."""


@dataclass(frozen=True, eq=False)
class Interruptible(Images):
    """A split with a function that is called between two batches, and may raise.

    Attributes:
        look: the function.
    """

    look: Callable[[], None] = _nothing

    def batches(
        self, batch_size: int, *, seed: int, epoch: int, train: bool, start_step: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        whole = super().batches(batch_size, seed=seed, epoch=epoch, train=train, start_step=start_step)
        return self._interrupted(whole)

    def _interrupted(self, whole: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(whole):
            if number:
                self.look()
            yield batch


def interruptible(splits: Splits, look: Callable[[], None]) -> Splits:
    """Return the same splits; between two batches of one of them `look` is called.

    Not on several ranks, which have different batches and leave together, after the pass.
    """
    return splits if here().several else Splits(*(_watched(images, look) for images in splits))


def _watched(images: Images, look: Callable[[], None]) -> Images:
    fields = {field.name: getattr(images, field.name) for field in dataclasses.fields(Images)}
    return Interruptible(**fields, look=look)
