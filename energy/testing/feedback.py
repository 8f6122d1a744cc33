"""The contract of a kind of feedback: weights that are a function of the seed, beside couplings that stay unchanged."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from energy.feedback import Feedback, feedback_weights, resample
from energy.network import Network
from energy.objectives import SquaredError
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation
from energy.settle.settler import Settler
from energy.testing.claim import agree, claim, promise, public_check
from energy.testing.settler import check_settler
from energy.testing.small import batch, contracting


@public_check(Feedback, "derive it from energy.feedback.Feedback")
def check_feedback(feedback: Feedback, *, device: str = "cpu") -> list[str]:
    """Check a kind of feedback; it must define `draw` or `matrix`.

    Attaching draws from (seed, purpose, step) alone and leaves weights and parameters as they are; the feedback weights
    are in the `state_dict`, have the shape and dtype of the weights they replace, and are not the weight itself; an
    error of zero updates nothing; the output layer learns as with tied weights, the layers below as by back-propagation
    that reads B on its way down; and dual propagation with them keeps the contract of a settler.
    """
    network, settler = contracting(device), DualPropagation(beta=0.0, feedback=feedback)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    held = torch.get_rng_state()
    _attach(feedback, network)
    claim(torch.equal(held, torch.get_rng_state()), feedback, "draws from the global generator: use energy.stream")
    now = dict(network.named_parameters())
    claim(list(now) == list(before), feedback, f"adds parameters: {sorted(set(now) - set(before))}; use buffers")
    claim(
        all((now[name] == old).all() for name, old in before.items()), feedback, "attaching feedback changes a weight"
    )
    _laid(feedback, network)
    _seeded(feedback, network, device)
    _again(feedback, settler, network, device)
    if type(feedback).adjoint is Feedback.adjoint:
        _by_hand(feedback, settler, network, device)
    _nothing(feedback, settler, network, device)
    return check_settler(DualPropagation(feedback=feedback), device=device)


@promise("draw(slot, seed, step, like) must give a tensor of slot.shape; attach(network, seed=...) attaches it")
def _attach(feedback: Feedback, network: Network) -> None:
    feedback.attach(network, seed=1)
    resample(network, 2)


@promise("matrix(weight, feedback_weight) must give B, of the shape of the weight")
def _laid(feedback: Feedback, network: Network) -> None:
    found = feedback_weights(network)
    for layer, weight, feedback_weight in found.matrices(network) if found is not None else ():
        claim(
            feedback_weight.shape == weight.shape,
            feedback,
            f"B of {layer} has shape {tuple(feedback_weight.shape)}, W {weight.shape}",
        )
        claim(
            feedback_weight.dtype == weight.dtype,
            feedback,
            f"B of {layer} is {feedback_weight.dtype}: the dtype must be the weight's",
        )
        claim(torch.isfinite(feedback_weight).all(), feedback, f"B of {layer} is not finite")
        same = torch.equal(feedback_weight, weight)
        claim(not same, feedback, f"B of {layer} is the weight itself: that is `tied`, which attaches nothing")


@promise("feedback weights must be drawn from the seed")
def _seeded(feedback: Feedback, network: Network, device: str) -> None:
    """Feedback weights that vary from entry to entry vary with the seed too."""
    other = contracting(device)
    feedback.attach(other, seed=7)
    drawn, found = dict(network.named_buffers()), dict(other.named_buffers())
    for name, feedback_weight in drawn.items():
        size = feedback_weight.abs()
        constant = bool((size == size.flatten()[0]).all())
        claim(
            constant or not torch.equal(feedback_weight, found[name]),
            feedback,
            f"another seed draws the same feedback weights ({name})",
        )


@promise("the difference must go down by the feedback weights B, and up and into the products by the weights W")
def _by_hand(feedback: Feedback, settler: Settler, network: Network, device: str) -> None:
    """δ_L = y − s_L, δ_k = f′(a_k) Σ Bᵀδ, ∂W = −δ sᵀ, written out for tanh below a linear output."""
    found, (x, target) = feedback_weights(network), batch(device)
    if found is None:
        return
    with torch.no_grad():
        states = [x, *network.activity(x)]
        delta = {len(network.layers): target - states[-1]}
        for layer in range(len(network.layers) - 1, 0, -1):
            heard = [
                delta[edge.target] @ feedback.matrix(edge.coupling.get_parameter("weight"), feedback_weight)
                for edge in network.out_of(layer)
                if (feedback_weight := found.for_edge(edge)) is not None
            ]
            delta[layer] = (1 - states[layer].square()) * torch.stack(heard).sum(0)
        wanted = []
        for edge in network.edges:
            wanted += [-delta[edge.target].T @ states[edge.source], -delta[edge.target].sum(0)]
    names = [name for name, _ in network.named_parameters()]
    for name, one, other in zip(names, _gradients(settler, network, device), wanted, strict=True):
        agree(feedback, f"gradient of {name} against back-propagation by feedback weights", one, other)


@promise("the same seed, a loaded state_dict and a copy must give the same feedback weights")
def _again(feedback: Feedback, settler: Settler, network: Network, device: str) -> None:
    same, loaded = contracting(device), contracting(device)
    feedback.attach(same, seed=1)
    resample(same, 2)
    feedback.attach(loaded, seed=5)
    loaded.load_state_dict(network.state_dict())
    expected = _gradients(settler, network, device)
    for name, other in (("the same seed", same), ("a loaded state_dict", loaded), ("a copy", copy.deepcopy(network))):
        for found, wanted in zip(_gradients(settler, other, device), expected, strict=True):
            agree(feedback, f"gradient with the feedback weights of {name}", found, wanted, 0.0)
    tied = _gradients(DualPropagation(beta=0.0), network, device)
    top = [name.startswith(("couplings.2.", "couplings.3.")) for name, _ in network.named_parameters()]
    for found, wanted, output in zip(expected, tied, top, strict=True):
        if output:
            agree(feedback, "gradient of the output layer, which no feedback weights reach", found, wanted, 1e-12)


def _nothing(feedback: Feedback, settler: Settler, network: Network, device: str) -> None:
    x, _ = batch(device)
    with torch.no_grad():
        target = network(x)
    for gradient in Contrast().gradients(network, settler.settle(network, x, target, SquaredError())):
        claim(float(gradient.abs().max()) < 1e-12, feedback, "an error of zero gives an update")


def _gradients(settler: Settler, network: Network, device: str) -> list[Tensor]:
    x, target = batch(device)
    return Contrast().gradients(network, settler.settle(network, x, target, SquaredError()))
