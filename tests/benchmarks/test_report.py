"""The tables of docs/measurements.md: every mark has a table, and a table says what its record says."""

import json
import re
from pathlib import Path

from tests.benchmarks.report import TABLES, fill, tables

PAGE = Path(__file__).parents[2] / "docs" / "measurements.md"
ROWS = [
    {"group": "VGG", "name": "dual propagation", "microseconds": 1234.5, "pairs": 30},
    {"group": "VGG", "name": "backprop eager", "microseconds": 0.01234, "pairs": 7},
]


def test_every_mark_of_the_page_has_a_table() -> None:
    marks = re.findall(r"<!-- bench (\S+) -->\n.*?<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert set(marks) <= set(TABLES) and len(set(marks)) == len(marks) > 8


def test_a_table_is_put_between_its_marks_again_and_again(tmp_path: Path) -> None:
    made = {"device_name": "some processor", "threads": 2, "torch": "2.13", "commit": "0123456789ab-dirty"}
    (tmp_path / "overhead.json").write_text(json.dumps({"benchmark": "overhead", **made, "rows": ROWS}))
    page = "before\n<!-- bench overhead -->\nold\n<!-- end -->\n<!-- bench data -->\nkept\n<!-- end -->\n"
    found = tables(tmp_path)
    once = fill(page, found)
    assert once == fill(once, found)
    assert "| VGG | dual propagation | 1234 |" in once and "| VGG | backprop eager | 0.0123 |" in once
    assert "some processor, 2 threads, torch 2.13, commit 012345678, with changes, at least 7 rounds." in once
    assert "old" not in once and once.startswith("before\n") and once.endswith("kept\n<!-- end -->\n")
