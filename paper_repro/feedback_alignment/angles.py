"""Angles of the wires to the weights, and of the update to the gradient, from the records beside this file.

    python paper_repro/feedback_alignment/angles.py [CELL ...]

The last epoch of every seed, mean ± standard deviation; angles in degrees, layers from the bottom up. A layer without
wires, or whose wires have no weight to compare with, has no angle of the first kind.
"""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent / "records"


def last_lines(cell: str) -> list[dict[str, Any]]:
    """The last line of each seed's record."""
    files = sorted((RECORDS / cell).glob("seed-*.jsonl"))
    return [json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) for path in files]


def spread(values: list[float]) -> str:
    """Mean ± standard deviation, to a tenth."""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def layers(lines: list[dict[str, Any]], field: str) -> str:
    """One figure a layer, over the seeds."""
    found = []
    for layer in lines[0][field]:
        values = [line[field][layer] for line in lines]
        degrees = [math.degrees(math.acos(v)) for v in values] if field == "cosines" else values
        found.append(spread(degrees))
    return " / ".join(found) or "–"


def main(cells: list[str]) -> None:
    """One row a cell."""
    every = sorted({path.parent.name for path in RECORDS.glob("*/seed-*.jsonl")})
    print("| cell | seeds | angle of B to W | equal signs, % | angle of the update to the gradient |")
    print("|---|---:|---|---|---|")
    for cell in cells or every:
        lines = last_lines(cell)
        row = [layers(lines, field) for field in ("feedback_angle", "feedback_agreement", "cosines")]
        print(f"| {cell} | {len(lines)} | {' | '.join(row)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
