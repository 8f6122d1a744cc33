"""Training steps to be timed: one network, one batch, one optimiser, and several ways to the gradient.

Learning rates are zero, so that the optimiser does its work and the weights stay. Every step begins without gradients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from energy.kernels import fused
from energy.ledger import Ledger
from energy.model import Model
from energy.network import Network
from energy.objectives import CrossEntropy, Objective, one_hot
from energy.program.training import TrainingStep
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation
from energy.settle.settler import Settler
from energy.stream import stream
from tests.benchmarks.timing import Step

EAGER: Final = "backprop eager"
COMPILED: Final = "backprop compiled"
PLAIN: Final = "dual propagation plain"
FUSED: Final = "dual propagation fused"
PROGRAM: Final = "dual propagation program"
KERNELS: Final = "backprop on our kernels"
RECORDED: Final = "backprop program"
DUAL: Final = DualPropagation(beta=1e-3)
CLASSES: Final = 10


@dataclass
class Task:
    """A network and the batch it is trained on."""

    network: Network
    x: Tensor
    target: Tensor
    objective: Objective = field(default_factory=CrossEntropy)

    def to(self, dtype: torch.dtype) -> "Task":
        """The same with activities in `dtype`; the weights stay."""
        return Task(self.network, self.x.to(dtype), self.target.to(dtype), self.objective)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return one for one candidate: the momentum of a common one would be in the caches of all but the rest."""
        return torch.optim.SGD(self.network.parameters(), lr=0.0, momentum=0.9, fused=True)

    def clear(self) -> None:
        """Let go of the gradients."""
        for parameter in self.network.parameters():
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """What the last step wrote."""
        return [p.grad for p in self.network.parameters() if p.grad is not None]


def channels_last(network: Network) -> Network:
    """The network, its kernels laid out as convolutions like them."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's stub lacks it)


def task(model: Model, shape: Sequence[int], batch: int, device: str = "cpu") -> Task:
    """A freshly built network, its weights laid out channels last, and normally distributed inputs."""
    network = channels_last(model.build(tuple(shape), CLASSES, seed=0).to(device))
    x = torch.randn(batch, *shape, generator=stream(0, "probe")).to(device)
    return Task(network, x, one_hot(torch.arange(batch) % CLASSES, CLASSES).to(device))


def backprop(given: Task, forward: Callable[[Tensor], Tensor] | None = None) -> Step:
    """Plain PyTorch; `forward` in place of the network's own, such as a compiled one."""
    ahead, optimizer = forward or given.network, given.optimizer()

    def step() -> None:
        given.clear()
        given.objective.value(ahead(given.x), given.target).mean().backward()
        optimizer.step()

    return step


def settled(given: Task, settler: Settler, on: bool = True, rule: Rule = Contrast()) -> Step:  # noqa: B008 (a constant)
    """Settle, learn, step, with compiled kernels, as runs have it, or without."""
    optimizer = given.optimizer()

    def step() -> None:
        given.clear()
        with fused(on):
            rule.learn(given.network, settler, given.x, given.target, given.objective)
        optimizer.step()

    return step


def program(given: Task, settler: Settler) -> Step:
    """The whole step, optimizer included, as one program."""
    training, ledger = TrainingStep(Contrast(), given.optimizer()), Ledger()
    found = given.x.new_zeros(())

    def step() -> None:
        given.clear()
        with fused():
            training(given.network, settler, given.x, given.target, given.objective, ledger, found)

    return step


def candidates(given: Task) -> dict[str, Step]:
    """Back-propagation, and dual propagation with plain and with compiled kernels."""
    return {EAGER: backprop(given), PLAIN: settled(given, DUAL, on=False), FUSED: settled(given, DUAL)}


def programs(given: Task) -> dict[str, Step]:
    """Back-propagation and dual propagation as programs, and the former on this library's kernels."""
    return {
        KERNELS: settled(given, Backprop()),
        RECORDED: program(given, Backprop()),
        PROGRAM: program(given, DUAL),
    }


def backprop_steps(given: Task, settler: Settler) -> float:
    """Multiply-adds of a step, counted, in back-propagation steps."""
    ledger = Ledger()
    Contrast().gradients(given.network, settler.settle(given.network, given.x, given.target, given.objective, ledger))
    return ledger.backprop_steps(given.network, len(given.x))


def gap(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest relative difference of two tensors, over the parameters of a network."""
    pairs = zip(found, wanted, strict=True)
    return max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in pairs)
