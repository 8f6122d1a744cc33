"""Randomness as a function of what it is for, never of what was drawn before.

A generator is derived from (seed, purpose, epoch, step), so nothing about it has to be saved: a continued run, a run
on two processes and a run with one more layer draw the same numbers for the same purpose. Purposes in use are
``init/<parameter>``, ``split``, ``order``, ``augment``, ``noise`` and ``probe``.
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
    """A fresh generator on ``device`` for one purpose at one place of a run.

    CPU and CUDA generators disagree for the same key: what must not depend on the device is drawn on the CPU and moved.
    A CPU generator keeps 32 bits of its key, so among a hundred thousand streams two may coincide: noise, no identity.
    """
    key = f"{seed}/{purpose}/{epoch}/{step}".encode()
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
    return torch.Generator(device).manual_seed(number)


def batch_fingerprint(x: Tensor) -> Tensor:
    """A number made of the bits of a batch, whatever the order of its samples: () int64 on its device, which is not
    read.
    """
    return x.float().contiguous().view(torch.int32).sum(dtype=torch.int64) * GOLDEN


def hashed(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Numbers uniform in [0, 1), float32 of `shape`, a function of `key` (() int64) and of their places: the same on
    every device. Each place's index is mixed as in MurmurHash3's finaliser (Appleby 2011), with half the key before and
    half after the first round.
    """
    total, high, low = torch.Size(shape).numel(), key >> 33 & 0x7FFFFFFF, key & 0x7FFFFFFF
    x = torch.arange(total, dtype=torch.int32, device=key.device).add_(high.to(torch.int32))
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(-2048144789).add_(low.to(torch.int32))
    x.bitwise_xor_((x >> 13).bitwise_and_(0x7FFFF)).mul_(-1028477387)
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).bitwise_right_shift_(8).bitwise_and_(0xFFFFFF)
    return x.to(torch.float32).mul_(2.0**-24).view(*shape)
