"""Rasters and membranes of a spiking network for one sample, from a run's snapshot."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energy.plots.style import PALETTE, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_spikes(snapshot: Mapping[str, Any], path: Path) -> Path:
    """Draw a `snapshot.json` and return `path`: one column per layer, spikes above, membranes with the threshold below.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    layers, steps = list(snapshot["layers"]), int(snapshot["steps"])
    with canvas(len(layers), 3.0 * len(layers) + 1.0, 5.2, rows=2) as (figure, axes):
        for column, layer in enumerate(layers):
            _raster(axes[column], layer, steps)
            _membranes(axes[len(layers) + column], layer, snapshot["threshold"])
        figure.suptitle("one test sample", fontsize=10)
        return save(figure, path)


def _raster(axes: "Axes", layer: Mapping[str, Any], steps: int) -> None:
    """One row per unit, one mark per spike."""
    if layer["spikes"]:
        times, units = zip(*layer["spikes"], strict=True)
        axes.plot(times, units, "|", color=PALETTE[0], markersize=5)
    axes.set_xlim(-0.5, steps - 0.5)
    axes.set_ylim(-1, layer["shown"])
    axes.set_title(f"{layer['layer']}: {layer['rate']:.3f} spikes per step")
    axes.set_ylabel(f"unit, {layer['shown']} of {layer['units']}")


def _membranes(axes: "Axes", layer: Mapping[str, Any], threshold: float) -> None:
    for index, membrane in enumerate(layer["membranes"]):
        axes.plot(range(len(membrane)), membrane, ".-", color=PALETTE[index % len(PALETTE)], linewidth=1.0)
    axes.axhline(threshold, color="#999999", linewidth=0.8)
    axes.set_xlabel("step")
    axes.set_ylabel("membrane")
