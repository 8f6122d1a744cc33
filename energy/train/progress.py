"""The messages of a run while it trains: its opening, one aligned line per epoch, and its end.

On a terminal a header stands over the columns, and those that do not fit are left out in the order of `DROPPED`. Off it
every line begins with the title, and that of an epoch with `<title>: epoch 3/10`, however long it becomes.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from energy.io.record import RESULT
from energy.io.scores import BESIDE, MAIN, main_score, main_value
from energy.train.run import Run
from energy.train.terminal import duration, say, width, wrapped_lines

SCORED: Final = tuple(f"{split} {score.sign}" for score in MAIN for split in ("train", "validation", "best"))
COLUMNS: Final = (
    "epoch",
    "objective",
    *SCORED,
    "sweeps",
    "worst cosine",
    "rate",
    "left",
)
LEAST: Final = {
    "objective": 9,
    "best %": 7,
    "best R²": 8,
    "rate": 8,
}  # columns' widths that the next values are going to need
DROPPED: Final = (
    *("rate", "sweeps", "norm", "left", "worst cosine"),
    *(f"{split} {score.sign}" for split in ("best", "train") for score in MAIN),
    "objective",
)
GAP: Final = "  "


class EpochTable:
    """The lines of the epochs of one run, in the columns that its epochs have so far.

    Attributes:
        title: the beginning of lines off a terminal.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._widths: dict[str, int] = {}
        self._headed: list[str] = []

    def lines(self, cells: Mapping[str, str], columns: int | None) -> list[str]:
        """Format the line of an epoch, under a new header if the last one no longer fits.

        Args:
            cells: the texts by column.
            columns: the width of the terminal; None off it.
        """
        self._widen(cells)
        named = columns is None
        shown = list(self._widths) if columns is None else fitting_columns(self._widths, columns)
        lines = [] if shown == self._headed else [self._line({name: name for name in shown}, shown, named)]
        self._headed = shown
        return [*lines, self._line(cells, shown, named)]

    def _widen(self, cells: Mapping[str, str]) -> None:
        """Make room for `cells`.

        A column once shown stays, in the order of `COLUMNS`, those of layers before the rate.
        """
        for name, text in cells.items():
            wanted = max(len(name), len(text), LEAST.get(name, 0), self._widths.get(name, 0))
            if wanted != self._widths.get(name):
                self._widths[name], self._headed = wanted, []
        order = {name: number for number, name in enumerate(COLUMNS)}
        self._widths = dict(sorted(self._widths.items(), key=lambda item: order.get(item[0], order["sweeps"])))

    def _line(self, cells: Mapping[str, str], shown: Sequence[str], named: bool) -> str:
        line = GAP.join(cells.get(name, "–").rjust(self._widths[name]) for name in shown[1:])
        first = cells["epoch"] if cells["epoch"] == "epoch" or not named else f"epoch {cells['epoch']}"
        line = f"{first:<{self._widths['epoch'] + 6 * named}}{GAP}{line}"
        return f"{self.title}: {line}".rstrip() if named else line.rstrip()


def fitting_columns(widths: Mapping[str, int], columns: int) -> list[str]:
    """Choose the columns that fit, dropped in the order of `DROPPED`; of several of one kind the last goes first."""
    shown = list(widths)
    for kind in DROPPED:
        for name in [name for name in reversed(shown) if name == kind or name.endswith(f" {kind}")]:
            if sum(widths[one] + len(GAP) for one in shown) - len(GAP) > columns:
                shown.remove(name)
    return shown


def epoch_cells(line: Mapping[str, Any], epochs: int, best: Mapping[str, Any] | None, left: float) -> dict[str, str]:
    """Format the cells of a finished epoch by column.

    Args:
        line: its line of the record.
        epochs: their number in the whole run.
        best: `epoch` and `accuracy` of the best validation so far, marked with * if it is this epoch's.
        left: seconds that the other epochs are going to take.
    """
    cells = {"epoch": f"{line['epoch'] + 1}/{epochs}"}
    score = main_score(line, "train")
    if (value := line.get(f"train_{score.name}")) is not None:  # nothing is scored where the output does not learn
        trained = f"{value:.{score.digits}f}"
        cells |= {"objective": objective_text(line["train_objective"]), f"train {score.sign}": trained}
    if (value := main_value(line, "validation")) is not None:
        cells[f"validation {score.sign}"] = f"{value:.{score.digits}f}"
    if best is not None:
        starred = "*" if best["epoch"] == line["epoch"] else " "
        cells[f"best {score.sign}"] = f"{best['accuracy']:.{score.digits}f} {starred}"
    cells |= {f"{layer} norm": f"{found['norm']:.2f}" for layer, found in line.get("unit_diagnostics", {}).items()}
    if line["settle"]:
        cells["sweeps"] = f"{sum(found['sweeps_mean'] for found in line['settle'].values()):.1f}"
    if line["cosine_worst"] is not None:
        cells["worst cosine"] = f"{line['cosine_worst']:.4f}"
    return cells | {"rate": f"{line['learning_rate']:.3g}", "left": duration(left)}


def report_epoch(
    show: bool, table: EpochTable, line: Mapping[str, Any], epochs: int, best: Mapping[str, Any] | None, left: float
) -> None:
    """Print the line of a finished epoch, and the layer that diverged in it.

    Args:
        show: false to print nothing.
        table: the lines so far.
        line: the epoch's line of the record.
        epochs: their number in the whole run.
        best: `epoch` and `accuracy` of the best validation so far.
        left: seconds that the other epochs are going to take.
    """
    if not show:
        return
    say(show, "\n".join(table.lines(epoch_cells(line, epochs, best, left), width(sys.stderr))))
    if line["diverged_layer"]:
        say(show, f"{table.title}: epoch {line['epoch'] + 1}: {line['diverged_layer']} diverged")


def opening(run: Run, parameters: int, device: object) -> str:
    """Name settler, rule, model, data, parameters, device and folder of a run."""
    rule = "" if run.rule.name == "contrast" else f" with {run.rule.name}"
    what = f"{run.title}: {run.settler.name}{rule}, {run.model.name} on {run.data.name}, {parameters:,} parameters"
    return f"{what}, {device}, {run.folder}"


def readout_line(title: str, line: Mapping[str, Any]) -> str:
    """Format the line of a fitted read-out: of the epoch whose weights are kept."""
    parts = [f"{title}: read-out, epoch {line['epoch'] + 1}, accuracy {line['train_accuracy']:.2f} %"]
    if "validation_accuracy" in line:
        parts.append(f"validation {line['validation_accuracy']:.2f} %")
    if "validation_top5_accuracy" in line:
        parts.append(f"top-5 {line['validation_top5_accuracy']:.2f} %")
    return ", ".join([*parts, f"{line['seconds']:.1f} s"])


def tested(result: Mapping[str, Any]) -> str:
    """Format the test accuracy of a result and any top-5 accuracy, with a note if its objective is not finite."""
    top = f", top-5 {result['test_top5_accuracy']:.2f} %" if "test_top5_accuracy" in result else ""
    score = main_score(result)
    for name, (title, unit) in BESIDE.items():
        value = result.get(f"test_{name}")
        top += "" if value is None else f", {title} {value:.4g}{' %' if unit else ''}"
    top += (
        f", {result['test_mirrored_accuracy']:.2f} % with mirror images" if "test_mirrored_accuracy" in result else ""
    )
    trouble = "" if result.get("test_objective") is not None else ", with an objective that is not finite"
    return f"test {score.title} {score.told(result[score.test])}{top}{trouble}"


def closing(run: Run, result: Mapping[str, Any]) -> str:
    """Format the last line of a run, after one on what held its contraction, if anything did."""
    last = f"{run.title}: {tested(result)}, {run.folder / RESULT}"
    return f"{run.title}: {held_line(run, result)}\n{last}" if result.get("control") else last


def held_line(run: Run, result: Mapping[str, Any]) -> str:
    """Format how often and by how much `settler.keep_contracting` scaled γ or the weights of a finished run."""
    control, bound = result["control"], getattr(run.settler, "keep_contracting", 0.0)
    share = f"keep_contracting={bound:g} acted in {control['acted_percent']:.0f} % of the steps"
    if not control["acted_percent"]:
        return f"{share}: the loop gain stayed below it"
    if control["weight_factor"] < 1:
        return f"{share}: weights with feedback were multiplied by {control['weight_factor']:.3g} in all"
    least, mean = control["gamma_scale_min"] * run.settler.gamma, control["gamma_scale_mean"] * run.settler.gamma
    return f"{share}: gamma={run.settler.gamma:g} was {mean:.3g} on average, {least:.3g} at least, and is used at " + (
        f"{result['evaluation']['gamma']:.3g} from now on"
    )


def answer(run: Run, result: Mapping[str, Any]) -> str:
    """Format the line of a run on standard output: the test accuracy and its folder."""
    return wrapped_lines(f"{tested(result)}    {run.folder}", width(sys.stdout))


def objective_text(value: float | None) -> str:
    """Format an objective for a column of nine letters."""
    if value is None:
        return "not finite"
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.3e}"
