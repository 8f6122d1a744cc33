"""The component: its ranges, its division, and sets that users write."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from energy.component import Component, ConfigurationError, choices, from_dict, to_dict
from energy.data import Cifar10, DataError, DataSet, Digits, Examples, Published, Raw

NAN = float("nan")


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """Classes made here do not stay on the command line."""
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


def mine(train: Examples, test: Examples | None = None, **fields: Any) -> DataSet:
    class Mine(DataSet, name="mine"):
        image = (1, 2, 2)
        classes = 3
        levels = 1

        def read(self) -> Raw:
            return Raw(train, test or train)

    return Mine(**fields)


def examples(count: int = 40) -> Examples:
    return Examples(torch.arange(count * 4).view(count, 1, 2, 2) / 4, torch.arange(count) % 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("validation", 1.0),
        ("validation", -0.1),
        ("validation", NAN),
        ("limit", -1),
        ("pad", -1),
        ("crop", 33),
        ("crop", -1),
        ("cutout", 33),
        ("cutout", -2),
        ("mean", []),
        ("mean", [NAN]),
        ("mean", [0.1, 0.2]),
        ("std", [0.0]),
        ("std", [1.0, 1.0, NAN]),
        ("std", [float("inf")]),
    ],
)
def test_a_value_out_of_range_is_refused_by_name_before_anything_is_read(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"cifar10\.{field}="):
        Cifar10(**{field: value})


@pytest.mark.parametrize("name", choices(DataSet))
def test_every_set_is_described_and_rebuilt_without_loss(name: str) -> None:
    dataset = from_dict(DataSet, name)
    assert from_dict(DataSet, to_dict(dataset)) == dataset
    assert dataset.shape == dataset.image
    assert type(dataset).__doc__
    if name != "image_folder":  # whose folder tells its classes
        assert len(dataset.names) <= dataset.classes


@pytest.mark.parametrize("name", [name for name, cls in choices(DataSet).items() if issubclass(cls, Published)])
def test_a_published_set_says_how_it_is_had_and_has_both_parts_in_every_layout(name: str) -> None:
    dataset = from_dict(DataSet, name)
    assert isinstance(dataset, Published)
    assert dataset.downloads or dataset.advice
    for layout in dataset.layouts:
        assert {part.split for part in layout.parts} == {"train", "test"}
        assert all(file.limit > 0 for part in layout.parts for file in part.files)


def test_training_and_validation_are_disjoint_and_together_everything() -> None:
    train, validation, test = mine(examples(), validation=0.25).load("cpu", seed=0)
    ids = [(part.pixels[:, 0, 0, 0]).tolist() for part in (train, validation)]
    assert (len(train), len(validation), len(test)) == (30, 10, 40)
    assert sorted(ids[0] + ids[1]) == list(range(40))
    assert torch.equal(train.labels, train.pixels[:, 0, 0, 0].long() % 3)


def test_the_division_is_a_function_of_the_seed() -> None:
    dataset = mine(examples())
    first, again, other = (dataset.load("cpu", seed=seed).validation.pixels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_larger_limit_contains_a_smaller_one() -> None:
    def used(limit: int) -> set[float]:
        return set(mine(examples(), limit=limit).load("cpu", seed=0).train.pixels[:, 0, 0, 0].tolist())

    assert len(used(10)) == 10
    assert used(10) < used(20) < used(36)


@pytest.mark.parametrize(("limit", "validation", "held"), [(20, 0.1, 2), (0, 0.1, 4), (0, 0.0, 0), (30, 0.3, 9)])
def test_validation_shrinks_with_the_limit(limit: int, validation: float, held: int) -> None:
    parts = mine(examples(), limit=limit, validation=validation).load("cpu", seed=0)
    assert len(parts.validation) == held
    assert len(parts.train) == (limit or 40 - held)


def test_a_limit_beyond_the_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"mine\.limit=39: must be at most 36 of 40 images"):
        mine(examples(), limit=39).load("cpu", seed=0)


def test_padding_adds_zero_pixels_and_is_told_in_the_shape() -> None:
    dataset = mine(examples(), pad=1, mean=[0.5], std=[2.0], validation=0.0)
    source = dataset.load("cpu", seed=0).train
    x, _ = source.take(slice(0, 40))
    assert dataset.shape == source.shape == (1, 4, 4)
    assert torch.equal(x[:, :, 1:3, 1:3], (examples().pixels - 0.5) / 2)
    assert (x[:, :, 0] == -0.25).all()


def test_only_training_images_are_augmented() -> None:
    train, validation, test = mine(examples(), crop=1, flip=True, cutout=1).load("cpu", seed=0)
    assert train.augment.crop == 1
    assert (validation.augment, test.augment) == (type(train.augment)(), type(train.augment)())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_of_batches(dtype: torch.dtype) -> None:
    x, y = next(mine(examples()).load("cpu", 0, dtype).test.batches(4, seed=0, epoch=0, train=False))
    assert x.dtype is dtype
    assert y.dtype is torch.int64


GOOD = examples()
BAD = {
    "not finite": Examples(GOOD.pixels.clone().index_fill_(0, torch.tensor(7), NAN), GOOD.labels),
    "image 3 is not finite": Examples(GOOD.pixels.clone().index_fill_(0, torch.tensor(3), float("inf")), GOOD.labels),
    r"shape \(40, 2, 2\); must be \(N, 1, 2, 2\)": Examples(GOOD.pixels[:, 0], GOOD.labels),
    r"shape \(40, 1, 1, 4\)": Examples(GOOD.pixels.view(40, 1, 1, 4), GOOD.labels),
    "holds no images": Examples(GOOD.pixels[:0], GOOD.labels[:0]),
    "labels run from 1 to 3": Examples(GOOD.pixels, GOOD.labels + 1),
    "labels run from -1": Examples(GOOD.pixels, GOOD.labels - 1),
    "labels are torch.float64": Examples(GOOD.pixels, GOOD.labels.double()),
    r"of shape \(39,\)": Examples(GOOD.pixels, GOOD.labels[1:]),
    "pixels are torch.int64": Examples(GOOD.pixels.long(), GOOD.labels),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("split", ["train", "test"])
def test_unusable_examples_are_refused_with_the_split_and_the_fault(fault: str, split: str) -> None:
    parts = (BAD[fault], GOOD) if split == "train" else (GOOD, BAD[fault])
    with pytest.raises(DataError, match=f"mine {split}: .*{fault}"):
        mine(*parts).load("cpu", seed=0)


def test_digits_have_one_test_set_for_every_seed() -> None:
    first, second = (Digits().load("cpu", seed=seed) for seed in (0, 1))
    assert [len(part) for part in first] == [1293, 144, 360]
    assert torch.equal(first.test.pixels, second.test.pixels)
    assert not torch.equal(first.train.pixels, second.train.pixels)
    assert int(first.test.pixels.max()) == 16
    assert first.test.labels.bincount().min() > 20


def test_digits_are_normalized_to_mean_0_and_variance_1() -> None:
    parts = Digits(validation=0.0).load("cpu", seed=0)
    x = torch.cat([part.take(slice(0, len(part)))[0] for part in (parts.train, parts.test)])
    assert abs(x.mean()) < 1e-3
    assert abs(x.std() - 1) < 1e-3
