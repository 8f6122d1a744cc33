"""Predictive coding with the prediction errors as variables: one pass up and one pass down per step.

    up      s_k = f_k(u_k) + βε_k
    down    ε_k ← ε_k + η(g_k − ε_k)      g_L = −∇C(s_L)      g_k = Σ_{e out of k} A_e′(s_k)ᵀ f′(u_target) g_target

ε is normalized by β, and g = −∂C/∂s through the perturbed pass, so a step is one of gradient descent, of length η, on
½‖βε‖² + βC(s_L(ε)) in βε. From ε = 0 the first one is back-propagation. At equilibrium ε = g, as in
`energy.relax.predictive`.

Reference:
    Goemaere et al. 2025 (arXiv:2505.20137).
"""

from __future__ import annotations

from torch import Tensor

from energy.errors import UsageError
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.dyad import Dyad, Nudging
from energy.relax.layered import Tensors
from energy.state import State


class ErrorDyad(Dyad):
    """The errors of a predictive-coding network as a problem, with states (s_1 … s_L, ε_1 … ε_L); `sweep` takes a step.

    Args:
        network, x, ledger, nudging, phase: as for `Dyad`; of the nudging, `alpha` and `form` take no part. A proximal
            nudge is a live one here.
        rate: η in (0, 1].
        scale: a factor of what the products read, 1/(1 − (1 − η)^T) after T steps.
    """

    def __init__(
        self,
        network: Network,
        x: Tensor,
        ledger: Ledger,
        nudging: Nudging,
        phase: str = "nudged",
        *,
        rate: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(network, x, 0.0, ledger, nudging, phase)
        self.rate, self.scale = rate, scale
        self.adjoints: dict[int, Tensor] = {}  # f′(u) g of the layers that the downward pass still reads
        self.before: Tensor | None = None  # ε of the layer whose turn it is

    def error(self, state: Tensors, layer: int) -> Tensor:
        """Return ε of a layer."""
        return state[self.depth + layer - 1]

    def delta(self, state: Tensors, layer: int) -> Tensor:
        """Return f′(u) g, which the layer sends down."""
        return self.adjoints[layer]

    def learned(self, state: Tensors, layer: int) -> Tensor:
        if self.rate == 1 and layer in self.adjoints:  # then ε = g, and the scale is 1
            return self.adjoints[layer]
        return self._through(layer, self.error(state, layer)) * self.scale

    def read_going_down(self, state: State) -> dict[int, Tensor]:
        return dict(enumerate(state))

    def response(self, state: State) -> State:
        return self.top_down(self.bottom_up(state))

    def bottom_up(self, state: State) -> State:
        if self.messages.sent_by is state:
            return state
        for k in range(1, self.depth + 1):
            self.receive_from_below(state, k)
            prediction = self.network.layers[k - 1].potential.response(self.drive(k))
            state = state.replace({k - 1: prediction.add(self.error(state, k), alpha=self.nudging.beta)})
        self.messages.sent_by = state
        return state

    def top_down(self, state: State) -> State:
        state = super().top_down(state)
        self.adjoints = {}
        return state

    def update_layers(self, state: State, layers: list[int]) -> State:
        raise UsageError("the errors of a predictive-coding network move in whole passes: must be relaxed by a sweep")

    def receive_from_above(self, state: Tensors, layer: int) -> None:
        for done in self.network.last_read_at(layer + 1) if layer < self.depth else ():
            del self.adjoints[done]
        super().receive_from_above(state, layer)
        self.before = self.error(state, layer)
        if layer == self.depth:
            self.pull = self._pull(self.mean(state, layer))

    def update(self, layer: int) -> dict[int, Tensor]:
        received, before = self.error_drive(layer), self.before
        assert before is not None  # of the state that it was received for
        self.before = None
        if layer == self.depth:
            received = self.pull
            del self.pull
        if received is None:  # no layer above
            received = before.new_zeros(()).expand_as(before)
        self.adjoints[layer] = self._through(layer, received)
        error = received if self.rate == 1 else before.lerp(received, self.rate)
        return {self.depth + layer - 1: error}

    def _pull(self, output: Tensor) -> Tensor:
        """−∇C at the perturbed output, or the frozen one."""
        nudging = self.nudging
        frozen = nudging.frozen
        return -(nudging.objective.gradient(output, nudging.target) if frozen is None else frozen)

    def _through(self, layer: int, direction: Tensor) -> Tensor:
        """f′(u) times a direction."""
        return self.network.layers[layer - 1].potential.tangent(self.drive(layer), direction)
