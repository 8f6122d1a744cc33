"""``energy plot``: which figure a folder asks for."""

from pathlib import Path

from energy.component import ConfigurationError
from energy.train.record import RECORD, read_json


def draw(folder: Path) -> Path:
    """Draw the comparison, or the training curves of the run or runs, that ``folder`` holds; return the figure.

    Raises:
        ConfigurationError: when there is no record of either kind.
        PlotsMissing: when matplotlib is not installed.
    """
    from energy.plots.comparison import draw_comparison
    from energy.plots.curves import draw_curves

    if (folder / "compare.json").is_file():
        return draw_comparison(read_json(folder / "compare.json"), folder / "compare.png")
    if (folder / RECORD).is_file():
        return draw_curves({folder.name: folder}, folder / "curves.png")
    runs = sorted(record.parent for record in folder.glob(f"*/{RECORD}"))
    if not runs:
        raise ConfigurationError(f"plot {folder}: holds neither a compare.json nor a {RECORD}, nor folders with one")
    return draw_curves({run.name: run for run in runs}, folder / "curves.png")
