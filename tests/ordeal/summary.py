"""The figures of an ordeal as a block of SECURITY.md: `python -m tests.ordeal.summary FIGURES.json SECURITY.md`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from energy.io.atomic import write_text
from energy.io.provenance import device_name
from tests.ordeal.figures import COMMIT, read

BEGIN: Final = "<!-- ordeal: written by `make ordeal` -->"
END: Final = "<!-- end of ordeal -->"


def block(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines between the two comments: the machine, and one row for each thing that was tried."""
    machine = f"Measured on {device_name(torch.device('cpu'))} with torch {torch.__version__}."
    lines = [f"| {cell(name)} | {cell(told(figures))} | {at(figures)} |" for name, figures in rows.items()]
    head = ["| What was tried | What was counted | Commit |", "|---|---|---|"]
    return "\n".join([BEGIN, machine, "", *head, *lines, END])


def at(figures: Mapping[str, Any]) -> str:
    """The commit that a row was measured at."""
    head, _, changed = str(figures.get(COMMIT, "")).partition("-")
    return f"{head[:12]}{' with changes' if changed else ''}" if head else "none"


def told(figures: Mapping[str, Any]) -> str:
    """The figures of one row, each after its name."""
    return "; ".join(f"{name} {shown(value)}" for name, value in figures.items() if name != COMMIT)


def shown(value: Any) -> str:
    """A number with three digits behind the point at most, or a text as it is."""
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def cell(text: str) -> str:
    """A text that stays inside a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def placed(page: str, written: str) -> str:
    """A page with the block in place of the one between its comments.

    Raises:
        ValueError: for a page without exactly one of each comment, the first before the second.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"the page must have {BEGIN} and after it {END}, each once")
    return before + written + after


def main(source: str, page: str) -> None:
    """Put the figures of a file into a page."""
    rows = read(Path(source))
    if not rows:
        sys.exit(f"{source}: has no figures")
    write_text(Path(page), placed(Path(page).read_text(encoding="utf-8"), block(rows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
