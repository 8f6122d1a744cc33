"""Equilibrium propagation on a deep Hopfield network.

States s_k ∈ [0, 1] of the hidden layers and s_L of a linear output descend, with s_0 = x clamped and C = ½‖s_L − y‖²,

    F(s) = E(s) + β C(s_L)          E(s) = Σ_k ½‖s_k‖² − s_kᵀ(W_k s_{k−1} + b_k)

layer by layer, each to its minimum given the others, with the drive a_k = W_k s_{k−1} + b_k + W_{k+1}ᵀ s_{k+1}:

    s_k ← clamp(a_k, 0, 1)          s_L ← (a_L + β y)/(1 + β)

The free phase settles at β = 0, and two nudged phases continue from there at β₁ and β₂. The rule is local:

    ∂L/∂W_k = [∂E/∂W_k(s^β₂) − ∂E/∂W_k(s^β₁)]/(β₂ − β₁)          ∂E/∂W_k = −s_k s_{k−1}ᵀ,  ∂E/∂b_k = −s_k

(β₁, β₂) = (0, β) is the positive form of 2017, (−β, 0) the negative and (−β, β) the centered one.

Reference: Scellier & Bengio, Front. Comput. Neurosci. 2017; Laborieux et al., Front. Neurosci. 2021 (centered).
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

Layers = list[tuple[Tensor, Tensor]]  # (W_k, b_k), from the bottom up


def relax(layers: Layers, states: list[Tensor], y: Tensor, beta: float, sweeps: int) -> list[Tensor]:
    """Sweep up through s_1 … s_L; `states` has x = s_0 before them."""
    s, top = list(states), len(layers)
    for _ in range(sweeps):
        for k, (weight, bias) in enumerate(layers, start=1):
            drive = F.linear(s[k - 1], weight, bias)
            s[k] = (drive + beta * y) / (1 + beta) if k == top else (drive + s[k + 1] @ layers[k][0]).clamp(0, 1)
    return s


def free(layers: Layers, x: Tensor, sweeps: int = 20) -> list[Tensor]:
    """The equilibrium without a nudge, from states of zero."""
    zeros = [x.new_zeros(len(x), len(bias)) for _, bias in layers]
    return relax(layers, [x, *zeros], zeros[-1], 0.0, sweeps)


def energy_gradient(s: list[Tensor]) -> list[Tensor]:
    """∂E/∂W_1, ∂E/∂b_1, …, ∂E/∂b_L, summed over the batch."""
    return [part for k in range(1, len(s)) for part in (-s[k].T @ s[k - 1], -s[k].sum(0))]


def gradients(layers: Layers, x: Tensor, y: Tensor, betas: tuple[float, float], sweeps: int = 20) -> list[Tensor]:
    """∂L/∂W_1, ∂L/∂b_1, …, ∂L/∂b_L, summed over the batch; `betas` are β₁ and β₂."""
    start = free(layers, x, sweeps)
    first, second = (energy_gradient(relax(layers, start, y, beta, sweeps)) for beta in betas)
    return [(b - a) / (betas[1] - betas[0]) for a, b in zip(first, second, strict=True)]


def main(epochs: int = 10, rate: float = 0.1) -> float:
    """Train 64-128-10 on 1437 of scikit-learn's digits and return the accuracy on the other 360 in percent."""
    order = torch.randperm(1797, generator=torch.manual_seed(0))
    x, labels = (torch.from_numpy(array)[order] for array in load_digits(return_X_y=True))
    x, y = x.float() / 16, F.one_hot(labels).float()
    layers = [(torch.randn(o, i) * 0.5 / i**0.5, torch.zeros(o)) for i, o in ((64, 128), (128, 10))]
    for _ in range(epochs):
        for part in torch.randperm(1437).split(20):
            for p, g in zip(sum(layers, ()), gradients(layers, x[part], y[part], (-0.1, 0.1)), strict=True):
                p -= rate * g / len(part)
    return 100 * float((free(layers, x[1437:])[-1].argmax(1) == labels[1437:]).float().mean())


if __name__ == "__main__":
    print(f"test accuracy {main():.1f} %")
