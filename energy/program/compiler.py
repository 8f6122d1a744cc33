"""The compiler of recorded graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map_only

from energy.tracing import tracing

Graph = Callable[..., Any]


def executable(graph: fx.GraphModule, *, device: torch.device, compiled: bool) -> Graph:
    """Return the graph as a function without a tape.

    Args:
        graph: of tensor operations.
        device: of its tensors; on a CUDA device a compiled graph is captured in a CUDA graph as well.
        compiled: whether torch compiles it, at its first call.
    """
    return Compiled(graph, cuda_graph=device.type == "cuda") if compiled else torch.no_grad()(graph.forward)


class Compiled:
    """A graph that torch's Inductor compiles when it is first called outside of a recording.

    Args:
        graph: of tensor operations, for arguments of one form.
        cuda_graph: capture what is compiled in a CUDA graph.
    """

    def __init__(self, graph: fx.GraphModule, *, cuda_graph: bool = False) -> None:
        self.graph, self.cuda_graph = graph, cuda_graph
        self.options = {"triton.cudagraphs": cuda_graph}
        self._call: Graph | None = None

    @torch.no_grad()
    def __call__(self, *arguments: Any) -> Any:
        """Return graph(*arguments)."""
        if tracing() is not None:  # a part of another recording: torch records no calls of what it has compiled
            return self.graph(*arguments)
        if self._call is None:
            self._call = self._compiled(arguments)
        found = self._call(*arguments)
        return tree_map_only(Tensor, torch.clone, found) if self.cuda_graph else found  # the next replay writes to it

    def _compiled(self, arguments: tuple[Any, ...]) -> Graph:
        import torch._inductor

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about its own internals
            compiled: Any = torch._inductor.compile(self.graph, list(arguments), options=self.options)
            return compiled
