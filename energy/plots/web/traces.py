"""Series as plotly's traces: plain dictionaries, colored and marked as in every other figure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.plots.style import Look
from energy.plots.web.cells import heat_trace

SYMBOLS: Final = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "*": "star",
}
DASHES: Final = {"solid": "solid", "dashed": "dash", "dotted": "dot"}
MODES: Final = {"line": "lines+markers", "points": "markers", "steps": "lines"}
SMALL: Final = 14  # points of short texts beside marks
LETTERS: Final = 38  # in a line that a telephone shows whole


def shown_text(text: str, letters: int = LETTERS) -> str:
    """Return `text` in lines of so many letters, so that plotly, which reads a few tags of HTML, shows it as it is."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, letters) or [""]]
    return "<br>".join(escape(line, quote=False) for line in lines)


def chart_traces(chart: Chart, look: Mapping[str, Look]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the traces of a chart, each with the choice that shows it; empty for one that is always shown.

    The legend has each label once for every choice.
    """
    named: set[tuple[str, str]] = set()
    for row, panel in enumerate(chart.panels, start=1):
        axes = {"xaxis": axis_name("x", row), "yaxis": axis_name("y", row)}
        for series in panel.series:
            entry = series.named and not {(series.label, ""), (series.label, series.group)} & named
            named |= {(series.label, series.group)} if entry else set()
            across = panel.across(series.group or (chart.choices[0] if chart.choices else ""))
            for trace in _traces(series, panel, across, look[series.key], entry):
                yield trace | axes, series.group
        for height, text in panel.levels:
            yield _level(panel, height, text) | axes, ""


def axis_name(letter: str, row: int) -> str:
    """Return plotly's name of the axis of a row: `x` for the first, `x2` for the second.

    Example:
        >>> axis_name("x", 1), axis_name("y", 3)
        ('x', 'y3')
    """
    return letter if row == 1 else f"{letter}{row}"


def has_names(series: Sequence[Series]) -> bool:
    """Whether the horizontal axis of these series has names of categories."""
    return any(isinstance(one, str) for other in series for one in other.x)


def _traces(series: Series, panel: Panel, across: str, look: Look, entry: bool) -> Iterator[dict[str, Any]]:
    """The trace of a series, after its interval."""
    color = look.color if isinstance(look.color, str) else _css(look.color)
    common = {"name": shown_text(series.label), "legendgroup": series.label, "showlegend": entry}
    if series.style == "heat":
        yield heat_trace(series, panel, color) | common
        return
    banded = series.low is not None and series.style in ("line", "steps") and not has_names([series])
    if banded and sum(low is not None for low in series.low or ()) > 1:
        yield _band(series, color, panel.y_log) | {"legendgroup": series.label}
    elif series.low is not None:
        common["error_y"] = _error_bars(series, color)
    values = "%{x}" if has_names([series]) else f"{shown_text(across)}: %{{x:.4~g}}"
    said = "%{customdata}" if any(series.hover) else f"{values}<br>{shown_text(panel.y_label)}: %{{y:.4~g}}"
    common |= {
        "x": list(series.x),
        "y": list(series.y),
        "customdata": [shown_text(text) for text in series.hover],
        "hovertemplate": f"<b>{shown_text(series.label)}</b><br>{said}<extra></extra>",
        "text": [shown_text(text) for text in series.marks],
        "textfont": {"size": SMALL},
    }
    yield common | _drawn(series, color, look)


def _drawn(series: Series, color: str, look: Look) -> dict[str, Any]:
    """The part of a trace that says how it is drawn."""
    if series.style == "bars":
        return {"type": "bar", "marker": {"color": color}, "textposition": "outside"}
    line = {"color": color, "dash": DASHES[series.dash], "width": 2.2}
    return {
        "type": "scatter",
        "mode": MODES[series.style] + ("+text" if any(series.marks) else ""),
        "line": line | ({"shape": "hv"} if series.style == "steps" else {}),
        "marker": {"color": color, "symbol": SYMBOLS.get(look.marker, "circle"), "size": 8},
        "textposition": "top center",
    }


def _band(series: Series, color: str, log: bool) -> dict[str, Any]:
    """The interval along a line, one polygon for each stretch without a gap.

    On a logarithmic axis, which has no zero, it ends at a tenth of the least value.
    """
    floor = min((one for one in series.y if one is not None and one > 0), default=1.0) / 10
    x: list[Any] = []
    y: list[Any] = []
    for stretch in _stretches(series):
        there = [at for at, _, _ in stretch]
        x += [*there, *reversed(there), None]
        y += [max(low, floor) if log else low for _, low, _ in stretch]
        y += [*reversed([high for _, _, high in stretch]), None]
    shown = {"mode": "lines", "fill": "toself", "fillcolor": color, "opacity": 0.18, "line": {"width": 0}}
    return {"type": "scatter", "x": x, "y": y, **shown, "hoverinfo": "skip", "showlegend": False}


def _stretches(series: Series) -> list[list[tuple[Any, float, float]]]:
    """The points that have an interval, with its ends, in runs without a gap."""
    found: list[list[tuple[Any, float, float]]] = [[]]
    for x, low, high in zip(series.x, series.low or (), series.high or (), strict=True):
        if low is None or high is None:
            found.append([])
        else:
            found[-1].append((x, low, high))
    return [stretch for stretch in found if stretch]


def _error_bars(series: Series, color: str) -> dict[str, Any]:
    """Bars of an interval at each point."""
    ends = list(zip(series.y, series.low or (), series.high or (), strict=True))
    below = [0.0 if y is None or low is None else y - low for y, low, _ in ends]
    above = [0.0 if y is None or high is None else high - y for y, _, high in ends]
    kind = {"type": "data", "symmetric": False, "color": color, "thickness": 1.6}
    return kind | {"arrayminus": below, "array": above}


def _level(panel: Panel, height: float, text: str) -> dict[str, Any]:
    """A thin horizontal line with its text; a trace, since it stays in its place when the scale of an axis changes."""
    x = [one for series in panel.series for one in series.x]
    ends = [x[0], x[-1]] if has_names(panel.series) else [min(x, key=float), max(x, key=float)]
    return {
        "type": "scatter",
        "x": ends,
        "y": [height, height],
        "mode": "lines+text",
        "text": [shown_text(text), ""],
        "textposition": "top right",
        "textfont": {"size": SMALL, "color": "#555555"},
        "line": {"color": "#777777", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _css(color: Sequence[float]) -> str:
    """A color of CSS from shares of red, green and blue."""
    return f"rgb({', '.join(str(round(255 * share)) for share in color[:3])})"
