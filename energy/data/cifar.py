"""CIFAR-10 and CIFAR-100: 60,000 color images of 32 x 32 pixels, as binary records or as pickled batches.

The MD5s of the archives are the published ones. CIFAR-100 is read with its 100 fine labels.

Reference:
    Krizhevsky 2009, Learning multiple layers of features from tiny images
    (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import dataclasses
from functools import partial

from energy.data import archive, records
from energy.data.check import Examples
from energy.data.published import Download, Published
from energy.data.source import File, Layout, Part

IMAGE = (3, 32, 32)
PICKLED_BATCH, PICKLED_SET = 40_000_000, 200_000_000


def _layout(title: str, folder: str, parse: partial[Examples], *files: File) -> Layout:
    """A layout of one file per part, the last one being the test set."""
    splits = ["train"] * (len(files) - 1) + ["test"]
    parts = tuple(Part(split, (file,)) for split, file in zip(splits, files, strict=True))
    return Layout(title, (folder,), parts, lambda contents: parse(contents[0]))


class Cifar10(Published, name="cifar10"):
    """Ten classes of animals and vehicles, 5,000 training images of each."""

    image = IMAGE
    classes = 10
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    counts = (50000, 10000)
    layouts = (
        _layout(
            "binary",
            "cifar-10-batches-bin",
            partial(records.cifar, label_bytes=1),
            File("data_batch_1.bin", 30_730_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
            File("data_batch_2.bin", 30_730_000, "5ea93a67294ea407fff1d09f752e9692"),
            File("data_batch_3.bin", 30_730_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
            File("data_batch_4.bin", 30_730_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
            File("data_batch_5.bin", 30_730_000, "53f37980c15c3d472c316c40844f3f0d"),
            File("test_batch.bin", 30_730_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),
        ),
        _layout(
            "pickled",
            "cifar-10-batches-py",
            partial(archive.pickled_examples, label="labels", shape=IMAGE),
            File("data_batch_1", PICKLED_BATCH, "c99cafc152244af753f735de768cd75f"),
            File("data_batch_2", PICKLED_BATCH, "d4bba439e000b95fd0a9bffe97cbabec"),
            File("data_batch_3", PICKLED_BATCH, "54ebc095f3ab1f0389bbae665268c751"),
            File("data_batch_4", PICKLED_BATCH, "634d18415352ddfa80567beed471001a"),
            File("data_batch_5", PICKLED_BATCH, "482c414d41f54cd18b22e5b47cb7c3cb"),
            File("test_batch", PICKLED_BATCH, "40351d587109b95175f43aff81a1287e"),
        ),
    )
    downloads = (
        Download("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.4914, 0.4822, 0.4465])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.2023, 0.1994, 0.2010])
    crop: int = 4
    flip: bool = True


class Cifar100(Published, name="cifar100"):
    """A hundred classes, 500 training images of each."""

    image = IMAGE
    classes = 100
    names = ("apple", "aquarium fish", "baby", "bear", "beaver")
    counts = (50000, 10000)
    layouts = (
        _layout(
            "binary",
            "cifar-100-binary",
            partial(records.cifar, label_bytes=2),
            File("train.bin", 153_700_000, "6172c7755cfe09b2fe270c85cebc1b15"),
            File("test.bin", 30_740_000, "4499cfba6c016c1be1438163640a0898"),
        ),
        _layout(
            "pickled",
            "cifar-100-python",
            partial(archive.pickled_examples, label="fine_labels", shape=IMAGE),
            File("train", PICKLED_SET, "16019d7e3df5f24257cddd939b257f8d"),
            File("test", PICKLED_BATCH, "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),
    )
    downloads = (
        Download("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.5074, 0.4867, 0.4411])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.2011, 0.1987, 0.2025])
    crop: int = 4
    flip: bool = True
