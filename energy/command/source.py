"""Modules as syntax trees, in which names are resolved without importing anything."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENUM: Final = "enum."


@dataclass(frozen=True, eq=False)
class SourceModule:
    """One file of source.

    Attributes:
        name: its dotted name.
        package: the package that relative imports start from.
        names: the node that each name of its top level is bound to.
    """

    name: str
    package: str
    names: Mapping[str, ast.AST]


@dataclass(frozen=True, eq=False)
class Class:
    """A class statement of a module."""

    module: SourceModule
    node: ast.ClassDef

    @property
    def title(self) -> str:
        """The name of the class."""
        return self.node.name


@dataclass(frozen=True, eq=False)
class Value:
    """An expression, and the module in which its names are resolved."""

    module: SourceModule
    node: ast.expr


class Library:
    """Modules by name, read when they are first asked for.

    Args:
        files: the file of every module, by its dotted name.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files
        self._modules: dict[str, SourceModule] = {}
        self._shells: dict[Class, type] = {}
        self._classes: dict[ast.ClassDef, Class] = {}

    def module(self, name: str) -> SourceModule:
        """Return the module of that name, parsed once."""
        if name not in self._modules:
            file = self.files[name]
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            self._modules[name] = SourceModule(name, package, dict(bindings(ast.parse(file.read_bytes()).body)))
        return self._modules[name]

    def classes(self, module: SourceModule) -> list[Class]:
        """List the classes of the top level of a module."""
        return [self._class(module, node) for node in module.names.values() if isinstance(node, ast.ClassDef)]

    def find(self, module: SourceModule, expression: ast.expr) -> Class | Value | str:
        """Resolve a name or a dotted name in a module.

        Returns:
            The class or the expression that it is bound to; the dotted name of anything outside the library.
        """
        if isinstance(expression, ast.Attribute):
            owner = self.find(module, expression.value)
            return f"{owner}.{expression.attr}" if isinstance(owner, str) else Value(module, expression)
        return self._name(module, expression.id) if isinstance(expression, ast.Name) else Value(module, expression)

    def _name(self, module: SourceModule, name: str) -> Class | Value | str:
        node = module.names.get(name)
        if isinstance(node, ast.ClassDef):
            return self._class(module, node)
        if isinstance(node, ast.expr):
            return Value(module, node)
        if isinstance(node, ast.Import):
            return next((one.name for one in node.names if one.asname == name), name)
        if isinstance(node, ast.ImportFrom):
            home = _absolute(module, node)
            there = next(one.name for one in node.names if (one.asname or one.name) == name)
            return self._name(self.module(home), there) if home in self.files else f"{home}.{there}"
        return name

    def ancestors(self, cls: Class) -> list[Class]:
        """List the class and those that it inherits from, in the order in which Python looks for attributes."""
        return [vars(one)["written"] for one in self._shell(cls).__mro__ if one is not object]

    def is_enum(self, cls: Class) -> bool:
        """Return true for an enumeration."""
        bases = [self.find(one.module, base) for one in self.ancestors(cls) for base in one.node.bases]
        return any(isinstance(base, str) and base.startswith(ENUM) for base in bases)

    def _class(self, module: SourceModule, node: ast.ClassDef) -> Class:
        return self._classes.setdefault(node, Class(module, node))

    def _shell(self, cls: Class) -> type:
        """An empty class with bases of the same kind, so that Python itself puts them in order."""
        if cls not in self._shells:
            found = [self.find(cls.module, base) for base in cls.node.bases]
            bases = tuple(self._shell(base) for base in found if isinstance(base, Class))
            self._shells[cls] = type(cls.title, bases, {"written": cls})
        return self._shells[cls]


def _absolute(module: SourceModule, node: ast.ImportFrom) -> str:
    """The dotted name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    words = module.package.split(".")
    return ".".join([*words[: len(words) - node.level + 1], *([node.module] if node.module else [])])


def bindings(body: Iterable[ast.stmt]) -> Iterable[tuple[str, ast.AST]]:
    """Iterate over the names that statements bind: classes, imports, and constants by their expressions."""
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield name, node
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (((one.asname or one.name).partition(".")[0], node) for one in names)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass
