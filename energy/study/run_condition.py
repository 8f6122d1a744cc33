"""Conditions on runs: `settler=dual_propagation,backprop`, `optimizer.lr<=0.1`, `state!=finished`."""

import json
import operator
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from energy.component import ConfigurationError
from energy.errors import shown
from energy.study.run_column import Column, column_of
from energy.study.run_row import Row

OPTION: Final = "--where"
WRITTEN: Final = re.compile(r"([\w.-]+?)\s*(!=|<=|>=|=|<|>)\s*(.*)", re.DOTALL)
ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
BETWEEN: Final = re.compile(r",(?![^\[\]]*\])")  # a comma that is in no list


def matching_rows(rows: Sequence[Row], conditions: Sequence[str]) -> list[Row]:
    """Return the runs that meet every condition.

    A condition is `name=value`, also with several values between commas, `name!=value`, or a comparison of numbers with
    `<`, `<=`, `>` or `>=`. Names are those of columns. Texts may hold `*` and `?`. A run that lacks the field meets
    `!=` alone.

    Raises:
        ConfigurationError: for a condition that cannot be read, an unknown name, and an order of what is no number.
    """
    found = list(rows)
    for text in conditions:
        parts = WRITTEN.fullmatch(text.strip())
        if parts is None:
            raise ConfigurationError(f"{OPTION} {shown(text)}: must be like settler=backprop or 'optimizer.lr<=0.1'")
        name, sign, wanted = parts.groups()
        column = column_of(OPTION, name, rows)
        if sign in ORDERS:
            limit = _number(wanted)
            if limit is None:
                raise ConfigurationError(f"{OPTION} {shown(text)}: {shown(wanted)} is no number")
            found = [row for row in found if _ordered(_value(column, row), ORDERS[sign], limit)]
        else:
            among = [one.strip() for one in BETWEEN.split(wanted)]
            meets = [any(_same(_value(column, row), one) for one in among) for row in found]
            found = [row for row, met in zip(found, meets, strict=True) if met is (sign == "=")]
    return found


def _value(column: Column, row: Row) -> Any:
    return row.kind if column.name == "state" else column.value(row)


def _ordered(value: Any, order: Callable[[float, float], bool], limit: float) -> bool:
    number = None if isinstance(value, bool) or not isinstance(value, int | float | str) else _number(str(value))
    return number is not None and order(number, limit)


def _same(value: Any, wanted: str) -> bool:
    """True for the value that is written so."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value) == wanted.lower()
    if isinstance(value, int | float):
        return _number(wanted) == value
    if isinstance(value, str):
        return fnmatchcase(value, wanted)
    return _bare(json.dumps(value)) == _bare(wanted)


def _bare(text: str) -> str:
    """The text of a list without blanks and quotes."""
    return re.sub(r"[\s'\"]", "", text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
