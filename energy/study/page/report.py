"""The page of a study, with its figures, tables and citations beside it: written from the record alone."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from energy.errors import MissingDependencyError
from energy.io.atomic import write_text
from energy.plots.chart import Chart
from energy.plots.drawing import draw_chart
from energy.plots.web.figure import fragment, plotly_script
from energy.plots.web.layout import figure_height
from energy.study.charts.gallery import charts, missing
from energy.study.inference.record import read_study
from energy.study.page.answers import answers, main_cell, settler_prices
from energy.study.page.bibliography import bibtex
from energy.study.page.findings import abstract
from energy.study.page.methods import EQUATIONS, TERMS, WORDS
from energy.study.page.origin import origin_table
from energy.study.page.sheets import write_sheets
from energy.study.page.tables import answer_table, price_table, recipe_table, scaling_table, training_table
from energy.study.prices import CosinePrice

REPORT: Final = "report"
COLUMNS: Final = 2  # panels side by side on a desk
HOME: Final = "energy.study.page"


def write_report(folder: Path) -> Path:
    """Write the report of a study into `folder/report` and return the path of its page.

    Beside `report.html`, which needs no other file and no network, stand the figures as SVG and PNG, the tables as
    comma-separated values, and `citation.bib`.

    Raises:
        FileNotFoundError: when the folder has no `study.json`.
        UsageError: when that has a schema which this version does not read.
        MissingDependencyError: when plotly, matplotlib or jinja2 is not installed; it names the extra.
    """
    record = read_study(folder)
    place = folder / REPORT
    content = report_content(record) | {"plotly": plotly_script()}
    content["figures"] = [_figure(chart, draw_chart(chart, place)) for chart in charts(record)]
    page = place / "report.html"
    write_text(page, rendered_page(content))
    write_text(place / "citation.bib", content["citation"])
    write_sheets(record, settler_prices(record), place)
    return page


def report_content(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page says of a complete record, without its figures: paragraphs, tables and lists."""
    prices = settler_prices(record)
    cell = main_cell(prices) if prices else ""
    found = answers(prices)
    others = [name for name in dict.fromkeys(one.cell for one in found) if name != cell]
    return {
        "record": record,
        "abstract": abstract(record, prices),
        "words": WORDS,
        "cell": cell,
        "answers": answer_table([one for one in found if one.cell == cell]),
        "elsewhere": [_elsewhere(name, prices) for name in others],
        "prices": price_table(prices),
        "scaling": scaling_table(record),
        "recipes": recipe_table(record),
        "trainings": training_table(record),
        "gammas": len({one["gamma"] for one in record["trainings"]}),
        "equations": EQUATIONS,
        "terms": TERMS,
        "origin": origin_table(record),
        "configuration": json.dumps(record["study"], indent=2, ensure_ascii=False),
        "limits": [*record["limits"], *missing(record)],
        "citation": bibtex(record["points"]),
    }


def rendered_page(content: Mapping[str, Any]) -> str:
    """Return the HTML of a page; every text of `content` is escaped.

    Args:
        content: as of `report_content`, the `figures`, and the script `plotly`.

    Raises:
        MissingDependencyError: when jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependencyError(f"reports need jinja2, which the extra `report` installs ({error})") from None
    engine = Environment(
        loader=PackageLoader(HOME, ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = Markup(files(HOME).joinpath("report.css").read_text(encoding="utf-8"))
    script = Markup(content["plotly"])
    return engine.get_template("report.html").render({**content, "style": style, "plotly": script})


def _figure(chart: Chart, drawn: Sequence[Path]) -> dict[str, Any]:
    """A figure of the page: interactive, for a desk and for a telephone where they differ, and as a still for paper."""
    from markupsafe import Markup

    (still,) = [path for path in drawn if path.suffix == ".svg"]
    shown = {1: "always"} if len(chart.panels) == 1 else {COLUMNS: "desk", 1: "telephone"}
    return {
        "name": chart.name,
        "title": chart.title,
        "caption": chart.caption,
        "notes": [f"{panel.title}: {panel.note}" for panel in chart.panels if panel.note],
        "plots": [
            {"look": look, "height": figure_height(chart, columns), "plot": Markup(fragment(chart, columns))}
            for columns, look in shown.items()
        ],
        "still": f"data:image/svg+xml;base64,{b64encode(still.read_bytes()).decode()}",
    }


def _elsewhere(cell: str, prices: Sequence[CosinePrice]) -> dict[str, Any]:
    return {"cell": cell, "table": answer_table(answers([price for price in prices if price.cell == cell]))}
