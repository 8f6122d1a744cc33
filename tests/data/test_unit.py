"""The unit of pixels is declared or that of bytes: images that differ in their unit alone give the same batches."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.cautions import Caution
from energy.component import Component, ConfigurationError
from energy.data import DataError, DataSet, Examples, Raw
from energy.stream import stream

BYTES = torch.randint(256, (60, 1, 4, 4), generator=stream(0, "unit"), dtype=torch.uint8)
LABELS = torch.arange(60) % 3


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """Classes made here do not stay on the command line."""
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


def mine(pixels: Tensor, levels: float | None = None, **fields: Any) -> DataSet:
    """A set of these pixels; of a class that declares `levels`, or does not."""

    class Mine(DataSet, name="mine"):
        image = (1, 4, 4)
        classes = 3

        def read(self) -> Raw:
            return Raw(Examples(pixels, LABELS), Examples(pixels, LABELS))

    if levels is not None:
        Mine.levels = levels
    return Mine(**fields)


def batch(dataset: DataSet) -> Tensor:
    """All test images as they are given out."""
    test = dataset.load("cpu", seed=0).test
    return test.take(slice(0, len(test)))[0]


def test_bytes_stand_for_themselves_over_255() -> None:
    assert torch.allclose(batch(mine(BYTES)), BYTES / 255)


@pytest.mark.parametrize(("pixels", "levels"), [(BYTES / 255, 1), (BYTES.float(), 255), (BYTES.double() / 2, 127.5)])
def test_declared_levels_give_the_batches_of_the_bytes(pixels: Tensor, levels: float) -> None:
    assert torch.allclose(batch(mine(pixels, levels)), BYTES / 255)


@pytest.mark.parametrize(
    ("pixels", "cure"),
    [(BYTES / 255, "levels = 1"), (BYTES.float(), "levels = 255"), (BYTES.float() / 255 - 0.5, "levels = 1")],
)
def test_floating_pixels_without_a_unit_are_refused_with_the_cure(pixels: Tensor, cure: str) -> None:
    with pytest.raises(DataError, match=rf"^mine: pixels are torch\.float32, from .*not declared; say `{cure}`"):
        mine(pixels).load("cpu", seed=0)


@pytest.mark.parametrize("most", [1, 16, 63])
def test_bytes_far_below_255_are_a_caution(most: int) -> None:
    with pytest.warns(Caution, match=rf"^mine: pixels are uint8 and none is above {most}, .*say `levels = {most}`"):
        mine(BYTES % (most + 1)).load("cpu", seed=0)


@pytest.mark.parametrize("most", [1, 16])
def test_bytes_far_below_255_with_their_levels_are_none(most: int) -> None:
    assert float(batch(mine(BYTES % (most + 1), most)).max()) == 1


@pytest.mark.parametrize(
    ("pixels", "levels", "fields"),
    [
        (BYTES.float(), 1, {}),  # mean 127
        (BYTES / 255, 255, {}),  # deviation 0.001
        (BYTES, None, {"mean": [125.0], "std": [63.0]}),  # published for bytes
    ],
)
def test_units_that_do_not_fit_each_other_are_a_caution(
    pixels: Tensor, levels: float | None, fields: dict[str, Any]
) -> None:
    with pytest.warns(Caution, match="must be in one unit"):
        mine(pixels, levels, **fields).load("cpu", seed=0)


@pytest.mark.parametrize(("pixels", "levels"), [(BYTES / 255 - 0.5, 1), (torch.zeros_like(BYTES), None)])
def test_negative_and_black_images_are_nothing_odd(pixels: Tensor, levels: float | None) -> None:
    assert torch.allclose(batch(mine(pixels, levels)), pixels / (levels or 255))


def test_bytes_beside_floats_are_refused() -> None:
    class Mixed(DataSet, name="mixed"):
        image = (1, 4, 4)
        classes = 3

        def read(self) -> Raw:
            return Raw(Examples(BYTES, LABELS), Examples(BYTES / 255, LABELS))

    with pytest.raises(DataError, match=r"^mixed: pixels of train are torch\.uint8, of test torch\.float32"):
        Mixed().load("cpu", seed=0)


@pytest.mark.parametrize("levels", [0, -1, float("nan")])
def test_levels_are_above_zero(levels: float) -> None:
    with pytest.raises(ConfigurationError, match=r"must be .*above 0"):
        mine(BYTES, levels)
