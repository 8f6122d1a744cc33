"""A whole step with compiled scans and pooled filters, against the plain step; and the numbers a simulation counts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from energy.couplings.pooled_filters import PooledFilters
from energy.feedback import Feedback, Sign, Tied
from energy.kernels import Kernel, fused
from energy.ledger import Ledger
from energy.models import SpikingNet
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.rules import Contrast
from energy.settle.spiking import SettledSpikes, Spiking
from energy.spiking.errors import LocalError, SpikeTrain, VanRossum
from energy.spiking.neurons import LIF
from energy.spiking.time_major import TimeMajor
from energy.stream import stream

SETTLER = Spiking(steps=4)


def image_net() -> Network:
    """Averages after an image that is constant and after one that is not."""
    return SpikingNet(plan=[6, 0, 4, 0], dense=[]).build((2, 8, 8), 3, seed=0)


def noise(*shape: int, key: str = "noise") -> torch.Tensor:
    return torch.randn(shape, generator=stream(0, f"test/{key}"), dtype=torch.float64)


@pytest.fixture
def as_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run their plain functions, in the form in which their compiled ones would be called."""
    made: list[tuple[Kernel, Callable[..., Any]]] = []

    def compiled(kernel: Kernel, _: object, constants: tuple[Any, ...]) -> Callable[..., Any]:
        made.append((kernel, lambda *given: kernel.plain(*given, *constants)))
        return made[-1][1]

    monkeypatch.setattr(Kernel, "_compile", compiled)
    yield
    for kernel, form in made:
        kernel._compiled = {key: one for key, one in kernel._compiled.items() if one is not form}


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["as written", "compiled"]
)
@pytest.mark.parametrize("feedback", [Tied(), Sign()], ids=lambda kind: kind.name)
def test_a_fused_step_is_the_plain_one(feedback: Feedback, compiled: bool, request: pytest.FixtureRequest) -> None:
    """What kernels are given, and the pooled filters; with kernels as they are written, and as compiled."""
    if not compiled:
        request.getfixturevalue("as_written")
    network, settler = image_net().double(), Spiking(steps=4, feedback=feedback)
    settler.attach_feedback(network, seed=0)
    x, target = noise(5, 2, 8, 8).abs(), one_hot(torch.arange(5) % 3, 3, torch.float64)
    ledgers, found = (Ledger(), Ledger()), []
    for on, ledger in zip((False, True), ledgers, strict=True):
        with fused(on, smallest=1):
            settled = settler.settle(network, x, target, CrossEntropy(), ledger)
            assert isinstance(settled, SettledSpikes)
            found.append((settled.output, settled.error, *Contrast().gradients(network, settled)))
        assert [isinstance(linear, PooledFilters) for linear in settled.activity.linear] == [on, on, False]
    for one, other in zip(*found, strict=True):
        assert one.norm() > 0
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert ledgers[0].read() == ledgers[1].read()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_counts_of_a_trial_are_its_spikes(dtype: torch.dtype) -> None:
    neuron, current = LIF(), noise(7, 40).to(dtype)
    history, counts = neuron.trial(current, 7)
    assert counts.dtype == torch.promote_types(dtype, torch.float32) and bool(counts.any())
    assert torch.equal(counts.long(), neuron.spikes(history.states).sum(0))
    still, fired = neuron.trial(current[:1].abs() + 1, 7)
    assert torch.equal(fired.long(), neuron.spikes(still.states).sum(0))


def test_counts_of_a_simulation_are_those_of_its_layers() -> None:
    network, ledger = image_net(), Ledger()
    activity = SETTLER.simulate(network, noise(5, 2, 8, 8).abs().float(), ledger)
    for layer, counts in enumerate(activity.counts, start=1):
        fired = activity.unfold(activity.spikes(layer)).sum(0)
        assert torch.equal(counts.long(), fired)
        assert ledger.read()["spikes"][network.layers[layer - 1].name] == int(fired.sum())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_sum_over_time_keeps_the_order_of_memory(layout: torch.memory_format) -> None:
    images = noise(3 * 4, 2, 5, 5).contiguous(memory_format=layout)
    total = TimeMajor(images, 3).total()
    torch.testing.assert_close(total, images[:4] + images[4:8] + images[8:], rtol=1e-12, atol=0)
    assert total.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("shape", [(3,), (10, 2, 2)], ids=str)
def test_van_rossum_is_the_sum_of_its_steps(shape: tuple[int, ...]) -> None:
    error, target = VanRossum(), noise(4, *shape, key="target")
    train = SpikeTrain(noise(5, 4, *shape), noise(5, 4, *shape, key="traces"), 2 / 3)
    assert torch.equal(error.value(train, target), LocalError.value(error, train, target))
