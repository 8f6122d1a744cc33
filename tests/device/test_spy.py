"""The spy stops what it is there for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from energy.reading import DeviceRead, sent
from tests.device.spy import META, Spy, Stall

HOST = torch.ones(3)
STALLS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool(x.sum() > 0),
    "if": lambda x: 1 if (x > 0).all() else 0,
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "copy to the host": lambda x: torch.zeros(3).copy_(x),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "set by a mask": lambda x: x.index_put_((x > 0,), torch.zeros(1, device=META)),
    "repeat by counts": lambda x: x.repeat_interleave(x.long()),
    "a number of the host": lambda x: x * torch.tensor(0.5),
    "a number sent": lambda x: x * torch.tensor(0.5, device=META),
    "new_tensor": lambda x: x.new_tensor([0.5]),
    "as_tensor": lambda x: torch.as_tensor([0.5], device=META),
    "forgotten device": lambda x: x + torch.zeros(3),
    "a tensor of the host sent": lambda x: x + HOST.to(META),
    "a tensor of the host copied": lambda x: x.copy_(HOST),
    "a number of the host that was kept": lambda x: x * HOST[0],
    "noise of the host": lambda x: x + torch.rand(3),
    "noise sent": lambda x: x + torch.rand(3).to(META),
    "sent outside of the declared": lambda x: sent(torch.ones(3), META),
    "backward": lambda x: _Reads.apply(x.requires_grad_()).sum().backward(),
}
SOUND: dict[str, Callable[[Tensor], object]] = {
    "arithmetic": lambda x: (x * 2 + 1).sum() / 3,
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "filled": lambda x: x * torch.full((), 0.5, device=META) + x.new_zeros(()) + torch.zeros_like(x),
    "index by numbers": lambda x: x[x.long()],
    "slice": lambda x: x[1:],
    "masked_fill": lambda x: x.masked_fill(x > 0, 0),
    "noise of the device": lambda x: torch.rand(3, device=META),
    "topk": lambda x: x.topk(2),
    "norms": lambda x: torch._foreach_norm([x, x]),  # type: ignore[attr-defined]
    "gradient": lambda x: torch.autograd.grad(x.requires_grad_().square().sum(), x),
}


class _Reads(torch.autograd.Function):
    """Reads its gradient in the backward pass."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, *above: Tensor) -> Tensor:
        return above[0] * above[0].sum().item()


@pytest.mark.parametrize("kind", STALLS)
def test_what_would_stall(kind: str) -> None:
    x = torch.zeros(3, device=META)
    with pytest.raises(Stall), Spy():
        STALLS[kind](x)


@pytest.mark.parametrize("kind", SOUND)
def test_what_would_not(kind: str) -> None:
    x = torch.zeros(3, device=META)
    with Spy():
        SOUND[kind](x)


def test_a_declared_read_is_answered_and_counted() -> None:
    place = "energy.reading:DeviceRead.result"
    with Spy({place}) as spy:
        assert DeviceRead(torch.zeros(2, dtype=torch.bool, device=META)).result() == [False, False]
        assert spy.reads == {place: 1}
        with pytest.raises(Stall, match="reads the device, in no function of the library"):
            torch.zeros(2, device=META).tolist()


def test_what_a_lenient_spy_sees_it_answers() -> None:
    x = torch.zeros(3, device=META)
    with Spy(strict=False) as spy:
        assert (x.sum().item(), bool(x.any()), x.tolist()) == (0.0, False, [0.0, 0.0, 0.0])
    assert spy.names.count("_local_scalar_dense") == 2
