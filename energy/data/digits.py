"""The 1,797 handwritten digits of 8 x 8 pixels that come inside scikit-learn.

Reference:
    Alpaydin and Kaynak 1998, UCI Machine Learning Repository (https://archive.ics.uci.edu/dataset/80).
"""

import dataclasses

import torch

from energy.data.check import Examples, Raw
from energy.data.dataset import DataSet
from energy.errors import DataError
from energy.stream import stream

TEST = 360


class Digits(DataSet, name="digits"):
    """Handwritten digits of 8 x 8 pixels with 17 gray levels, as scikit-learn has them.

    There is no published division: the same 360 are the test set for every seed.
    """

    image = (1, 8, 8)
    classes = 10
    counts = (1437, TEST)
    levels = 16
    names = tuple("0123456789")

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.3053])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.3760])

    def read(self) -> Raw:
        """Return 1,437 training and 360 test examples.

        Raises:
            DataError: when scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise DataError(
                "digits: come with scikit-learn, which is not installed; pip install scikit-learn"
            ) from None
        images, labels = load_digits(return_X_y=True)
        pixels, labels = torch.from_numpy(images).byte().view(-1, *self.image), torch.from_numpy(labels).long()
        order = torch.randperm(len(labels), generator=stream(0, "split"), device="cpu")
        parts = (order[TEST:].sort().values, order[:TEST].sort().values)
        return Raw(*(Examples(pixels[rows], labels[rows]) for rows in parts))
