"""Kernels whose plain function stands in for the compiled one, so that a test of what surrounds them is quick."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from energy.kernels import Kernel


def uncompiled(monkeypatch: pytest.MonkeyPatch, kernels: Iterable[Kernel]) -> None:
    """Compile nothing during the test; what other tests have compiled is set aside, and put back after it."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    for kernel in kernels:
        monkeypatch.setattr(kernel, "_compiled", {})
