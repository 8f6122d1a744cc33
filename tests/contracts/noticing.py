"""How a planted defect is looked for."""

from typing import Any

import pytest
from torch import Tensor

from energy.couplings import Dense
from energy.couplings.dense import DenseLinearization


def noticed(check: Any, subject: Any, words: str, *arguments: Any) -> None:
    """The check raises one line that begins with the subject and says `words`."""
    with pytest.raises(AssertionError, match=words) as caught:
        check(subject, *arguments)
    text = str(caught.value)
    name = getattr(subject, "name", "") or type(subject).__name__
    assert "\n" not in text and len(text) < 400 and text.startswith(f"{name}: ")


class Planted(DenseLinearization):
    """To be given a defect; `at` is the state that it is taken at."""

    at: Tensor


def linearized(kind: type[Planted]) -> Dense:
    """Dense(4, 4) that is linearized by `kind`, whose name it bears."""

    def linearize(self: Dense, pre: Tensor) -> tuple[Tensor, Planted]:
        drive, true = Dense.linearize(self, pre)
        linear = kind(self, true.weight, true.pre)
        linear.at = pre
        return drive, linear

    return type(kind.__name__, (Dense,), {"linearize": linearize})(4, 4)
