"""Series as plotly's traces: plain dictionaries, colored and marked as in every other figure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.plots.scales import place_categories
from energy.plots.style import Look
from energy.plots.web.cells import Domain, heat_trace

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
LETTERS: Final = 38  # in a line that a telephone shows whole
SPREAD: Final = 0.6  # of a category, over which its series stand side by side


def shown_text(text: str, letters: int = LETTERS) -> str:
    """Return `text` in lines of so many letters, so that plotly, which reads a few tags of HTML, shows it as it is."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, letters) or [""]]
    return "<br>".join(escape(line, quote=False) for line in lines)


def chart_traces(
    chart: Chart, look: Mapping[str, Look], domains: Sequence[Domain]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the traces of a chart, each with the choice that shows it; empty for one that is always shown.

    The legend has each label once for every choice.

    Args:
        chart: what is drawn.
        look: color and marker of every key.
        domains: the place of each panel in the figure.
    """
    always = {series.label for series in chart.series if series.named and not series.group}
    named: set[tuple[str, str]] = set()
    for number, (panel, domain) in enumerate(zip(chart.panels, domains, strict=True), start=1):
        axes = {"xaxis": axis_name("x", number), "yaxis": axis_name("y", number)}
        for series in panel.series:
            name = (series.label, series.group)
            entry = series.named and name not in named and (not series.group or series.label not in always)
            named |= {name} if entry else set()
            common = {"name": shown_text(series.label), "legendgroup": series.label, "showlegend": entry}
            for trace in _traces(series, panel, look, domain):
                yield common | trace | axes, series.group
        for choice in chart.choices or ("",):
            for index, level in enumerate(panel.levels if panel.shown(choice) else ()):
                yield _level(panel.shown(choice), level, index) | axes, choice


def axis_name(letter: str, row: int) -> str:
    """Return plotly's name of the axis of a row: `x` for the first, `x2` for the second.

    Example:
        >>> axis_name("x", 1), axis_name("y", 3)
        ('x', 'y3')
    """
    return letter if row == 1 else f"{letter}{row}"


def _traces(series: Series, panel: Panel, look: Mapping[str, Look], domain: Domain) -> Iterator[dict[str, Any]]:
    """The trace of a series, after its interval; names of categories are numbered."""
    style = look.get(series.key, Look(series.color, ""))
    color = series.color or (style.color if isinstance(style.color, str) else _css(style.color))
    if series.style == "heat":
        yield heat_trace(series, panel, color, domain)
        return
    across = _across(series, panel)
    trace: dict[str, Any] = {
        "x": across,
        "y": list(series.y),
        "customdata": [shown_text(text) for text in series.hover or map(str, series.x)],
        "hovertemplate": _hover(series, panel),
        "text": [shown_text(text) for text in series.marks],
    }
    if series.low is not None and series.style in ("line", "steps") and not place_categories([series]):
        yield _band(series, color, panel.y_log)
    elif series.low is not None:
        trace["error_y"] = _error_bars(series, color)
    yield trace | _drawn(series, color, style.marker)


def _hover(series: Series, panel: Panel) -> str:
    """The text under the pointer: what the series says of the point, or else label and both values."""
    if any(series.hover):
        return "%{customdata}<extra></extra>"
    x_label = shown_text(panel.across(series.group))
    return f"{shown_text(series.label)}<br>{x_label}: %{{customdata}}<br>%{{y:.4~g}}<extra></extra>"


def _across(series: Series, panel: Panel) -> list[float]:
    """Abscissas: numbers as they are, names by their places, side by side for the series of a panel."""
    places = place_categories(panel.series)
    if not places:
        return [float(x) for x in series.x]
    keys = list(dict.fromkeys(other.key for other in panel.shown(series.group)))
    shift = 0.0 if series.style == "bars" else SPREAD * ((keys.index(series.key) + 0.5) / len(keys) - 0.5)
    return [places[str(x)] + shift for x in series.x]


def _drawn(series: Series, color: str, marker: str) -> dict[str, Any]:
    """The part of a trace that says how it is drawn."""
    if series.style == "bars":
        return {"type": "bar", "marker": {"color": color}, "textposition": "outside", "cliponaxis": False}
    line = {"color": color, "dash": DASHES[series.dash], "width": 2.2}
    marked = series.style == "points" or (series.style == "line" and series.dash == "solid" and not series.color)
    mode = [*(["lines"] if series.style != "points" else []), *(["markers"] if marked else [])]
    return {
        "type": "scatter",
        "mode": "+".join([*mode, *(["text"] if any(series.marks) else [])]),
        "line": line | ({"shape": "hv"} if series.style == "steps" else {}),
        "marker": {"color": color, "symbol": SYMBOLS.get(marker, "circle"), "size": 8},
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


def _level(shown: Sequence[Series], level: tuple[float, str], index: int) -> dict[str, Any]:
    """A thin horizontal line with its text, above and below in turn.

    It is a trace, since that stays in its place when the scale of an axis changes.
    """
    height, text = level
    names = place_categories(shown)
    x = [-0.5, len(names) - 0.5] if names else [float(one) for series in shown for one in series.x]
    return {
        "type": "scatter",
        "x": [min(x), max(x)],
        "y": [height, height],
        "mode": "lines+text",
        "text": ["", shown_text(text)],
        "textposition": "bottom left" if index % 2 else "top left",
        "textfont": {"color": "#555555"},
        "line": {"color": "#777777", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _css(color: Sequence[float]) -> str:
    """A color of CSS from shares of red, green and blue."""
    return f"rgb({', '.join(str(round(255 * share)) for share in color[:3])})"
