"""The figure of a diagnosis: gains of the layers, their units at a bound, and expected steps against γ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.plots.style import PALETTE, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR: Final = 0.38  # height of one of two bars per layer


def draw_diagnosis(record: Mapping[str, Any], path: Path, title: str = "") -> Path:
    """Draw a diagnosis and return `path`.

    Args:
        record: `Diagnosis.to_dict()` of `energy.analysis.doctor`, or a `doctor.json`.
        path: the figure, whose suffix decides the kind of file.
        title: above the panels.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    layers, steps = record["layers"], record["ladder"] or record["expected"]
    with canvas(3, 11.0, 1.8 + max(0.36 * len(layers), 1.8)) as (figure, (gains, shares, speed)):
        names = [layer["layer"] for layer in layers]
        _bars(gains, names, {"gain σ": _column(layers, "gain"), "loop gain": _column(layers, "loop_gain")})
        gains.axvline(1.0, color="#999999", linewidth=0.8)
        gains.set_title("gain of each layer")
        gains.set_xlabel("factor on a small deviation")
        percent = {label: [100 * v for v in _column(layers, name)] for label, name in _SHARES.items()}
        _bars(shares, names, percent)
        shares.set_xlim(0, 100)
        shares.set_title("units that pass nothing")
        shares.set_xlabel("percent")
        _steps(speed, record) if steps else speed.set_axis_off()
        flags = ", ".join(f"{one['name']} {one['layer']}".strip() for one in record["flags"]) or "none"
        figure.suptitle(f"{title}{'; ' if title else ''}flags: {flags}", fontsize=10)
        return save(figure, path)


_SHARES: Final = {"at a bound": "at_bound", "dead": "dead"}


def _column(layers: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The numbers of all layers; 0 where there is none."""
    return [layer[name] or 0.0 for layer in layers]


def _bars(axes: "Axes", names: Sequence[str], columns: Mapping[str, Sequence[float]]) -> None:
    """Two bars per layer, the first layer at the top."""
    for index, (label, values) in enumerate(columns.items()):
        places = [place + (index - 0.5) * BAR for place in range(len(names))]
        axes.barh(places, values, height=BAR, color=PALETTE[index], label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(left=False)
    axes.grid(False, axis="y")
    axes.legend(fontsize=7, loc="lower right")


def _steps(axes: "Axes", record: Mapping[str, Any]) -> None:
    """Steps by the law at each γ, and at the settler's own those expected and taken, median to largest."""
    points = [(rung["gamma"], rung["steps"]) for rung in record["ladder"] if rung["steps"] is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=PALETTE[0], markersize=3.5, label="by the law of ρ₀² alone")
    for index, (name, label) in enumerate((("expected", "expected, by the spectrum"), ("taken", "taken")), start=1):
        found = record[name] if record["gamma"] else None
        values = [value for value in (found or {}).values() if value is not None]
        if values:
            at = [record["gamma"] + 0.012 * (2 * index - 3)] * len(values)
            axes.plot(at, values, "_-", color=PALETTE[index], markersize=9, label=f"{label} (median, largest)")
    axes.set_xlim(0, 1.05)
    axes.set_ylim(bottom=0)
    axes.set_title(f"steps of {record['relax']}")
    axes.set_xlabel("feedback gain γ")
    axes.legend(fontsize=7)
