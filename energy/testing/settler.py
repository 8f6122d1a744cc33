"""The contract of a settler: gradients of the right form, an unchanged network, the same result again."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.relax.solution import Outcome
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from energy.testing.claim import agree, brief, claim, promise, public_check, shuffled, tensor
from energy.testing.descent import check_descent
from energy.testing.small import batch, subject


@public_check(Settler, "derive it from energy.settle.settler.Settler")
def check_settler(settler: Settler, *, rule: Rule | None = None, device: str = "cpu") -> list[str]:
    """Check a settler; it must define `settle`.

    On a small contracting network: gradients are finite, aligned with the parameters, not all zero, equal when settled
    again, for a permuted batch and by `learn`; weights, `.grad`, x and target stay as they were; `predict` gives the
    free output that `settle` reports (the bottom-up pass at γ = 0, if units are rates); the ledger that is passed is
    the one that counts; wrong shapes raise ValueError; float32 works. The contrast is compared with the gradient that
    autograd finds through the equilibrium, for two objectives and at a second gain if the settler takes it, as its
    `alignment` promises.

    Args:
        settler: the subject.
        rule: turns its result into gradients; contrast unless given.
        device: of the check.
    """
    rule = rule or Contrast()
    network, (x, target) = subject(settler, device), batch(device)
    settler.attach_feedback(network)
    before = [p.detach().clone() for p in network.parameters()]
    _settles(settler, rule, network, x, target)
    _untouched(settler, network, before)
    again = batch(device)
    claim((x == again[0]).all() and (target == again[1]).all(), settler, "settling writes to x or target")
    _refusals(settler, network, x, target)
    left_out = check_descent(settler, device) if type(rule) is Contrast else []
    low = network.float()
    _aligned(settler, low, _gradients(settler, rule, low, x.float(), target.float(), SquaredError())[1])
    return left_out


@promise("settle(network, x, target, objective, ledger) must return the Settled of the batch")
def _settles(settler: Settler, rule: Rule, network: Network, x: Tensor, target: Tensor) -> None:
    before = [p.detach().clone() for p in network.parameters()]
    settled, gradients = _gradients(settler, rule, network, x, target, SquaredError())
    _untouched(settler, network, before)
    _aligned(settler, network, gradients)
    _again(settler, rule, network, x, target, gradients)
    _learning(settler, rule, network, x, target, gradients)
    _prediction(settler, network, x, settled)
    _ledger(settler, network, x, target)


def _untouched(settler: Settler, network: Network, before: list[Tensor]) -> None:
    for parameter, old in zip(network.parameters(), before, strict=True):
        claim(
            (parameter == old).all() and parameter.requires_grad, settler, "settling or predicting changes the network"
        )
        claim(parameter.grad is None, settler, "settling writes to .grad")


def _gradients(
    settler: Settler, rule: Rule, network: Network, x: Tensor, target: Tensor, objective: Objective
) -> tuple[Settled, list[Tensor]]:
    settled = settler.settle(network, x, target, objective)
    claim(isinstance(settled, Settled), settler, f"settle returns a {type(settled).__name__}: must be a Settled")
    tensor(settler, "settled.output", settled.output)
    claim(settled.output.shape == target.shape, settler, f"settled.output has shape {tuple(settled.output.shape)}")
    for phase, solution in settled.solutions.items():
        claim(isinstance(solution.outcome, Outcome), settler, f"phase {phase} does not give its outcome")
        claim(
            solution.outcome is not Outcome.DIVERGED,
            settler,
            f"phase {phase} diverged on a contracting network: {solution}",
        )
    return settled, rule.gradients(network, settled)


@promise("one gradient for each parameter, of its shape and dtype")
def _aligned(settler: Settler, network: Network, gradients: list[Tensor]) -> None:
    named = list(network.named_parameters())
    claim(len(gradients) == len(named), settler, f"{len(gradients)} gradients for {len(named)} parameters")
    for gradient, (name, parameter) in zip(gradients, named, strict=True):
        claim(gradient.shape == parameter.shape, settler, f"gradient of {name} has shape {tuple(gradient.shape)}")
        claim(
            gradient.dtype == parameter.dtype, settler, f"gradient of {name} is {gradient.dtype}, not {parameter.dtype}"
        )
        claim(torch.isfinite(gradient).all(), settler, f"gradient of {name} is not finite")
        claim(not gradient.requires_grad, settler, f"gradient of {name} carries an autograd tape")
    claim(any(bool(g.any()) for g in gradients), settler, "every gradient is zero")


def _again(settler: Settler, rule: Rule, network: Network, x: Tensor, target: Tensor, gradients: list[Tensor]) -> None:
    objective, order = SquaredError(), shuffled(len(x), x.device)
    settled, again = _gradients(settler, rule, network, x, target, objective)
    moved, permuted = _gradients(settler, rule, network, x[order], target[order], objective)
    agree(settler, "output of a permuted batch", moved.output, settled.output[order], 1e-10)
    for first, second, third in zip(gradients, again, permuted, strict=True):
        claim((first == second).all(), settler, "settling again gives other gradients: a settler keeps nothing")
        agree(settler, "gradient of a permuted batch", third, first, 1e-9)


@promise("settle_once must give what settle gives")
def _learning(
    settler: Settler, rule: Rule, network: Network, x: Tensor, target: Tensor, gradients: list[Tensor]
) -> None:
    """`Rule.learn` may use the layers as they come to rest; `.grad` is the mean over the batch all the same."""
    used = copy.deepcopy(network)
    rule.learn(used, settler, x, target, SquaredError())
    for parameter, found in zip(used.parameters(), gradients, strict=True):
        gap = torch.inf if parameter.grad is None else float((parameter.grad - found / len(x)).abs().max())
        claim(gap < 1e-9, settler, "learn gives other gradients than settle: settle_once must give what settle gives")


@promise("predict(network, x, ledger) must return a Prediction of the free output")
def _prediction(settler: Settler, network: Network, x: Tensor, settled: Settled) -> None:
    prediction = settler.predict(network, x)
    agree(settler, "output of predict against the free output of settle", prediction.output, settled.output, 1e-10)
    claim(not prediction.output.requires_grad, settler, "predict returns an output with an autograd tape")
    if settler.gamma == 0 and settler.rates:
        agree(settler, "predict at gamma=0 against the bottom-up pass", prediction.output, network(x), 1e-12)


def _ledger(settler: Settler, network: Network, x: Tensor, target: Tensor) -> None:
    settling, predicting = Ledger(), Ledger()
    settled = settler.settle(network, x, target, SquaredError(), settling)
    claim(settled.ledger is settling, settler, "settle does not count in the ledger it is given")
    settler.predict(network, x, predicting)
    for name, ledger in (("settle", settling), ("predict", predicting)):
        claim(
            ledger.multiply_adds > 0 and ledger.applications.total() > 0,
            settler,
            f"{name} counts nothing in its ledger",
        )


def _refusals(settler: Settler, network: Network, x: Tensor, target: Tensor) -> None:
    wrong = {
        "x": (x[:, :-1], target),
        "target": (x, target[:, :-1]),
        "batch": (x, target[:-1]),
        "empty batch": (x[:0], target[:0]),
    }
    for name, (inputs, targets) in wrong.items():
        try:
            settler.settle(network, inputs, targets, SquaredError())
        except ValueError:
            continue
        except Exception as error:
            claim(False, settler, f"a wrong shape ({name}) must raise ValueError, and raises {brief(error)}")
        claim(False, settler, f"settle accepts a wrong shape ({name}): call energy.settle.settler.validate_batch first")
