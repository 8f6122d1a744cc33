"""One image file as pixels of a square: decoded by Pillow, within limits that are compared before anything expands.

The number of bytes is compared before the file is read, kind and number of pixels as its header tells them before it is
decoded. A file that is cut off, has several frames, or more than 8 bits a channel is refused. Transparency is left
aside, and so is the orientation that a camera noted.
"""

import enum
import io
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from energy.data.class_folders import LARGEST
from energy.errors import DataError, EnergyError, MissingDependencyError, shown
from energy.io.plain_file import read_plain

KINDS: Final = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
MOST_PIXELS: Final = 1 << 26  # of a file, as its header tells them
FLATTEST: Final = 1000  # times that one side may be as long as the other
MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr")  # of 8 bits or fewer


class Fit(enum.Enum):
    """The way that an image becomes a square."""

    CROP = "the largest square about its center, scaled to the side"
    STRETCH = "all of it, its height and its width each scaled to the side"


def require_pillow() -> Any:
    """Import Pillow.

    Raises:
        MissingDependencyError: when it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "data=image_folder: needs the package Pillow, which the extra `images` installs"
        ) from None
    return Image


def decoded(path: Path, side: int, color: bool, fit: Fit) -> Tensor:
    """Read an image file as uint8 (3, side, side), or (1, side, side) without color.

    Bilinear interpolation, over all pixels that a smaller image has for one of its own.

    Args:
        path: the file.
        side: in pixels.
        color: red, green and blue, or else their luminance (ITU-R 601).
        fit: the way to a square.

    Raises:
        DataError: naming the file, for one that is missing, a link, too large, cut off, damaged, or of another kind.
        MissingDependencyError: when Pillow is not installed.
    """
    library = require_pillow()
    try:
        content = read_plain(path, LARGEST)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that of a bomb, or of damaged metadata
            with library.open(io.BytesIO(content), formats=KINDS) as image:
                _require_decodable(image, path)
                image.verify()  # the sums of a PNG, of which the decoder leaves the last one out
            with library.open(io.BytesIO(content), formats=KINDS) as image:
                image.load()
                square = _square(image.convert("RGB" if color else "L"), side, fit, library)
    except EnergyError as error:
        raise error if isinstance(error, DataError) else DataError(str(error)) from None
    except (library.DecompressionBombError, library.DecompressionBombWarning):
        raise DataError(f"{shown(path)}: must have at most {MOST_PIXELS} pixels, has more") from None
    except library.UnidentifiedImageError:
        raise DataError(f"{shown(path)}: is none of {', '.join(KINDS)}, whatever its name says") from None
    except MemoryError:
        raise
    except Exception as error:  # a decoder meets damage in many ways
        raise DataError(f"{shown(path)}: cannot be decoded: {shown(str(error) or type(error).__name__)}") from None
    array = np.array(square, np.uint8)
    return torch.from_numpy(np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1)))


def _require_decodable(image: Any, path: Path) -> None:
    """Refuse an image by what its header says."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise DataError(f"{shown(path)}: must have at most {MOST_PIXELS} pixels, has {width} x {height}")
    if max(width, height) > FLATTEST * min(width, height):
        raise DataError(f"{shown(path)}: has {width} x {height} pixels; one side is over {FLATTEST} times the other")
    if image.mode not in MODES:
        raise DataError(f"{shown(path)}: its pixels are {image.mode}; must have at most 8 bits a channel")
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{shown(path)}: has {image.n_frames} frames; must have one")


def _square(image: Any, side: int, fit: Fit, library: Any) -> Any:
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short) if fit is Fit.CROP else (0, 0, width, height)
    return image.resize((side, side), library.Resampling.BILINEAR, box=box)
