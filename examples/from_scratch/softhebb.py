"""SoftHebb: one layer of neurons that learn without labels, by soft competition.

Neurons k with the drive u_k = w_kᵀx compete, and the winner learns with its share, the others against theirs:

    s = softmax(u/T)          y_k = s_k for the winner argmax_k u_k,  −s_k for every other neuron
    Δw_k = Σ_batch y_k (x − u_k w_k)

which drives ‖w_k‖ to 1 as long as y_k u_k > 0 on average. A step divides by the greatest entry of the layer, and its
rate falls as a norm reaches 1:

    w_k ← w_k + η_k Δw_k/max|Δw|          η_k = η |‖w_k‖ − 1|^q

With y = s (`deep=False`), the rule of 2022, Δw descends −T ln Σ_k exp(u_k/T) on the unit sphere. The layer above
receives not s but the Triangle activation max(u − mean_k u, 0)^p.

On images as small as these digits a read-out of random weights (`epochs=0`) is no less accurate: this page shows the
rule, and the papers its worth.

Reference: Moraitis et al., Neuromorph. Comput. Eng. 2 (2022) 044017; Journé et al., ICLR 2023.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F


def activations(drive: Tensor, temperature: float, *, deep: bool = True) -> Tensor:
    """y of the drives u, (B, K)."""
    share = (drive / temperature).softmax(1)
    winner = F.one_hot(drive.argmax(1), drive.shape[1])
    return torch.where(winner > 0, share, -share) if deep else share


def change(weight: Tensor, x: Tensor, temperature: float = 1.0, *, deep: bool = True) -> Tensor:
    """Δw, (K, n), summed over the batch x, (B, n)."""
    drive = x @ weight.T
    y = activations(drive, temperature, deep=deep)
    return y.T @ x - (y * drive).sum(0)[:, None] * weight


def step(weight: Tensor, delta: Tensor, rate: float = 0.1, exponent: float = 0.5) -> Tensor:
    """The scaled step η_k Δw_k/max|Δw| of every neuron; 1e-10 and 1e-30 keep it finite."""
    rates = rate * ((weight.norm(dim=1) - 1).abs() + 1e-10) ** exponent
    return rates[:, None] * delta / (delta.abs().max() + 1e-30)


def features(weight: Tensor, x: Tensor, power: float = 0.7) -> Tensor:
    """The Triangle activation, (B, K)."""
    drive = x @ weight.T
    return (drive - drive.mean(1, keepdim=True)).relu() ** power


def main(neurons: int = 500, epochs: int = 5, ridge: float = 10.0) -> float:
    """Learn features of 1437 of scikit-learn's digits, fit a read-out, and return the accuracy on the other 360."""
    order = torch.randperm(1797, generator=torch.manual_seed(0))
    x, labels = (torch.from_numpy(array)[order] for array in load_digits(return_X_y=True))
    x, weight = x.float() / 16, 25 * torch.randn(neurons, 64) / 8
    for _ in range(epochs):
        for part in torch.randperm(1437).split(10):
            weight += step(weight, change(weight, x[part]))
    seen, y = features(weight, x), F.one_hot(labels).float()
    gram = seen[:1437].T @ seen[:1437] + ridge * torch.eye(neurons)
    readout = torch.linalg.solve(gram, seen[:1437].T @ y[:1437])
    return 100 * float(((seen[1437:] @ readout).argmax(1) == labels[1437:]).float().mean())


if __name__ == "__main__":
    print(f"test accuracy {main():.1f} %")
