"""Torch's meta device in the place of an accelerator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from energy.stream import stream


@pytest.fixture(autouse=True, scope="module")
def accelerator() -> Iterator[None]:
    """Let the fused optimizers take tensors without numbers, and give these a generator, which draws none."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _prepare(monkeypatch)
        yield


def _prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    supported = "_get_fused_kernels_supported_devices"
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.") and supported in vars(module):
            monkeypatch.setattr(module, supported, partial(_and_meta, getattr(module, supported)))
    monkeypatch.setattr("energy.train.optimizer.FUSED", {"cpu", "cuda", "meta"})

    def local(*given: Any, device: str | torch.device = "cpu", **named: Any) -> torch.Generator:
        return stream(*given, **named)

    monkeypatch.setattr("energy.feedback.feedback.stream", local)


def _and_meta(found: Callable[[], list[str]]) -> list[str]:
    return [*found(), "meta"]
