"""Dual propagation on a multilayer perceptron.

Every unit is a dyad of two compartments s⁺, s⁻. The layer above receives its mean m, the layer below its normalized
difference δ. With f the ReLU, drives u_k = W_k m_{k−1} + b_k and C = ½‖s_L − y‖²:

    m_k  = α s⁺_k + (1 − α) s⁻_k                   δ_k  = (s⁺_k − s⁻_k)/β
    s⁺_k = f(u_k + r₊β W_{k+1}ᵀ δ_{k+1})           s⁻_k = f(u_k − r₋β W_{k+1}ᵀ δ_{k+1})
    s⁺_L = (u_L + r₊β y)/(1 + r₊β)                 s⁻_L = (u_L − r₋β y)/(1 − r₋β)
    ∂L/∂W_k = −δ_k m_{k−1}ᵀ                        ∂L/∂b_k = −δ_k

(r₊, r₋) = (α, 1 − α) is the form of 2023, (1 − α, α) the stable form of 2024; at α = ½ they agree. Inference is one
pass up and one sweep down. As β → 0 the gradient tends to that of back-propagation.

Reference: Høier, Staudt & Zach, ICML 2023; Høier & Zach, ICML 2024.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

Layers = list[tuple[Tensor, Tensor]]  # (W_k, b_k), from the bottom up


def forward(layers: Layers, x: Tensor) -> list[Tensor]:
    """The drives u_1 … u_L of a bottom-up pass; u_L is the output."""
    drives: list[Tensor] = []
    for weight, bias in layers:
        drives.append(F.linear(drives[-1].relu() if drives else x, weight, bias))
    return drives


def gradients(
    layers: Layers, x: Tensor, y: Tensor, beta: float = 0.1, alpha: float = 0.5, r_plus: float = 0.5
) -> list[Tensor]:
    """∂L/∂W_1, ∂L/∂b_1, …, ∂L/∂b_L, summed over the batch."""
    u, found = forward(layers, x), []
    beta_plus, beta_minus = r_plus * beta, (1 - r_plus) * beta
    s_plus, s_minus = (u[-1] + beta_plus * y) / (1 + beta_plus), (u[-1] - beta_minus * y) / (1 - beta_minus)
    for k in reversed(range(len(layers))):
        delta, below = (s_plus - s_minus) / beta, x
        if k > 0:
            h = delta @ layers[k][0]
            s_plus, s_minus = (u[k - 1] + beta_plus * h).relu(), (u[k - 1] - beta_minus * h).relu()
            below = alpha * s_plus + (1 - alpha) * s_minus
        found = [-delta.T @ below, -delta.sum(0), *found]
    return found


def main(epochs: int = 10, rate: float = 0.1) -> float:
    """Train 64-128-64-10 on 1437 of scikit-learn's digits and return the accuracy on the other 360 in percent."""
    order = torch.randperm(1797, generator=torch.manual_seed(0))
    x, labels = (torch.from_numpy(array)[order] for array in load_digits(return_X_y=True))
    x, y = x.float() / 16, F.one_hot(labels).float()
    layers = [(torch.randn(o, i) * (2 / i) ** 0.5, torch.zeros(o)) for i, o in ((64, 128), (128, 64), (64, 10))]
    for _ in range(epochs):
        for part in torch.randperm(1437).split(50):
            for p, g in zip(sum(layers, ()), gradients(layers, x[part], y[part]), strict=True):
                p -= rate * g / len(part)
    return 100 * float((forward(layers, x[1437:])[-1].argmax(1) == labels[1437:]).float().mean())


if __name__ == "__main__":
    print(f"test accuracy {main():.1f} %")
