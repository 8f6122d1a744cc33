"""Images a second: shuffled, cropped and mirrored batches of CIFAR-10, beside a step of dual propagation on them."""

import itertools

import pytest

from energy.data.cifar import Cifar10
from energy.data.images import Images
from energy.errors import DataError
from energy.models import MLP, VGG
from tests.benchmarks.tasks import DUAL, FUSED, settled, task
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

BATCH = 128
LOADING = "batches, crop and flip"


@pytest.fixture(scope="module")
def images() -> Images:
    try:
        return Cifar10().load("cpu", seed=0).train
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "model"), [("small VGG", VGG()), ("MLP 3072-1000x4-10", MLP())])
def test_images_a_second(record: Record, images: Images, name: str, model: VGG | MLP) -> None:
    ordered = (batch for epoch in itertools.count() for batch in images.batches(BATCH, seed=0, epoch=epoch, train=True))
    given = task(model, images.shape, BATCH)
    x, labels = next(ordered)
    assert x.shape == given.x.shape and len(labels) == BATCH
    steps = {LOADING: lambda: next(ordered), FUSED: settled(given, DUAL)}
    for row in rows(interleaved(steps), FUSED, group=name, batch=BATCH):
        row["images_per_second"] = BATCH / row["seconds"]
        record.add(row)
