"""Figures as files: what is written, that text stays text, and where cells and ticks are."""

import struct
from pathlib import Path

import pytest

from energy.plots.chart import Chart, Panel, Series
from energy.plots.drawing import draw_chart
from energy.plots.scales import cell_edges, place_categories, scale_axis
from energy.plots.style import canvas
from energy.study.charts.gallery import charts
from tests.study.records import study_record

pytest.importorskip("matplotlib")


def _chart(choices: tuple[str, ...] = ()) -> Chart:
    """A chart with every style."""
    group = choices[0] if choices else ""
    line = Series("a line <&>", (1.0, 10.0), (1e-3, 1e-6), (1e-4, 1e-7), (1e-2, None), group=group, marks=("first", ""))
    broken = Series("a gap", (1.0, 5.0, 10.0), (1.0, None, 0.1), dash="dashed", hover=("", "", ""))
    bars = Series("bars", ("x", "y"), (1.0, 2.0), (0.5, 1.5), (1.5, 2.5), style="bars")
    marks = Series("marks", ("x", "y"), (1.5, None), (1.0, None), (2.0, None), style="points")
    steps = Series("stairs", (1.0, 2.0, 3.0), (3.0, 2.0, 1.0), style="steps", color="#444444")
    heat = Series(
        "cells", (0.1, 0.2, 0.1), (1.0, 1.0, 2.0), style="heat", value=(-1.0, 0.0, None), marks=("7", "8", "")
    )
    panels = (
        Panel(
            "lines", "across", "up", (line, broken), x_log=True, y_log=True, levels=((0.01, "level"),), note="a note"
        ),
        Panel("places", "which", "number", (bars, marks)),
        Panel("staircase", "across", "up", (steps,)),
        Panel("map", "across", "up", (heat,), value_label="a value"),
    )
    return Chart("every-style", "Every style", "A caption of one sentence.", panels, choices, "which")


def test_a_chart_is_written_as_svg_with_text_and_as_png(tmp_path: Path) -> None:
    svg, png = draw_chart(_chart(), tmp_path)
    assert [svg.name, png.name] == ["every-style.svg", "every-style.png"]
    text = svg.read_text(encoding="utf-8")
    for said in (
        "Every style",
        "A caption of one sentence.",
        "a line &lt;&amp;&gt;",
        "a note",
        "level",
        "first",
        "a value",
    ):
        assert f">{said}</text>" in text, said
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and width > 1000 and height > 800


def test_every_choice_gets_a_row(tmp_path: Path) -> None:
    svg, png = draw_chart(_chart(("one", "two")), tmp_path)
    text = svg.read_text(encoding="utf-8")
    assert ">one: lines</text>" in text and ">two: lines</text>" in text
    assert struct.unpack(">II", png.read_bytes()[16:24])[0] > 2500


def test_of_many_choices_the_first_is_drawn_and_the_title_says_so(tmp_path: Path) -> None:
    svg, _ = draw_chart(_chart(tuple(str(number) for number in range(7))), tmp_path)
    text = svg.read_text(encoding="utf-8")
    assert ">Every style (0, one of 7)</text>" in text and ">1: lines</text>" not in text


@pytest.mark.slow
@pytest.mark.parametrize("chart", charts(study_record()), ids=lambda chart: chart.name)
def test_the_figures_of_a_study_are_drawn(tmp_path: Path, chart: Chart) -> None:
    svg, _ = draw_chart(chart, tmp_path)
    text = svg.read_text(encoding="utf-8")
    for series in chart.series:
        if series.named:
            assert series.label.replace("<", "&lt;").replace(">", "&gt;") in text


def test_cells_meet_in_the_middle() -> None:
    edges = cell_edges([1.0, 100.0, 10.0], log=True)
    assert edges[10.0] == (pytest.approx(10**0.5), pytest.approx(10**1.5)) and edges[1.0][1] == edges[10.0][0]
    assert cell_edges([3.0], log=False) == {3.0: (2.5, 3.5)}


def test_names_get_places_and_numbers_none() -> None:
    first, second = Series("a", ("x", "y"), (1.0, 2.0)), Series("b", ("y", "z"), (1.0, 2.0))
    assert place_categories([first, second]) == {"x": 0, "y": 1, "z": 2}
    assert place_categories([Series("a", (1.0,), (1.0,))]) == {}


def test_few_values_apart_get_the_ticks() -> None:
    with canvas(1, 4.0, 3.0) as (_, (axes,)):
        axes.plot([2, 4, 8], [1e-9, 1.0, 1e3])
        scale_axis(axes, "x", [2, 4, 8])
        scale_axis(axes, "y")
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "4", "8"]
        assert axes.get_yscale() == "log" and len(axes.get_yticks()) < 16


def test_an_axis_without_a_positive_number_stays_linear() -> None:
    with canvas(1, 4.0, 3.0) as (_, (axes,)):
        axes.plot([1, 2], [-1.0, 0.0])
        scale_axis(axes, "y")
        assert axes.get_yscale() == "linear"
