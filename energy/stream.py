"""Randomness as a function of what it is for, never of what was drawn before.

A generator is derived from (seed, purpose, epoch, step), so nothing about it has to be saved: a continued run, a run
on two processes and a run with one more layer draw the same numbers for the same purpose. Purposes in use are
``init/<parameter>``, ``split``, ``order``, ``augment``, ``noise`` and ``probe``.
"""

import hashlib

import torch


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
