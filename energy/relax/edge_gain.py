"""The gain of one edge: the spectral norm of its coupling at a state, units at a bound left out.

    σ = ‖D_b^½ A′(s_a) D_a^½‖        D = f′(J(s)), 1 for the input

is the factor by which the edge passes a small deviation from layer a up to layer b, or down again. Two layers joined by
this edge alone have the loop gain γ^span σ²: a trip up and down, with all other layers held, multiplies a deviation by
it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from energy.graph import Edge
from energy.network import Network
from energy.relax.spectrum import lanczos, visible
from energy.state import State
from energy.stream import stream


class EdgeJacobian:
    """The linearized response of two layers to each other, as a product of two symmetric maps.

    Args:
        network: the network.
        edge: joins the layers.
        states: the input and the activity of every layer, at which the coupling is linearized.
        drives: of every layer, at which f′ is taken.
    """

    def __init__(self, network: Network, edge: Edge, states: tuple[Tensor, ...], drives: State) -> None:
        self.linear = edge.coupling.linearize(states[edge.source])[1]
        self.ends = [(network.layers[k - 1], drives[k - 1]) if k else None for k in (edge.source, edge.target)]

    def slope(self, vector: State) -> State:
        """Return D v."""
        ends = zip(self.ends, vector, strict=True)
        return State(v if end is None else end[0].potential.tangent(end[1], v) for end, v in ends)

    def couple(self, vector: State) -> State:
        """Return the coupling up and down, up to what D takes to zero."""
        return self.seen(State([self.linear.adjoint(vector[1]), self.linear.tangent(vector[0])]))

    def seen(self, vector: State) -> State:
        """Return v without what D takes to zero."""
        ends = zip(self.ends, vector, strict=True)
        return State(v if end is None else visible(end[0].potential, end[1], v) for end, v in ends)


@torch.no_grad()
def edge_gain(
    network: Network, edge: Edge, x: Tensor, state: State, gamma: float, *, steps: int = 30, tolerance: float = 1e-2
) -> tuple[Tensor, int]:
    """Return σ of every sample, (B,), approached from below, and the steps that it took.

    Args:
        network: the network, in evaluation mode.
        edge: one of its edges.
        x: (B, *input shape).
        state: the activity of every layer.
        gamma: γ, the feedback gain, on which the drives depend.
        steps: the budget; a step applies the coupling up and down once.
        tolerance: the error, in units of σ, at which no further step is taken.

    Example:
        >>> from energy.couplings import Dense
        >>> from energy.potentials import Identity
        >>> network = Network((1,))
        >>> numbers = [network.add(Dense(1, 1, bias=False), Identity()) for _ in range(2)]
        >>> weights = [torch.nn.init.constant_(weight, -0.5) for weight in network.parameters()]
        >>> x = torch.ones(1, 1)
        >>> edge_gain(network, network.edges[1], x, network.activity(x), gamma=1.0)[0]
        tensor([0.5000])
    """
    like = next(network.parameters(), x).detach()
    x, state = x.to(like.dtype), state.map(lambda tensor: tensor.to(like.dtype))
    states = (x, *state)
    jacobian = EdgeJacobian(network, edge, states, network.drive(x, state, gamma))
    drawn, start = stream(0, "edge gain"), list[Tensor]()
    for tensor in (states[edge.source], states[edge.target]):
        one = torch.rand(tensor.shape[1:], generator=drawn, dtype=torch.float64, device="cpu")
        start.append(one.to(like).expand_as(tensor))
    found = lanczos(jacobian, State(start), steps, tolerance)[0]
    return found.radius, found.steps
