"""The unit of pixels: the value that stands for 1 is declared, or 255 for bytes, and never guessed."""

from torch import Tensor

from energy.cautions import caution
from energy.errors import DataError

BYTES = 255  # what stands for 1 where pixels are uint8 and nothing is declared
SAMPLE = 1000  # images that are looked at, evenly spaced
FAR = 20.0  # a mean of normalized pixels beyond which they are in another unit than mean and std
STILL = 0.01  # a standard deviation of normalized pixels below which they are


def look(pixels: Tensor, declared: float | None, mean: Tensor, std: Tensor, name: str) -> None:
    """Look at training images for a unit that differs from that of their mean and standard deviation.

    A caution is given if bytes stay far below the 255 that nobody declared, and if x = (pixel/levels - mean)/std lies
    far from 0 or hardly varies.

    Args:
        pixels: training images (N, C, H, W).
        declared: the `levels` of the class, if it has one.
        mean: of pixel/levels, (C, 1, 1) or (1, 1, 1).
        std: like `mean`.
        name: the set, for the message.

    Raises:
        DataError: when pixels are floating and the class declares no unit.
    """
    some = _some(pixels)
    low, high = float(some.min()), float(some.max())
    if declared is None and pixels.is_floating_point():
        guess = 1 if high <= 1 else BYTES
        raise DataError(
            f"{name}: pixels are {pixels.dtype}, from {low:g} to {high:g}, and their unit is not declared; "
            f"say `levels = {guess}` in the class, or what pixel value stands for 1"
        )
    if declared is None and 0 < high < BYTES / 4:
        caution(
            f"{name}: pixels are uint8 and none is above {high:g}, but {BYTES} stands for 1; say `levels = {high:g}` "
            f"in the class, or `levels = {BYTES}` if that is meant",
        )
        return
    _compare(some, declared or BYTES, mean, std, name)


def _compare(pixels: Tensor, levels: float, mean: Tensor, std: Tensor, name: str) -> None:
    """Caution if normalized pixels are far from 0 or hardly vary."""
    x = (pixels.double() / levels - mean) / std
    if not x.float().isfinite().all():  # beyond what a network can be given: the first step says so
        return
    means, deviations = x.mean((0, 2, 3)), x.std((0, 2, 3), correction=0)
    odd = (means.abs() > FAR) | ((deviations > 0) & (deviations < STILL))
    for channel in odd.nonzero().flatten().tolist()[:1]:
        caution(
            f"{name}: x = (pixel/{levels:g} - mean)/std has mean {means[channel]:.3g} and deviation "
            f"{deviations[channel]:.3g} in channel {channel}; levels (of the class), data.mean and data.std must be in "
            f"one unit: mean and std are those of pixel/levels, and pixels go up to {float(pixels.max()):g}",
        )


def _some(pixels: Tensor) -> Tensor:
    return pixels[:: max(1, len(pixels) // SAMPLE)]
