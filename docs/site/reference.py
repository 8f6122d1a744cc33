"""Pages of the reference: every public name once, by the package and the module that define it."""

import importlib
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import energy
from docs.site.markup import converted
from tests.docs.signatures import resolve
from tests.packaging.api import LIST, read

PARTS: Final = ("stable", "provisional")


def public_names() -> dict[str, Any]:
    """Dotted name to object: of the package, of its subpackages, and of the list of what is promised.

    An object has one name, the first of these; members of a class are left to the class.
    """
    names = [f"energy.{name}" for name in energy.__all__]
    for module in _packages():
        names += [f"{module.__name__}.{name}" for name in getattr(module, "__all__", ())]
    listed = read(LIST.read_text(encoding="utf-8"))
    names += [name for part in PARTS for name in listed[part]]
    found = dict[str, Any]()
    known = set[int]()
    for name in names:
        one = resolve(name)
        if id(one) not in known and not inspect.ismodule(one) and not inspect.isclass(resolve(name.rpartition(".")[0])):
            known.add(id(one))
            found[name] = one
    return found


def _packages() -> Iterator[Any]:
    """The modules of the library that say what is public in them."""
    for one in sorted(pkgutil.walk_packages(energy.__path__, "energy."), key=lambda one: one.name):
        if one.ispkg and not one.name.startswith(("energy.command", "energy.configs")):
            yield importlib.import_module(one.name)


def home(name: str, found: Any) -> str:
    """The module that defines an object; that of its name for a constant."""
    module = getattr(found, "__module__", "")
    return module if module.startswith("energy.") else name.rpartition(".")[0]


def reference_pages() -> dict[str, str]:
    """File name to text of the index and of every page, in reStructuredText."""
    homes = defaultdict[str, dict[str, Any]](dict)
    for name, found in public_names().items():
        homes[home(name, found)][name] = found
    pages = defaultdict[str, dict[str, dict[str, Any]]](dict)
    for module in sorted(homes):
        pages[".".join(module.split(".")[:2])][module] = homes[module]
    return {"index.rst": _index(pages)} | {f"{name}.rst": _page(name, modules) for name, modules in pages.items()}


def _index(pages: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The page that leads to the others: a line for each, and the names that stand in it."""
    lines = [
        _title("API reference", "="),
        "Each public name once, from its docstring. :doc:`../api` has the signatures alone.",
        "",
    ]
    for name, modules in pages.items():
        said = (inspect.getdoc(importlib.import_module(name)) or "").partition("\n\n")[0]
        names = sorted(one.rpartition(".")[2] for found in modules.values() for one in found)
        lines += [f":doc:`{name}`", f"    {' '.join(converted([said.replace(chr(10), ' ')]))}", ""]
        lines += [f"    {', '.join(f'``{one}``' for one in names)}", ""]
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in pages), ""])


def _page(name: str, modules: dict[str, dict[str, Any]]) -> str:
    """One package: its docstring, then module by module what is public."""
    lines = [_title(name, "="), f".. automodule:: {name}", "   :no-members:", ""]
    for module, found in modules.items():
        if module != name:
            lines += [_title(module.removeprefix("energy."), "-"), f".. automodule:: {module}", "   :no-members:"]
            lines += ["   :no-index:", ""] if module in found else [""]  # a function with the name of its module
        for one in sorted(found):
            lines += [f".. {_directive(found[one])}:: {one}", ""]
    return "\n".join(lines)


def _directive(found: Any) -> str:
    if inspect.isclass(found):
        return "autoexception" if issubclass(found, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(found) else "autodata"


def _title(text: str, rule: str) -> str:
    return f"{text}\n{rule * len(text)}\n"
