"""A folder of images with one folder for each class, as a data set: `data=image_folder data.root=... data.side=32`."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import torch

from energy.component import require
from energy.data.cache import cached, source_facts
from energy.data.check import Examples, Raw
from energy.data.class_folders import ImageFile, class_names, image_files
from energy.data.dataset import DataSet
from energy.data.decoding import Fit, decoded, require_pillow
from energy.errors import DataError, shown
from energy.paths import expanded

MOST: Final = 1 << 36  # bytes of the decoded set
SPLITS: Final = ("train", "test")


class ImageFolder(DataSet, name="image_folder"):
    """Images as files, in one folder for each class: `root/train/<class>/*.png` and `root/test/<class>/*.png`.

    Without `root/test` some of the images to train on are the test set, drawn by the names of their files, so that they
    stay it when others are added; the folders of the classes may then lie in `root` itself. Classes are the folders to
    train on, numbered in the order of their names. Each image is scaled to a square (`fit`) by bilinear interpolation.
    The set is decoded once, into the cache, and again when a file has changed.

    Attributes:
        root: the folder.
        side: of the images, in pixels, after they were scaled.
        color: red, green and blue; or else their luminance.
        fit: the way that an image becomes a square.
        held: the fraction of the images of `train` that are the test set, where there is no `root/test`.
    """

    levels: ClassVar[float | None] = 255

    root: str = ""
    side: int = 32
    color: bool = True
    fit: Fit = Fit.CROP
    held: float = 0.2

    def __post_init__(self) -> None:
        require(1 <= self.side <= 4096, self, "side", "from 1 to 4096 pixels")
        require(0 < self.held < 1, self, "held", "above 0 and below 1")
        super().__post_init__()

    def _declared(self) -> None:
        """Nothing is declared in the class: the folder tells it, once it is looked at."""

    @property
    def image(self) -> tuple[int, int, int]:  # pyright: ignore[reportIncompatibleVariableOverride] (of the side)
        """(C, side, side)."""
        return (3 if self.color else 1, self.side, self.side)

    @property
    def classes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] (of the folder)
        """Their number, as the folder has them."""
        return len(self.names)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] (of the folder)
        """The classes, sorted.

        Raises:
            DataError: without a root, and when there is no such folder or none in it.
        """
        return class_names(self._place("train"))

    def read(self) -> Raw:
        """Decode all images, or take them from the cache.

        Raises:
            DataError: naming the first file or folder that cannot be used.
            MissingDependencyError: when Pillow is not installed.
        """
        require_pillow()
        parts = self._parts
        counts = [len(files) for files in parts]
        size = sum(counts) * self.image[0] * self.side**2
        if size > MOST:
            raise DataError(f"{self.name}: {sum(counts)} images of side {self.side} take {size} bytes, above {MOST}")
        files = [file for part in parts for file in part]
        rules = [self.names, counts, [file.label for file in files], self.side, self.color, self.fit.name]
        limit = size + 8 * sum(counts)
        return cached(self.name, rules, [file.path for file in files], limit, lambda: Raw(*map(self._decode, parts)))

    def fingerprint(self) -> str:
        """Return a digest of the names, classes and contents of all files."""
        files = [file for part in self._parts for file in part]
        facts = source_facts([file.path for file in files])
        root = self._root
        told = [[str(file.path.relative_to(root)), one.sha256] for file, one in zip(files, facts, strict=True)]
        counts = [len(part) for part in self._parts]
        return hashlib.sha256(json.dumps([self.names, counts, told]).encode()).hexdigest()

    @property
    def _root(self) -> Path:
        if not self.root:
            raise DataError(f"{self.name}: must be told where its images are: data.root=FOLDER")
        return expanded(self.root).resolve()

    def _place(self, split: str) -> Path:
        """The folder of a split: `root/train`, or `root` itself if there are no splits in it."""
        root = self._root
        if not root.is_dir():
            raise DataError(f"{self.name}.root={shown(self.root)}: there is no such folder")
        divided = [name for name in SPLITS if (root / name).is_dir()]
        if divided == ["test"]:
            raise DataError(f"{shown(root)}: has a folder test and none called train")
        return root / split if divided else root

    @functools.cached_property
    def _parts(self) -> tuple[list[ImageFile], list[ImageFile]]:
        """The files to train on, and those to test on."""
        train = image_files(self._place("train"), self.names)
        if (self._root / "test").is_dir():
            return train, image_files(self._place("test"), self.names)
        held = {file.path for file in train if _drawn(file.path, self._place("train")) < self.held}
        parts = [file for file in train if file.path not in held], [file for file in train if file.path in held]
        for split, part in zip(SPLITS, parts, strict=True):
            if not part:
                raise DataError(f"{self.name}.held={self.held:g}: leaves no image to {split} on, of {len(train)}")
        return parts

    def _decode(self, files: Sequence[ImageFile]) -> Examples:
        pixels = torch.empty(len(files), *self.image, dtype=torch.uint8)
        for row, file in zip(pixels, files, strict=True):
            row.copy_(decoded(file.path, self.side, self.color, self.fit))
        return Examples(pixels, torch.tensor([file.label for file in files]))


def _drawn(path: Path, root: Path) -> float:
    """A number in [0, 1) that depends on the place of a file below `root` alone."""
    digest = hashlib.blake2b(path.relative_to(root).as_posix().encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") / 2**64
