"""Top-5 accuracy: the share of samples whose class is among the five greatest outputs.

The outputs are put in order with the greatest first, and of equals the one with the lower number first; a NaN counts as
the greatest number, as it does for `argmax`. With o the outputs and t the class, the rank of t in that order is

    r = #{j : o_j > o_t} + #{j < t : o_j = o_t}

so r = 0 exactly if t = argmax o, r < 5 exactly if t is among the first five, and no top-5 accuracy is below that of the
greatest output. Five of few classes say little: it is counted from `TOP_FIVE_CLASSES` classes on.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from energy.exchange import count_of_all, sum_of_all

TOP_FIVE_CLASSES: Final = 100
PLACES: Final = 5


def class_rank(output: Tensor, labels: Tensor) -> Tensor:
    """Return the rank r of each sample's class among its outputs, from 0; nothing is read from the device.

    Args:
        output: (B, C) or, with a class at every place, (B, C, …).
        labels: true classes in 0 … C − 1, (B,) or (B, …).

    Example:
        >>> class_rank(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), torch.tensor([2]))
        tensor([1])
    """
    index = labels.unsqueeze(1)
    own = output.gather(1, index)
    greater = ~(output <= own) & ~own.isnan()
    equal = (output == own) | (output.isnan() & own.isnan())
    numbers = torch.arange(output.shape[1], device=output.device).view(-1, *[1] * (output.ndim - 2))
    return (greater | (equal & (numbers < index))).sum(1)


class TopFive:
    """A count of the samples with r < 5, which stays on the device until it is read; nothing below 100 classes.

    Args:
        classes: number of classes C.
        device: of the outputs.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        asked = classes >= TOP_FIVE_CLASSES
        self._found = torch.zeros((), dtype=torch.int64, device=device) if asked else None
        self._all = 0

    @torch.no_grad()
    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            output: (B, C, …).
            labels: true classes (B, …).
        """
        if self._found is not None:
            self._found += (class_rank(output, labels) < PLACES).sum()
            self._all += labels.numel()

    def of_all(self) -> None:
        """Count the samples of all ranks."""
        if self._found is not None:
            sum_of_all([self._found])
            self._all = count_of_all(self._all)

    def accuracy(self) -> dict[str, float]:
        """Return `top5_accuracy` in percent, or nothing where it is not counted; reads the device."""
        if self._found is None:
            return {}
        return {"top5_accuracy": 100.0 * self._found.item() / max(self._all, 1)}
