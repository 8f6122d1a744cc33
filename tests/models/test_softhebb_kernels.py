"""Steps of SoftHebb through compiled kernels and tiles against the plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from energy.couplings import block, winograd
from energy.kernels import Kernel, fused
from energy.ledger import Ledger
from energy.models import SoftHebbNet
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import power
from energy.rules import PerLayer, SoftHebb, softhebb, step
from energy.rules.softhebb import Variant
from energy.settle import Feedforward
from energy.stream import stream
from tests.numerics.uncompiled import uncompiled

# of a step, whole layers: softmax and exponents magnify what a drive of norm 25 was rounded by
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-3, torch.bfloat16: 0.25}
MODULES = (winograd, block, power, softhebb, step)
KERNELS = [one for module in MODULES for one in vars(module).values() if isinstance(one, Kernel)]


def network() -> Network:
    model = SoftHebbNet(channels=[6, 8, 10], kernels=[5, 3, 3], radius=3.0, pools=["max_4_2_1", "max_4_2_1", "none"])
    return model.build((3, 16, 16), 10, seed=0)


def learned(dtype: torch.dtype, variant: Variant, count: int = 3) -> tuple[Network, Ledger]:
    """A network after some steps on the same batches, its gradients those of the last one."""
    net, ledger = network(), Ledger()
    net = net.double() if dtype is torch.float64 else net
    law = PerLayer(rules=[SoftHebb(variant=variant, temperature=t, rate=0.02) for t in (1.0, 1.5, 4.0)])
    target = one_hot(torch.zeros(4, dtype=torch.long), 10, dtype)
    for batch in torch.rand(count, 4, 3, 16, 16, generator=stream(0, "probe"), dtype=torch.float64).to(dtype):
        law.learn(net, Feedforward(), batch, target, CrossEntropy(), ledger)
        with torch.no_grad():
            for weight in net.parameters():
                if weight.grad is not None:
                    weight -= weight.grad
    return net, ledger


def gradients(net: Network) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "compiled"])
@pytest.mark.parametrize("variant", [Variant.SOFTKROTOV, Variant.SOFT], ids=str)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_steps_by_tiles_are_the_plain_steps(
    dtype: torch.dtype, variant: Variant, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, running statistics and costs after three batches; the lower precisions beside float64."""
    tiled: list[bool] = []

    def pays(*given: object) -> bool:
        tiled.append(winograd._fits(*given))  # pyright: ignore[reportArgumentType]
        return tiled[-1]

    monkeypatch.setattr(winograd, "pays", pays)
    if not compiled:
        uncompiled(monkeypatch, KERNELS)
    plain, spent = learned(torch.float64, variant)
    with fused(smallest=1):
        found, counted = learned(dtype, variant)
    assert tiled == 9 * [False] + 3 * [False, True, True]  # without kernels none, and never for a kernel of 5×5
    assert counted == spent
    for one, other in zip(gradients(found), gradients(plain), strict=True):
        assert float((one.double() - other).norm()) <= ROUNDING[dtype] * float(other.norm())
    for one, other in zip(found.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=ROUNDING[dtype], atol=ROUNDING[dtype])
