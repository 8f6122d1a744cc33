"""Charts as figures of a page: traces, cells, ticks and menus, from constructed cases."""

import math
from typing import Any

import pytest

from energy.plots.chart import Chart, Panel, Series
from energy.plots.style import Look
from energy.plots.web.cells import heat_trace
from energy.plots.web.figure import interactive, plotly_script
from energy.plots.web.layout import panel_domains
from energy.plots.web.ticks import log_ticks, tick_text
from energy.plots.web.traces import axis_name, chart_traces, shown_text

pytest.importorskip("plotly")
WHOLE = ((0.0, 1.0), (0.0, 1.0))
SERIES = (
    Series("a <1>", (1.0, 10.0), (1.0, 0.01), group="left"),
    Series("a <1>", (2.0, 20.0), (1.0, 0.02), group="right"),
    Series("law", (1.0, 20.0), (1.0, 0.1), dash="dotted"),
)
CHART = Chart(
    "two",
    "two",
    "",
    (
        Panel("one", "x", "y", SERIES, x_log=True, y_log=True, x_labels={"right": "other"}, levels=((0.1, "low"),)),
        Panel("names", "who", "y", (Series("a <1>", ("p", "q"), (1.0, 2.0), (0.5, 1.5), (2.0, 2.5), "points"),)),
    ),
    ("left", "right"),
    "side",
)


def test_each_choice_shows_its_series_and_those_of_all() -> None:
    figure: Any = interactive(CHART)
    (menu,) = [menu for menu in figure.layout.updatemenus if len(menu.buttons) == 2]
    for button, choice in zip(menu.buttons, CHART.choices, strict=True):
        visible, titles = button.args
        assert button.label == f"side: {choice}"
        shown = [trace for trace, seen in zip(figure.data, visible["visible"], strict=True) if seen]
        curves = [tuple(trace.x) for trace in shown if trace.yaxis == "y" and trace.hovertemplate]
        assert curves == [one.x for one in CHART.panels[0].shown(choice)]
        assert titles["xaxis.title.text"] == ("other" if choice == "right" else "x")
    assert [trace.visible for trace in figure.data] == menu.buttons[0].args[0]["visible"]


def test_a_label_is_in_the_legend_once_for_each_choice() -> None:
    figure: Any = interactive(CHART)
    menu = next(menu for menu in figure.layout.updatemenus if len(menu.buttons) == 2)
    for button in menu.buttons:
        seen = button.args[0]["visible"]
        names = [trace.name for trace, shown in zip(figure.data, seen, strict=True) if shown and trace.showlegend]
        assert sorted(names) == ["a &lt;1&gt;", "law"]


def test_scales_change_every_axis_of_numbers_and_no_axis_of_names() -> None:
    figure: Any = interactive(CHART)
    menu = next(menu for menu in figure.layout.updatemenus if len(menu.buttons) == 5)
    drawn, *_, linear = (button.args[0] for button in menu.buttons)
    assert [drawn[f"{axis}.type"] for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2")] == [
        "log",
        "log",
        "linear",
        "linear",
    ]
    assert [linear[f"{axis}.type"] for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2")] == ["linear"] * 4
    assert tuple(drawn["xaxis2.ticktext"]) == tuple(linear["xaxis2.ticktext"]) == ("p", "q")


def test_panels_fill_the_figure_and_do_not_overlap() -> None:
    for columns in (1, 2):
        first, second = panel_domains(CHART, columns)
        assert first[1][1] == 1.0 and min(first[1][0], second[1][0]) == pytest.approx(0.0, abs=1e-9)
        if columns == 1:
            assert second[1][1] < first[1][0] and first[0] == second[0] == (0.0, 1.0)
        else:
            assert first[0][1] < second[0][0] and second[0][1] == pytest.approx(1.0)


def test_an_interval_is_a_polygon_in_each_stretch() -> None:
    x = (1.0, 2.0, 3.0, 4.0)
    series = Series("a", x, (1.0, 2.0, 3.0, 4.0), (0.5, -1.0, None, 3.5), (1.5, 3.0, None, 4.5))
    for log, floor in ((False, -1.0), (True, 0.1)):
        chart = Chart("band", "", "", (Panel("", "", "", (series,), y_log=log),))
        (band, _), _ = chart_traces(chart, {"a": Look("#000000", "o")}, [WHOLE])
        assert band["x"] == [1.0, 2.0, 2.0, 1.0, None, 4.0, 4.0, None]
        assert band["y"] == [0.5, floor, 3.0, 1.5, None, 3.5, 4.5, None]


def test_names_stand_side_by_side_with_bars_of_their_intervals() -> None:
    pair = tuple(Series(name, ("p", "q"), (1.0, 2.0), (0.5, 1.5), (2.0, 2.5), "points") for name in "ab")
    chart = Chart("names", "", "", (Panel("", "", "", pair),))
    (one, _), (other, _) = chart_traces(chart, {name: Look("#000000", "o") for name in "ab"}, [WHOLE])
    assert one["x"] == pytest.approx([-0.15, 0.85]) and other["x"] == pytest.approx([0.15, 1.15])
    assert one["error_y"]["arrayminus"] == [0.5, 0.5] and one["error_y"]["array"] == [1.0, 0.5]
    assert one["customdata"] == ["p", "q"]


def test_cells_are_at_their_places_between_geometric_middles() -> None:
    cells = (
        Series("yes", (0.1, 1.0), (1.0, 1.0), style="heat", marks=("7", "8"), hover=("first", "second")),
        Series("no", (0.1,), (2.0,), style="heat"),
    )
    panel = Panel("", "", "", cells, x_log=True)
    yes, no = (heat_trace(one, panel, "#112233", WHOLE) for one in cells)
    assert yes["x"] == pytest.approx([0.1 / math.sqrt(10), math.sqrt(0.1), math.sqrt(10)])
    assert yes["y"] == pytest.approx([0.5, 1.5, 2.5])
    assert yes["z"] == [[1.0, 1.0], [None, None]] and no["z"] == [[None, None], [1.0, None]]
    assert yes["text"] == [["7", "8"], ["", ""]] and yes["customdata"][0] == ["first", "second"]
    colored = heat_trace(Series("value", (0.1,), (1.0,), style="heat", value=(-3.0,)), panel, "", WHOLE)
    assert colored["z"] == [[-3.0, None], [None, None]] and colored["colorbar"]["len"] == 1.0


def test_ticks_are_few_on_a_long_axis_and_finer_on_a_short_one() -> None:
    def labels(low: float, high: float) -> list[float]:
        chart = Chart("ticks", "", "", (Panel("", "", "", (Series("a", (low, high), (1.0, 2.0)),), x_log=True),))
        ticks = log_ticks(chart, chart.panels[0], "x")["tickvals"]
        return [one for one in ticks if low <= one <= high]

    assert labels(1.0, 100.0) == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    assert labels(1600.0, 3100.0) == [2000.0, 3000.0]
    assert labels(1e-8, 1.0) == [1e-8, 1e-6, 1e-4, 1e-2, 1.0]
    assert 2 <= len(labels(1e-70, 1.0)) <= 6
    assert tick_text(5.0, -9) == "5·10<sup>−9</sup>" and tick_text(2.0, 3) == "2000"


def test_texts_are_shown_as_they_are() -> None:
    assert shown_text("a <b> & c") == "a &lt;b&gt; &amp; c"
    assert shown_text("one two three", 8) == "one two<br>three"
    assert (axis_name("x", 1), axis_name("y", 3)) == ("x", "y3")


def test_the_script_cannot_end_its_element() -> None:
    assert "</script" not in plotly_script() and "Plotly" in plotly_script()
