"""Training curves, drawn from the record lines of one or several runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from energy.plots.style import canvas, colours, markers, save
from energy.train.record import READOUT, RECORD, read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lines = Sequence[Mapping[str, Any]]
BOTH: Final = "epoch (dashed: training, solid: validation)"


class Curve(NamedTuple):
    """Numbers over the epochs of one run; dashed for what training saw, solid for the rest."""

    label: str
    style: str
    points: list[tuple[int, float]]


def draw_curves(runs: Mapping[str, Path], path: Path) -> Path:
    """Draw objective, accuracy and gradient cosine over the epochs of each run folder, by label; for layers that learnt
    without feedback their norms and winners, and the read-out's accuracy. Return ``path``.

    Raises:
        ValueError: when a folder has no record yet.
        PlotsMissing: when matplotlib is not installed.
    """
    records = {label: read_lines(folder / RECORD) for label, folder in runs.items()}
    for label, lines in records.items():
        if not lines:
            raise ValueError(f"{runs[label]}: has no {RECORD} with a line in it; train first")
    panels = _panels(records, {label: read_lines(folder / READOUT) for label, folder in runs.items()})
    names = list(dict.fromkeys(curve.label for _, _, curves in panels for curve in curves))
    tint, shape = colours(names), markers(names)
    with canvas(len(panels), 3.67 * max(len(panels), 2), 3.4) as (figure, axes):
        for panel, (title, caption, curves) in zip(axes, panels, strict=True):
            for label, style, points in curves:
                look = {"color": tint[label], "marker": shape[label], "markersize": 4}
                panel.plot(*zip(*points, strict=True), style, **look)
            _finish(panel, title, caption)
        handles = [axes[0].plot([], [], color=tint[name], marker=shape[name], markersize=4)[0] for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=max(1, min(4, len(names))))
        return save(figure, path)


def _panels(records: Mapping[str, Lines], readouts: Mapping[str, Lines]) -> list[tuple[str, str, list[Curve]]]:
    """Title, caption and curves of every panel that has something to show; of the first three where none has."""
    objective = [*_of(records, "train_objective", "--"), *_of(records, "validation_objective", "-")]
    accuracy = [*_of(records, "train_accuracy", "--"), *_of(records, "validation_accuracy", "-")]
    readout = [*_of(readouts, "train_accuracy", "--"), *_of(readouts, "validation_accuracy", "-")]
    usual = [
        ("objective per sample", BOTH, objective),
        ("accuracy, percent", BOTH, accuracy),
        ("cosine with the exact gradient", "epoch (worst layer, probe batch)", list(_of(records, "cosine_worst", "-"))),
    ]
    local = [
        ("mean norm ‖w‖ of a neuron", "epoch", list(_by_layer(records, lambda found: found["norm"]))),
        (
            "neurons that never win, percent",
            "epoch (probe batch)",
            list(_by_layer(records, lambda found: found["never"])),
        ),
        ("spread of the winners", "epoch (entropy over its limit, probe batch)", list(_by_layer(records, _spread))),
        ("read-out: accuracy, percent", f"read-out {BOTH}", readout),
    ]
    shown = [panel for panel in (*usual, *local) if panel[2]]
    return shown or usual


def _of(records: Mapping[str, Lines], column: str, style: str) -> Iterator[Curve]:
    for label, lines in records.items():
        points = [(line["epoch"] + 1, line[column]) for line in lines if line.get(column) is not None]
        if points:
            yield Curve(label, style, points)


def _by_layer(records: Mapping[str, Lines], number: Callable[[Mapping[str, Any]], float]) -> Iterator[Curve]:
    """A curve for each layer of each run, called after the layer where there is one run."""
    for label, lines in records.items():
        for layer in dict.fromkeys(layer for line in lines for layer in line.get("units", {})):
            points = [
                (line["epoch"] + 1, number(line["units"][layer])) for line in lines if layer in line.get("units", {})
            ]
            yield Curve(layer if len(records) == 1 else f"{label}, {layer}", "-", points)


def _spread(found: Mapping[str, Any]) -> float:
    return found["entropy"] / found["entropy_limit"] if found["entropy_limit"] else 0.0


def _finish(axes: "Axes", title: str, caption: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel(caption, fontsize=8)
    low, high = axes.get_xlim()
    if high - low < 1:  # one epoch
        axes.set_xlim(low - 0.5, high + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
