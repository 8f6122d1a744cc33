"""Warm starts: the messages that came from above at the end of each sample's last visit, from which the next begins.

A sample is known by the bits of its input, so nothing but the batch has to be passed; an augmented image is another
sample. A visit costs no coupling application: its bottom-up pass receives the remembered messages in place of none.
Where a network has several equilibria, a warm start may select another one than a cold start does.

Reference:
    Scellier & Bengio 2017, section 5 (persistent particles).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energy.network import Network
from energy.relax.layered import Layered
from energy.stream import sample_fingerprints

NOBODY = 0


class Visits(nn.Module):
    """The last visits of up to `capacity` samples, first come, first kept, as buffers: saved with the weights.

    Args:
        network: gives the shapes of messages; those of read-outs carry none.
        capacity: number of samples.
    """

    keys: Tensor
    used: Tensor

    def __init__(self, network: Network, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        device = next(network.parameters()).device
        self.edges = [edge.index for edge in network.edges if edge.feedback and edge.source]
        rows = capacity + 1  # the last one takes what there is no room for
        self.register_buffer("keys", torch.full((rows,), NOBODY, dtype=torch.int64, device=device))
        self.register_buffer("used", torch.zeros((), dtype=torch.int64, device=device))
        for index in self.edges:
            shape = network.shape(network.edges[index].source)
            self.register_buffer(f"down{index}", torch.zeros((rows, *shape), dtype=torch.bfloat16, device=device))

    @property
    def bytes(self) -> int:
        """The memory of all visits, in bytes: two per number of a message, since a start needs no more digits."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    @torch.no_grad()
    def recall(self, problem: Layered) -> None:
        """Give `problem`, which has sent nothing, the messages of each sample's last visit; none to a new sample."""
        known, places = self._places(problem.x)
        for index in self.edges:
            held = self.get_buffer(f"down{index}")[places].to(problem.x.dtype)
            problem.messages.down[index] = held * known.view(-1, *[1] * (held.ndim - 1))

    @torch.no_grad()
    def remember(self, problem: Layered) -> None:
        """Keep the messages that came from above last."""
        known, places = self._places(problem.x)
        new = self.used + (~known).cumsum(0) - 1
        places = torch.where(known, places, new).clamp(max=self.capacity)
        self.used.copy_((self.used + (~known).sum()).clamp(max=self.capacity))
        self.keys[places] = sample_fingerprints(problem.x)
        self.keys[self.capacity] = NOBODY
        for index in self.edges:
            if (down := problem.messages.down[index]) is not None:
                self.get_buffer(f"down{index}")[places] = down.to(torch.bfloat16)

    def _places(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of each sample, (B,): if it is known, and its row."""
        same = sample_fingerprints(x)[:, None] == self.keys[None, : self.capacity]
        return same.any(1), same.to(torch.uint8).argmax(1)


def visits(network: Network) -> Visits | None:
    """Return the visits attached to `network`, or None."""
    found = getattr(network, "visits", None)
    return found if isinstance(found, Visits) else None


def attach_visits(network: Network, capacity: int) -> None:
    """Let `network` remember the last visits of `capacity` samples, unless it does already; 0 for none."""
    if capacity and visits(network) is None:
        network.add_module("visits", Visits(network, capacity))
