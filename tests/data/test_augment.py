"""Augmentation against its definition, image by image, with slices instead of gathers."""

import itertools

import pytest
import torch
from torch import Tensor

from energy.data.augment import Augment, draw_augmentations
from energy.stream import stream


def by_hand(image: Tensor, numbers: list[float], augment: Augment) -> Tensor:
    """Mirror, shift into a field of zeros, blank a square: in words, with plain indexing."""
    height, width = image.shape[1:]
    down, right = (int(number * (2 * augment.crop + 1)) - augment.crop for number in numbers[:2])
    mirrored = image.flip(2) if augment.flip and numbers[2] < 0.5 else image
    out = torch.zeros_like(image)
    sign = -1 if augment.flip and numbers[2] < 0.5 else 1
    for row, column in itertools.product(range(height), range(width)):
        top, left = row + down, column + sign * right
        if 0 <= top < height and 0 <= left < width:
            out[:, row, column] = mirrored[:, top, left]
    top, left = (
        int(number * size) - augment.cutout // 2 for number, size in zip(numbers[3:], (height, width), strict=True)
    )
    out[:, max(top, 0) : max(top + augment.cutout, 0), max(left, 0) : max(left + augment.cutout, 0)] = 0
    return out


CHOICES = [Augment(crop, flip, cutout) for crop, flip, cutout in itertools.product((0, 1, 3), (False, True), (0, 2, 5))]


@pytest.mark.parametrize("augment", CHOICES, ids=str)
def test_every_combination_is_what_its_definition_says(augment: Augment) -> None:
    x = torch.randn(40, 2, 6, 7, generator=stream(0, "test"), dtype=torch.float64)
    draws = draw_augmentations(40, stream(0, "augment"))
    wanted = torch.stack([by_hand(image, numbers, augment) for image, numbers in zip(x, draws.tolist(), strict=True)])
    assert torch.equal(augment(x, draws), wanted)


def test_the_input_is_not_changed() -> None:
    x = torch.randn(8, 3, 6, 6, generator=stream(0, "test"))
    before = x.clone()
    Augment(2, True, 3)(x, draw_augmentations(8, stream(0, "augment")))
    assert torch.equal(x, before)


def test_switching_one_on_does_not_move_the_others() -> None:
    x = torch.rand(64, 1, 8, 8, generator=stream(0, "test")) + 1
    draws = draw_augmentations(64, stream(1, "augment"))
    cropped, cut = Augment(2, True)(x, draws), Augment(2, True, 4)(x, draws)
    assert torch.equal(cut[cut != 0], cropped[cut != 0])


def test_shifts_mirrors_and_cuts_are_uniform() -> None:
    count, crop = 20_000, 2
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 1
    moved = Augment(crop, False)(x.expand(count, -1, -1, -1), draw_augmentations(count, stream(0, "augment"))).sum(0)[0]
    inside = moved[4 - crop : 5 + crop, 4 - crop : 5 + crop]
    mean = count / (2 * crop + 1) ** 2
    assert inside.sum() == count
    assert (inside - mean).abs().max() < 5 * mean**0.5
    one_sided = torch.tensor([[[[1.0, 0.0]]]]).expand(count, -1, -1, -1)
    kept = Augment(0, True)(one_sided, draw_augmentations(count, stream(0, "augment")))[..., 0].sum()
    assert abs(kept - count / 2) < 5 * (count / 4) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    assert (
        Augment(1, True, 2)(torch.ones(4, 3, 5, 5, dtype=dtype), draw_augmentations(4, stream(0, "augment"))).dtype
        is dtype
    )
