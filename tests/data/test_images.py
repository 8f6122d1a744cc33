"""Batches: normalisation by formula, order and augmentation by key, and an epoch that can begin anywhere."""

import pytest
import torch
from torch import Tensor

from energy.data import Augment, DataError, Images
from energy.data.augment import draw_augmentations
from energy.stream import stream

MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).double(), torch.tensor([0.2, 0.25, 0.3]).double()


def images(count: int = 50, augment: Augment | None = None, dtype: torch.dtype = torch.float64) -> Images:
    pixels = torch.randint(0, 256, (count, 3, 6, 6), generator=stream(0, "test"), dtype=torch.uint8)
    scale, shift = (1 / (255 * STD))[:, None, None], (MEAN / STD)[:, None, None]
    work = torch.promote_types(dtype, torch.float32)
    return Images(pixels, torch.arange(count), scale.to(work), shift.to(work), count, augment or Augment(), dtype)


def epoch(
    source: Images, number: int = 0, seed: int = 0, train: bool = True, start: int = 0
) -> list[tuple[Tensor, Tensor]]:
    return list(source.batches(8, seed=seed, epoch=number, train=train, start_step=start))


def labels(batches: list[tuple[Tensor, Tensor]]) -> list[int]:
    return torch.cat([y for _, y in batches]).tolist()


def test_values_are_normalized_by_the_formula() -> None:
    source = images()
    x, _ = source.take(slice(0, 9))
    wanted = (source.pixels[:9].double() / 255 - MEAN[:, None, None]) / STD[:, None, None]
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("train", [True, False])
def test_batches_have_the_type_asked_for_and_round_once(dtype: torch.dtype, train: bool) -> None:
    exact, rounded = epoch(images(), train=train), epoch(images(dtype=dtype), train=train)
    for (x, _), (z, _) in zip(exact, rounded, strict=True):
        assert z.dtype is dtype
        torch.testing.assert_close(z.double(), x, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_evaluation_shows_every_image_once_in_order_and_as_it_is() -> None:
    source = images(augment=Augment(2, True, 3))
    batches = epoch(source, train=False)
    assert [len(y) for _, y in batches] == [8] * 6 + [2]
    assert labels(batches) == list(range(50))
    assert torch.equal(torch.cat([x for x, _ in batches]), source.take(slice(0, 50))[0])


def test_training_shows_no_image_twice_and_drops_the_incomplete_batch() -> None:
    shown = labels(epoch(images()))
    assert len(shown) == 48 == len(set(shown))
    assert images().steps(8, train=True) == 6
    assert images().steps(8, train=False) == 7


def test_images_stay_with_their_labels() -> None:
    source = images()
    for x, y in epoch(source):
        assert torch.equal(x, source.take(y)[0])


def test_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    first = labels(epoch(images()))
    torch.manual_seed(99)
    assert first == labels(epoch(images()))
    assert len({tuple(first), tuple(labels(epoch(images(), number=1))), tuple(labels(epoch(images(), seed=1)))}) == 3


def test_an_epoch_continued_in_the_middle_is_the_epoch() -> None:
    source = images(augment=Augment(2, True, 3))
    whole = epoch(source, number=4, seed=7)
    for start in range(len(whole) + 1):
        rest = epoch(source, number=4, seed=7, start=start)
        assert len(rest) == len(whole) - start
        for (x, y), (z, w) in zip(rest, whole[start:], strict=True):
            assert torch.equal(x, z)
            assert torch.equal(y, w)


def test_training_batches_are_augmented_by_seed_epoch_and_step() -> None:
    augment = Augment(2, True, 3)
    source = images(augment=augment)
    for step, (x, y) in enumerate(epoch(source, number=3, seed=5)):
        assert torch.equal(x, augment(source.take(y)[0], draw_augmentations(8, stream(5, "augment", 3, step))))


def test_batches_do_not_change_the_images() -> None:
    source = images(augment=Augment(2, True, 3))
    before = source.pixels.clone()
    for x, _ in (*epoch(source), *epoch(source, train=False)):
        x.zero_()
    assert torch.equal(source.pixels, before)


def test_floating_images_are_not_changed_either() -> None:
    source = Images(torch.rand(4, 1, 2, 2), torch.arange(4), torch.tensor(2.0), torch.tensor(1.0), 4, Augment())
    before = source.pixels.clone()
    x, _ = source.take(slice(0, 4))
    assert torch.equal(x, before * 2 - 1)
    assert torch.equal(source.pixels, before)


@pytest.mark.parametrize(("size", "train"), [(0, True), (-1, False), (51, True), (0, False)])
def test_a_batch_size_that_does_not_fit_is_refused_at_once(size: int, train: bool) -> None:
    with pytest.raises(DataError, match=f"batch_size={size}: must be between 1 and the 50"):
        images().batches(size, seed=0, epoch=0, train=train)


def test_evaluation_may_take_all_at_once() -> None:
    assert len(next(images().batches(1000, seed=0, epoch=0, train=False))[1]) == 50


def test_alternating_images_are_mirrored_in_one_of_two_epochs_each() -> None:
    """Nothing else is augmented, so every image of an epoch is as it is or mirrored, whatever batch it is in."""
    source = images(200, augment=Augment(flip=True, alternate=True))
    plain, _ = source.take(slice(None))
    mirrored = []
    for number in range(4):
        found = torch.zeros(len(source), dtype=torch.bool)
        for x, y in epoch(source, number):
            there = (x == plain[y].flip(-1)).flatten(1).all(1)
            assert bool((there | (x == plain[y]).flatten(1).all(1)).all())
            found[y] = there
        mirrored.append(found)
    assert bool((mirrored[0] ^ mirrored[1]).all())
    assert torch.equal(mirrored[0], mirrored[2]) and torch.equal(mirrored[1], mirrored[3])
    assert 70 < int(mirrored[0].sum()) < 130  # half of them, within four standard deviations
    other = torch.cat([x for x, _ in epoch(source, 0, seed=1)])
    assert not torch.equal(other, torch.cat([x for x, _ in epoch(source, 0)]))


def test_alternating_epochs_may_begin_anywhere() -> None:
    source = images(augment=Augment(1, True, 2, alternate=True))
    whole, rest = epoch(source, 1), epoch(source, 1, start=3)
    for (x, y), (z, w) in zip(whole[3:], rest, strict=True):
        assert torch.equal(x, z) and torch.equal(y, w)
