"""Digests of the user's code that a run depends on: two runs of one configuration and other code are two runs.

A component that is not part of `energy` lies in a file. Its digest is the SHA-256 of that file; if it imports others
from its folder or package, that of a line `<SHA-256>  <path>` for each. A class of a notebook or of the running script
has the digest of its own source.
"""

import ast
import functools
import hashlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import energy
from energy.component import Component, annotations

OURS: Final = frozenset({"energy"})
PLUGIN: Final = "energy_plugin_"  # how modules begin that `--plugin FILE` makes
READ: Final[dict[Path, str]] = {}  # digests of plug-in files when they were imported


def plugins(components: Iterable[Component], aside: type[Component] | tuple[()] = ()) -> dict[str, str]:
    """Find the user's code in `components` and their fields.

    Args:
        components: the components.
        aside: a class whose objects are left out.

    Returns:
        Name of the file, module or class, and SHA-256; empty for components of this library.
    """
    found: dict[str, set[str]] = {}
    for cls in {cls for component in components for cls in _classes(component, aside)}:
        name, digest = _source(cls)
        found.setdefault(name, set()).add(digest)
    return {name: "+".join(sorted(digests)) for name, digests in sorted(found.items())}


def source_files(file: Path) -> dict[str, Path]:
    """Find `file` and the files in its folder or package that it imports, directly or not, by their dotted names."""
    file = file.resolve()
    root = root_of(file)
    todo, found = [file], dict[Path, None]()
    while todo:
        one = todo.pop()
        if one not in found:
            found[one] = None
            seen = one.stat()
            todo += _imported(one, root, seen.st_mtime_ns, seen.st_size)
    return {_dotted(one, root): one for one in found}


def code_digest(file: Path) -> str:
    """Return the SHA-256 of a file and all that it imports beside it, as of their import if that is known."""
    found = {name: READ.get(one) or file_digest(one) for name, one in sorted(source_files(file).items())}
    if len(found) == 1:
        return found.popitem()[1]
    return hashlib.sha256("".join(f"{sha}  {name}\n" for name, sha in found.items()).encode()).hexdigest()


def file_digest(file: Path) -> str:
    """Return the SHA-256 of the bytes of one file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def failure(error: BaseException, files: Iterable[Path], told: Path | None = None) -> str:
    """Describe an error in the user's code on one line: `file, line n: Type: message`.

    Args:
        error: raised by importing it.
        files: those of the plug-in; the innermost of them that the error passed through is named.
        told: the one that the reader knows already, for which the line is enough.
    """
    own = {os.path.realpath(file): file for file in files}
    passed = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        passed.append((error.filename, error.lineno))
    inside = [(own[path], line) for name, line in passed if (path := os.path.realpath(name)) in own]
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    if not inside:
        return said
    file, line = inside[-1]
    return f"line {line}: {said}" if file == told else f"{os.path.relpath(file)}, line {line}: {said}"


def _classes(component: Component, aside: type[Component] | tuple[()]) -> Iterator[type]:
    """The classes of a component and of those in its fields, and their bases, without this library's and Python's."""
    for cls in type(component).__mro__:
        root = cls.__module__.partition(".")[0]
        if root not in OURS and (root == "__main__" or root not in sys.stdlib_module_names):
            yield cls
    for name in annotations(type(component)):
        value: Any = getattr(component, name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Component) and not isinstance(one, aside):
                yield from _classes(one, aside)


def _source(cls: type) -> tuple[str, str]:
    """The name and the digest of the source of a class."""
    module = sys.modules.get(cls.__module__)
    file = Path(getattr(module, "__file__", None) or "")
    if cls.__module__ == "__main__" or file.suffix != ".py":
        text = _text(cls)
        return f"{cls.__module__}.{cls.__qualname__}", hashlib.sha256(text.encode()).hexdigest()
    packaged = "." in cls.__module__ and not cls.__module__.startswith(PLUGIN)
    stem = file.parent.name if file.name == "__init__.py" else file.name
    return cls.__module__ if packaged else stem, code_digest(file)


def _text(cls: type) -> str:
    """The source of a class; if it is not kept, that of its functions; else their byte code."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        functions = {name: one for name, one in sorted(vars(cls).items()) if inspect.isfunction(one)}
    plain = {name: one for name, one in sorted(vars(cls).items()) if isinstance(one, int | float | str | tuple)}
    told = "".join(f"{name}={one!r}\n" for name, one in plain.items() if not name.startswith("__"))
    try:
        return told + "".join(inspect.getsource(one) for one in functions.values())
    except (OSError, TypeError):
        return told + "\n".join(f"{name} {_compiled(one.__code__)}" for name, one in functions.items())


def _compiled(code: Any) -> str:
    constants = [_compiled(one) if inspect.iscode(one) else repr(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def root_of(file: Path) -> Path:
    """Return the folder that holds the outermost package of a file; if installed, the package or the file itself."""
    inside = file
    while (inside.parent / "__init__.py").is_file():
        inside = inside.parent
    return inside if _installed(inside.parent) else inside.parent


def _installed(folder: Path) -> bool:
    """True for a folder that distributions are installed into, in which neighboring files belong to others."""
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    return folder in standard or any(folder.glob("*.dist-info"))


@functools.cache
def _imported(file: Path, root: Path, changed: int, size: int) -> tuple[Path, ...]:
    """The files at or below `root`, without this library's, that the import statements of `file` lead to."""
    return tuple(_leading(file, root))


def _leading(file: Path, root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    base = root.parent if (root / "__init__.py").is_file() else root
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(base, alias.name.split("."), root)
        elif isinstance(node, ast.ImportFrom):
            above = base if not node.level else file.parents[node.level - 1]
            words = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _files(above, [*words, alias.name], root)


def _files(folder: Path, words: list[str], root: Path) -> Iterator[Path]:
    """The files that importing the dotted name runs, from `folder` down."""
    ours = Path(energy.__file__).resolve().parent.parent
    for word in words:
        packed, plain = folder / word / "__init__.py", folder / f"{word}.py"
        if folder == ours and word in OURS:
            return
        if folder.is_relative_to(root) or folder == root.parent:
            yield from (one.resolve() for one in (packed, plain) if one.is_file())
        folder = folder / word


def _dotted(file: Path, root: Path) -> str:
    base = root if root.is_dir() and not (root / "__init__.py").is_file() else root.parent
    words = file.relative_to(base).with_suffix("").parts if file.is_relative_to(base) else (file.stem,)
    return ".".join(words[:-1] if words[-1] == "__init__" else words)
