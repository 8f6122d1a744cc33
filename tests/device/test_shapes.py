"""What is remembered of an operation is what it gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.device.spy import META, Spy

OPERATIONS: dict[str, Callable[[Tensor], object]] = {
    "sum": lambda x: x * 2 + x.sum(1, keepdim=True),
    "bfloat16": lambda x: x.bfloat16() + x.bfloat16().sum(0),
    "in place": lambda x: x.clone().mul_(2).add_(1),
    "another shape in place": lambda x: x.clone().unsqueeze_(1).squeeze_(1).t_().unsqueeze_(0),
    "view": lambda x: x[1:].t().reshape(-1),
    "several": lambda x: x.topk(2, 1),
    "list": lambda x: torch._foreach_add([x, x], [x, x]),  # type: ignore[attr-defined]
    "channels last": lambda x: torch.conv2d(
        x.view(1, 1, 3, 4).to(memory_format=torch.channels_last), x[None, None, :2, :2]
    ),
    "gradient": lambda x: torch.autograd.grad((x.requires_grad_() @ x.t()).softmax(1).square().sum(), x),
}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_second_time_is_as_the_first(kind: str) -> None:
    def forms(device: torch.device) -> list[tuple[torch.Size, tuple[int, ...], torch.dtype]]:
        found = OPERATIONS[kind](torch.ones(3, 4, device=device))
        return [(one.shape, one.stride(), one.dtype) for one in (found if not isinstance(found, Tensor) else [found])]  # type: ignore[attr-defined]

    expected = forms(torch.device("cpu"))
    with Spy():
        first, second = forms(META), forms(META)
    assert first == second
    assert [(shape, dtype) for shape, _, dtype in first] == [(shape, dtype) for shape, _, dtype in expected]
