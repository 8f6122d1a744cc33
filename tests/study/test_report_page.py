"""The report of a study: one page that needs nothing else, whose words come from the record."""

import copy
import csv
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import energy
from energy.study.inference.complete import complete_record
from energy.study.page.answers import answers, settler_prices
from energy.study.page.bibliography import AUTHORS, LICENSE, RELAXATIONS, SETTLERS, TITLE, bibtex, papers
from energy.study.page.report import rendered_page, report_content, write_report
from tests.study import records
from tests.study.browser import chromium, document, picture

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")
VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADING = {"src", "href", "srcset", "data", "poster", "action"}
needs_browser = pytest.mark.skipif(chromium() is None, reason="no chromium")


class Reader(HTMLParser):
    """Elements that are opened and closed, what is loaded, and the text of each element with an id."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.loads: list[str] = []
        self.styles: list[str] = []
        self.counts: dict[str, int] = {}
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.styles += [value or "" for name, value in attrs if name == "style"]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{self.getpos()}: </{tag}>")

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "style":
            self.styles.append(data)
        elif inside != "script":
            self.texts.append(data)
        if inside in ("td", "th"):
            self.tables[-1][-1][-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def small() -> dict[str, Any]:
    """A record of one cell of weights, with few blocks, of which each figure has little to draw."""
    record = records.study_record()
    keep = {"anytime", "tolerance", "phases", "recipes"}
    record["points"] = [
        point
        for point in record["points"]
        if keep & set(point["blocks"]) and (point["axes"]["gain"] == 1.0 or "phases" in point["blocks"])
        if point["axes"]["age"] == 0
    ]
    return record


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return small()


@pytest.fixture(scope="module")
def content(record: dict[str, Any]) -> dict[str, Any]:
    return report_content(record)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small record, whose title and one of whose labels are hostile to HTML."""
    record = small()
    record["title"] = 'A <b>title</b> & "more" </script><script>alert(1)</script>'
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.json").write_text(json.dumps(record), encoding="utf-8")
    return write_report(folder)


def price_by_hand(arm: records.Arm, level: float) -> tuple[float, str, str]:
    """The mean over seeds of the first rung of the ladder that reaches a level, by the record's formulas, and who."""
    rungs = [
        next(rung for rung in records.LADDER if 1 - records.gap(arm, sum(rung), seed, 1.0) >= level)
        for seed in records.SEEDS
    ]
    prices = [1 + arm.sweep * sum(rung) for rung in rungs]
    budgets = dict.fromkeys(f"{free}+{nudged}" for free, nudged in rungs)
    return sum(prices) / len(prices), arm.settler, " or ".join(budgets)


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_no_network(written: Path) -> None:
    reader = read(written.read_text(encoding="utf-8"))
    assert reader.loads and all(one.startswith(("data:", "#")) for one in reader.loads)
    styles = "".join(reader.styles)
    assert "@import" not in styles and "url(" not in styles
    assert reader.counts.get("iframe", 0) == 0 and reader.counts["script"] >= 2


@pytest.mark.slow
def test_the_page_is_well_formed_and_its_texts_are_escaped(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    reader = read(text)
    assert reader.wrong == [] and reader.open == []
    assert 'A <b>title</b> & "more" </script><script>alert(1)</script>' in "".join(reader.texts)
    assert "EP, Anderson <m=5>" in "".join(reader.texts) and "<m=5>" not in text
    assert "<script>alert" not in text


@pytest.mark.slow
def test_figures_and_tables_are_beside_the_page(written: Path, record: dict[str, Any]) -> None:
    names = {path.name for path in written.parent.iterdir()}
    stems = {name.removesuffix(".svg") for name in names if name.endswith(".svg")}
    assert stems and {f"{stem}.png" for stem in stems} <= names
    text = written.read_text(encoding="utf-8")
    assert set(re.findall(r'<figure id="([\w-]+)"', text)) == stems
    with open(written.parent / "points.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [point["id"] for point in record["points"]]
    assert [float(row["backprop_steps"]) for row in rows] == [
        point["measures"]["backprop_steps"] for point in record["points"]
    ]
    with open(written.parent / "layers.csv", encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == sum(len(point["layers"]) for point in record["points"])
    with open(written.parent / "trainings.csv", encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == sum(len(one["epochs"]) for one in record["trainings"])
    with open(written.parent / "prices.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(settler_prices(record))
    assert {"citation.bib"} <= names


def test_the_table_answers_which_settler_is_cheapest(record: dict[str, Any], content: dict[str, Any]) -> None:
    """The first row of each level is the arm with the least mean price, by the formulas of the record."""
    assert content["cell"] == "gain 1, untrained"
    head = [cell.text for cell in content["answers"].head]
    rows = [dict(zip(head, [cell.text for cell in row], strict=True)) for row in content["answers"].rows]
    for level in (0.9, 0.95, 0.99):
        price, settler, budget = min(price_by_hand(arm, level) for arm in records.ARMS)
        found = next(row for row in rows if row["γ"] == "1" and row["cosine, worst layer"] == f"≥ {level:g}")
        assert (found["settler"], found["budget"]) == (settler, budget)
        assert found["price, BP steps (95 %)"].startswith(f"{price:.3g}")
        milliseconds = 1000 * records.SECONDS * 1.2 * price
        assert found["seconds a step here"] == f"{milliseconds:.1f} ms"
        assert float(found["× BP, eager"]) == pytest.approx(1.2 * price, rel=0.005)
        assert float(found["× BP, compiled"]) == pytest.approx(1.8 * price, rel=0.005)


def test_a_settler_alone_is_the_least_and_overlapping_intervals_are_a_tie(content: dict[str, Any]) -> None:
    """At 0.95 one seed of Anderson's mixing is satisfied by a cheaper rung than the others, so its interval is wide."""
    standing = {}
    for row in content["answers"].rows:
        standing.setdefault((row[0].text, row[1].text), []).append(row[7].text)
    assert standing["≥ 0.99", "1"] == ["least"] and standing["≥ 0.95", "1"] == ["tied", "tied"]


def test_settlers_within_noise_of_the_cheapest_are_listed_as_tied(record: dict[str, Any]) -> None:
    """Prices that overlap: those of the sweep are moved to the mean of Anderson's, spread over seeds."""
    changed = copy.deepcopy(record)
    for point in changed["points"]:
        if point["axes"]["settler"] in (records.SWEEP.settler, records.ANDERSON.settler):
            point["measures"]["backprop_steps"] += 0.5 * point["axes"]["seed"]
            if point["axes"]["settler"] == records.SWEEP.settler:
                point["measures"]["cosine_worst"] = 0.999
                point["measures"]["backprop_steps"] = 6.0 + point["axes"]["seed"]
    prices = settler_prices(changed)
    (found,) = [one for one in answers(prices) if (one.gamma, one.level) == (1.0, 0.99)]
    assert {price.label.partition(", γ")[0] for price in found.best} == {
        records.SWEEP.settler,
        records.ANDERSON.settler,
    }
    text = " ".join(report_content(changed)["abstract"])
    assert f"“{records.ANDERSON.settler}”, tied with “{records.SWEEP.settler}”" in text


def numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d,.]*\d|\d", text)


def test_every_price_in_the_abstract_comes_from_the_record(record: dict[str, Any], content: dict[str, Any]) -> None:
    """All prices doubled: each price that is told doubles, and nothing else of that sentence changes."""
    changed = copy.deepcopy(record)
    for point in changed["points"]:
        point["measures"]["backprop_steps"] *= 2
    before, after = (
        next(one for one in found["abstract"] if one.startswith("At γ = 1"))
        for found in (content, report_content(changed))
    )
    pairs = list(zip(numbers(before), numbers(after), strict=True))
    moved = [(float(old), float(new)) for old, new in pairs if old != new]
    assert len(moved) == 3 and all(new == pytest.approx(2 * old, rel=0.005) for old, new in moved)
    assert re.sub(r"\d[\d.]*", "", before) == re.sub(r"\d[\d.]*", "", after)


@pytest.mark.parametrize(
    ("start", "change"),
    [
        ("6 settlers", lambda record: record["points"].pop()),
        ("Stragglers", lambda record: _samples(record, 3.0)),
        ("Law", lambda record: _measure(record, "rate_measured", 1.5)),
        ("Test accuracy", lambda record: [one.update(test_accuracy=12.5) for one in record["trainings"]]),
        ("Of ", lambda record: [one["measures"].update(outcome="diverged") for one in record["points"][:50]]),
    ],
)
def test_a_changed_record_changes_the_sentence(
    record: dict[str, Any], content: dict[str, Any], start: str, change: Any
) -> None:
    changed = copy.deepcopy(record)
    change(changed)
    (before,) = [one for one in content["abstract"] if one.startswith(start)]
    (after,) = [one for one in report_content(changed)["abstract"] if one.startswith(start)]
    assert before != after


def _samples(record: dict[str, Any], factor: float) -> None:
    """The slowest sample takes so many times its sweeps."""
    for point in record["points"]:
        for sweeps in point["samples"]["sweeps"].values():
            sweeps[-1] = round(factor * sweeps[-1])


def _measure(record: dict[str, Any], name: str, factor: float) -> None:
    for point in record["points"]:
        if point["measures"][name] is not None:
            point["measures"][name] *= factor


def test_straggling_and_the_law_are_told_as_the_record_has_them(content: dict[str, Any]) -> None:
    """Sweeps are spread evenly from half to all: the most over the mean is 4/3. The rate of a sweep is the law's."""
    (waiting,) = [one for one in content["abstract"] if one.startswith("Stragglers")]
    assert all(float(one) == pytest.approx(4 / 3, rel=0.06) for one in re.findall(r"\d\.\d+", waiting))
    (law,) = [one for one in content["abstract"] if one.startswith("Law")]
    assert f"1.00 times it with “{records.SWEEP.settler}” (0.980 to 1.02" in law


def test_a_level_that_no_settler_reaches_is_said_to_be_dear_at_any_price(record: dict[str, Any]) -> None:
    changed = copy.deepcopy(record)
    _measure(changed, "cosine_worst", 0.96)
    dearest = max(
        point["measures"]["backprop_steps"]
        for point in changed["points"]
        if {"anytime", "tolerance"} & set(point["blocks"]) and point["axes"]["gamma"] == 1.0
    )
    found = report_content(changed)
    text = " ".join(found["abstract"])
    assert "0.99 is reached by no settler with every seed" in text
    cells = [[cell.text for cell in row] for row in found["answers"].rows]
    assert [f"not within {dearest:.3g}"] == [row[3] for row in cells if row[:2] == ["≥ 0.99", "1"]]


def test_a_record_without_cosines_has_a_page(record: dict[str, Any]) -> None:
    bare = copy.deepcopy(record)
    bare["trainings"] = []
    bare["points"] = [
        {
            "id": "a",
            "blocks": ["evaluation"],
            "axes": record["points"][0]["axes"],
            "measures": {"outcome": "fixed"},
            "layers": {},
            "samples": {},
        }
    ]
    bare["points"][0]["measures"] |= {"backprop_steps": 1.0, "accuracy": 50.0}
    found = report_content(complete_record(bare))
    assert found["answers"] is None and "1 measured point over 1 seed" in found["abstract"][0]
    text = rendered_page({**found, "figures": [], "plotly": ""})
    assert "no cosine has a price" in text and len(read(text).wrong) == 0
    assert all(f"Figure {letter}" in " ".join(found["limits"]) for letter in "ABCDEGH")


def test_origin_names_machine_code_data_and_compute(record: dict[str, Any], content: dict[str, Any]) -> None:
    rows = {row[0].text: row[1].text for row in content["origin"].rows}
    assert rows["commit"] == record["commit"] and rows["machine"] == record["device_name"]
    assert rows["hash of the configuration"] == record["key"] and rows["torch"] == record["torch"]
    assert rows["SHA-256 of digits.npz"] == "ab" * 32
    assert "20.6 min" in rows["compute spent"] or "1,234 s" in rows["compute spent"]


def test_the_software_is_cited_as_its_citation_file_says() -> None:
    from omegaconf import OmegaConf

    cited: Any = OmegaConf.load(Path(energy.__file__).resolve().parents[1] / "CITATION.cff")
    assert (cited.title, cited.license, cited.version) == (TITLE, LICENSE, energy.__version__)
    assert tuple(author.name for author in cited.authors) == AUTHORS


def test_the_papers_of_the_methods_are_cited_and_no_others(record: dict[str, Any]) -> None:
    entries = papers()
    assert {key for keys in (*SETTLERS.values(), *RELAXATIONS.values()) for key in keys} <= set(entries)
    for key, entry in entries.items():
        assert entry.count("{") == entry.count("}") and re.match(rf"@\w+\{{{key},\n", entry), key
    keys = re.findall(r"^@\w+\{(\w+),", bibtex(record["points"]), re.MULTILINE)
    assert keys[0] == "equilibria" and len(set(keys)) == len(keys)
    wanted = {"scellier2017equilibrium", "laborieux2021scaling", "hoier2023dual", "hoier2024two"}
    wanted |= {"walker2011anderson", "toth2015convergence", "xie2003equivalence"}  # γ of the phases is below 1
    assert set(keys[1:]) == wanted


def test_registered_settlers_and_relaxations_are_named_as_they_are() -> None:
    from energy.command.catalog import load_all
    from energy.component import Component

    load_all()
    assert {("settler", name) for name in SETTLERS} | {("relax", name) for name in RELAXATIONS} <= set(
        Component.registry
    )


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    (tmp_path / "study.json").write_text(json.dumps(small()), encoding="utf-8")
    with pytest.raises(energy.errors.MissingDependencyError, match="reports need plotly, which the extra `report`"):
        write_report(tmp_path)


ASKING = """<!DOCTYPE html><title></title>
<iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe>
<script>
addEventListener("load", () => setTimeout(() => {{
  const page = frames[0].document, seen = (e) => e.getClientRects().length > 0;
  const texts = [...page.querySelectorAll("main *")].filter((e) => seen(e) && !e.closest(".plot"));
  const size = (e) => parseFloat(frames[0].getComputedStyle(e).fontSize);
  const figures = [...page.querySelectorAll("figure")];
  document.title = JSON.stringify({{
    wide: page.documentElement.scrollWidth,
    small: texts.filter((e) => size(e) < 16).map((e) => e.outerHTML.slice(0, 80)),
    figures: figures.length,
    drawn: figures.filter((e) => [...e.querySelectorAll("svg.main-svg")].some(seen)).length,
    spilled: [...page.querySelectorAll("svg.main-svg")].filter(seen).filter((e) =>
      e.getBoundingClientRect().right > {width}).length,
    menus: page.querySelectorAll(".updatemenu-header").length,
  }});
}}, 3000));
</script>"""


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_draws_every_figure_and_the_page_fits_its_window(written: Path, width: int) -> None:
    """The page stands in a frame as wide as the window, and a page around it asks what is there."""
    asking = written.with_name(f"asking-{width}.html")
    asking.write_text(ASKING.format(page=written.name, width=width), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", document(asking, 1400), re.DOTALL)
    assert title is not None and title[1]
    told = json.loads(html.unescape(title[1]))
    assert told["figures"] == told["drawn"] > 0
    assert told["wide"] <= width and told["spilled"] == 0 and told["small"] == []
    assert told["menus"] >= told["figures"]


CHOOSING = """<!DOCTYPE html><title></title>
<iframe src="{page}" style="width:1280px;height:900px;border:0"></iframe>
<script>
const click = (e) => e.dispatchEvent(new MouseEvent("click", {{bubbles: true}}));
const later = (what) => setTimeout(what, 1500);
addEventListener("load", () => later(() => {{
  const page = frames[0].document, plot = page.getElementById("plot-{chart}-2"), told = [];
  const tell = () => told.push({{
    across: plot.layout.xaxis.title.text, type: plot.layout.yaxis.type,
    shown: plot.data.filter((one) => one.visible === true && one.showlegend).map((one) => one.x),
  }});
  const choose = (menu, item) => {{
    click(plot.querySelectorAll(".updatemenu-header")[menu]);
    later(() => click(plot.querySelectorAll(".updatemenu-dropdown-button")[item]));
  }};
  tell();
  choose(1, 1);
  setTimeout(() => {{ tell(); choose(0, 4); }}, 5000);
  setTimeout(() => {{ tell(); document.title = JSON.stringify(told); }}, 10000);
}}));
</script>"""


@pytest.mark.slow
@needs_browser
def test_menus_choose_what_is_shown_and_the_scales(written: Path) -> None:
    """The second abscissa of the anytime curves is the price, and the last entry of the scales is linear."""
    (chart,) = [path.stem for path in written.parent.glob("a-anytime-*.svg")]
    asking = written.with_name("choosing.html")
    asking.write_text(CHOOSING.format(page=written.name, chart=chart), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", document(asking, 1400), re.DOTALL)
    assert title is not None and title[1]
    first, second, third = json.loads(html.unescape(title[1]))
    assert first["across"].startswith("sweeps") and first["type"] == "log"
    assert second["across"].replace("<br>", " ").startswith("price in back-propagation steps")
    sweeps = sorted(free + nudged for free, nudged in records.LADDER)
    assert first["shown"][0] == sweeps
    assert second["shown"][0] == pytest.approx([1 + records.SWEEP.sweep * one for one in sweeps])
    assert third["type"] == "linear"


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_takes_a_picture_of_the_page(written: Path, width: int) -> None:
    """A picture of its beginning has text on white: mostly light, with dark parts."""
    from matplotlib.image import imread

    found = imread(picture(written, width))[..., :3].mean(-1)
    assert found.shape[1] == width and np.median(found) > 0.9 and found.min() < 0.3
