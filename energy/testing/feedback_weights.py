"""The contract of a coupling that takes feedback weights in the place of its own."""

from __future__ import annotations

from torch import Tensor

from energy.couplings import Affine, Coupling
from energy.testing.claim import agree, noise, promise, tensor


@promise("adjoint(post, weight=B) must pull post down by B in the weight's place")
def adjoint_by_feedback_weights(coupling: Coupling, pre: Tensor, post: Tensor, direction: Tensor) -> None:
    """Check ⟨A′(m; B)ᵀ post, v⟩ = ⟨B, ∂W⟨post, A′(m) v⟩⟩ of an affine coupling, whose A′ is linear in W.

    Args:
        coupling: the subject; one that takes no feedback weights is skipped.
        pre, post: states below and above, (B, …).
        direction: v, of the shape of `pre`.
    """
    if not type(coupling).takes_feedback_weights:
        return
    linear, own = coupling.linearize(pre)[1], tensor(coupling, "weight", coupling.weight).detach()
    agree(coupling, "adjoint by the weight itself", linear.adjoint(post, weight=own), linear.adjoint(post), 1e-12)
    if isinstance(coupling, Affine):
        other = noise("feedback", *own.shape, device=pre.device)
        names = [name for name, _ in coupling.named_parameters()]
        slope = linear.second_gradient(direction, post)[names.index("weight")]
        for _ in range(2):  # then of what was prepared
            found = (linear.adjoint(post, weight=other) * direction).sum()
            agree(coupling, "adjoint by feedback weights", found, (other * slope).sum())
            linear.prepare(post)
