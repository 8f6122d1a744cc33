"""Back-propagation whose backward pass reads other matrices: autograd functions written from the definition, which
share no code with the solver."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.network import Edge, Network
from energy.objectives import Objective
from energy.pooling import AveragePool, MaxPool, Pool
from energy.potentials import Identity, Potential
from tests.settle.nets import draw
from tests.settle.oracles import Tensors

Matrices = dict[int, Tensor]  # by edge


class Linear(torch.autograd.Function):
    """y = Wx + b forward; B in W's place backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, other: Tensor) -> Tensor:
        ctx.save_for_backward(x, other)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, other = ctx.saved_tensors
        return grads[0] @ other, grads[0].T @ x, grads[0].sum(0), None


class Conv(torch.autograd.Function):
    """y = W ∗ x + b forward; B in W's place backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, other: Tensor, stride: int, padding: int, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x, other)
        ctx.how = {"stride": stride, "padding": padding, "groups": groups}
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, other = ctx.saved_tensors
        below = conv2d_input(x.shape, other, grads[0], **ctx.how)
        product = conv2d_weight(x, other.shape, grads[0], **ctx.how)
        return below, product, grads[0].sum((0, 2, 3)), None, None, None, None


def drive(edge: Edge, x: Tensor, matrices: Matrices) -> Tensor:
    """What the edge says up, its backward pass reading `matrices`."""
    coupling: Coupling = edge.coupling
    if isinstance(coupling, Skip):
        return x
    assert isinstance(coupling, Dense | Convolution) and coupling.bias is not None
    other = matrices.get(edge.index, coupling.weight.detach())
    if isinstance(coupling, Dense):
        return Linear.apply(x.flatten(1), coupling.weight, coupling.bias, other)
    how = (coupling.stride, coupling.padding, coupling.groups)
    full = Conv.apply(x, coupling.weight, coupling.bias, other, *how)
    if coupling.pool is None:
        return full
    return (F.max_pool2d if isinstance(coupling.pool, MaxPool) else F.avg_pool2d)(full, 2)


def activities(network: Network, x: Tensor, matrices: Matrices, cut: bool = False) -> Tensors:
    """Every layer's activity; with `cut` no gradient passes from a layer to those below."""
    states = [x]
    for k, layer in enumerate(network.layers, 1):
        below = [drive(e, states[e.source].detach() if cut else states[e.source], matrices) for e in network.into(k)]
        states.append(layer.potential.response(sum(below, torch.zeros(()).to(x))))
    return states


def swapped(network: Network, x: Tensor, target: Tensor, objective: Objective, matrices: Matrices) -> Tensors:
    """∂θ of the summed objective, the backward pass reading `matrices` in the place of weights."""
    loss = objective.value(activities(network, x, matrices)[-1], target).sum()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def direct(network: Network, x: Tensor, target: Tensor, objective: Objective, projections: Matrices) -> Tensors:
    """∂θ Σ_k ⟨h_k held, s_k⟩ with no gradient between layers, h_k = D_kᵀ of the output's error; for linear outputs."""
    states = activities(network, x, {}, cut=True)
    output = states[-1].detach().requires_grad_()
    (error,) = torch.autograd.grad(objective.value(output, target).sum(), output)
    total = (error * states[-1]).sum()
    for k, projection in projections.items():
        said = torch.einsum("bo,o...->b...", error, projection)
        total = total + (said * states[k]).sum()
    return list(torch.autograd.grad(total, list(network.parameters())))


def grouped(hidden: Potential, pool: Pool | None, *, stride: int = 1, seed: int = 0) -> Network:
    """(2, 9, 9) – 4 channels – 6 channels in two groups, strided or pooled – 4 channels – dense 5 – 3."""
    network = Network((2, 9, 9))
    network.add(Convolution(2, 4, 3, padding=1), hidden)
    network.add(Convolution(4, 6, 3, padding=1, stride=stride, groups=2, pool=pool), hidden)
    network.add(Convolution(6, 4, 2), hidden)
    network.add(Dense(math.prod(network.shape(3)), 5), hidden)
    network.add(Dense(5, 3), Identity())
    return draw(network, 1.0, seed)


GROUPED: dict[str, tuple[Pool | None, int]] = {
    "plain": (None, 1),
    "stride": (None, 2),
    "max": (MaxPool(2), 1),
    "average": (AveragePool(2), 1),
}
