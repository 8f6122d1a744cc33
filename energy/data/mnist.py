"""MNIST and Fashion-MNIST: 70,000 gray images of 28 x 28 pixels in four idx files, zipped or not.

The MD5s of the files are those of the unzipped contents, since Debian and the authors zip the same contents
differently; those of the archives are the published ones.

References:
    LeCun et al. 1998 (http://yann.lecun.com/exdb/mnist/); Xiao et al. 2017 (arXiv:1708.07747).
"""

import dataclasses

from energy.data import idx
from energy.data.published import Download, Published
from energy.data.source import File, Layout, Part

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LIMITS = (16 + 60000 * 784, 8 + 60000, 16 + 10000 * 784, 8 + 10000)


def _layout(folders: tuple[str, ...], digests: tuple[str, ...]) -> tuple[Layout]:
    files = tuple(map(File, NAMES, LIMITS, digests))
    return (Layout("idx", folders, (Part("train", files[:2]), Part("test", files[2:])), idx.idx_examples),)


def _downloads(base: str, folder: str, digests: tuple[str, ...]) -> tuple[Download, ...]:
    return tuple(
        Download(f"{base}{name}.gz", f"md5:{digest}", folder) for name, digest in zip(NAMES, digests, strict=True)
    )


class Mnist(Published, name="mnist"):
    """Handwritten digits of 28 x 28 pixels.

    The mirror is the one that PyTorch runs, since the authors' page no longer serves files.
    """

    image = (1, 28, 28)
    classes = 10
    names = tuple("0123456789")
    counts = (60000, 10000)
    layouts = _layout(
        ("MNIST/raw", "MNIST", "mnist"),
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    )
    downloads = _downloads(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "MNIST/raw",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.1307])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.3081])


class FashionMnist(Published, name="fashion_mnist"):
    """Articles of clothing, in the format of MNIST.

    Debian's package `dataset-fashion-mnist` is found by itself.
    """

    image = (1, 28, 28)
    classes = 10
    names = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    counts = (60000, 10000)
    layouts = _layout(
        (
            "FashionMNIST/raw",
            "FashionMNIST",
            "fashion-mnist",
            "fashion_mnist",
            "/usr/share/datasets/fashion-mnist",
            "/usr/share/dataset/fashion-mnist",
        ),
        (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    )
    downloads = _downloads(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "FashionMNIST/raw",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    )

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.2860])
    std: list[float] = dataclasses.field(default_factory=lambda: [0.3530])
