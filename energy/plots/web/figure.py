"""A chart as a figure of a page: values under the pointer, a legend that hides and shows, menus of choices and scales.

Panels stand one above the other, so that a telephone shows each at its full width and one legend serves all.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from energy.errors import MissingDependencyError
from energy.plots.chart import Chart, Panel
from energy.plots.style import looks
from energy.plots.web.traces import axis_name, chart_traces, has_names, shown_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TEXT: Final = 16  # pixels
INK: Final = "#1b1b1b"
HEIGHT: Final = 400  # pixels of a panel, as the numbers below
BETWEEN: Final = 150  # labels of the panel above, title of the one below
MENU: Final = 46  # a menu
TITLE: Final = 56  # the title of the first panel, in two lines
BELOW: Final = 88  # labels of the last axis
BOLD: Final = 28  # bold letters in a line on a telephone
ENTRY: Final = 26  # an entry of the legend
WIDE: Final = 900  # a line of the legend on a desk
LETTER: Final = 9  # a letter of it
DECADES: Final = 100.0  # ratio of the ends of a logarithmic axis above which only powers of ten have labels
SCALES: Final = (
    ("axes as drawn", None),
    ("x log, y log", ("log", "log")),
    ("x log, y linear", ("log", "linear")),
    ("x linear, y log", ("linear", "log")),
    ("x and y linear", ("linear", "linear")),
)


class PlotlyMissing(MissingDependencyError, RuntimeError):
    """The error of a page without plotly; its message names the extra that installs it."""


def interactive(chart: Chart) -> "Figure":
    """Build the plotly figure of a chart; the first of its choices is shown.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    drawn = _graph_objects()
    pairs = list(chart_traces(chart, looks(chart.keys)))
    first = chart.choices[0] if chart.choices else ""
    data = [trace | {"visible": group in ("", first)} for trace, group in pairs]
    return drawn.Figure({"data": data, "layout": _layout(chart, [group for _, group in pairs])})


def fragment(chart: Chart) -> str:
    """Return the HTML of a chart, for a page that holds `plotly_script` once above it.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    settings = {"displaylogo": False, "displayModeBar": False, "responsive": True}
    return interactive(chart).to_html(
        full_html=False, include_plotlyjs=False, div_id=f"plot-{chart.name}", config=settings
    )


def heights(chart: Chart) -> tuple[int, int]:
    """Return the pixels that a chart takes on a desk and on a telephone, where its legend is a column."""
    labels = list(dict.fromkeys(series.label for series in chart.series if series.named))
    lines = math.ceil(sum(60 + LETTER * len(label) for label in labels) / WIDE)
    body = len(chart.panels) * (HEIGHT + BETWEEN) - BETWEEN + _above(chart) + BELOW
    return body + ENTRY * lines, body + ENTRY * len(labels)


def plotly_script() -> str:
    """Return the JavaScript of plotly as it is installed, for the inside of one `script` element.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    _graph_objects()
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")


def _graph_objects() -> Any:
    """The module of plotly's figures.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    try:
        import plotly.graph_objects as drawn
    except ImportError as error:
        raise PlotlyMissing(f"reports need plotly, which the extra `report` installs ({error})") from None
    return drawn


def _layout(chart: Chart, groups: Sequence[str]) -> dict[str, Any]:
    """Axes, titles, legend and menus; `groups` are the choices with which the traces are shown."""
    count = len(chart.panels)
    body = count * (HEIGHT + BETWEEN) - BETWEEN
    layout: dict[str, Any] = {
        "font": {"family": "system-ui, sans-serif", "size": TEXT, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "autosize": True,
        "barmode": "group",
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": TEXT}, "align": "left"},
        "margin": {"l": 64, "r": 16, "t": _above(chart), "b": BELOW},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -BELOW / body, "yanchor": "top"},
        "annotations": [],
        "updatemenus": _menus(chart, groups, body),
    }
    for row, panel in enumerate(chart.panels, start=1):
        top = 1 - (row - 1) * (HEIGHT + BETWEEN) / body
        layout |= _axes(panel, row, (max(0.0, top - HEIGHT / body), top), panel.across((*chart.choices, "")[0]))
        layout["annotations"].append(_title(panel, top))
    return layout


def _axes(panel: Panel, row: int, domain: tuple[float, float], across: str) -> dict[str, Any]:
    """The two axes of a panel, at their height."""
    common = {"gridcolor": "#e3e3e3", "zeroline": False, "linecolor": "#999999", "ticks": "outside", "automargin": True}
    kinds = _kinds(panel, None)
    x_axis = {"anchor": axis_name("y", row), "type": kinds[0], "title": {"text": shown_text(across)}}
    y_axis = {"anchor": axis_name("x", row), "type": kinds[1], "title": {"text": shown_text(panel.y_label)}}
    ticks = [_ticks(panel, letter, kind) for letter, kind in zip("xy", kinds, strict=True)]
    return {
        _layout_name("x", row): {**common, **x_axis, **ticks[0], "domain": [0, 1]},
        _layout_name("y", row): {**common, **y_axis, **ticks[1], "domain": list(domain)},
    }


def _ticks(panel: Panel, letter: str, kind: str) -> dict[str, Any]:
    """Labels of an axis: on a logarithmic one at powers of ten, and at 2 and 5 between if it spans less than two."""
    numbers = [one for series in panel.series for one in getattr(series, letter)]
    above = [one for one in numbers if isinstance(one, int | float) and one > 0]
    narrow = kind == "log" and bool(above) and max(above) < DECADES * min(above)
    return {
        "nticks": 8,
        "exponentformat": "power",
        "minorloglabels": "complete" if narrow else "none",
        "dtick": "D2" if narrow else None,
    }


def _title(panel: Panel, top: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "bottom", "yshift": 6}
    return {**place, "text": f"<b>{shown_text(panel.title, BOLD)}</b>", "showarrow": False, "align": "left"}


def _kinds(panel: Panel, asked: tuple[str, str] | None) -> tuple[str, str]:
    """The types of a panel's axes, as drawn or as asked; an axis of names stays one."""
    drawn = ("log" if panel.x_log else "linear", "log" if panel.y_log else "linear")
    x, y = asked or drawn
    return ("category" if has_names(panel.series) else x, y)


def _menus(chart: Chart, groups: Sequence[str], body: int) -> list[dict[str, Any]]:
    """The menu of choices, if there are any, and above it that of scales."""
    look = {"x": 0, "xanchor": "left", "yanchor": "bottom", "bgcolor": "white", "bordercolor": "#767676"}
    base = _above(chart) - MENU
    scales = [{"label": name, "method": "relayout", "args": [_scaled(chart, asked)]} for name, asked in SCALES]
    menus = [{**look, "y": 1 + base / body, "buttons": scales}]
    if chart.choices:
        buttons = [_chosen(chart, choice, groups) for choice in chart.choices]
        menus.append({**look, "y": 1 + (base - MENU) / body, "buttons": buttons})
    return menus


def _above(chart: Chart) -> int:
    """Pixels of the menus and the title of the first panel."""
    return TITLE + MENU * (2 if chart.choices else 1)


def _scaled(chart: Chart, asked: tuple[str, str] | None) -> dict[str, Any]:
    """The change of the layout by which every panel has axes of the types asked for."""
    change: dict[str, Any] = {}
    for row, panel in enumerate(chart.panels, start=1):
        for letter, kind in zip("xy", _kinds(panel, asked), strict=True):
            name = _layout_name(letter, row)
            ticks = {f"{name}.{what}": value for what, value in _ticks(panel, letter, kind).items()}
            change |= {f"{name}.type": kind, f"{name}.autorange": True} | ticks
    return change


def _chosen(chart: Chart, choice: str, groups: Sequence[str]) -> dict[str, Any]:
    """The button that shows the series of one choice, and labels the axes for it."""
    titles = {
        f"{_layout_name('x', row)}.title.text": shown_text(panel.across(choice))
        for row, panel in enumerate(chart.panels, start=1)
    }
    visible = [group in ("", choice) for group in groups]
    label = f"{chart.choice}: {choice}" if chart.choice else choice
    return {"label": shown_text(label), "method": "update", "args": [{"visible": visible}, titles]}


def _layout_name(letter: str, row: int) -> str:
    """Plotly's name of an axis in a layout: `xaxis`, `xaxis2`."""
    return f"{letter}axis" if row == 1 else f"{letter}axis{row}"
