"""The columns of `energy runs` by name: numbers, state, folder, title, seeds, and fields of the configuration."""

from collections.abc import Sequence
from typing import Any, Final

from energy.component import ConfigurationError
from energy.errors import shown
from energy.hints import hint
from energy.io.run_folders import shortest_ends, value_text, varied_fields
from energy.study.run_row import NUMBERS, Row
from energy.study.statistics import plus_minus

OWN: Final = ("state", "folder", "title", "seeds")
FORMS: Final = {"r2": 4, "validation_r2": 4, "cosine": 4, "seconds": 0}  # digits after the point; 2 of the others


class Column:
    """One column of the table.

    Args:
        name: of a number, of a property of a row, or the dotted path of a field.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, row: Row) -> Any:
        """Return the value of a row; None if it has none."""
        if self.name in NUMBERS:
            return row.numbers.get(self.name)
        if self.name == "seeds":
            return list(row.seeds) or None
        return getattr(row, self.name) if self.name in OWN else row.values.get(self.name)

    def text(self, row: Row) -> str:
        """Return the cell of a row: `mean ± s.d.` of several runs; of seeds how many, and how many are finished."""
        value = self.value(row)
        if value is None:
            return "–"
        if self.name in NUMBERS:
            stats = {"mean": value, "sd": row.deviations.get(self.name)}
            return plus_minus(stats, FORMS.get(self.name, 2))
        if self.name == "seeds":
            return row.state.removesuffix(" finished") if row.kind == "unfinished" else str(len(row.seeds))
        return value_text(value)

    def title(self, beside: Sequence["Column"]) -> str:
        """Return the title: of a field the shortest end of its path that tells it from the other columns."""
        if self.name in NUMBERS:
            return NUMBERS[self.name]
        paths = [one.name for one in beside if one.name not in (*NUMBERS, *OWN)]
        return self.name if self.name in OWN else shortest_ends(paths)[paths.index(self.name)]


def column_of(option: str, name: str, rows: Sequence[Row]) -> Column:
    """Find the column that a name means.

    Args:
        option: the option that names it, which messages begin with.
        name: of a number, a property, or a field, by its path or the end of it; `name` of a component is left off.
        rows: the runs.

    Raises:
        ConfigurationError: if no run has such a column, or several fields end so.
    """
    if name in NUMBERS or name in OWN:
        return Column(name)
    known = list(dict.fromkeys(path for row in rows for path in row.values))
    ends = [path for path in known if f".{path.removesuffix('.name')}".endswith(f".{name.removesuffix('.name')}")]
    whole = [path for path in ends if path in (name, f"{name}.name")]
    if len(whole or ends) > 1:
        raise ConfigurationError(f"{option} {shown(name)}: may be {' or '.join(map(shown, (whole or ends)[:4]))}")
    if not ends:
        varied = shortest_ends(varied_fields([row.values for row in rows]))
        found = hint(name, {*NUMBERS, *OWN, *varied})
        raise ConfigurationError(f"{option} {shown(name)}: there is no such column; {found}")
    return Column((whole or ends)[0])
