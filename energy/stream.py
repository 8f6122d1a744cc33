"""Randomness as a function of its purpose, never of earlier draws.

A generator is derived from (seed, purpose, epoch, step), so nothing about it has to be saved: a continued run, a run
on two processes and a run with one more layer draw the same numbers for the same purpose. Purposes in use include
`init/<parameter>`, `feedback/<slot>`, `split`, `order`, `augment`, `noise` and `probe`.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

GOLDEN: Final = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio, as a signed number


def stream(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, device: str | torch.device = "cpu"
) -> torch.Generator:
    """Return a fresh generator for one purpose at one place of a run.

    CPU and CUDA generators disagree for the same key: numbers that must not depend on the device are drawn on the CPU
    and moved. A CPU generator keeps 32 bits of its key, so among a hundred thousand streams two may coincide: use it
    for noise, not for identity.

    Args:
        seed: of the run.
        purpose: the use of the numbers.
        epoch, step: the place in the run, 0 for numbers that are drawn once.
        device: of the generator.
    """
    key = f"{seed}/{purpose}/{epoch}/{step}".encode()
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
    return torch.Generator(device).manual_seed(number)


def batch_fingerprint(x: Tensor) -> Tensor:
    """Return a hash of the bits of a batch, whatever the order of its samples: () int64 on its device, which is not
    read.
    """
    return x.float().contiguous().view(torch.int32).sum(dtype=torch.int64) * GOLDEN


def sample_fingerprints(x: Tensor) -> Tensor:
    """Return a hash of the bits of each sample and of their places, (B,) int64 on the device of `x`, which is not read.

    Args:
        x: (B, …), floating point.
    """
    bits = x.float().contiguous().view(torch.int32).flatten(1).to(torch.int64)
    places = torch.arange(1, 2 * bits.shape[1], 2, device=x.device) * GOLDEN  # odd, so that no bit is lost
    mixed = (bits ^ (bits << 32)) * places
    return (mixed ^ (mixed >> 29)).sum(1)


def hashed(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Return float32 numbers uniform in [0, 1), a function of `key` and of their places: the same on every device.

    Each place's index is mixed as in the finalizer of MurmurHash3, with half the key before and half after the first
    round.

    Args:
        key: () int64, whose device the numbers are on.
        shape: of the result.

    Reference:
        Appleby 2011 (MurmurHash3).
    """
    high, low = key >> 33 & 0x7FFFFFFF, key & 0x7FFFFFFF
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.int32, device=key.device)
    x = places.add_(high.to(torch.int32))
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(-2048144789).add_(low.to(torch.int32))
    x.bitwise_xor_((x >> 13).bitwise_and_(0x7FFFF)).mul_(-1028477387)
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).bitwise_right_shift_(8).bitwise_and_(0xFFFFFF)
    return x.to(torch.float32).mul_(2.0**-24).view(*shape)
