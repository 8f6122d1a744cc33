"""A run in words of `energy train`: its components by name, and the fields in which they differ from the defaults.

The command line composes what the words leave open from the defaults of the components and from the settings that a
settler needs (`Settler.needs`), so both kinds of difference are written. What does not count for the numbers of a run,
such as its folder, is left out.
"""

import inspect
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING
from typing import Any, Final, get_args

from energy.component import Component, annotations, choices, to_dict
from energy.train.run import Run, Setting, identity
from energy.values import to_plain

PLAIN: Final = re.compile(r"[A-Za-z_][\w./+-]*")
TAKEN: Final = frozenset({"true", "false", "null", "nan", "inf", "none"})  # words that stand for something else


def train_words(run: Run) -> list[str]:
    """Return the words after `energy train` that make a run of the same `identity`; plug-ins come in addition.

    Example:
        >>> from energy.data import Digits
        >>> from energy.models import MLP
        >>> train_words(Run(model=MLP(sizes=[64]), data=Digits(), seed=3))[-2:]
        ['readout=joint', 'seed=3']
    """
    return _all_words(Run, identity(run), frozenset(run.settler.needs()))


def setting_words(setting: Setting, needs: Collection[str]) -> list[str]:
    """Return the words that make a run or a study again, with all that does not count for its numbers, in its folder.

    Args:
        setting: the run or study.
        needs: names of the settings that its settlers need (`Settler.needs`).
    """
    plain = {**to_dict(setting), "out": str(setting.folder)}
    return _all_words(type(setting), plain, needs)


def literal(value: Any) -> str:
    """Write a plain value as the command line reads it: lists and mappings in brackets, unusual text in quotes.

    Example:
        >>> literal([1, 0.5, True, "relu", "a b", {"name": "oja"}])
        '[1,0.5,true,relu,"a b",{name:oja}]'
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{literal(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(literal(inner) for inner in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.fullmatch(value) and value.lower() not in TAKEN:
        return value
    inside = re.sub(r'(\\*)"', r'\1\1\\"', value)
    ending = re.search(r"\\*$", inside)
    return f'"{inside}{ending[0] if ending else ""}"'


def _all_words(cls: type[Setting], plain: Mapping[str, Any], needs: Collection[str]) -> list[str]:
    words = list[str]()
    for field, kind in annotations(cls).items():
        if field in plain:
            words += _words(field, plain[field], kind, _default(cls, field), needs)
    return words


def _words(path: str, plain: Any, kind: Any, default: Any, needs: Collection[str]) -> Iterator[str]:
    """Yield the words of one field, whose default is an object of the class `kind`, or `MISSING`."""
    if not (inspect.isclass(kind) and issubclass(kind, Component)):
        if path in needs or default is MISSING or plain != _plain(default):
            yield f"{path}={literal(_short(plain, kind))}"
        return
    cls = _class(plain, kind)
    same = isinstance(default, cls) and default.name == cls.name
    if "name" in plain and ("." not in path or not same or path in needs):
        yield f"{path}={cls.name}"
    for field, inner in annotations(cls).items():
        if field in plain:
            start = getattr(default, field) if same else _default(cls, field)
            yield from _words(f"{path}.{field}", plain[field], inner, start, needs)


def _short(plain: Any, kind: Any) -> Any:
    """The items of a list of components without the fields that are at the defaults of their classes."""
    inner = next(iter(get_args(kind)), None)
    if not (isinstance(plain, list) and inspect.isclass(inner) and issubclass(inner, Component)):
        return plain
    return [
        {name: value for name, value in one.items() if name == "name" or value != _at(_class(one, inner), name)}
        for one in plain
    ]


def _class(plain: Mapping[str, Any], kind: type[Component]) -> type[Component]:
    return choices(kind)[plain["name"]] if "name" in plain else kind


def _default(cls: type[Component], field: str) -> Any:
    declared = cls.__dataclass_fields__[field]
    return declared.default if declared.default_factory is MISSING else declared.default_factory()


def _at(cls: type[Component], field: str) -> Any:
    return _plain(_default(cls, field))


def _plain(default: Any) -> Any:
    """A default as `to_dict` writes it."""
    if isinstance(default, Component):
        return to_dict(default)
    if isinstance(default, list):
        return [_plain(one) for one in default]
    return to_plain(default, type(default))
