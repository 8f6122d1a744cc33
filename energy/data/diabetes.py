"""The 442 patients of scikit-learn's diabetes data: ten numbers each, and the progression of the disease a year later.

Reference:
    Efron, Hastie, Johnstone and Tibshirani 2004, Annals of Statistics 32(2) (https://web.stanford.edu/~hastie/LARS/).
"""

import dataclasses
from typing import ClassVar

import torch

from energy.data.check import Examples, Raw
from energy.data.regression import Regression
from energy.errors import DataError
from energy.stream import stream

TEST = 88


class Diabetes(Regression, name="diabetes"):
    """Age, sex, body mass index, blood pressure and six serum values of 442 patients, as scikit-learn has them.

    The target is one number from 25 to 346. There is no published division: the same 88 patients are the test set for
    every seed. The defaults of `mean`, `std`, `target_mean` and `target_std` are those of all patients, to four digits.
    """

    image = (10, 1, 1)
    classes = 1
    levels = 1
    counts: ClassVar[tuple[int, int] | None] = (354, TEST)

    mean: list[float] = dataclasses.field(
        default_factory=lambda: [48.52, 1.468, 26.38, 94.65, 189.1, 115.4, 49.79, 4.070, 4.641, 91.26]
    )
    std: list[float] = dataclasses.field(
        default_factory=lambda: [13.09, 0.4990, 4.413, 13.82, 34.57, 30.38, 12.92, 1.289, 0.5218, 11.48]
    )
    target_mean: list[float] = dataclasses.field(default_factory=lambda: [152.1])
    target_std: list[float] = dataclasses.field(default_factory=lambda: [77.01])
    validation: float = 0.2

    def read(self) -> Raw:
        """Return 354 training and 88 test examples.

        Raises:
            DataError: when scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_diabetes
        except ImportError:
            raise DataError(
                "diabetes: comes with scikit-learn, which is not installed; pip install scikit-learn"
            ) from None
        rows, progression = load_diabetes(return_X_y=True, scaled=False)
        x, y = torch.from_numpy(rows).view(-1, *self.image), torch.from_numpy(progression).view(-1, 1)
        order = torch.randperm(len(y), generator=stream(0, "split"), device="cpu")
        parts = (order[TEST:].sort().values, order[:TEST].sort().values)
        return Raw(*(Examples(x[rows], y[rows]) for rows in parts))
