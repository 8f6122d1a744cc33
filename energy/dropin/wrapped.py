"""A module that is trained by a settler inside an ordinary script: its backward pass is the settler's second phase.

    model = energy.wrap(model, energy.DualPropagation())
    loss = criterion(model(x), y)
    loss.backward()                         # .grad is that of the settler

The forward pass in training mode is the free phase; `backward` brings the error ∂loss/∂output, by which the output is
nudged (`energy.dropin.given_error`), and hands the gradient of every parameter to autograd, which accumulates it and
calls its hooks.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import torch
from torch import Tensor, nn

from energy import ranks
from energy.dropin.conversion import from_module
from energy.dropin.given_error import GivenError
from energy.dropin.module_network import ModuleNetwork
from energy.dropin.trace import graph_of
from energy.errors import UsageError, UsageTypeError
from energy.feedback import mirrored_parameters
from energy.health import health
from energy.kernels import fused
from energy.ledger import Ledger
from energy.relax.dyad import ClampedDyad
from energy.rules.contrast import Contrast
from energy.settle.begun import resuming
from energy.settle.dyadic import Dyadic
from energy.settle.settler import Settler

ERROR: Final = GivenError()
RULE: Final = Contrast()
REDUCTIONS: Final = ("mean", "sum")


def wrap(
    module: nn.Module, settler: Settler, *, input_shape: Sequence[int] | None = None, reduction: str = "mean"
) -> WrappedModule:
    """Return `module` with the backward pass of a settler, for a training script that stays as it is otherwise.

    Parameters, buffers, their names and hooks are those of `module`, and stay shared with it. In training mode the
    output is that of the free phase, and `backward` of any differentiable criterion of it writes the settler's
    gradient; in evaluation mode the module predicts as it always did, at γ > 0 by its equilibrium.

    Args:
        module: as for `energy.from_module`.
        settler: a dyadic one that nudges: `DualPropagation`, `EquilibriumPropagation`, `Implicit`.
        input_shape: of a sample; that of the first batch unless given. With it, a part that does not fit is found at
            once.
        reduction: `mean` or `sum`, that of the criterion over the batch; the nudge of a sample is β times the gradient
            of its own loss either way.

    Raises:
        TypeError: if `module` is no module, or `settler` no settler.
        ValueError: for a part of the module that is not covered, and a settler that needs targets.

    Example:
        >>> from energy.settle import DualPropagation
        >>> model = wrap(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), DualPropagation())
        >>> nn.functional.cross_entropy(model(torch.ones(2, 4)), torch.tensor([0, 2])).backward()
        >>> model.get_parameter("0.weight").grad.shape
        torch.Size([8, 4])
    """
    if not isinstance(module, nn.Module):
        raise UsageTypeError(f"wrap: module is a {type(module).__name__}: must be an nn.Module")
    if isinstance(module, WrappedModule):
        raise UsageError("wrap: module is wrapped already: to_module() gives the plain one")
    if not isinstance(settler, Settler):
        raise UsageTypeError(
            f"wrap: settler is a {type(settler).__name__}: must be a settler, such as DualPropagation()"
        )
    if reduction not in REDUCTIONS:
        raise UsageError(f"wrap: reduction={reduction!r}: must be mean or sum")
    _require_nudging(settler)
    graph_of(module)
    wrapped = WrappedModule(module, settler, reduction)
    if input_shape is not None:
        wrapped.convert(tuple(input_shape))
    return wrapped


def _require_nudging(settler: Settler) -> None:
    """Refuse settlers that need more than the error of the output."""
    if not isinstance(settler, Dyadic) or settler.replicas is ClampedDyad:
        raise UsageError(
            f"wrap: settler={settler.name}: must be one that is nudged by the error of the output, which is all that "
            "backward knows: dual_propagation, equilibrium_propagation, implicit; others learn by Rule.learn"
        )
    if settler.keep_contracting and settler.contract_by.name == "WEIGHTS":
        raise UsageError("wrap: settler.contract_by=weights: must be gamma, since weights are the optimizer's here")


class WrappedModule(nn.Module):
    """A module whose backward pass is a settler's; made by `wrap`.

    Args:
        module: the module, with which all parts are shared.
        settler: the method.
        reduction: that of the criterion.
    """

    def __init__(self, module: nn.Module, settler: Settler, reduction: str = "mean") -> None:
        super().__init__()
        held = self.__dict__
        for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            held[name] = module.__dict__[name]
        held |= {"_plain": module, "_settler": settler, "_reduction": reduction, "_network": None}
        self.training = module.training

    def __getattr__(self, name: str) -> Any:
        """Look for an attribute among the parts, then in the module itself."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "_plain" not in self.__dict__:
                raise
            return getattr(self.__dict__["_plain"], name)

    def to_module(self) -> nn.Module:
        """Return a plain copy of the module with the present weights."""
        return copy.deepcopy(self.__dict__["_plain"])

    def convert(self, input_shape: tuple[int, ...]) -> ModuleNetwork:
        """Return the network of the module, made when it is first asked for.

        Args:
            input_shape: of a sample.

        Raises:
            ValueError: for a part that is not covered, and feedback weights that learn.
        """
        known: ModuleNetwork | None = self.__dict__["_network"]
        if known is None or known.input_shape != input_shape:
            settler: Settler = self.__dict__["_settler"]
            known = from_module(self.__dict__["_plain"], input_shape)
            settler.attach_feedback(known)
            if any(True for _ in mirrored_parameters(known)):
                raise UsageError(
                    "wrap: settler.feedback: has weights that learn and no optimizer of the script knows: must be "
                    "tied, random, direct or one of the sign kinds; others learn by Rule.learn"
                )
            settler.validate_nudge(ERROR, known.output.potential)
            self.__dict__["_network"] = known
        known.relink()
        known.require_plain()
        return known

    def train(self, mode: bool = True) -> WrappedModule:
        self.__dict__["_plain"].train(mode)
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        plain, settler = self.__dict__["_plain"], self.__dict__["_settler"]
        if not self.training and not settler.gamma:
            return plain(x)
        precision = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        with torch.autocast(x.device.type, enabled=False), ranks.separately():
            network = self.convert(tuple(x.shape[1:]))
            if not self.training:
                return settler.predict(network, x.to(precision)).output
            if x.requires_grad:
                raise UsageError("x: requires a gradient, which a settler does not give: must be x.detach()")
            phase = BegunStep(network, settler, x.to(precision), self.__dict__["_reduction"])
            learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
            if not (torch.is_grad_enabled() and learned):
                return phase.output
            return SettledBackward.apply(phase, *learned)  # type: ignore[no-any-return]


class BegunStep:
    """The first half of a step: the free phase of one batch, until its error is known.

    Args:
        network: the network.
        settler: the method.
        x: (B, *input shape).
        reduction: of the criterion, `mean` or `sum`.
    """

    def __init__(self, network: ModuleNetwork, settler: Settler, x: Tensor, reduction: str) -> None:
        self.network, self.settler = network, settler
        self.x, self.ledger = x, Ledger()
        self.scale = float(len(x)) if reduction == "mean" else 1.0
        with fused(), torch.no_grad(), network.normalizing():
            network.validate_batch(x)
            self._found: list[Any] = [settler.free(network, x, self.ledger)]
        self.output: Tensor = self._found[0][1][-1].clone()
        self._versions = [parameter._version for parameter in network.parameters()]

    def finish(self, error: Tensor) -> list[Tensor | None]:
        """Nudge the output by an error, and return the gradient of every parameter that learns.

        Args:
            error: ∂loss/∂output, (B, *output shape).

        Raises:
            ValueError: when it is the second time, or a parameter was changed since the free phase.
        """
        if not self._found:
            raise UsageError(
                "backward: a settler's states are freed as they are read, so that it works once for each forward pass: "
                "must be without retain_graph, with a new model(x) for a second loss, or one backward of their sum"
            )
        if self._versions != [parameter._version for parameter in self.network.parameters()]:
            raise UsageError("backward: a parameter was changed since model(x): must be before optimizer.step()")
        network, watch = self.network, health(self.network)
        watch.calls += 1
        with fused(), torch.no_grad(), torch.autocast(self.x.device.type, enabled=False), ranks.separately():
            with resuming(network, self.x, self._found):
                settled = self.settler.settle_once(network, self.x, self.scale * error, ERROR, self.ledger)
            watch.solved(network, self.settler, settled)
            gradients = RULE.gradients(network, settled)
        pairs = zip(network.parameters(), gradients, strict=True)
        return [gradient / self.scale for parameter, gradient in pairs if parameter.requires_grad]


class SettledBackward(torch.autograd.Function):
    """The output of a free phase, whose backward pass is the other half of the step."""

    @staticmethod
    def forward(ctx: Any, phase: BegunStep, *parameters: Tensor) -> Tensor:
        ctx.phase = phase
        return phase.output

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> Any:
        if torch.is_grad_enabled():
            _refuse_twice()
        return (None, *ctx.phase.finish(errors[0]))


def _refuse_twice() -> NoReturn:
    raise UsageError(
        "backward: create_graph=True asks for the derivative of a gradient, which a settler does not record: must be "
        "False; penalties on gradients need the plain module, model.to_module()"
    )
