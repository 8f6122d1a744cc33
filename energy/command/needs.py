"""Settings that suit a settler better than the defaults.

They are taken if the command line and its files leave them open, and are reported in one line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from energy.component import Component, ConfigurationError, annotations, choices, from_dict
from energy.potentials import Potential
from energy.settle.settler import Settler
from energy.study.entrants import split
from energy.values import format_value


def supply(base: type[Component], values: dict[str, Any]) -> str:
    """Put the needs of the settler, or of the settlers of a comparison, into composed values.

    Settings that the entrants of a comparison share go to all of them, so that they still train one network; those of
    a settler and its optimizer go to its own entry.

    Args:
        base: the class of the whole configuration.
        values: the composed values, changed in place.

    Returns:
        One line that reports the settings; empty if there are none.

    Raises:
        ConfigurationError: for a settler that cannot be built.
    """
    kinds = annotations(base)
    if "settler" in kinds:
        if values.get("settler") is None:
            raise ConfigurationError(f"settler: needs a name, one of {', '.join(choices(Settler))}")
        settler = from_dict(Settler, values["settler"], path="settler")
        return _told(settler, [path for path in settler.needs() if _set(kinds, values, settler, path)])
    if "settlers" not in kinds:
        return ""
    given = values.get("settlers") or base.__dataclass_fields__["settlers"].default_factory()  # type: ignore[misc]
    if not isinstance(given, list) or not all(isinstance(entry, str) for entry in given):
        raise ConfigurationError(f"settlers={format_value(given)}: must be a list of texts")
    values["settlers"] = list(given)
    return "; ".join(filter(None, [_entry(kinds, values, at) for at in range(len(values["settlers"]))]))


def _entry(kinds: Mapping[str, Any], values: dict[str, Any], at: int) -> str:
    """The same as `supply` for one entry of a comparison."""
    entry = values["settlers"][at]
    words = split(entry.partition(":")[2] if ":" in entry.partition("=")[0] else entry)
    if not words or words[0] not in choices(Settler):
        return ""  # the reader of entries reports it
    settler, taken = from_dict(Settler, words[0]), list[str]()
    said = [word.partition("=")[0].removeprefix("settler.") for word in words[1:]]
    for path, value in settler.needs().items():
        group = path.partition(".")[0]
        if group not in ("settler", "optimizer"):
            taken += [path] if _set(kinds, values, settler, path) else []
        elif group not in values and not any(_covers(one, path.removeprefix("settler.")) for one in said):
            values["settlers"][at] += f" {path}={_written(value)}"
            taken.append(path)
    return _told(settler, taken)


def _covers(said: str, path: str) -> bool:
    """True if an entry that sets one field leaves another no room."""
    return said == path or said.partition(".")[0] == "optimizer" == path.partition(".")[0]


def _told(settler: Settler, taken: Sequence[str]) -> str:
    needs = settler.needs()
    shown = [f"{path}={_written(needs[path])}" for path in taken]
    return f"settler={settler.name}: takes {', '.join(shown)}, where nothing else is said" if shown else ""


def _written(value: object) -> str:
    """A value as on the command line."""
    return format(value, "g") if isinstance(value, float) else str(value).replace(" ", "")


def _set(kinds: Mapping[str, Any], values: dict[str, Any], settler: Settler, path: str) -> bool:
    """Put one need into `values`, unless the field is set, does not exist, or has a default that meets the need."""
    group, _, field = path.partition(".")
    needs, said = settler.needs(), values.get(group)
    if not field:
        values[group] = said or {"name": needs[path]}
        return not said
    if group in needs and said != {"name": needs[group]}:  # it goes with a choice that was not taken
        return False
    if not isinstance(said, Mapping) or "name" not in said:
        return False
    cls = choices(kinds[group]).get(str(said["name"]))
    if cls is None or field in said or field not in annotations(cls) or _met(cls, field, needs[path]):
        return False
    values[group] = {**said, field: needs[path]}
    return True


def _met(cls: type[Component], field: str, wanted: object) -> bool:
    """True if the default of a field equals the wanted value, or is a bounded unit already."""
    declared = cls.__dataclass_fields__[field]
    default = declared.default_factory() if callable(declared.default_factory) else declared.default
    return default == wanted or (isinstance(default, Potential) and default.upper < float("inf"))
