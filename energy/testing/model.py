"""The contract of a model: a network that its seed determines, whatever was drawn before."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from energy.model import Model
from energy.network import Network
from energy.testing.claim import claim, promise, public_check


@public_check(Model, "derive it from energy.model.Model")
def check_model(
    model: Model, shape: Sequence[int] = (3, 32, 32), classes: int = 10, *, device: str = "cpu"
) -> list[str]:
    """Check a model; it must define `build`.

    The network reads `shape` and has `classes` outputs, its bottom-up pass is finite, layer names differ, the weights
    depend on the seed and on nothing else (every parameter that is not constant or made of zeros and ones), and
    building leaves the global random numbers where they were.

    Args:
        model: the subject.
        shape: of an input, without the batch axis.
        classes: number of classes.
        device: of the bottom-up pass.
    """
    held = torch.get_rng_state()
    network = _build(model, tuple(shape), classes, 0)
    claim(torch.equal(held, torch.get_rng_state()), model, "build draws from the global generator: use energy.stream")
    again, other = (_build(model, tuple(shape), classes, seed) for seed in (0, 1))
    _built(model, network, tuple(shape), classes, device)
    names = [[name for name, _ in one.named_parameters()] for one in (network, again, other)]
    claim(names[0] == names[1] == names[2], model, "two builds have other parameters")
    fixed = {id(p) for edge in network.edges if edge.coupling.held_fixed for p in edge.coupling.parameters()}
    pairs = list(zip(network.named_parameters(), again.parameters(), other.parameters(), strict=True))
    for (name, parameter), same, _ in pairs:
        claim(torch.equal(parameter, same), model, f"{name} differs between two builds from one seed")
        learns = parameter.requires_grad or id(parameter) in fixed
        claim(learns, model, f"{name} does not require a gradient, and its coupling does not say held_fixed")
    claim(any(not torch.equal(p, third) for (_, p), _, third in pairs), model, "another seed gives the same weights")
    for (name, parameter), _, third in pairs:
        constant = bool((parameter == parameter.flatten()[0]).all() or ((parameter == 0) | (parameter == 1)).all())
        claim(constant or not torch.equal(parameter, third), model, f"another seed gives the same weights {name}")
    return []


@promise("build(shape, classes, seed=...) must return a Network")
def _build(model: Model, shape: tuple[int, ...], classes: int, seed: int) -> Network:
    network = model.build(shape, classes, seed=seed)
    claim(isinstance(network, Network), model, f"build returns a {type(network).__name__}: must be a Network")
    return network


@promise("the network must read the shape and give one output per class")
def _built(model: Model, network: Network, shape: tuple[int, ...], classes: int, device: str) -> None:
    claim(network.input_shape == shape, model, f"reads {network.input_shape}, asked for {shape}")
    claim(network.output.shape == (classes,), model, f"output has shape {network.output.shape}: must be ({classes},)")
    names = [layer.name for layer in network.layers]
    claim(len(set(names)) == len(names), model, f"layers share a name: {names}")
    with torch.no_grad():
        output = network.to(device)(torch.zeros(2, *shape, device=device).add_(0.5))
    claim(torch.isfinite(output).all(), model, "the bottom-up pass is not finite")
