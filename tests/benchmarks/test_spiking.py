"""A training step of a spiking network, T = 5, batch 64: without a tape, by autograd, and by snnTorch as it is used.

All give one gradient: the same weights, unit, slope and error. snnTorch steps through time, layer by layer; in its
second form the drive of the constant input is taken out of the loop by hand, which the settler does by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from energy.couplings import Convolution
from energy.model import Model
from energy.models import SpikingNet
from energy.network import Network
from energy.settle.reference import exact_settler
from energy.settle.spiking import Spiking
from energy.stream import stream
from tests.benchmarks.tasks import Task, backprop_steps, gap, program, settled, task
from tests.benchmarks.timing import QUIET, Record, Step, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "784-300-300-10": (SpikingNet(dense=[300, 300]), (1, 28, 28)),
    "32C3-P2-64C3-P2-64C3-P2-10": (SpikingNet(plan=[32, 0, 64, 0, 64, 0], dense=[]), (3, 32, 32)),
}
SNN, HOISTED = "snnTorch", "snnTorch, input heard once"
PLAIN, FUSED, TAPE = "spiking plain", "spiking fused", "surrogate_backprop"
PROGRAM = "spiking program"
SETTLER = Spiking()


class Theirs(nn.Module):
    """The same chain of modules with snnTorch's unit, its surrogate of slope 5, and the trace that the error reads."""

    def __init__(self, network: Network, hoisted: bool) -> None:
        super().__init__()
        import snntorch  # pyright: ignore[reportMissingImports]
        from snntorch import surrogate  # pyright: ignore[reportMissingImports]

        self.hoisted, self.steps = hoisted, SETTLER.steps
        self.drives = nn.ModuleList(self.drive(edge.coupling) for edge in network.edges)
        slope = surrogate.sigmoid(slope=5)
        self.units = nn.ModuleList(
            snntorch.Leaky(beta=0.8, spike_grad=slope, reset_mechanism="zero") for _ in network.edges
        )

    def drive(self, coupling: Any) -> nn.Module:
        if not isinstance(coupling, Convolution):
            size, fan_in = coupling.weight.shape
            layer: nn.Module = nn.Linear(fan_in, size, bias=False)
            parts = [nn.Flatten(), layer]
        else:
            channels, fan_in, kernel, _ = coupling.weight.shape
            layer = nn.Conv2d(fan_in, channels, kernel, padding=coupling.padding, bias=False)
            parts = [layer, nn.AvgPool2d(2)] if coupling.pool is not None else [layer]
        layer.weight = coupling.weight
        return nn.Sequential(*parts)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """The mean error of the batch."""
        membranes = [unit.init_leaky() for unit in self.units]  # type: ignore[operator]
        traces: list[Any] = [0.0] * len(membranes)
        first = self.drives[0](x) if self.hoisted else None
        total, wanted = torch.zeros(()), SETTLER.error.wanted(self.steps, 2 / 3)  # type: ignore[attr-defined]
        for t in range(self.steps):
            heard = x
            for k, (drive, unit) in enumerate(zip(self.drives, self.units, strict=True)):
                current = first if first is not None and k == 0 else drive(heard)
                spikes, membranes[k] = unit(current, membranes[k])
                heard = traces[k] = traces[k] * 2 / 3 + spikes / 3
            total = total + (heard - wanted[t] * target).square().sum() / 2
        return total / len(x)


def theirs(given: Task, hoisted: bool) -> Step:
    """Forward, backward, step."""
    module, optimizer = Theirs(given.network, hoisted), given.optimizer()

    def step() -> None:
        given.clear()
        module(given.x, given.target).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("name", MODELS)
def test_a_step(record: Record, name: str) -> None:
    pytest.importorskip("snntorch")
    torch.compiler.reset()
    given = task(*MODELS[name], 64)
    given.x.uniform_(0, 1, generator=stream(0, "probe"))  # of larger inputs snnTorch's slope is not a number
    steps = {
        SNN: theirs(given, False),
        HOISTED: theirs(given, True),
        TAPE: settled(given, exact_settler(SETTLER)),
        PLAIN: settled(given, SETTLER, on=False),
        FUSED: settled(given, SETTLER),
    }
    found = {}
    for label, step in steps.items():
        step()
        found[label] = [g.clone() for g in given.gradients()]
    assert all(float(g.norm()) > 0 for g in found[SNN][:2])
    for label in steps:  # spikes are all or none: where a drive rounds across the threshold, gradients part
        assert gap(found[label], found[SNN]) < 5e-3, label
    spent = {TAPE: backprop_steps(given, exact_settler(SETTLER)), PLAIN: backprop_steps(given, SETTLER)}
    spent[FUSED] = spent[PROGRAM] = spent[PLAIN]
    steps[PROGRAM] = program(given, SETTLER)  # which leaves no gradients to compare: tests/program does
    for row in rows(interleaved(steps), SNN, group=name, batch=64, steps=SETTLER.steps):
        record.add({**row, "backprop_steps": spent.get(row["name"])})
