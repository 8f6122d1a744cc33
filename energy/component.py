"""Components: classes whose annotated fields are their configuration.

Naming a subclass registers it: `class Sweep(Relaxation, name="sweep")` puts `sweep` into the closed table from which
the command line, the records and the contract tests choose. `to_dict` turns a component into plain values and
`from_dict` turns plain values back into a component; neither ever imports or calls anything by path.
"""

import abc
import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar, cast, dataclass_transform, get_args, get_origin, get_type_hints

from energy.declared import declared
from energy.errors import FieldError, shown
from energy.hints import elsewhere, hint, nearest
from energy.registry import enter
from energy.renamed import accepted
from energy.values import ConfigurationError, format_value, from_plain, mismatch, take, to_plain

C = TypeVar("C", bound="Component")

RESERVED: Final = frozenset({"name", "group", "registry"})

__all__ = [
    "Component",
    "ConfigurationError",
    "annotations",
    "choices",
    "config_hash",
    "from_dict",
    "nearest",
    "require",
    "to_dict",
]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Component(abc.ABC):
    """Base of everything that can be selected by name.

    A direct subclass sets `group` once ("relax", "settler", ...); a subclass of that with `name=...` is an entry of
    the group, and one without is abstract for the command line. Fields are keyword-only and written once. They may be
    `int`, `float`, `bool`, `str`, an `Enum`, a `list` of one of these, or another component; the constructor refuses
    values of any other type. Ranges belong into `__post_init__`, through `require`. Components compare and hash by
    class and field values.

    Attributes:
        group: the group that the class belongs to.
        name: the name by which it is selected; empty for a class that is not an entry.
        registry: every entry, by group and name.

    Raises:
        ConfigurationError: if the name is malformed or taken, if a field has a reserved name, or if a declaration in
            the class would be misunderstood (`energy.declared`).

    Example:
        >>> class Damping(Component):
        ...     rate: float = 0.5
        >>> to_dict(Damping(rate=1))
        {'rate': 1.0}
    """

    group: ClassVar[str] = ""
    name: ClassVar[str] = ""
    registry: ClassVar[dict[tuple[str, str], type["Component"]]] = {}
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        declared(cls)
        dataclasses.dataclass(kw_only=True, eq=False)(cls)
        cls.name = name
        clash = RESERVED & {field.name for field in dataclasses.fields(cls)}
        if clash:
            raise ConfigurationError(f"{cls.__qualname__}.{min(clash)}: the name of this field is reserved")
        if name:
            enter(Component.registry, cls, cls.group, name)

    def __setattr__(self, field: str, value: Any) -> None:
        cls = type(self)
        if field in vars(self):
            raise dataclasses.FrozenInstanceError(f"{cls.__name__}.{field} is already set")
        kinds = _kinds(cls)
        if field in kinds:
            value = take(value, kinds[field], f"{_title(cls)}.{field}")
        elif not (field.startswith("_") or hasattr(cls, field) or callable(value)):
            raise ConfigurationError(f"{_title(cls)}.{field}: unknown field; {hint(field, kinds)}")
        super().__setattr__(field, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(cast("Component", other))

    def __hash__(self) -> int:
        return hash((type(self), repr(_values(self))))


def choices(base: type[C]) -> dict[str, type[C]]:
    """Return the registered entries that are subclasses of `base`, by name, in alphabetical order."""
    found = sorted((name, cls) for (group, name), cls in Component.registry.items() if group == base.group)
    return {name: cls for name, cls in found if issubclass(cls, base)}


def annotations(cls: type[Component]) -> dict[str, Any]:
    """Return the resolved type annotation of every field, in the order of declaration.

    Raises:
        ConfigurationError: if an annotation uses a name that the module of the class does not know.
    """
    return dict(_kinds(cls))


@functools.cache
def _kinds(cls: type[Component]) -> dict[str, Any]:
    try:
        hints = get_type_hints(cls)
    except NameError as error:
        raise ConfigurationError(
            f"{cls.__name__}: an annotation names {error.name}, which its module does not know: import it, or define "
            "it at the top of the module"
        ) from None
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def to_dict(component: Component) -> dict[str, Any]:
    """Return the plain values that describe a component completely: `{"name": label, field: value, ...}`.

    Nested components are described alike, enumerations appear by their member's lower-case name, floats as floats
    even if an integer was given; infinities become strings, so that the result is strict JSON. A class without a
    label, such as a part of a run that has no alternatives, is described without `name`.
    `from_dict(base, to_dict(component))` equals `component`.
    """
    label: dict[str, Any] = {"name": component.name} if component.name else {}
    kinds = annotations(type(component))
    return label | {field: _plain(getattr(component, field), kind) for field, kind in kinds.items()}


def from_dict(
    base: type[C], description: "str | Mapping[str, Any] | C", default: C | None = None, path: str | None = None
) -> C:
    """Make the component that `description` asks for, checking every name, type and range on the way.

    Args:
        base: the class that is wanted; the entries of its group are the only candidates.
        description: a name; or a mapping of fields, with or without `name`; or a component, returned as it is.
        default: if the mapping has no `name`, or the default's own, the given fields replace those of `default`; any
            other name starts from the defaults of its own class.
        path: the prefix of field names in error messages; the group of `base` unless given.

    Returns:
        The component; the same object if `description` is an instance of `base`.

    Raises:
        ConfigurationError: for an unknown component, field or enumeration value, naming the nearest valid one; for a
            value of the wrong type; for a missing field; for a value out of range.
    """
    where = base.group if path is None else path
    if isinstance(description, base):
        return description
    description = {"name": description} if isinstance(description, str) else description
    if not isinstance(description, Mapping):
        raise ConfigurationError(f"{where}={format_value(description)}: must be a name or a set of fields")
    given = {str(field): value for field, value in description.items() if field != "name"}
    cls, default = _select(base, description.get("name"), default, where)
    return _create(cls, _fields(cls, given, default, where), where)


def require(ok: bool, owner: object, field: str, limit: str) -> None:
    """Refuse the value of a field unless `ok`.

    Args:
        ok: the condition that must hold, such as `self.beta > 0`; written this way round, NaN, for which every
            comparison is false, fails.
        owner: the component; messages use its label, or else its group, and within `from_dict` the path to it.
        field: the name of the field.
        limit: the condition in words, such as `"positive"`.

    Raises:
        ConfigurationError: `<owner>.<field>=<value>: must be <limit>`.
    """
    if not ok:
        raise FieldError(_title(type(owner)), f"{field}={format_value(getattr(owner, field))}: must be {limit}")


def config_hash(component: Component) -> str:
    """Return ten hexadecimal digits that depend on the description of a component and on nothing else."""
    text = json.dumps(to_dict(component), sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _select(base: type[C], name: object, default: C | None, path: str) -> tuple[type[C], C | None]:
    """The class to build, and the instance whose fields it starts from."""
    if name is None:
        if default is not None:
            return type(default), default
        if base.name or not choices(base):
            return base, None
        raise ConfigurationError(f"{path}: needs a name, one of {', '.join(choices(base))}")
    if default is not None and name == default.name:
        return type(default), default
    known = choices(base)
    if not isinstance(name, str) or name not in known:
        raise ConfigurationError(f"{path}={shown(name)}: unknown; {hint(str(name), known)}")
    return known[str(name)], None


def _fields(cls: type[C], given: Mapping[str, Any], default: C | None, path: str) -> dict[str, Any]:
    """The value of every field: the given one if there is one, else that of `default` or of the declaration."""
    kinds, declared = annotations(cls), cls.__dataclass_fields__
    given = accepted(cls.group, cls.name, given, path)
    for field in given:
        if field not in kinds:
            raise ConfigurationError(f"{_join(path, shown(field))}: unknown field; {_unknown(field, cls, given)}")
    values = {name: getattr(default, name) for name in kinds} if default is not None else {}
    for name in kinds if default is None else ():
        make = declared[name].default_factory
        values[name] = declared[name].default if make is dataclasses.MISSING else make()
    for field, value in given.items():
        values[field] = _coerce(value, kinds[field], values[field], _join(path, field))
    for field, value in values.items():
        if value is dataclasses.MISSING:
            raise ConfigurationError(f"{_join(path, field)}: has no default and must be given")
    return values


def _create(cls: type[C], values: Mapping[str, Any], path: str) -> C:
    if inspect.isabstract(cls):
        raise ConfigurationError(
            f"{path}={_title(cls)}: cannot be used before it defines {min(cls.__abstractmethods__)}"
        )
    try:
        return cls(**values)
    except ConfigurationError as error:
        if isinstance(error, FieldError) and error.owner == _title(cls):
            raise ConfigurationError(_join(path, error.said)) from None
        raise ConfigurationError(f"{path or cls.__name__}: {error}") from None


def _coerce(value: Any, kind: Any, default: Any, path: str) -> Any:
    """`value` as the type `kind`, or an error that names the type."""
    if inspect.isclass(kind) and issubclass(kind, Component):
        return from_dict(kind, value, default if isinstance(default, kind) else None, path)
    if get_origin(kind) is list:
        if not isinstance(value, list | tuple):
            raise mismatch(path, value, "a list")
        return [_coerce(item, get_args(kind)[0], None, f"{path}[{index}]") for index, item in enumerate(value)]
    return from_plain(value, kind, path)


def _plain(value: Any, kind: Any) -> Any:
    if isinstance(value, Component):
        return to_dict(value)
    if isinstance(value, list | tuple):
        inner = get_args(kind)
        return [_plain(item, inner[0] if inner else type(item)) for item in value]
    return to_plain(value, kind)


def _values(component: Component) -> tuple[Any, ...]:
    return tuple(getattr(component, field.name) for field in dataclasses.fields(component))


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _children(node: tuple[type[Component], Any]) -> dict[str, list[tuple[type[Component], Any]]]:
    """The fields of a class, each with the component classes it may hold: only the chosen one if there is one."""
    cls, given = node
    found: dict[str, list[tuple[type[Component], Any]]] = {}
    for field, kind in annotations(cls).items():
        known = choices(kind) or {"": kind} if inspect.isclass(kind) and issubclass(kind, Component) else {}
        said = given.get(field) if isinstance(given, Mapping) else None
        name = str(said.get("name") if isinstance(said, Mapping) else said)
        found[field] = [(known[name], said)] if name in known else [(one, {}) for one in known.values()]
    return found


def _unknown(field: str, cls: type[Component], given: Mapping[str, Any]) -> str:
    """The hint for a field that `cls` lacks: the places below it that have one, or else the nearest name."""
    kinds, below = annotations(cls), elsewhere(field, (cls, given), _children)
    exact = any(path.rpartition(".")[2] == field for path in below)
    if below and (exact or not nearest(field, kinds)):
        return f"did you mean {' or '.join(map(repr, below))}? known: {', '.join(sorted(kinds))}"
    return hint(field, kinds)


def _title(owner: type) -> str:
    return getattr(owner, "name", "") or getattr(owner, "group", "") or owner.__name__
