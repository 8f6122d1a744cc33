"""A chart as a figure of a page: values under the pointer, a legend that hides and shows, menus of choices and axes."""

import re
from typing import TYPE_CHECKING, Any, Final

from energy.errors import MissingDependencyError
from energy.plots.chart import Chart
from energy.plots.style import looks
from energy.plots.web.layout import figure_layout, panel_domains
from energy.plots.web.traces import chart_traces

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LONG: Final = re.compile(r"-?\d+\.\d{6,}(?:e[-+]?\d+)?")  # numbers of more digits than a screen shows
SETTINGS: Final = {"displaylogo": False, "displayModeBar": False, "responsive": True}


class PlotlyMissing(MissingDependencyError, RuntimeError):
    """The error of a page without plotly; its message names the extra that installs it."""


def interactive(chart: Chart, columns: int = 1) -> "Figure":
    """Build the plotly figure of a chart; the first of its choices is shown.

    Args:
        chart: what is drawn.
        columns: panels side by side: 1 for a telephone.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    drawn = _graph_objects()
    pairs = list(chart_traces(chart, looks(chart.keys), panel_domains(chart, columns)))
    groups = [group for _, group in pairs]
    first = chart.choices[0] if chart.choices else ""
    data = [trace | {"visible": group in ("", first)} for trace, group in pairs]
    return drawn.Figure({"data": data, "layout": figure_layout(chart, columns, groups)})


def fragment(chart: Chart, columns: int = 1) -> str:
    """Return the HTML of a chart, for a page that holds `plotly_script` once above it.

    Args:
        chart: what is drawn.
        columns: panels side by side: 1 for a telephone.

    Raises:
        PlotlyMissing: when plotly is not installed.
    """
    figure = interactive(chart, columns)
    name = f"plot-{chart.name}-{columns}"
    page = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=SETTINGS)
    return LONG.sub(lambda found: f"{float(found.group()):.5g}", page)


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
