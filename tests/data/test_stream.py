"""A stream is a function of its key: by definition, across purposes, and whatever else has been drawn."""

import hashlib

import pytest
import torch

from energy.stream import stream


def test_the_same_key_gives_the_same_numbers_whatever_was_drawn_in_between() -> None:
    first = torch.rand(5, generator=stream(3, "order", 2, 1))
    torch.manual_seed(0)
    torch.rand(100)
    assert torch.equal(first, torch.rand(5, generator=stream(3, "order", 2, 1)))


@pytest.mark.parametrize(
    "other",
    [(4, "order", 2, 1), (3, "augment", 2, 1), (3, "order", 1, 1), (3, "order", 2, 0), (3, "order", 1, 2)],
)
def test_every_part_of_the_key_counts(other: tuple[int, str, int, int]) -> None:
    assert stream(3, "order", 2, 1).initial_seed() != stream(*other).initial_seed()


def test_the_seed_is_the_first_63_bits_of_the_digest_of_the_key() -> None:
    digest = hashlib.blake2b(b"7/init/layers.0.weight/0/0", digest_size=8).digest()
    assert stream(7, "init/layers.0.weight").initial_seed() == int.from_bytes(digest, "little") // 2


def test_no_global_generator_is_touched() -> None:
    before = torch.get_rng_state()
    torch.rand(5, generator=stream(0, "noise"))
    assert torch.equal(before, torch.get_rng_state())


def test_streams_of_neighboring_steps_are_uncorrelated() -> None:
    draws = torch.stack([torch.randn(1000, generator=stream(0, "augment", 0, step)) for step in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(20)
    assert correlation.abs().max() < 5 / 1000**0.5
