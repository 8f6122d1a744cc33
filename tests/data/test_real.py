"""The published sets themselves, where ENERGY_DATA has them: counts, balance, first labels, known statistics."""

import pytest
import torch

from energy.component import from_dict
from energy.data import DataError, DataSet, Published, data_root

FIRST = {
    "cifar10": ([6, 9, 9, 4, 1], [3, 8, 8, 0, 6]),
    "cifar100": ([19, 29, 0, 11, 1], [49, 33, 72, 51, 71]),
    "mnist": ([5, 0, 4, 1, 9], [7, 2, 1, 0, 4]),
    "fashion_mnist": ([9, 0, 0, 3, 0], [9, 2, 1, 1, 6]),
}
BALANCED = {"cifar10": (5000, 1000), "cifar100": (500, 100), "fashion_mnist": (6000, 1000), "stl10": (500, 800)}
DEVIATION = {"cifar10": (0.2470, 0.2435, 0.2616), "mnist": (0.3081,), "fashion_mnist": (0.3530,)}
MEAN = {"cifar10": (0.4914, 0.4822, 0.4465), "mnist": (0.1307,), "fashion_mnist": (0.2860,)}


@pytest.fixture(scope="module", params=["cifar10", "cifar100", "mnist", "fashion_mnist", "stl10", "imagenette32"])
def published(request: pytest.FixtureRequest) -> Published:
    dataset = from_dict(DataSet, request.param)
    assert isinstance(dataset, Published)
    try:
        dataset.locate(data_root())
    except DataError as error:
        pytest.skip(str(error))
    return dataset


def test_the_published_set(published: Published) -> None:
    train, test = published.read()
    assert (len(train.labels), len(test.labels)) == published.counts
    assert train.pixels.dtype is torch.uint8
    assert train.pixels.shape[1:] == published.image
    for part, count in zip((train, test), BALANCED.get(published.name, ()), strict=False):
        assert part.labels.bincount(minlength=published.classes).tolist() == [count] * published.classes
    for part, labels in zip((train, test), FIRST.get(published.name, ()), strict=False):
        assert part.labels[:5].tolist() == labels


def test_its_statistics_are_those_that_papers_quote(published: Published) -> None:
    if published.name not in MEAN:
        pytest.skip("no exact statistics are quoted")
    counts = torch.stack(
        [c.flatten().bincount(minlength=256) for c in published.read().train.pixels.unbind(1)]
    ).double()
    share, values = counts / counts.sum(1, keepdim=True), torch.arange(256) / 255
    mean = (share * values).sum(1)
    deviation = ((share * values**2).sum(1) - mean**2).sqrt()
    assert mean.tolist() == pytest.approx(MEAN[published.name], abs=1e-4)
    assert deviation.tolist() == pytest.approx(DEVIATION[published.name], abs=1e-4)


def test_an_epoch_of_it(published: Published) -> None:
    splits = published.load("cpu", seed=0)
    total, aside = published.counts[0], round(published.validation * published.counts[0])
    assert [len(part) for part in splits] == [total - aside, aside, published.counts[1]]
    x, y = next(splits.train.batches(64, seed=0, epoch=0, train=True))
    assert x.shape == (64, *published.shape)
    assert x.isfinite().all()
    assert 0 <= int(y.min()) <= int(y.max()) < published.classes
