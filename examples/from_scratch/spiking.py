"""A spiking network with the credit of a cortical microcircuit: feedback of the right signs, exact through time.

Units receive the input x for T steps. With λ = 1 − 1/τ_m, κ = 1 − 1/τ_s, θ = 1 and C = ½ Σ_t ‖x_L[t] − x*[t]‖²,

    u[t] = λ u[t−1] (1 − s[t−1]) + W_k x_{k−1}[t]      s[t] = 1{u[t] > θ}      x_k[t] = κ x_k[t−1] + (1 − κ) s[t]

A pyramidal cell and its inhibitory twin share u, are nudged apart by the apical current c and fire with the probability
Φ(v) = 1/(1 + e^{−v/a}); x* is the trace of 0 1 1 1 1 in the unit of the class and of silence in the others:

    D(v, c) = [Φ(v + βc/2) − Φ(v − βc/2)]/β = Φ′(v) c + O(β²)
    p[t] = c[t] + κ p[t+1]                      δ[t] = D(u[t] − θ, (1 − κ) p[t]) + λ (1 − s[t]) δ[t+1]
    c_L = x* − x_L,  c_k = B_{k+1}ᵀ δ_{k+1}     ∂C/∂W_k = −Σ_t δ_k[t] x_{k−1}[t]ᵀ     sign B = sign W, |B| fixed

Reference: Yang & Li, arXiv 2205.07292 (reconstructed from its abstract); the unit of Zhang & Li, NeurIPS 2020.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor

STEPS, LEAK, DECAY, WIDTH = 5, 1 - 1 / 5, 1 - 1 / 3, 0.2  # T, λ, κ, a


def layer(weight: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """(u, x) of a layer, (T, B, n), from the traces below."""
    u, x = [weight.new_zeros(len(weight))], [weight.new_zeros(len(weight))]
    for current in below @ weight.T:
        u.append(LEAK * u[-1] * (u[-1] <= 1) + current)
        x.append(DECAY * x[-1] + (1 - DECAY) * (u[-1] > 1).to(current.dtype))
    return torch.stack(u[1:]), torch.stack(x[1:])


def back(u: Tensor, c: Tensor, beta: float) -> Tensor:
    """δ of a layer, (T, B, n), from its membranes and apical currents."""
    p, deltas = torch.zeros_like(c[0]), [torch.zeros_like(c[0])]
    for t in reversed(range(STEPS)):
        p = c[t] + DECAY * p
        high, low = (((u[t] - 1 + half * (1 - DECAY) * p) / WIDTH).sigmoid() for half in (beta / 2, -beta / 2))
        deltas.insert(0, (high - low) / beta + LEAK * deltas[0] * (u[t] <= 1))
    return torch.stack(deltas[:-1])


def credit(weights: list[Tensor], back_w: list[Tensor], below: Tensor, wanted: Tensor, beta: float) -> list[Tensor]:
    """B_1ᵀ δ_1, the apical current of a layer below, then ∂C/∂W_1 … ∂C/∂W_L, summed over the batch."""
    u, x = layer(weights[0], below)
    c, *above = credit(weights[1:], back_w[1:], x, wanted, beta) if len(weights) > 1 else [wanted - x]
    delta = back(u, c, beta)
    return [delta @ back_w[0], -delta.flatten(0, 1).T @ below.flatten(0, 1), *above]


def main(epochs: int = 10) -> float:
    """Train 64-200-10 on 1437 of scikit-learn's digits and return the accuracy on the other 360 in percent."""
    order = torch.randperm(1797, generator=torch.manual_seed(0))
    x, labels = (torch.from_numpy(array)[order] for array in load_digits(return_X_y=True))
    x, y = x.float().expand(STEPS, -1, -1) / 16, torch.eye(10)[labels]
    wanted = torch.stack([(1 - DECAY**t) * y for t in range(STEPS)])
    weights = [torch.randn(o, i) * (2 / i) ** 0.5 for i, o in ((64, 200), (200, 10))]
    back_w, optimizer = [w.sign() * torch.randn_like(w).abs() * w.std() for w in weights], torch.optim.Adam(weights)
    for _ in range(epochs):
        for part in torch.randperm(1437).split(50):
            for w, g in zip(weights, credit(weights, back_w, x[:, part], wanted[:, part], 0.1)[1:], strict=True):
                w.grad = g / len(part)
            optimizer.step()
    trace = layer(weights[1], layer(weights[0], x[:, 1437:])[1])[1]
    return 100 * float((trace.sum(0).argmax(1) == labels[1437:]).float().mean())


if __name__ == "__main__":
    print(f"test accuracy {main():.1f} %")
