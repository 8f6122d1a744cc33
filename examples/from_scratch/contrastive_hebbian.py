"""Contrastive Hebbian learning on a layered network of logistic units, with any feedback gain.

With s_0 = x clamped, σ(a) = 1/(1 + e^{−a}) and feedback at the gain γ, layers settle to

    s_k = σ(W_k s_{k−1} + b_k + γ W_{k+1}ᵀ s_{k+1})

twice: free (f), and from there clamped (c), with s_L held at the target y. An edge learns from two Hebbian products:

    ΔW_k = γ^(k−L) [s_k s_{k−1}ᵀ (c) − s_k s_{k−1}ᵀ (f)]          Δb_k = γ^(k−L) [s_k (c) − s_k (f)]

γ = 1 is the symmetric network of Movellan. For small γ a clamp at the top moves layer k by the order of γ^(L−k), which
the factor undoes, and the change is close to that of back-propagation.

Reference: Movellan, Connectionist Models 1991; Xie & Seung, Neural Computation 15 (2003).
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

Layers = list[tuple[Tensor, Tensor]]  # (W_k, b_k), from the bottom up


def relax(layers: Layers, states: list[Tensor], gamma: float, sweeps: int, *, clamped: bool) -> list[Tensor]:
    """Sweep up through s_1 … s_L, or to s_{L−1} if s_L is clamped; `states` has x = s_0 before them."""
    s, top = list(states), len(layers)
    for _ in range(sweeps):
        for k in range(1, top if clamped else top + 1):
            drive = F.linear(s[k - 1], *layers[k - 1])
            s[k] = (drive if k == top else drive + gamma * s[k + 1] @ layers[k][0]).sigmoid()
    return s


def free(layers: Layers, x: Tensor, gamma: float = 1.0, sweeps: int = 20) -> list[Tensor]:
    """The free equilibrium, from states of zero."""
    zeros = [x.new_zeros(len(x), len(bias)) for _, bias in layers]
    return relax(layers, [x, *zeros], gamma, sweeps, clamped=False)


def products(s: list[Tensor], gamma: float) -> list[Tensor]:
    """γ^(k−L) s_k s_{k−1}ᵀ and γ^(k−L) s_k of every edge, summed over the batch."""
    top = len(s) - 1
    return [gamma ** (k - top) * part for k in range(1, top + 1) for part in (s[k].T @ s[k - 1], s[k].sum(0))]


def updates(layers: Layers, x: Tensor, y: Tensor, gamma: float = 1.0, sweeps: int = 20) -> list[Tensor]:
    """ΔW_1, Δb_1, …, Δb_L, summed over the batch."""
    start = free(layers, x, gamma, sweeps)
    held = relax(layers, [*start[:-1], y], gamma, sweeps, clamped=True)
    return [c - f for c, f in zip(products(held, gamma), products(start, gamma), strict=True)]


def main(epochs: int = 10, rate: float = 0.5) -> float:
    """Train 64-128-10 on 1437 of scikit-learn's digits and return the accuracy on the other 360 in percent."""
    order = torch.randperm(1797, generator=torch.manual_seed(0))
    x, labels = (torch.from_numpy(array)[order] for array in load_digits(return_X_y=True))
    x, y = x.float() / 16, F.one_hot(labels).float()
    layers = [(torch.randn(o, i) * 0.5 / i**0.5, torch.zeros(o)) for i, o in ((64, 128), (128, 10))]
    for _ in range(epochs):
        for part in torch.randperm(1437).split(20):
            for p, change in zip(sum(layers, ()), updates(layers, x[part], y[part]), strict=True):
                p += rate * change / len(part)
    return 100 * float((free(layers, x[1437:])[-1].argmax(1) == labels[1437:]).float().mean())


if __name__ == "__main__":
    print(f"test accuracy {main():.1f} %")
