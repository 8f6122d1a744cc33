"""The layout of a chart on a page: places of its panels, their axes and titles, the legend, and the menus."""

import math
from collections.abc import Sequence
from typing import Any, Final

from energy.plots.chart import Chart, Panel
from energy.plots.scales import place_categories
from energy.plots.web.cells import Domain
from energy.plots.web.ticks import log_ticks
from energy.plots.web.traces import axis_name, shown_text

TEXT: Final = 16  # pixels
INK: Final = "#1b1b1b"
HEIGHT: Final = 350  # pixels of a panel, as the numbers below
BETWEEN: Final = 150  # labels of the panel above, title of the one below
MENU: Final = 46  # a menu
TITLE: Final = 56  # the title of the first panel, in two lines
BELOW: Final = 88  # labels of the last axis
ENTRY: Final = 27  # an entry of the legend
WIDE: Final = 900  # a line of the legend on a desk
LETTER: Final = 9  # a letter of it
GUTTER: Final = 0.13  # of the width, between two panels side by side
BOLD: Final = (28, 44)  # letters in a line of a title: of a panel on a telephone, of one of two side by side
ACROSS: Final = 34  # letters in a line of an axis' title
SCALES: Final = (
    ("axes as drawn", None),
    ("x log, y log", ("log", "log")),
    ("x log, y linear", ("log", "linear")),
    ("x linear, y log", ("linear", "log")),
    ("x and y linear", ("linear", "linear")),
)


def figure_height(chart: Chart, columns: int) -> int:
    """Return the pixels that a figure takes; with one column its legend is as narrow as on a telephone."""
    labels = list(dict.fromkeys(series.label for series in chart.series if series.named))
    lines = math.ceil(sum(60 + LETTER * len(label) for label in labels) / WIDE) if columns > 1 else len(labels)
    return _body(chart, columns) + _above(chart, columns) + BELOW + ENTRY * lines


def panel_domains(chart: Chart, columns: int) -> list[Domain]:
    """Return the shares of width and height that each panel takes, row by row from the upper left."""
    body = _body(chart, columns)
    wide = (1 - GUTTER * (columns - 1)) / columns
    found = []
    for number in range(len(chart.panels)):
        row, column = divmod(number, columns)
        left = column * (wide + GUTTER)
        top = 1 - row * (HEIGHT + BETWEEN) / body
        found.append(((left, min(left + wide, 1.0)), (max(top - HEIGHT / body, 0.0), top)))
    return found


def figure_layout(chart: Chart, columns: int, groups: Sequence[str]) -> dict[str, Any]:
    """Return plotly's layout of a chart.

    Args:
        chart: what is drawn.
        columns: panels side by side.
        groups: the choice with which each trace is shown; empty for always.
    """
    body = _body(chart, columns)
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": -BELOW / body, "yanchor": "top"}
    layout: dict[str, Any] = {
        "font": {"family": "system-ui, sans-serif", "size": TEXT, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "autosize": True,
        "barmode": "group",
        "hovermode": "closest",
        "dragmode": "zoom" if columns > 1 else False,
        "hoverlabel": {"font": {"size": TEXT}, "align": "left"},
        "margin": {"l": 64, "r": 16, "t": _above(chart, columns), "b": BELOW},
        "legend": legend,
        "annotations": [],
        "updatemenus": _menus(chart, columns, groups),
    }
    for number, (panel, domain) in enumerate(zip(chart.panels, panel_domains(chart, columns), strict=True), start=1):
        layout |= _axes(chart, panel, number, domain)
        layout["annotations"].append(_title(panel, domain, BOLD[columns > 1]))
    return layout


def _body(chart: Chart, columns: int) -> int:
    return math.ceil(len(chart.panels) / columns) * (HEIGHT + BETWEEN) - BETWEEN


def _above(chart: Chart, columns: int) -> int:
    """Pixels of the menus, one below the other in a narrow figure, and of the title of the first panel."""
    return TITLE + MENU * (2 if chart.choices and columns == 1 else 1)


def _axes(chart: Chart, panel: Panel, number: int, domain: Domain) -> dict[str, Any]:
    """The two axes of a panel, at its place."""
    common = {"gridcolor": "#e3e3e3", "zeroline": False, "linecolor": "#999999", "ticks": "outside", "automargin": True}
    labels = {"x": panel.across((*chart.choices, "")[0]), "y": panel.y_label}
    found = {}
    for index, (letter, kind) in enumerate(zip("xy", _kinds(panel, None), strict=True)):
        axis = {"anchor": axis_name("yx"[index], number), "title": _axis_title(labels[letter])}
        axis |= {"domain": list(domain[index]), **_scale(chart, panel, letter, kind)}
        found[_layout_name(letter, number)] = {**common, **axis}
    return found


def _axis_title(text: str) -> dict[str, Any]:
    return {"text": shown_text(text, ACROSS), "font": {"size": TEXT}}


def _scale(chart: Chart, panel: Panel, letter: str, kind: str) -> dict[str, Any]:
    """Type, range and ticks of an axis."""
    names = place_categories(panel.series) if letter == "x" else {}
    if names:
        ticks = {"tickvals": list(names.values()), "ticktext": [shown_text(name, 16) for name in names]}
        return {"type": "linear", "range": [-0.5, len(names) - 0.5], "tickmode": "array", **ticks}
    ticks = log_ticks(chart, panel, letter) if kind == "log" else {"tickmode": "auto", "nticks": 6}
    return {"type": kind, "autorange": True, "exponentformat": "power", **ticks}


def _title(panel: Panel, domain: Domain, letters: int) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": domain[0][0], "y": domain[1][1], "xanchor": "left"}
    text = f"<b>{shown_text(panel.title, letters)}</b>"
    return {**place, "yanchor": "bottom", "yshift": 6, "text": text, "showarrow": False, "align": "left"}


def _kinds(panel: Panel, asked: tuple[str, str] | None) -> tuple[str, str]:
    """The types of a panel's axes, as drawn or as asked; an axis of names stays linear."""
    drawn = ("log" if panel.x_log else "linear", "log" if panel.y_log else "linear")
    x, y = asked or drawn
    return ("linear" if place_categories(panel.series) else x, y)


def _menus(chart: Chart, columns: int, groups: Sequence[str]) -> list[dict[str, Any]]:
    """The menu of scales and that of choices, side by side or one above the other."""
    body = _body(chart, columns)
    look = {"xanchor": "left", "yanchor": "bottom", "bgcolor": "white", "bordercolor": "#767676"}
    lower, upper = 1 + TITLE / body, 1 + (_above(chart, columns) - MENU) / body
    scales = [{"label": name, "method": "relayout", "args": [_scaled(chart, asked)]} for name, asked in SCALES]
    right = (1 + GUTTER) / 2 if columns > 1 and chart.choices else 0
    menus = [{**look, "x": right, "y": upper, "buttons": scales}]
    if chart.choices:
        buttons = [_chosen(chart, choice, groups) for choice in chart.choices]
        menus.append({**look, "x": 0, "y": lower, "buttons": buttons})
    return menus


def _scaled(chart: Chart, asked: tuple[str, str] | None) -> dict[str, Any]:
    """The change of the layout by which every panel has axes of the types asked for."""
    change: dict[str, Any] = {}
    for number, panel in enumerate(chart.panels, start=1):
        for letter, kind in zip("xy", _kinds(panel, asked), strict=True):
            scale = _scale(chart, panel, letter, kind)
            change |= {f"{_layout_name(letter, number)}.{name}": value for name, value in scale.items()}
    return change


def _chosen(chart: Chart, choice: str, groups: Sequence[str]) -> dict[str, Any]:
    """The button that shows the series of one choice, and labels the axes for it."""
    titles = {
        f"{_layout_name('x', number)}.title.text": shown_text(panel.across(choice), ACROSS)
        for number, panel in enumerate(chart.panels, start=1)
    }
    label = f"{chart.choice}: {choice}" if chart.choice else choice
    visible = [group in ("", choice) for group in groups]
    return {"label": shown_text(label), "method": "update", "args": [{"visible": visible}, titles]}


def _layout_name(letter: str, number: int) -> str:
    """Plotly's name of an axis in a layout: `xaxis`, `xaxis2`."""
    return f"{letter}axis" if number == 1 else f"{letter}axis{number}"
