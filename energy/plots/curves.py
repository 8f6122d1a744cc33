"""Training curves, drawn from the record lines of one or several runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from energy.errors import UsageError
from energy.io.record import READOUT, RECORD, read_lines
from energy.io.scores import MAIN, Score
from energy.plots.style import apart, canvas, looks, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lines = Sequence[Mapping[str, Any]]
ACROSS: Final = 4  # panels side by side
PANEL: Final = 3.67  # inches
LETTERS: Final = 17  # of the legend, per inch
MARK: Final = 8  # letters that a mark of the legend takes
NAMED: Final = 30  # labels in the legend
STYLES: Final = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dash-dotted"}  # of layers
LINES: Final = (("train", "--"), ("validation", "-"))
BOTH: Final = "epoch (dashed: training, solid: validation)"


class Curve(NamedTuple):
    """Numbers over the epochs of one run; dashed for training, solid for the rest.

    Attributes:
        label: the name of the curve.
        style: of its line, as matplotlib writes it.
        points: (epoch from 1, number).
        run: its name in the legend; empty for the label.
    """

    label: str
    style: str
    points: list[tuple[int, float]]
    run: str = ""


def draw_curves(runs: Mapping[str, Path], path: Path) -> Path:
    """Draw objective, accuracy and gradient cosine over the epochs of each run, and return `path`.

    Layers that learned without feedback add their norms and winners, and a fitted read-out its accuracy.

    Args:
        runs: run folders by label.
        path: the figure, whose suffix decides the kind of file.

    Raises:
        ValueError: when a folder has no record yet.
        PlotsMissing: when matplotlib is not installed.
    """
    records = {label: read_lines(folder / RECORD) for label, folder in runs.items()}
    for label, lines in records.items():
        if not lines:
            raise UsageError(f"{runs[label]}: has no {RECORD} with a line in it; train first")
    panels = _panels(records, {label: read_lines(folder / READOUT) for label, folder in runs.items()})
    names = list(dict.fromkeys(curve.run or curve.label for _, _, curves in panels for curve in curves))
    look, columns = looks(names), min(ACROSS, len(panels))
    rows, named = -(-len(panels) // columns), _named(names)
    width = PANEL * max(columns, 2)
    shown = apart(named, int(LETTERS * width / 2) - MARK)
    across = max(2, min(4, int(LETTERS * width / (MARK + max(map(len, shown), default=1)))))
    height = 3.2 * rows + 0.17 * -(-len(named) // across)
    with canvas(columns, width, height, rows=rows) as (figure, axes):
        for panel, (title, caption, curves) in zip(axes, panels, strict=False):
            for curve in curves:
                drawn = look[curve.run or curve.label]._asdict()
                panel.plot(*zip(*curve.points, strict=True), curve.style, **drawn, markersize=4, linewidth=1.2)
            _finish(panel, title, caption)
        for panel in axes[len(panels) :]:
            panel.set_visible(False)
        handles = [axes[0].plot([], [], **look[name]._asdict(), markersize=4)[0] for name in named]
        said = f"{len(names)} runs, {len(named)} of them named" if len(named) < len(names) else None
        columns = max(1, min(across, len(named)))
        figure.legend(handles, shown, loc="outside lower center", ncols=columns, fontsize=7, title=said)
        return save(figure, path)


def _named(names: Sequence[str]) -> list[str]:
    """The labels of the legend: all, or of very many some at equal distances, the first and the last among them."""
    if len(names) <= NAMED:
        return list(names)
    return [names[index * (len(names) - 1) // (NAMED - 1)] for index in range(NAMED)]


def _panels(records: Mapping[str, Lines], readouts: Mapping[str, Lines]) -> list[tuple[str, str, list[Curve]]]:
    """Title, caption and curves of every panel with something to show; of the first three if none has."""
    objective = [*_of(records, "train_objective", "--"), *_of(records, "validation_objective", "-")]
    accuracy, *others = (_score(records, score) for score in MAIN)
    readout = [*_of(readouts, "train_accuracy", "--"), *_of(readouts, "validation_accuracy", "-")]
    usual = [
        ("objective per sample", BOTH, objective),
        accuracy,
        ("cosine with the exact gradient", "epoch (worst layer, probe batch)", list(_of(records, "cosine_worst", "-"))),
    ]
    layers = _layers(records)
    epochs = f"epoch{layers}", f"epoch (probe batch){layers}", f"epoch (entropy over its limit, probe batch){layers}"
    local = [
        ("mean norm ‖w‖ of a neuron", epochs[0], list(_by_layer(records, lambda found: found["norm"]))),
        ("neurons that never win, percent", epochs[1], list(_by_layer(records, lambda found: found["never_win"]))),
        ("spread of the winners", epochs[2], list(_by_layer(records, _spread))),
        ("read-out: accuracy, percent", f"read-out {BOTH}", readout),
    ]
    shown = [panel for panel in (*usual[:2], *others, *usual[2:], *local) if panel[2]]
    return shown or usual


def _score(records: Mapping[str, Lines], score: Score) -> tuple[str, str, list[Curve]]:
    """The panel of one score."""
    curves = [curve for split, style in LINES for curve in _of(records, f"{split}_{score.name}", style)]
    return score.heading.replace("%", "percent"), BOTH, curves


def _of(records: Mapping[str, Lines], column: str, style: str) -> Iterator[Curve]:
    for label, lines in records.items():
        points = [(line["epoch"] + 1, line[column]) for line in lines if line.get(column) is not None]
        if points:
            yield Curve(label, style, points)


def _learned(lines: Lines) -> list[str]:
    return list(dict.fromkeys(layer for line in lines for layer in line.get("unit_diagnostics", {})))


def _layers(records: Mapping[str, Lines]) -> str:
    """The line styles of the layers, in words, if colors stand for runs."""
    names = list(dict.fromkeys(layer for lines in records.values() for layer in _learned(lines)))
    if len(records) == 1 or not names:
        return ""
    told = ", ".join(f"{kind} {layer}" for kind, layer in zip(STYLES.values(), names, strict=False))
    return f"\n{told}{', then again' if len(names) > len(STYLES) else ''}"


def _by_layer(records: Mapping[str, Lines], number: Callable[[Mapping[str, Any]], float]) -> Iterator[Curve]:
    """A curve for each layer of each run, with a line style of its own for each layer.

    It is named after the layer if there is one run, and after run and layer otherwise.
    """
    for label, lines in records.items():
        for index, layer in enumerate(_learned(lines)):
            points = [
                (line["epoch"] + 1, number(line["unit_diagnostics"][layer]))
                for line in lines
                if layer in line.get("unit_diagnostics", {})
            ]
            style = list(STYLES)[index % len(STYLES)]
            if len(records) == 1:
                yield Curve(layer, "-", points)
            else:
                yield Curve(f"{label}, {layer}", style, points, label)


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
