"""Training curves, drawn from the record lines of one or several runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energy.plots.style import canvas, colours, markers, save
from energy.train.record import RECORD, read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curves(runs: Mapping[str, Path], path: Path) -> Path:
    """Draw objective, accuracy and gradient cosine over the epochs of each run folder, by label; return ``path``.

    Raises:
        ValueError: when a folder has no record yet.
        PlotsMissing: when matplotlib is not installed.
    """
    records = {label: read_lines(folder / RECORD) for label, folder in runs.items()}
    for label, lines in records.items():
        if not lines:
            raise ValueError(f"{runs[label]}: has no {RECORD} with a line in it; train first")
    tint, shape = colours(list(records)), markers(list(records))
    with canvas(3, 11.0, 3.4) as (figure, (objective, accuracy, cosine)):
        for label, lines in records.items():
            look = {"color": tint[label], "marker": shape[label]}
            _curve(objective, lines, "train_objective", look, "--")
            _curve(objective, lines, "validation_objective", look, "-")
            held = any(line.get("validation_accuracy") is not None for line in lines)
            _curve(accuracy, lines, "train_accuracy", look, "--", "" if held else label)
            _curve(accuracy, lines, "validation_accuracy", look, "-", label)
            _curve(cosine, lines, "cosine_worst", look, "-")
        _finish(objective, "objective per sample", "dashed: training, solid: validation")
        _finish(accuracy, "accuracy, percent", "dashed: training, solid: validation")
        _finish(cosine, "cosine with the exact gradient", "worst layer, probe batch")
        figure.legend(loc="outside lower center", ncols=min(4, len(records)))
        return save(figure, path)


def _curve(
    axes: "Axes", lines: Sequence[Mapping[str, Any]], column: str, look: Mapping[str, Any], style: str, label: str = ""
) -> None:
    points = [(line["epoch"] + 1, line[column]) for line in lines if line.get(column) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, style, markersize=4, label=label or "_", **look)


def _finish(axes: "Axes", title: str, caption: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel(f"epoch ({caption})", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
