"""The image files of a folder with one folder for each class, listed without opening any of them.

Names that begin with a dot, and files of other kinds than images, are left aside. What could be meant as an image and
would not be read is refused by name: a link, which could lead anywhere; a file that is no regular one; an image beside
the folders of the classes or in a folder within one; and an image of a kind that is not decoded.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from energy.errors import DataError, shown

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm")
OTHER: Final = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".ico", ".npy")
MOST_CLASSES: Final = 10_000
MOST_FILES: Final = 1_000_000
LARGEST: Final = 1 << 26  # bytes of a file


class ImageFile(NamedTuple):
    """An image file: its path, and its class by number."""

    path: Path
    label: int


def class_names(root: Path) -> tuple[str, ...]:
    """Return the names of the folders in `root`, sorted by their letters' code points; these are the classes.

    Raises:
        DataError: when there is no such folder or none in it, and for what is refused.
    """
    entries = list(_entries(root))
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False) and Path(entry.name).suffix.lower() in (*SUFFIXES, *OTHER):
            raise DataError(f"{shown(entry.path)}: lies in no class; images must be in the folders of their classes")
    names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    if not names:
        raise DataError(f"{shown(root)}: has no folders in it; must have one for each class")
    if len(names) > MOST_CLASSES:
        raise DataError(f"{shown(root)}: has {len(names)} folders in it; must be at most {MOST_CLASSES}")
    return tuple(names)


def image_files(root: Path, names: tuple[str, ...]) -> list[ImageFile]:
    """Return the images of the classes `names` below `root`, by class and then by name.

    Raises:
        DataError: for a folder that is none of these classes, a class without images, and for what is refused.
    """
    if unknown := set(class_names(root)) - set(names):
        raise DataError(f"{shown(root / min(unknown))}: is none of the classes to train on: {shown(', '.join(names))}")
    found: list[ImageFile] = []
    for label, name in enumerate(names):
        found += [ImageFile(path, label) for path in sorted(_images(root / name))] if (root / name).is_dir() else []
        if len(found) > MOST_FILES:
            raise DataError(f"{shown(root)}: holds more than {MOST_FILES} images")
    if not found:
        raise DataError(f"{shown(root)}: holds no images; they end in {', '.join(SUFFIXES)}")
    return found


def _images(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        suffix = Path(entry.name).suffix.lower()
        if entry.is_dir(follow_symlinks=False):
            if any(Path(inner.name).suffix.lower() in SUFFIXES for inner in _entries(Path(entry.path))):
                raise DataError(f"{shown(entry.path)}: is a folder within a class; images must lie in the class itself")
        elif suffix in OTHER:
            raise DataError(f"{shown(entry.path)}: {suffix} is not decoded; must be one of {', '.join(SUFFIXES)}")
        elif suffix in SUFFIXES:
            seen = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(seen.st_mode):
                raise DataError(f"{shown(entry.path)}: is not a regular file")
            if seen.st_size > LARGEST:
                raise DataError(f"{shown(entry.path)}: has {seen.st_size} bytes; must have at most {LARGEST}")
            yield Path(entry.path)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, without names that begin with a dot; a link ends it."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    raise DataError(f"{shown(entry.path)}: is a link, and none is followed; put the file itself there")
                yield entry
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read: {error.strerror}") from None
