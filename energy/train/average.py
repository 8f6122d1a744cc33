"""The running average of the weights along a training, which is validated, tested and kept in their place.

After step t, w̄ ← d_t w̄ + (1 − d_t) w with d_t = min(d, t/(t + 10)), so that the first steps, taken far from the end,
are forgotten soon. Running statistics are averaged alike; counts are taken as they are.

Reference:
    Polyak & Juditsky, SIAM J. Control Optim. 30 (1992), for averages of iterates; the exponential form is common usage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from energy import foreach
from energy.network import Network

WARM: Final = 10  # steps after which half of the average is of older weights


class WeightAverage:
    """The average of a network's weights and statistics.

    Args:
        network: starts the average.
        decay: d, the share of the average that is kept at a step; at 0 there is none but the present weights.

    Attributes:
        tensors: the average, by name; empty if there is none.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network, self.decay = network, decay
        self._held: dict[str, Tensor] = {}  # the weights of the last step, while the network has the average
        self.tensors = {name: tensor.detach().clone() for name, tensor in self.present().items()} if decay else {}

    def present(self) -> dict[str, Tensor]:
        """Return the weights of the last step, also while the network is shown the average."""
        return self._held or self.network.state_dict()

    def weights(self) -> dict[str, Tensor]:
        """Return the average, or the present weights if there is none."""
        return self.tensors or self.present()

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the present weights.

        Args:
            step: t, steps done since the start of the run.
        """
        if not self.tensors:
            return
        decay, present = min(self.decay, step / (step + WARM)), self.present()
        moved = [name for name, tensor in present.items() if tensor.is_floating_point()]
        foreach.approach_([self.tensors[name] for name in moved], [present[name] for name in moved], 1 - decay)
        for name in present.keys() - set(moved):
            self.tensors[name].copy_(present[name])

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a stored average."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the network have the averaged weights while the context lasts."""
        if not self.tensors:
            yield
            return
        self._held = {name: tensor.clone() for name, tensor in self.present().items()}
        self.network.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.network.load_state_dict(self._held)
            self._held = {}
