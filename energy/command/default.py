"""Values of field defaults, worked out from syntax trees: constants, members of enumerations, and components."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from energy.command.source import Class, Library, SourceModule, Value

FIELD: Final = "dataclasses.field"
MATH: Final = "math."
OPERATORS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class EnumMember:
    """A member of an enumeration."""

    name: str


@dataclass(frozen=True)
class Made:
    """A component made with the given fields."""

    cls: Class
    fields: Mapping[str, Any]


def default(library: Library, module: SourceModule, node: ast.expr | None) -> Value | Made | None:
    """Find the expression of a default, plain or within `dataclasses.field(...)`.

    Returns:
        The expression; the component for a `default_factory` that is a class; None without a default.
    """
    if not isinstance(node, ast.Call) or library.find(module, node.func) != FIELD:
        return None if node is None else Value(module, node)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    make = given.get("default_factory")
    if make is None:
        return Value(module, given["default"]) if "default" in given else None
    if isinstance(make, ast.Lambda):
        return Value(module, make.body)
    kind = library.find(module, make)
    return Made(kind, {}) if isinstance(kind, Class) else Value(module, ast.Call(make, [], []))


def evaluated(library: Library, given: Value | Made) -> Any:
    """Evaluate an expression.

    Returns:
        A number, a text, a list, an `EnumMember` or a `Made`; the source text of any other expression.
    """
    if isinstance(given, Made):
        return given

    def inner(node: ast.expr) -> Any:
        return evaluated(library, Value(given.module, node))

    match given.node:
        case ast.Constant(value=constant):
            return constant
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [inner(element) for element in elements]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _combined(given, operator.neg, [inner(operand)])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _combined(given, OPERATORS[type(op)], [inner(left), inner(right)])
        case ast.Call(func=func, args=arguments, keywords=keywords):
            named = {str(one.arg): inner(one.value) for one in keywords}
            return _called(given, library.find(given.module, func), [inner(one) for one in arguments], named)
        case _:
            return _looked_up(library, given)


def _combined(given: Value, function: Callable[..., Any], operands: list[Any]) -> Any:
    """A function of numbers; the source text if one of them is not known."""
    return function(*operands) if all(isinstance(one, int | float) for one in operands) else ast.unparse(given.node)


def _called(given: Value, function: Class | Value | str, arguments: list[Any], named: dict[str, Any]) -> Any:
    if isinstance(function, Class):
        return Made(function, named)
    if function == "list" and not arguments:
        return []
    if isinstance(function, str) and function.startswith(MATH):
        return _combined(given, getattr(math, function.removeprefix(MATH)), arguments)
    return ast.unparse(given.node)


def _looked_up(library: Library, given: Value) -> Any:
    """A name: a constant of a module, a member of an enumeration, a number of `math`."""
    if isinstance(given.node, ast.Attribute):
        owner = library.find(given.module, given.node.value)
        if isinstance(owner, Class) and library.is_enum(owner):
            return EnumMember(given.node.attr)
    found = library.find(given.module, given.node)
    if isinstance(found, Value) and found.node is not given.node:
        return evaluated(library, found)
    if isinstance(found, str) and found.startswith(MATH):
        return getattr(math, found.removeprefix(MATH))
    return ast.unparse(given.node)
