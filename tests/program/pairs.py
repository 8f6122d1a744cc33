"""A step of a program beside the plain one, on two copies of a network: every number that comes out must be equal."""

from __future__ import annotations

import copy
import dataclasses
import math

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.program import Program
from energy.relax.solution import Solution
from energy.rules.rule import Rule
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from tests.settle import nets

Batch = tuple[Tensor, Tensor]


class Pair:
    """Two copies of a network, one that learns plainly and one that learns by a program.

    Args:
        network: copied twice.
        rule, settler, objective: of both.
        compiled: whether the program is compiled.
        rounding: the difference that is allowed, relative to the largest number of a tensor; 0 for none.
    """

    def __init__(
        self,
        network: Network,
        settler: Settler,
        rule: Rule,
        objective: Objective = nets.FROZEN,
        *,
        compiled: bool = False,
        rounding: float = 0.0,
    ) -> None:
        self.plain, self.traced = copy.deepcopy(network), copy.deepcopy(network)
        self.settler, self.rule, self.objective = settler, rule, objective
        self.program = Program(rule=rule, compiled=compiled)
        self.ledgers, self.rounding = (Ledger(), Ledger()), rounding

    @property
    def networks(self) -> tuple[Network, Network]:
        return self.plain, self.traced

    @property
    def recorded(self) -> int:
        """The number of steps that the program has recorded, and keeps."""
        return sum(known.replay is not None for known in self.program._known)

    def learn(self, x: Tensor, target: Tensor, *, accumulate: bool = False) -> tuple[Settled, Settled]:
        """One step of both, and the results."""
        found = []
        for rule, network, ledger in zip((self.rule, self.program), self.networks, self.ledgers, strict=True):
            given = (network, self.settler, x, target, self.objective, ledger)
            found.append(rule.learn(*given, accumulate=accumulate))
        return found[0], found[1]

    def move(self, rate: float = 0.01) -> None:
        """One step of gradient descent of both, in place."""
        for network in self.networks:
            with torch.no_grad():
                for parameter in network.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(rate * parameter.grad)

    def check(self, x: Tensor, target: Tensor, *, accumulate: bool = False) -> Settled:
        """One step of both, after which everything is equal bit for bit; returns the result of the program."""
        plain, traced = self.learn(x, target, accumulate=accumulate)
        same_results(plain, traced, self.rounding)
        same_networks(*self.networks, self.rounding)
        one, other = self.ledgers
        kept = [name for name in one.read() if not (self.rounding and name in ("spikes", "synaptic"))]  # all or none
        assert [one.read()[name] for name in kept] == [other.read()[name] for name in kept]
        return traced

    def run(self, *batches: Batch) -> None:
        """Several batches in a row, with a step of gradient descent after each."""
        for x, target in batches:
            self.check(x, target)
            self.move()
            same_networks(*self.networks, self.rounding)


def same_results(plain: Settled, traced: Settled, rounding: float = 0.0) -> None:
    """Check that outputs and solutions are equal."""
    same(plain.output, traced.output, "output", rounding)
    assert plain.solutions.keys() == traced.solutions.keys()
    for name, one in plain.solutions.items():
        same_solutions(one, traced.solutions[name], name, rounding, plain.output.dtype)
    error = getattr(plain, "error", None)
    if error is not None:
        same(error, getattr(traced, "error", None), "error", rounding)


def same_solutions(
    plain: Solution, traced: Solution, name: str, rounding: float = 0.0, dtype: torch.dtype = torch.float64
) -> None:
    """Check that all fields of two solutions, of activities of a `dtype`, are equal."""
    besides = lost_digits(plain, dtype) if rounding else {}
    for field in dataclasses.fields(Solution):
        one, other = getattr(plain, field.name), getattr(traced, field.name)
        if field.name == "state":
            assert len(one) == len(other), name
            for k, (a, b) in enumerate(zip(one, other, strict=True)):
                same(a, b, f"{name}.state[{k}]", rounding)
        elif isinstance(one, Tensor):
            same(one, other, f"{name}.{field.name}", rounding, besides.get(field.name, 0.0))
        else:
            assert one == other, f"{name}.{field.name}: {one} and {other}"


def lost_digits(solution: Solution, dtype: torch.dtype) -> dict[str, float]:
    """How far two steps may be apart, besides the relative rounding of a result, in what subtracts or divides by it.

    A residual r is ‖response − state‖/‖state‖. Of either step both are rounded to u = ε/2 of themselves, so that two
    residuals differ by 4u, however small they are. A rate is a root of the quotient of two residuals: relative to
    itself, two of them differ by 4u/r for either residual, of which the least of a solve stands here.
    """
    apart = 2 * torch.finfo(dtype).eps
    least = float(solution.residual.nan_to_num(nan=math.inf).min())
    found = {"residual": apart}
    if solution.rate is not None and least > 0:
        found["rate"] = 2 * apart / least * float(solution.rate.nan_to_num(nan=0.0).abs().max())
    return found


def same_networks(plain: Network, traced: Network, rounding: float = 0.0) -> None:
    """Check that parameters, buffers and gradients are equal."""
    state = traced.state_dict()
    assert plain.state_dict().keys() == state.keys()
    for name, tensor in plain.state_dict().items():
        same(tensor, state[name], name, rounding)
    tensors = dict(traced.named_parameters()) | dict(traced.named_buffers())
    for name, tensor in (*plain.named_parameters(), *plain.named_buffers()):
        grad = tensors[name].grad
        if tensor.grad is None:
            assert grad is None, f"{name}: only the program has a gradient"
        else:
            same(tensor.grad, grad, f"{name}.grad", rounding)


def same(one: Tensor, other: Tensor | None, name: str, rounding: float = 0.0, besides: float = 0.0) -> None:
    """Check that two tensors are equal, bit for bit or up to rounding and what is allowed besides; NaN equals NaN."""
    assert isinstance(other, Tensor), f"{name}: the program has none"
    assert (one.shape, one.dtype, one.requires_grad) == (other.shape, other.dtype, other.requires_grad), name
    one, other = (tensor.detach().nan_to_num(nan=math.pi) for tensor in (one, other))
    if rounding and one.is_floating_point() and one.numel():
        assert float((one - other).abs().max()) <= rounding * float(one.abs().max()) + besides, f"{name} differs"
    else:
        assert torch.equal(one, other), f"{name} differs"


def plainly(network: Network, settler: Settler, rule: Rule, x: Tensor, target: Tensor) -> Exception | None:
    """The error that a plain step raises on a copy of a network; None if it raises none."""
    try:
        rule.learn(copy.deepcopy(network), settler, x, target, nets.FROZEN)
    except ValueError as error:
        return error
    return None
