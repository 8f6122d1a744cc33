"""Data sets in published files: found, verified, parsed once, and then read from the cache."""

import math
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch

from energy.data.cache import cached
from energy.data.check import Examples, Raw, validate_examples
from energy.data.dataset import DataSet
from energy.data.source import Layout, Part, content, data_root, require_size
from energy.errors import DataError, shown


class Download(NamedTuple):
    """An official archive: its address, its digest (`md5:...` or `sha256:...`), and the folder it is put into."""

    url: str
    digest: str
    folder: str = ""


class Published(DataSet):
    """A set whose files the user puts under `$ENERGY_DATA`, under the names that the official archives unpack to.

    Class attributes: `counts` of training and test images, `layouts` in the order of preference, `downloads`, and
    `advice` if there is nothing to download.

    Attributes:
        verify: whether to ask for the published digests and counts; false admits a part or a changed copy of the set.
    """

    counts: ClassVar[tuple[int, int]]  # pyright: ignore[reportIncompatibleVariableOverride] (never None here)
    layouts: ClassVar[tuple[Layout, ...]]
    downloads: ClassVar[tuple[Download, ...]] = ()
    advice: ClassVar[str] = ""

    verify: bool = True

    def read(self) -> Raw:
        """Read the published examples, labels from 0.

        Raises:
            DataError: when files are missing, hold something else than was published, or cannot be parsed.
        """
        root = data_root()
        layout, paths = self.locate(root)
        for path, file in zip(paths, layout.files, strict=True):
            require_size(path, file)
        rules = [layout.title, layout.parts, self.verify, self.counts, self.image, self.classes]
        limit = sum(self.counts) * 8 * (math.prod(self.image) + 1)
        return cached(self.name, rules, paths, limit, lambda: self._convert(layout, root))

    def locate(self, root: Path) -> tuple[Layout, list[Path]]:
        """Return the first layout all files of which lie under `root`, and their paths.

        Raises:
            DataError: when there is none; its message names the files to download, their address, and the folder to put
                them in.
        """
        for layout in self.layouts:
            paths = list(layout.locate(root).values())
            if None not in paths:
                return layout, [path for path in paths if path]
        fault = f"has no {' or '.join(dict.fromkeys(layout.folders[0] for layout in self.layouts))}"
        for layout in reversed(self.layouts):
            absent = [file.name for file, path in layout.locate(root).items() if path is None]
            if len(absent) < sum(len(part.files) for part in layout.parts):
                fault = f"lacks {', '.join(absent)} of the {layout.title} form"
        raise DataError(f"{self.name}: the data folder {shown(root)} {fault}; {self.cure(root)}")

    def cure(self, root: Path) -> str:
        """Return the advice for a missing set."""
        if not self.downloads:
            return self.advice
        first, *others = self.downloads
        rest = "".join(f" and {download.url.rpartition('/')[2]}" for download in others)
        place = root / first.folder
        return f"run `energy data fetch {self.name}`, or set ENERGY_DATA, or unpack {first.url}{rest} into {place}"

    def _convert(self, layout: Layout, root: Path) -> Raw:
        paths, parts = layout.locate(root), {split: [] for split in Raw._fields}
        left = sum(self.counts)
        for part in layout.parts:
            found = self._parse(layout, part, [paths[file] for file in part.files])
            left -= len(found.labels)
            if left < 0:
                raise DataError(f"{self.name}: holds more than the {sum(self.counts)} images that were published")
            parts[part.split].append(found)
        raw = Raw(*(_join(parts[split]) for split in Raw._fields))
        counts = tuple(len(examples.labels) for examples in raw)
        if self.verify and counts != self.counts:
            raise DataError(f"{self.name}: holds {counts} training and test images; published are {self.counts}")
        return raw

    def _parse(self, layout: Layout, part: Part, paths: list[Path | None]) -> Examples:
        where = " with ".join(map(shown, paths))
        contents = [content(path, file, self.verify) for path, file in zip(paths, part.files, strict=True) if path]
        try:
            examples = layout.parse(contents)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        validate_examples(examples, where, self.image, self.classes, layout.first_label)
        return Examples(examples.pixels, examples.labels - layout.first_label)


def _join(parts: list[Examples]) -> Examples:
    """Join the parts; each is dropped as soon as it is copied, since a set may fill half of the memory."""
    labels = torch.cat([part.labels for part in parts])
    pixels = torch.empty(len(labels), *parts[0].pixels.shape[1:], dtype=parts[0].pixels.dtype)
    at = 0
    while parts:
        chunk = parts.pop(0).pixels
        pixels[at : at + len(chunk)] = chunk
        at += len(chunk)
    return Examples(pixels, labels)
