"""The embedded digits with four labels each, which are on or off: even, prime, at least five, with a closed loop."""

from typing import ClassVar, Final

import torch

from energy.data.check import Examples, Raw
from energy.data.digits import Digits
from energy.targets import TargetKind

DIGITS: Final[dict[str, tuple[int, ...]]] = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "at least five": (5, 6, 7, 8, 9),
    "with a loop": (0, 6, 8, 9),
}


class DigitProperties(Digits, name="digit_properties"):
    """Handwritten digits of 8 x 8 pixels, and for each whether its digit is even, prime, at least five, and has a loop.

    Images and division are those of `digits`.
    """

    classes = len(DIGITS)
    names = tuple(DIGITS)
    targets: ClassVar[TargetKind] = TargetKind.LABELS

    def read(self) -> Raw:
        """Return 1,437 training and 360 test examples with labels (N, 4).

        Raises:
            DataError: when scikit-learn is not installed.
        """
        table = torch.tensor([[digit in digits for digits in DIGITS.values()] for digit in range(10)])
        return Raw(*(Examples(pixels, table[labels]) for pixels, labels in super().read()))
