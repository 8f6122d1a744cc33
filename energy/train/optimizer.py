"""Optimizers: the `torch.optim` algorithms that turn `.grad` into a step, fused if there is a kernel for it."""

import math
from abc import abstractmethod
from dataclasses import field
from typing import Any, ClassVar

import torch

from energy.component import Component, ConfigurationError, require
from energy.feedback import mirrored_parameters
from energy.network import Network
from energy.parameters import layer_of

FUSED = frozenset({"cpu", "cuda"})


class Optimizer(Component):
    """The common fields of optimizers.

    Weight decay acts on every parameter, biases too, as in the papers.

    Attributes:
        lr: peak learning rate, which the schedule scales at each step.
        weight_decay: strength of the pull to zero.
        layer_lr: peak learning rate of each layer, from the bottom up, in place of `lr`; empty for one rate.
    """

    group: ClassVar[str] = "optimizer"
    lr: float = 0.05
    weight_decay: float = 0.0
    layer_lr: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(0 < self.lr < math.inf, self, "lr", "a learning rate above 0")
        require(0 <= self.weight_decay < math.inf, self, "weight_decay", "at least 0")
        require(all(0 <= lr < math.inf for lr in self.layer_lr), self, "layer_lr", "learning rates of at least 0")

    def create(self, network: Network) -> torch.optim.Optimizer:
        """Create the optimizer of the network's parameters.

        Feedback weights that take the steps of their weights stand in the same group as these. A group keeps its own
        peak rate under `peak`.

        Raises:
            ConfigurationError: when `layer_lr` does not have one entry per layer.
        """
        mirrored = [(id(weight), tensor) for weight, tensor in mirrored_parameters(network)]
        groups = []
        for parameters, lr in self._rates(network):
            own = {id(parameter) for parameter in parameters}
            led = [tensor for weight, tensor in mirrored if weight in own]
            groups.append({"params": [*parameters, *led], "lr": lr, "peak": lr})
        return self.algorithm(groups, fused=next(network.parameters()).device.type in FUSED)

    @abstractmethod
    def algorithm(self, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        """Create the `torch.optim` object for these parameter groups, each of which holds its `lr`."""

    def _rates(self, network: Network) -> list[tuple[list[torch.nn.Parameter], float]]:
        if not self.layer_lr:
            return [(list(network.parameters()), self.lr)]
        if len(self.layer_lr) != len(network.layers):
            raise ConfigurationError(
                f"{self.name}.layer_lr={self.layer_lr}: must have {len(network.layers)} entries, one per layer"
            )
        owners = layer_of(network)
        names = [layer.name for layer in network.layers]
        by_layer: list[list[torch.nn.Parameter]] = [[] for _ in names]
        for name, parameter in network.named_parameters():
            by_layer[names.index(owners[name])].append(parameter)
        return [(some, lr) for some, lr in zip(by_layer, self.layer_lr, strict=True) if some]


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent with momentum: `v <- momentum v + g + weight_decay w`, then `w <- w - lr v`.

    Nesterov's step is `w <- w - lr (g + weight_decay w + momentum v)`.

    Attributes:
        momentum: share of the last step that is kept, from 0 to below 1.
        nesterov: whether the step looks ahead; needs momentum above 0.
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, self, "momentum", "at least 0 and below 1")
        require(not self.nesterov or self.momentum > 0, self, "nesterov", "false without momentum")

    def algorithm(self, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        tensors = [tensor for group in groups for tensor in group["params"]]
        # on the CPU torch's fused step copies what lies channel by channel there and back
        fused = fused and (tensors[0].device.type != "cpu" or all(tensor.is_contiguous() for tensor in tensors))
        return torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=fused,
        )


class Adaptive(Optimizer):
    """The fields of Adam and AdamW.

    Attributes:
        beta1: decay of the mean gradient.
        beta2: decay of the mean squared gradient.
        eps: added to the root of the latter.

    Reference:
        Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1; Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.beta1 < 1, self, "beta1", "at least 0 and below 1")
        require(0 <= self.beta2 < 1, self, "beta2", "at least 0 and below 1")
        require(0 < self.eps < math.inf, self, "eps", "above 0")

    def settings(self, fused: bool) -> dict[str, Any]:
        """Return the keyword arguments that both algorithms share."""
        betas = (self.beta1, self.beta2)
        return {"lr": self.lr, "betas": betas, "eps": self.eps, "weight_decay": self.weight_decay, "fused": fused}


class Adam(Adaptive, name="adam"):
    """Adam; weight decay is added to the gradient."""

    def algorithm(self, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, **self.settings(fused))


class AdamW(Adaptive, name="adamw"):
    """AdamW; weight decay acts on the weights directly."""

    weight_decay: float = 0.01

    def algorithm(self, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, **self.settings(fused))
