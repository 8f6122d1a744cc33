"""ImageNet32x32, and any set in its layout: ten training batches and one validation batch, npz or pickled.

Labels start at 1 and follow `map_clsloc.txt` of the ILSVRC development kit, which is not the alphabetical order of the
synsets; its first five are given as `names`. The validation images serve as the test set.

Reference:
    Chrabaszcz, Loshchilov and Hutter 2017 (arXiv:1707.08819); https://image-net.org/download-images.
"""

import dataclasses

from energy.data import archive, npz
from energy.data.check import Examples
from energy.data.published import Download, Published
from energy.data.source import File, Layout, Part

IMAGE = (3, 32, 32)
LIMIT = 1 << 29  # bytes of a batch of ImageNet
SMALL = 1 << 26  # of a batch of ten classes
BATCHES = (*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data")


def _pickled(contents: list[bytearray]) -> Examples:
    return archive.pickled_examples(contents[0], "labels", IMAGE)


def _parts(suffix: str, limit: int) -> tuple[Part, ...]:
    return tuple(Part("test" if name == "val_data" else "train", (File(name + suffix, limit),)) for name in BATCHES)


def _layouts(npz_folders: tuple[str, ...], pickled_folders: tuple[str, ...], limit: int) -> tuple[Layout, ...]:
    return (
        Layout(
            "npz",
            npz_folders,
            _parts(".npz", limit),
            lambda contents: npz.npz_examples(contents[0], IMAGE, limit),
            first_label=1,
        ),
        Layout("pickled", pickled_folders, _parts("", limit), _pickled, first_label=1),
    )


def _folders(*unpacked: str) -> tuple[str, ...]:
    return ("imagenet32", *(f"imagenet32/{folder}" for folder in unpacked), *unpacked)


class ImageNet32(Published, name="imagenet32"):
    """The 1,000 classes of ILSVRC 2012 at 32 x 32 pixels.

    No digest is published; the two of the archives are those that users report.
    """

    image = IMAGE
    classes = 1000
    names = ("kit fox", "English setter", "Siberian husky", "Australian terrier", "English springer")
    counts = (1281167, 50000)
    layouts = _layouts(
        _folders("Imagenet32_train_npz", "Imagenet32_val_npz"),
        _folders("Imagenet32_train", "Imagenet32_val"),
        LIMIT,
    )
    downloads = (
        Download(
            "https://image-net.org/data/downsample/Imagenet32_train_npz.zip",
            "md5:3e3d1b7ddb901d59d1fbcba69b3676fa",
            "imagenet32",
        ),
        Download(
            "https://image-net.org/data/downsample/Imagenet32_val_npz.zip",
            "md5:0300f7a8c5de0c82fb6fc6092b4858ed",
            "imagenet32",
        ),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.229, 0.224, 0.225])
    validation: float = 0.05
    crop: int = 4
    flip: bool = True


class ImageNette32(Published, name="imagenette32"):
    """Ten easy classes of ImageNet in the layout of ImageNet32x32, made from Imagenette by box means."""

    image = IMAGE
    classes = 10
    names = (
        "tench",
        "English springer",
        "cassette player",
        "chain saw",
        "church",
        "French horn",
        "garbage truck",
        "gas pump",
        "golf ball",
        "parachute",
    )
    counts = (9469, 3925)
    layouts = _layouts(("imagenette32",), ("imagenette32",), SMALL)
    advice = (
        "nobody serves it in this form: reduce the images of https://github.com/fastai/imagenette to 32 x 32 and write "
        "train_data_batch_1..10.npz and val_data.npz (data, labels from 1) into the folder imagenette32 of ENERGY_DATA"
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.229, 0.224, 0.225])
    validation: float = 0.05
    crop: int = 4
    flip: bool = True
