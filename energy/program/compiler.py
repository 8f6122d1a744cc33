"""The compiler of recorded graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from energy.tracing import tracing

Graph = Callable[..., Any]


def executable(graph: fx.GraphModule, *, device: torch.device, compiled: bool) -> Graph:
    """Return the graph as a function without a tape.

    Args:
        graph: of tensor operations.
        device: of its tensors; on a CUDA device a compiled graph is captured in a CUDA graph as well.
        compiled: whether torch compiles it, at its first call.
    """
    if compiled:
        return Compiled(graph, mode="reduce-overhead" if device.type == "cuda" else None)
    return torch.no_grad()(graph.forward)


class Compiled:
    """A graph that torch compiles when it is first called outside of a recording.

    Args:
        graph: of tensor operations.
        mode: as for `torch.compile`.
    """

    def __init__(self, graph: fx.GraphModule, mode: str | None = None) -> None:
        self.graph, self.mode = graph, mode
        self._call: Graph | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Return graph(*arguments)."""
        with torch.no_grad():
            if tracing() is not None:  # a part of another recording: torch records no calls of what it has compiled
                return self.graph(*arguments)
            return self._compiled(*arguments) if self._call is None else self._call(*arguments)

    def _compiled(self, *arguments: Any) -> Any:
        self._call = torch.compile(self.graph, dynamic=False, fullgraph=True, mode=self.mode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about its own internals
            return self._call(*arguments)
