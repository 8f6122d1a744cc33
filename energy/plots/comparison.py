"""The figure of `compare`: accuracy, fidelity of the gradient and price of each settler, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energy.io.scores import common_score
from energy.plots.style import canvas, colors, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_comparison(report: Mapping[str, Any], path: Path) -> Path:
    """Draw the rows of a `compare.json` and return `path`.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    rows = list(report["rows"])
    labels = [row["label"] for row in rows]
    tint = list(colors(labels).values())
    with canvas(3, 11.0, 1.6 + min(0.42 * len(rows), 14.0), sharey=True) as (figure, (accuracy, cosine, price)):
        score = common_score(rows)
        _spread(accuracy, [row.get(score.test) for row in rows], tint)
        accuracy.set_title(f"test {score.title}")
        accuracy.set_xlabel(f"{'percent; ' if score.unit else ''}mean ± s.d., single seeds")
        _cosines(cosine, rows, tint)
        _bars(price, rows, tint)
        accuracy.set_yticks(range(len(rows)), labels)
        accuracy.set_ylim(len(rows) - 0.4, -0.6)
        for axes in (accuracy, cosine, price):
            axes.tick_params(left=False)
            axes.grid(False, axis="y")
        figure.suptitle(report["title"], fontsize=10)
        figure.legend(loc="outside lower center", ncols=5, fontsize=8, handletextpad=0.3)
        return save(figure, path)


def _spread(axes: "Axes", stats: Sequence[Mapping[str, Any] | None], tint: Sequence[str]) -> None:
    """Mean with a bar of one standard deviation, and every single value as a faint mark."""
    for height, (found, color) in enumerate(zip(stats, tint, strict=True)):
        if found is None:
            axes.text(0.5, height, "no finished run", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        axes.plot(found["values"], [height] * found["n"], "|", color=color, alpha=0.55, markersize=9)
        axes.errorbar(found["mean"], height, xerr=found["sd"] or 0.0, fmt="o", color=color, capsize=3, markersize=6)


def _cosines(axes: "Axes", rows: Sequence[Mapping[str, Any]], tint: Sequence[str]) -> None:
    """Worst layer and whole gradient on the trained weights; the worst layer at initialization hollow."""
    shown = (
        ("cosine_worst_initial", "worst layer, initial weights", "s", "white", -0.2),
        ("cosine_worst_trained", "worst layer, trained", "s", "", 0.0),
        ("cosine_whole_trained", "whole gradient, trained", "o", "", 0.2),
    )
    axes.axvline(1.0, color="#999999", linewidth=0.8, zorder=0)
    for column, name, marker, face, shift in shown:
        for height, (row, color) in enumerate(zip(rows, tint, strict=True)):
            if row[column] is not None:
                mean = row[column]["mean"]
                axes.plot(mean, height + shift, marker, color=color, markerfacecolor=face or color, markersize=5)
        axes.plot([], [], marker, color="#444444", markerfacecolor=face or "#444444", markersize=5, label=name)
    low = min(axes.get_xlim()[0], 0.9)
    axes.set_xlim(low, 1.0 + 0.03 * (1.0 - low))
    axes.set_title("cosine with the exact gradient")
    axes.set_xlabel("1 is exact")


def _bars(axes: "Axes", rows: Sequence[Mapping[str, Any]], tint: Sequence[str]) -> None:
    """Price of a step in back-propagation steps: counted multiply-adds, and measured time as a tick."""
    for height, (row, color) in enumerate(zip(rows, tint, strict=True)):
        if row["backprop_steps"] is not None:
            axes.barh(height, row["backprop_steps"], height=0.55, color=color, alpha=0.85)
        if row["time_ratio"] is not None:
            axes.plot(row["time_ratio"], height, "D", color="black", markersize=4)
    axes.barh(0, 0, color="#888888", label="multiply-adds, counted")
    axes.plot([], [], "D", color="black", markersize=4, label="time per step, measured")
    axes.set_xscale("log")
    axes.axvline(1.0, color="#999999", linewidth=0.8, zorder=0)
    axes.set_title("price of one step")
    axes.set_xlabel("back-propagation steps (log)")
