"""Entries of the library's components, read from its files without importing any, so that help waits for no torch.

They equal the entries of the imported classes; `tests/cli` compares the two.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from energy.command.default import EnumMember, Made, default, evaluated
from energy.command.entry import Entry
from energy.command.source import Class, Library, bindings

BASE: Final = "energy.component.Component"


class Written:
    """The components that the class statements of files declare.

    Args:
        files: the file of every module, by its dotted name.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.library = Library(files)
        self._named: dict[str, list[Class]] = {}
        for name, file in files.items():
            if re.search(rb"\bname\s*=", file.read_bytes()):
                for cls in self.library.classes(self.library.module(name)):
                    if self._label(cls) and self._is_component(cls):
                        self._named.setdefault(self._group(cls), []).append(cls)

    def entries(self) -> list[Entry]:
        """List every named component, by group and name."""
        found = [self._entry(cls) for classes in self._named.values() for cls in classes]
        return sorted(found, key=lambda one: (one.group, one.label))

    def entry(self, module: str, title: str) -> Entry:
        """Return the entry of the class called `title` in a module."""
        return self._entry(next(cls for cls in self.library.classes(self.library.module(module)) if cls.title == title))

    def _entry(self, cls: Class) -> Entry:
        fields = self._fields(cls)
        kinds = {name: self.library.find(one.module, node.annotation) for name, (one, node) in fields.items()}
        held = {name: kind for name, kind in kinds.items() if isinstance(kind, Class) and self._is_component(kind)}
        return Entry(
            title=cls.title,
            home=f"{cls.module.name}.{cls.title}",
            group=self._group(cls),
            label=self._label(cls),
            doc=ast.get_docstring(cls.node) or "",
            fields=tuple(
                f"{name}: {self._kind(one, node.annotation)}{self._default(one, node.value)}"
                for name, (one, node) in fields.items()
            ),
            choices={name: tuple(self._choices(kind)) for name, kind in held.items()},
            parts={name: self._entry(kind) for name, kind in held.items() if not self._choices(kind)},
            items={name: self._entry(kind) for name, kind in self._listed(fields) if not self._choices(kind)},
        )

    def _listed(self, fields: Mapping[str, tuple[Class, ast.AnnAssign]]) -> Iterator[tuple[str, Class]]:
        """The fields that list components, each with the class of an item."""
        for name, (one, node) in fields.items():
            if isinstance(node.annotation, ast.Subscript) and ast.unparse(node.annotation.value) == "list":
                kind = self.library.find(one.module, node.annotation.slice)
                if isinstance(kind, Class) and self._is_component(kind):
                    yield name, kind

    def _is_component(self, cls: Class) -> bool:
        return any(f"{one.module.name}.{one.title}" == BASE for one in self.library.ancestors(cls))

    def _label(self, cls: Class) -> str:
        given = {keyword.arg: keyword.value for keyword in cls.node.keywords}.get("name")
        return str(given.value) if isinstance(given, ast.Constant) else ""

    def _group(self, cls: Class) -> str:
        for one in self.library.ancestors(cls):
            for name, node in bindings(one.node.body):
                if name == "group" and isinstance(node, ast.Constant):
                    return str(node.value)
        return ""

    def _choices(self, kind: Class) -> list[str]:
        known = self._named.get(self._group(kind), [])
        return sorted(self._label(cls) for cls in known if kind in self.library.ancestors(cls))

    def _fields(self, cls: Class) -> dict[str, tuple[Class, ast.AnnAssign]]:
        """The fields of a class in the order of `dataclasses`, each with the class that declares it last."""
        found: dict[str, tuple[Class, ast.AnnAssign]] = {}
        for one in reversed(self.library.ancestors(cls)):
            for node in one.node.body if self._is_component(one) else []:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not _aside(node):
                    found[node.target.id] = (one, node)
        return found

    def _kind(self, owner: Class, annotation: ast.expr) -> str:
        if isinstance(annotation, ast.Subscript):
            return f"{ast.unparse(annotation.value)} of {self._kind(owner, annotation.slice)}"
        kind = self.library.find(owner.module, annotation)
        if not isinstance(kind, Class):
            return kind.rpartition(".")[2] if isinstance(kind, str) else ast.unparse(annotation)
        if self.library.is_enum(kind):
            return "|".join(_members(kind))
        return self._group(kind) if self._is_component(kind) and self._choices(kind) else kind.title

    def _default(self, owner: Class, node: ast.expr | None) -> str:
        made = default(self.library, owner.module, node)
        return "" if made is None else f" = {self._show(evaluated(self.library, made))}"

    def _show(self, given: Any) -> str:
        if isinstance(given, EnumMember):
            return given.name.lower()
        if isinstance(given, Made):
            return f"{self._label(given.cls) or given.cls.title}{self._changed(given)}"
        if isinstance(given, list):
            return f"[{', '.join(self._show(item) for item in given)}]"
        return repr(given) if given == "" else str(given)

    def _changed(self, given: Made) -> str:
        """The fields, in parentheses, in which a default that is a component differs from the defaults of its class."""
        told = []
        for name, (one, node) in self._fields(given.cls).items():
            made = default(self.library, one.module, node.value)
            if made is None:
                return ""
            if name in given.fields and given.fields[name] != evaluated(self.library, made):
                told.append(f"{name}={self._show(given.fields[name])}")
        return f"({', '.join(told)})" if told else ""


def _aside(node: ast.AnnAssign) -> bool:
    """True for a constant of the class, and for a field that the constructor does not take."""
    if re.match(r"(\w+\.)*ClassVar\b", ast.unparse(node.annotation)):
        return True
    given = node.value.keywords if isinstance(node.value, ast.Call) else []
    return any(one.arg == "init" and isinstance(one.value, ast.Constant) and not one.value.value for one in given)


def _members(cls: Class) -> list[str]:
    """The names of an enumeration's members, without aliases of earlier members."""
    found: dict[str, str] = {}
    for node in cls.node.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                text = ast.unparse(value)
                found.setdefault(name if text.endswith("auto()") else text, name.lower())
            case _:
                pass
    return list(found.values())
