"""The panels of training curves and the numbers in them, from the records of runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from energy.io.scores import MAIN, Score
from energy.plots.seed_band import Points, SeedBand, seed_band

Lines = Sequence[Mapping[str, Any]]
Records = Mapping[str, Sequence[Lines]]  # of the runs of each line of the legend
STYLES: Final = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dash-dotted"}  # of layers
LINES: Final = (("train", "--"), ("validation", "-"))
BOTH: Final = "epoch (dashed: training, solid: validation)"


class Curve(NamedTuple):
    """Numbers over the epochs of the runs of one line; dashed for training, solid for the rest.

    Attributes:
        name: of the line, by which it has its color and marker.
        style: of its line, as matplotlib writes it.
        band: epochs from 1, and numbers.
    """

    name: str
    style: str
    band: SeedBand


class CurvePanel(NamedTuple):
    """One pair of axes: its title, the caption below it, and its curves."""

    title: str
    caption: str
    curves: list[Curve]


def curve_panels(records: Records, readouts: Records) -> list[CurvePanel]:
    """Return every panel with something to show; the first three if none has.

    Args:
        records: lines of the records, of the runs of each line of the legend; with one of these each layer that learns
            without feedback is a line.
        readouts: lines of the read-outs, likewise.
    """
    objective = [*_of(records, "train_objective", "--"), *_of(records, "validation_objective", "-")]
    accuracy, *others = (_score(records, score) for score in MAIN)
    readout = [*_of(readouts, "train_accuracy", "--"), *_of(readouts, "validation_accuracy", "-")]
    cosine = list(_of(records, "cosine_worst", "-"))
    usual = [
        CurvePanel("objective per sample", BOTH, objective),
        accuracy,
        CurvePanel("cosine with the exact gradient", "epoch (worst layer, probe batch)", cosine),
    ]
    layers = _layers(records)
    epochs = f"epoch{layers}", f"epoch (probe batch){layers}", f"epoch (entropy over its limit, probe batch){layers}"
    never = list(_by_layer(records, lambda found: found["never_win"]))
    local = [
        CurvePanel("mean norm ‖w‖ of a neuron", epochs[0], list(_by_layer(records, lambda found: found["norm"]))),
        CurvePanel("neurons that never win, percent", epochs[1], never),
        CurvePanel("spread of the winners", epochs[2], list(_by_layer(records, _spread))),
        CurvePanel("read-out: accuracy, percent", f"read-out {BOTH}", readout),
    ]
    shown = [panel for panel in (*usual[:2], *others, *usual[2:], *local) if panel.curves]
    return shown or usual


def _score(records: Records, score: Score) -> CurvePanel:
    """The panel of one score."""
    curves = [curve for split, style in LINES for curve in _of(records, f"{split}_{score.name}", style)]
    return CurvePanel(score.heading.replace("%", "percent"), BOTH, curves)


def _of(records: Records, column: str, style: str) -> Iterator[Curve]:
    for name, runs in records.items():
        yield from _joined(name, style, [_points(lines, lambda line: line.get(column)) for lines in runs])


def _joined(name: str, style: str, curves: Sequence[Points]) -> Iterator[Curve]:
    """The curve of the runs that have one."""
    if held := [curve for curve in curves if curve]:
        yield Curve(name, style, seed_band(held))


def _points(lines: Lines, number: Callable[[Mapping[str, Any]], float | None]) -> Points:
    return [(line["epoch"] + 1, found) for line in lines if (found := number(line)) is not None]


def _learned(runs: Sequence[Lines]) -> list[str]:
    """The layers that learn without feedback."""
    return list(dict.fromkeys(layer for lines in runs for line in lines for layer in line.get("unit_diagnostics", {})))


def _layers(records: Records) -> str:
    """The line styles of the layers, in words, if colors stand for runs."""
    names = list(dict.fromkeys(layer for runs in records.values() for layer in _learned(runs)))
    if len(records) == 1 or not names:
        return ""
    told = ", ".join(f"{kind} {layer}" for kind, layer in zip(STYLES.values(), names, strict=False))
    return f"\n{told}{', then again' if len(names) > len(STYLES) else ''}"


def _by_layer(records: Records, number: Callable[[Mapping[str, Any]], float]) -> Iterator[Curve]:
    """A curve for each layer of each line, with a line style of its own for each layer.

    It is named after the layer if the legend has one line, and after that line otherwise.
    """
    for name, runs in records.items():
        for index, layer in enumerate(_learned(runs)):
            held = [[line for line in lines if layer in line.get("unit_diagnostics", {})] for lines in runs]
            points = [_points(lines, lambda line, at=layer: number(line["unit_diagnostics"][at])) for lines in held]
            alone = len(records) == 1
            yield from _joined(layer if alone else name, "-" if alone else list(STYLES)[index % len(STYLES)], points)


def _spread(found: Mapping[str, Any]) -> float:
    return found["entropy"] / found["entropy_limit"] if found["entropy_limit"] else 0.0
