"""The table of docs/inference-cost.md is that of the committed study."""

from __future__ import annotations

import csv
import re
from typing import Final

from tests.docs.pages import ROOT

STUDY: Final = ROOT / "paper_repro" / "inference_cost" / "hopfield"
CELLS: Final = ("gain 0.577, untrained", "gain 1, untrained", "gain 1.732, untrained", "gain 1, 5 epochs")
LEVELS: Final = (0.9, 0.95, 0.99)
SETTLERS: Final = (
    *("DP, γ = 0", "PC-EP, γ = 0", "EP, sweep, γ = 1", "EP-joint, γ = 1", "EP, anderson, γ = 1", "EP, zebra, γ = 1"),
    *("EP, synchronous, γ = 1", "EP, flow, γ = 1", "CHL, γ = 1", "EP-centered, γ = 1", "EP-positive, γ = 1"),
)


def said(row: dict[str, str]) -> str:
    """A price in words."""
    if not row["mean"]:
        some = f" ({row['reached']} of {row['n']})" if int(row["reached"]) else ""
        return f"not within {float(row['dearest']):.3g}{some}"
    mean, low, high = (f"{float(row[name]):.3g}" for name in ("mean", "low", "high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def price_lines() -> list[str]:
    with open(STUDY / "report" / "prices.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {(row["label"], row["cell"], float(row["level"])): said(row) for row in rows}
    lines = [f"| settler | {' | '.join(CELLS)} |", f"|---|{'---|' * len(CELLS)}"]
    for label in SETTLERS:
        cells = [[found[label, cell, level] for level in LEVELS] for cell in CELLS]
        lines.append(f"| {label} | {' | '.join('; '.join(_joined(cell)) for cell in cells)} |")
    return lines


def _joined(prices: list[str]) -> list[str]:
    """One word for three equal ones."""
    return prices[:1] if len(set(prices)) == 1 else prices


def test_the_prices_are_those_of_the_study() -> None:
    text = (ROOT / "docs" / "inference-cost.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- prices hopfield -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert table is not None
    assert table.group(1).splitlines() == price_lines()
