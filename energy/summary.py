"""A network as a table, shown by `print(network)`."""

from __future__ import annotations

from typing import Any, Final

from torch import nn

from energy.couplings import Convolution, Shape
from energy.pooling import AveragePool, MaxPool, Pool

HEAD: Final = ("layer", "reads", "coupling", "shape", "units", "gain", "parameters", "multiply-adds")
COUPLING: Final = 2  # the column that is cut if a line would be too long
NUMBERS: Final = 6  # the first column of numbers
COLUMNS: Final = 100  # letters per line
LEAST: Final = 12  # letters of a cut cell
POWERS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Row = tuple[str, ...]
Network = Any  # that of `energy.network`, which imports this module
Edge = Any


def summary(network: Network) -> str:
    """Return one line per coupling, and the totals.

    `gain` is the weight of the message down the edge: γ to the difference in depth, – to the input, and `read-out` if
    no activity passes down.
    """
    title = f"Network {_sides(network.input_shape)}"
    if not network.layers:
        return f"{title}: no layers yet"
    rows = [HEAD, *(_row(network, edge) for edge in network.edges), _totals(network)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    over = sum(widths) + 2 * len(widths) - 2 - COLUMNS
    widths[COUPLING] = max(min(widths[COUPLING], LEAST), widths[COUPLING] - max(over, 0))
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    rule = "─" * max(map(len, lines))
    return "\n".join([title, lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _row(network: Network, edge: Edge) -> Row:
    layer, first = network.layers[edge.target - 1], edge is network.into(edge.target)[0]
    reads = network.layers[edge.source - 1].name if edge.source else "input"
    units = str(layer.potential).removesuffix("()")
    name, shape, units = (layer.name, _sides(layer.shape), units) if first else ("", "", "")
    numbers = (f"{edge.size:,}", f"{edge.multiply_adds:,}")
    return (name, reads, label(edge.coupling), shape, units, _gain(edge), *numbers)


def _totals(network: Network) -> Row:
    size, cost = (sum(getattr(edge, name) for edge in network.edges) for name in ("size", "multiply_adds"))
    return ("total", "", "", "", "", "", f"{size:,}", f"{cost:,}")


def _sides(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _gain(edge: Edge) -> str:
    if not edge.feedback:
        return "read-out"
    if not edge.source:
        return "–"
    return "γ" if edge.span == 1 else f"γ{str(edge.span).translate(POWERS)}"


def label(coupling: nn.Module) -> str:
    """Return the kind of a coupling, with details beyond the shapes of its layers: kernel/stride, pooling, parts."""
    kind = type(coupling).__name__
    if isinstance(coupling, Convolution):
        kernel = f"{coupling.weight.shape[-1]}" + (f"/{coupling.stride}" if coupling.stride > 1 else "")
        apart = "" if coupling.dilation == 1 else f" dilated {coupling.dilation}"
        return f"{kind} {kernel}{apart}{_pooled(coupling.pool)}"
    inside = next(reversed(list(coupling.children())), None)  # the filters of a block or a normalization
    return kind if inside is None else f"{kind}({label(inside)}){_pooled(getattr(coupling, 'pool', None))}"


def _pooled(pool: object) -> str:
    short = {MaxPool: "max", AveragePool: "avg"}.get(type(pool))
    if isinstance(pool, Pool):
        return f" {short} {pool.size}" if short else f" {pool}"
    return ""


def _cells(row: Row, widths: list[int]) -> list[str]:
    """The cells of a row in their widths; a longer one is cut."""
    cut = [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(row, widths, strict=True)]
    return [c.rjust(w) if i >= NUMBERS else c.ljust(w) for i, (c, w) in enumerate(zip(cut, widths, strict=True))]
