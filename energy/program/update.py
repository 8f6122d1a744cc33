"""The step of an optimizer of `torch.optim`, as operations that a program records with the gradients.

A recorded update reads a product where it was made, in the precision it was made in, and writes weight, momentum and,
for activities in bfloat16, the copy of the weight that the next step multiplies by: one pass over memory for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from energy.network import Network

PLAIN: Final[dict[type, dict[str, Any]]] = {  # the options that the formulas here hold for
    torch.optim.SGD: {"dampening": 0, "maximize": False, "differentiable": False},
    torch.optim.Adam: {"amsgrad": False, "maximize": False, "differentiable": False, "decoupled_weight_decay": False},
    torch.optim.AdamW: {"amsgrad": False, "maximize": False, "differentiable": False},
}


def admits(optimizer: torch.optim.Optimizer, network: Network) -> bool:
    """Return True for SGD, Adam or AdamW in their usual form, on parameters of `network` alone."""
    options, own = PLAIN.get(type(optimizer)), {id(parameter) for parameter in network.parameters()}
    if options is None:
        return False
    usual = (group.get(name, value) == value for group in optimizer.param_groups for name, value in options.items())
    inside = (id(parameter) in own for group in optimizer.param_groups for parameter in group["params"])
    return all(usual) and all(inside)


class Update:
    """One optimizer's step on the parameters of one network.

    Args:
        optimizer: as `admits` takes it.
        network: holds its parameters.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, network: Network) -> None:
        self.optimizer = optimizer
        parameters = list(network.parameters())
        places = {id(parameter): k for k, parameter in enumerate(parameters)}
        members = [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
        self.members = [(places[id(one)], one, group) for one, group in members if one.requires_grad]

    @property
    def key(self) -> tuple[Any, ...]:
        """The settings that the recorded operations depend on; the learning rates are arguments of them."""
        names = ("momentum", "nesterov", "weight_decay", "betas", "eps")
        groups = tuple(tuple(group.get(name) for name in names) for group in self.optimizer.param_groups)
        return id(self.optimizer), groups, tuple(place for place, _, _ in self.members)

    def tensors(self) -> list[list[Tensor]]:
        """Return, for each parameter, its learning rate () and the tensors of its state, made if there are none yet."""
        return [[_number(group["lr"], one), *self._state(one, group)] for _, one, group in self.members]

    def _state(self, parameter: Tensor, group: dict[str, Any]) -> list[Tensor]:
        state = self.optimizer.state[parameter]
        if isinstance(self.optimizer, torch.optim.SGD):
            if not group["momentum"]:
                return []
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = _zeros(parameter)
            return [state["momentum_buffer"]]
        if not state:
            step = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state.update(step=step, exp_avg=_zeros(parameter), exp_avg_sq=_zeros(parameter))
        return [state["step"], state["exp_avg"], state["exp_avg_sq"]]

    @torch.no_grad()
    def write(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        tensors: Sequence[Sequence[Tensor]],
        sound: Tensor,
    ) -> None:
        """Write the new parameters and states in place.

        Args:
            parameters, gradients: of the network, in order.
            tensors: as `tensors` returns them.
            sound: true, (), unless everything is to stay as it is.
        """
        for (place, _, group), (rate, *state) in zip(self.members, tensors, strict=True):
            parameter, gradient = parameters[place], gradients[place]
            if gradient is None:
                continue
            kind = _sgd if isinstance(self.optimizer, torch.optim.SGD) else _adam
            decoupled = isinstance(self.optimizer, torch.optim.AdamW)
            for held, new in zip(
                (parameter, *state), kind(parameter, gradient, rate, state, group, decoupled), strict=True
            ):
                held.copy_(torch.where(sound, new, held))


def _sgd(
    weight: Tensor, gradient: Tensor, rate: Tensor, state: list[Tensor], group: dict[str, Any], _: bool
) -> list[Tensor]:
    """w ← w − η d, with v ← μv + g + λw and d = v, or g + λw + μv for Nesterov's: the new (w, v)."""
    slope = gradient + group["weight_decay"] * weight if group["weight_decay"] else gradient
    if not state:
        return [weight - rate * slope]
    speed = group["momentum"] * state[0] + slope
    step = slope + group["momentum"] * speed if group["nesterov"] else speed
    return [weight - rate * step, speed]


def _adam(
    weight: Tensor, gradient: Tensor, rate: Tensor, state: list[Tensor], group: dict[str, Any], decoupled: bool
) -> list[Tensor]:
    """w ← w − η m̂/(√v̂ + ε) with the means m, v of g, g² over their share of the past: the new (w, t, m, v)."""
    keep_mean, keep_square = group["betas"]
    count, mean, square = state
    decay = group["weight_decay"]
    if decay and decoupled:
        weight = weight * (1 - rate * decay)
    elif decay:
        gradient = gradient + decay * weight
    count = count + 1
    mean = keep_mean * mean + (1 - keep_mean) * gradient
    square = keep_square * square + (1 - keep_square) * gradient.square()
    share_mean, share_square = ((1 - keep ** count.double()).to(weight.dtype) for keep in group["betas"])
    root = square.sqrt() / share_square.sqrt() + group["eps"]
    return [weight - rate / share_mean * (mean / root), count, mean, square]


def _zeros(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter, memory_format=torch.preserve_format, requires_grad=False)


def _number(value: float | Tensor, like: Tensor) -> Tensor:
    return torch.full((), float(value), dtype=like.dtype, device=like.device)
