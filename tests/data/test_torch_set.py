"""Data sets and loaders of torch: read exactly, in a keyed order, and refused with set, field and sample."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from energy.component import Component
from energy.data import DataError, TorchDataSet, TorchSplits, torch_splits
from energy.data.torch_samples import torch_examples
from energy.stream import stream
from energy.targets import TargetKind

X = torch.rand(30, 3, 4, 4, generator=stream(0, "x"))
Y = torch.arange(30) % 5


@pytest.fixture(autouse=True)
def restored_table() -> Iterator[None]:
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


class Samples(Dataset[Any]):
    """A list of samples, one of which may be put in place of another; `length` is what it says of itself."""

    def __init__(self, samples: list[Any], length: int | None = None) -> None:
        self.samples, self.length = samples, length

    def __len__(self) -> int:
        return len(self.samples) if self.length is None else self.length

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def given(**changed: Any) -> Samples:
    samples: list[Any] = list(zip(X, Y, strict=True))
    for index, sample in changed.items():
        samples[int(index[1:])] = sample
    return Samples(samples)


def read(source: Any, **options: Any) -> Any:
    return torch_examples(source, "mine train", (3, 4, 4), 5, **options)


@pytest.mark.parametrize(
    "source",
    [
        TensorDataset(X, Y),
        given(),
        DataLoader(TensorDataset(X, Y), batch_size=7),
        DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True, drop_last=True),
        DataLoader(TensorDataset(X, Y), batch_size=None),
        Samples([(x.numpy(), y) for x, y in zip(X, Y.tolist(), strict=True)]),
        Samples([[x, np.int16(y)] for x, y in zip(X, Y.tolist(), strict=True)]),
        Samples([(x, torch.eye(5)[y]) for x, y in zip(X, Y.tolist(), strict=True)]),
        Subset(TensorDataset(X.repeat(2, 1, 1, 1), Y.repeat(2)), list(range(30, 60))),
    ],
)
def test_a_set_is_read_exactly_and_in_its_own_order(source: Any) -> None:
    pixels, labels = read(source)
    assert torch.equal(pixels, X)
    assert torch.equal(labels, Y)


def test_images_of_pillow_have_their_channels_first() -> None:
    pixels = torch.randint(256, (6, 3, 4, 4), generator=stream(0, "pixels"), dtype=torch.uint8)
    made = [(Image.fromarray(one.permute(1, 2, 0).numpy()), 1) for one in pixels]
    assert torch.equal(read(Samples(made)).pixels, pixels)


def test_axes_of_length_1_may_be_missing() -> None:
    rows = torch.arange(12.0).view(4, 3)
    found = torch_examples(TensorDataset(rows, rows[:, :2]), "mine", (3, 1, 1), 2, TargetKind.REAL)
    assert torch.equal(found.pixels, rows.view(4, 3, 1, 1))
    assert torch.equal(found.labels, rows[:, :2])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


class Growing(Samples):
    """One more sample each time it is asked how many there are."""

    def __len__(self) -> int:
        self.samples.append(self.samples[0])
        return len(self.samples)


class Noisy(Samples):
    def __getitem__(self, index: int) -> Any:
        x, y = self.samples[index]
        return x + torch.rand(1), y


class Flipped(Samples):
    """Mirrored by chance, as a random transform does it: half of the reads."""

    def __getitem__(self, index: int) -> Any:
        x, y = self.samples[index]
        return (x.flip(-1) if torch.rand(1) < 0.5 else x), y


REFUSED: list[tuple[Any, str]] = [
    (given(_17=(X[0][:, :3], Y[0])), r"sample 17: image has shape \(3, 3, 4\); must be \(3, 4, 4\)"),
    (given(_3=(X[0].double(), Y[0])), r"sample 3: image is torch.float64 .*; that of sample 0 is torch.float32"),
    (given(_3=(X[0].long(), Y[0])), r"sample 3: image is torch.int64; must be uint8, or floating"),
    (given(_29=(X[0] * float("nan"), Y[0])), r"sample 29: image is not finite"),
    (given(_4=(X[0], 5)), r"labels run from 0 to 5; must lie between 0 and 4; .*5, of sample 4"),
    (given(_4=(X[0], -1)), r"labels run from -1 to 4; .*of sample 4"),
    (given(_4=(X[0], 1.0)), r"sample 4: label is torch.float64 of shape \(\); that of sample 0 is torch.int64"),
    (given(_4=(X[0], "cat")), r"sample 4: label is a str; must be a tensor"),
    (given(_4=(X[0],)), r"sample 4 is a tuple of 1; must be a pair \(image, label\)"),
    (given(_4=X[0]), r"sample 4 is a Tensor; must be a pair"),
    (given(_4=(None, Y[0])), r"sample 4: image is a NoneType; must be a tensor"),
    (Samples([(x, float(y)) for x, y in zip(X, Y, strict=True)]), r"labels are torch.float64 of shape \(30,\)"),
    (Samples(list(zip(X, Y, strict=True)), 31), r"sample 30: list index out of range; __len__ says more"),
    (Samples([]), r"holds no images"),
    (Growing(list(zip(X, Y, strict=True))), r"its length was 31 before it was read and is 32 now"),
    (Noisy(list(zip(X, Y, strict=True))), r"sample 0: image is another on a second read; leave chance to data.crop"),
    (Flipped(list(zip(X, Y, strict=True))), r"sample \d+: image is another on a second read"),
    (Stream(), r"Stream is a stream.*list\(stream\)"),
    (DataLoader(Stream(), batch_size=3), r"Stream is a stream"),
    (
        DataLoader(given(), sampler=SubsetRandomSampler([1, 2])),
        r"the loader's SubsetRandomSampler leaves.*Subset",
    ),
    (DataLoader(given(), sampler=WeightedRandomSampler([1.0] * 30, 30)), r"the loader's WeightedRandomSampler leaves"),
    (
        DataLoader(given(), sampler=RandomSampler(given(), replacement=True)),
        r"the loader's RandomSampler leaves",
    ),
    (DataLoader(given(), collate_fn=lambda batch: batch), r"the loader has a collate_fn of its own"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED)
def test_what_cannot_be_used_is_named(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^mine train: {message}") as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_an_error_of_the_set_itself_is_told_with_the_sample() -> None:
    class Broken(Samples):
        def __getitem__(self, index: int) -> Any:
            return {}["missing"] if index == 2 else super().__getitem__(index)

    with pytest.raises(DataError, match=r"^mine train: sample 2: KeyError: 'missing'"):
        read(Broken(list(zip(X, Y, strict=True))))


def test_targets_that_are_real_or_on_and_off() -> None:
    y = torch.randn(30, 2, generator=stream(0, "y"))
    splits = torch_splits(TorchSplits(TensorDataset(X, y), TensorDataset(X, y)), 2, targets=TargetKind.REAL, levels=1)
    assert torch.equal(splits.test.labels, y)
    on = (y > 0).float()
    splits = torch_splits(
        TorchSplits(TensorDataset(X, on), TensorDataset(X, on)), 2, targets=TargetKind.LABELS, levels=1
    )
    assert splits.train.targets is TargetKind.LABELS
    assert splits.test.labels.tolist() == on.tolist()
    bad = y.clone()
    bad[7, 1] = float("inf")
    with pytest.raises(DataError, match=r"^given train: sample 7: label is not finite"):
        torch_splits(TorchSplits(TensorDataset(X, bad), TensorDataset(X, y)), 2, targets=TargetKind.REAL, levels=1)


def mine(**body: Any) -> type[TorchDataSet]:
    declared: dict[str, Any] = {"image": (3, 4, 4), "classes": 5, "levels": 1, **body}
    return type("Mine", (TorchDataSet,), declared, name="mine")


def opened(**sources: Any) -> dict[str, Any]:
    return {"open": lambda self: TorchSplits(**sources)}


def test_batches_are_keyed_normalized_and_continued_like_those_of_any_set() -> None:
    """Against the rule itself: the rows are those of the permutation keyed by (seed, "order", epoch)."""
    made = mine(**opened(train=TensorDataset(X, Y), test=TensorDataset(X[:5], Y[:5])))
    data = made(mean=[0.1, 0.2, 0.3], std=[0.5], validation=0.0)
    train = data.load("cpu", 0, torch.float64).train
    whole = list(train.batches(8, seed=3, epoch=2, train=True))
    order = torch.randperm(30, generator=stream(3, "order", 2))
    wanted = (X.double() - torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(3, 1, 1)) / 0.5
    for step, (x, y) in enumerate(whole):
        torch.testing.assert_close(x, wanted[order[8 * step : 8 * step + 8]])
        assert torch.equal(y, Y[order[8 * step : 8 * step + 8]])
    for (x, _), (again, _) in zip(whole[1:], train.batches(8, seed=3, epoch=2, train=True, start_step=1), strict=True):
        assert torch.equal(x, again)


def test_a_validation_set_of_ones_own_is_taken_whole() -> None:
    held = TensorDataset(X[20:25] / 2, Y[20:25])
    made = mine(**opened(train=TensorDataset(X[:20], Y[:20]), validation=held, test=TensorDataset(X[25:], Y[25:])))
    for seed in (0, 1):
        splits = made().load("cpu", seed)
        assert [len(split) for split in splits] == [20, 5, 5]
        assert torch.equal(splits.validation.pixels, X[20:25] / 2)
    some = [made(limit=limit).load("cpu", 1).train.pixels for limit in (4, 9)]
    assert len(some[0]) == 4
    assert all(any(torch.equal(one, other) for other in some[1]) for one in some[0])
    with pytest.raises(DataError, match=r"mine.limit=21: must be at most the 20 images"):
        made(limit=21).load("cpu", 0)
    other = mine(**opened(train=TensorDataset(X, Y), validation=TensorDataset(X.double(), Y), test=TensorDataset(X, Y)))
    with pytest.raises(DataError, match=r"mine: pixels of train are torch.float32, of validation torch.float64"):
        other().load("cpu", 0)


def test_the_set_is_opened_once_and_its_fingerprint_is_that_of_its_numbers() -> None:
    count = []

    def open(self: Any) -> TorchSplits:
        count.append(1)
        return TorchSplits(TensorDataset(X, Y), TensorDataset(X, Y))

    data = mine(open=open)()
    data.load("cpu", 0)
    data.load("cpu", 1)
    assert len(count) == 1
    first, changed = data.fingerprint(), X.clone()
    changed[3, 0, 0, 0] += 1e-6
    same = mine(**opened(train=given(), test=TensorDataset(X, Y)))()
    other = mine(**opened(train=TensorDataset(changed, Y), test=TensorDataset(X, Y)))()
    assert same.fingerprint() == first != other.fingerprint()


def test_open_must_return_splits() -> None:
    with pytest.raises(DataError, match=r"mine: open\(\) returned a tuple; must be TorchSplits\(train, test\)"):
        mine(open=lambda self: (X, Y))().load("cpu", 0)


def test_floating_images_need_their_unit() -> None:
    both = TorchSplits(TensorDataset(X, Y), TensorDataset(X, Y))
    with pytest.raises(DataError, match=r"unit is not declared; say `levels = 1`"):
        torch_splits(both, 5)


def test_every_image_is_told_apart(recwarn: pytest.WarningsRecorder) -> None:
    unique: Tensor = read(TensorDataset(X, Y)).pixels.flatten(1).unique(dim=0)
    assert len(unique) == 30
    assert not recwarn.list
