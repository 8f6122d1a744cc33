"""The numbers of a comparison, as the command line and the figure read them."""

from pathlib import Path
from typing import Any, Final

from energy.io.record import read_json
from energy.io.schema import Kind, require_fields
from energy.io.scores import main_score

COMPARISON: Final = "compare.json"
STATISTICS: Final[dict[str, Kind]] = {"mean": float, "sd": float | None, "n": int, "values": list[float | None]}
STATED: Final = ("test_accuracy", "cosine_worst_initial", "cosine_worst_trained", "cosine_whole_trained")
ROW: Final[dict[str, Kind]] = {
    "label": str,
    "seeds": list[int],
    "failures": list[str],
    **dict.fromkeys(STATED, dict | None),
}


def read_comparison(folder: Path) -> dict[str, Any]:
    """Read the `compare.json` in a folder.

    Raises:
        MissingFileError: when there is none.
        DamagedFileError: naming the file and the field that is missing or of another type.
    """
    path = folder / COMPARISON
    report = read_json(path)
    require_fields(report, {"title": str, "rows": list[dict]}, str(path))
    for number, row in enumerate(report["rows"]):
        where = f"{path}: rows[{number}]"
        require_fields(row, ROW, where)
        for name in [*STATED, main_score(row).test]:
            if row[name] is not None:
                require_fields(row, {name: dict}, where)
                require_fields(row[name], STATISTICS, f"{where}: {name}")
    return report
