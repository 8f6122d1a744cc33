"""Pictures of a run from its `pictures.npz`: filters, receptive fields, populations, features."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from energy.plots.style import MARKERS, PALETTE, canvas, save
from energy.plots.tiles import tiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = Mapping[str, np.ndarray]
TINTS: Final = (*PALETTE, "#882255", "#000000")  # one for each of ten classes
SIDE: Final = 24  # pixels of a picture in a grid, at least: the gap between two is one
OTHERS: Final = "#BBBBBB"


def draw_pictures(arrays: Arrays, facts: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw the arrays of a `pictures.npz` into `folder`, and yield the path of each picture once it is written.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    if "filters" in arrays:
        yield draw_filters(arrays, facts, folder / "filters.png")
    if any(name.startswith("receptive/") for name in arrays):
        yield draw_receptive(arrays, facts, folder / "receptive.png")
    if facts["layers"]:
        yield draw_units(arrays, facts, folder / "units.png")
    if "principal" in arrays:
        yield draw_features(arrays, facts, folder / "features.png")


def draw_filters(arrays: Arrays, facts: Mapping[str, Any], path: Path) -> Path:
    """Draw a grid of first-layer filters; zero is gray in color pictures and white in those of one channel."""
    shown = arrays["filters"]
    with canvas(1, 4.8 if shown.shape[1] == 3 else 5.4, 5.1) as (figure, (axes,)):
        _grid(figure, axes, shown)
        first = next(iter(facts["layers"]), "output")
        axes.set_title(f"{facts['title']}: filters of {first}, {_size(shown)}")
        axes.set_xlabel(f"neurons 0 to {len(shown) - 1} by index; each over its greatest |w|", fontsize=8)
        return save(figure, path)


def draw_receptive(arrays: Arrays, facts: Mapping[str, Any], path: Path) -> Path:
    """Draw, for each hidden layer, a grid of the inputs that drive its neurons most."""
    layers = [name for name in facts["layers"] if f"receptive/{name}" in arrays]
    columns = min(4, len(layers))
    rows = -(-len(layers) // columns)
    with canvas(columns, max(4.2, 3.3 * columns), 3.8 * rows + 0.3, rows=rows) as (figure, axes):
        for panel, name in zip(axes, layers, strict=False):
            shown = arrays[f"receptive/{name}"]
            _grid(figure, panel, shown, bar=panel is axes[len(layers) - 1])
            panel.set_title(f"{name}, {_size(shown)}")
            panel.set_xlabel(f"neurons 0 to {len(shown) - 1}; less the mean, over its peak", fontsize=8)
        for panel in axes[len(layers) :]:
            panel.set_visible(False)
        figure.suptitle(f"{facts['title']}: input that drives a neuron most", fontsize=10)
        return save(figure, path)


def draw_units(arrays: Arrays, facts: Mapping[str, Any], path: Path) -> Path:
    """Draw one row per layer: norms, rates if a local rule gives them, wins, activities, weights."""
    kinds = [kind for kind in _KINDS if any(f"{kind}/{name}" in arrays for name in facts["layers"])]
    layers = facts["layers"]
    with canvas(len(kinds), 2.7 * len(kinds), 2.0 * len(layers) + 0.7, rows=len(layers)) as (figure, axes):
        for row, name in enumerate(layers):
            for column, kind in enumerate(kinds):
                panel = axes[row * len(kinds) + column]
                drawn = f"{kind}/{name}" in arrays
                if drawn:
                    _KINDS[kind](panel, arrays, facts, name)
                else:
                    panel.set_axis_off()
                if row == 0:
                    panel.set_title(_TITLES[kind])
                if column == 0:
                    panel.set_ylabel(f"{name}\n{panel.get_ylabel()}")
        figure.suptitle(
            f"{facts['title']}: neurons of the hidden layers; {facts['images']} {facts['split']} images", fontsize=10
        )
        return save(figure, path)


def draw_features(arrays: Arrays, facts: Mapping[str, Any], path: Path) -> Path:
    """Draw the features below the output layer, one point per image, colored by class: principal axes, and t-SNE."""
    maps = [name for name in ("principal", "neighbourhoods") if name in arrays]
    with canvas(len(maps), 4.4 * len(maps) + 1.2, 4.4) as (figure, axes):
        for panel, name in zip(axes, maps, strict=True):
            _scatter(panel, arrays[name], arrays["labels"], facts["classes"], label=panel is axes[0])
            panel.set_xticks([])
            panel.set_yticks([])
        share = 100 * arrays["principal_share"]
        axes[0].set_title("first two principal axes")
        axes[0].set_xlabel(f"{share[0]:.1f} % of the variance")
        axes[0].set_ylabel(f"{share[1]:.1f} % of the variance")
        for panel in axes[1:]:
            panel.set_title("t-SNE of the first 50 principal axes")
            panel.set_xlabel("neighbors are near; far distances mean nothing", fontsize=8)
        figure.suptitle(
            f"{facts['title']}: features of {facts['images']} {facts['split']} images, by class", fontsize=10
        )
        figure.legend(loc="outside right center", handletextpad=0.2)
        return save(figure, path)


def _size(shown: np.ndarray) -> str:
    return f"{shown.shape[2]}×{shown.shape[3]} pixels"


def _grid(figure: "Figure", axes: "Axes", shown: np.ndarray, bar: bool = True) -> None:
    """Pictures in [−1, 1], (n, C, h, w), tile by tile; a color bar if there is one channel."""
    times = -(-SIDE // max(shown.shape[2:]))
    grid = tiled(shown.repeat(times, 2).repeat(times, 3))
    if grid.shape[2] == 3:
        axes.imshow(np.nan_to_num(0.5 + 0.5 * grid, nan=1.0), interpolation="nearest")
    else:
        image = axes.imshow(grid[:, :, 0], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        if bar:
            figure.colorbar(image, ax=axes, shrink=0.6, ticks=[-1, 0, 1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scatter(axes: "Axes", points: np.ndarray, labels: np.ndarray, names: list[str], *, label: bool) -> None:
    """The first ten classes in colors and marks of their own, others in gray."""
    classes = np.unique(labels)
    for index, one in enumerate(classes[: len(TINTS)]):
        chosen = points[labels == one]
        shape = MARKERS[index % len(MARKERS)]
        name = (names[one] if one < len(names) else f"class {one}") if label else "_"
        look = {"color": TINTS[index], "marker": shape, "markersize": 3.5, "alpha": 0.8}
        axes.plot(chosen[:, 0], chosen[:, 1], linestyle="none", label=name, markeredgewidth=0, **look)
    rest = points[~np.isin(labels, classes[: len(TINTS)])]
    if len(rest):
        axes.plot(rest[:, 0], rest[:, 1], ".", color=OTHERS, markersize=2, zorder=0, label="others" if label else "_")


def _bars(axes: "Axes", arrays: Arrays, kind: str, name: str, color: str) -> None:
    counts, edges = arrays[f"{kind}/{name}"], arrays[f"{kind}_edges/{name}"]
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=color, linewidth=0)


def _norms(axes: "Axes", arrays: Arrays, facts: Mapping[str, Any], name: str) -> None:
    _bars(axes, arrays, "norm", name, PALETTE[0])
    law = facts["laws"][name]
    if law:
        axes.axvline(law["radius"], color="#444444", linestyle="--", linewidth=0.9)
    axes.set_ylabel("neurons")
    power = law["norm"] if law else 2
    axes.set_xlabel(f"‖w‖ in the {power:g}-norm" + ("; dashed: R" if law else ""), fontsize=8)


def _rates(axes: "Axes", arrays: Arrays, facts: Mapping[str, Any], name: str) -> None:
    _bars(axes, arrays, "rate", name, PALETTE[2])
    axes.set_ylabel("neurons")
    axes.set_xlabel("rate η of a neuron", fontsize=8)


def _wins(axes: "Axes", arrays: Arrays, facts: Mapping[str, Any], name: str) -> None:
    wins = np.sort(arrays[f"wins/{name}"])[::-1]
    share = wins / max(wins.mean(), 1e-30)
    won = wins > 0  # a logarithm has no room for the others
    axes.plot(
        100 * (np.arange(len(wins))[won] + 0.5) / len(wins),
        share[won],
        color=PALETTE[1],
        marker=".",
        markersize=3,
        clip_on=False,
    )
    axes.set_xlim(0, 100)
    axes.set_yscale("log")
    axes.axhline(1, color="#444444", linestyle="--", linewidth=0.9)
    axes.set_ylabel("wins / mean")
    axes.set_xlabel(f"neurons by rank, percent; {100 * (wins == 0).mean():.0f} % never win", fontsize=8)


def _activities(axes: "Axes", arrays: Arrays, facts: Mapping[str, Any], name: str) -> None:
    _bars(axes, arrays, "activity", name, PALETTE[3])
    axes.set_yscale("log")
    axes.set_ylabel("units")
    axes.set_xlabel("activity", fontsize=8)


def _weights(axes: "Axes", arrays: Arrays, facts: Mapping[str, Any], name: str) -> None:
    _bars(axes, arrays, "weight", name, PALETTE[5])
    axes.set_ylabel("weights")
    axes.set_xlabel("w", fontsize=8)


_KINDS: Final = {"norm": _norms, "rate": _rates, "wins": _wins, "activity": _activities, "weight": _weights}
_TITLES: Final = {
    "norm": "norms",
    "rate": "learning rates",
    "wins": "wins",
    "activity": "activities sent up",
    "weight": "weights",
}
