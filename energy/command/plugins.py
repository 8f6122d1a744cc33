"""Plug-ins: a user's files, packages and modules that declare components; importing one runs it."""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple

from energy.component import ConfigurationError
from energy.errors import shown
from energy.io.code import PLUGIN, READ, failure, file_digest, root_of, source_files
from energy.paths import expanded

FOUND: Final[dict[str, Path]] = {}  # modules of plug-ins, and those beside them, by the names they are imported by
ROOTS: Final[list[str]] = []  # folders of plug-ins on the path, the latest first


class Fresh(SourceFileLoader):
    """A loader that reads the source each time.

    Python takes a compiled file for current if the second of the last change and the size of its source are the same,
    and so misses a change of one letter.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class Plugin(NamedTuple):
    """A plug-in and the place where it was found.

    Attributes:
        text: the word of the command line.
        file: the file that is imported; the `__init__.py` of a package folder.
        name: the name that it is imported under.
        root: the folder in which its imports of neighboring files are found.
        packaged: whether it is imported by its own dotted name.
    """

    text: str
    file: Path
    name: str
    root: Path
    packaged: bool


def load_plugins(texts: Iterable[str]) -> None:
    """Import plug-ins in their order: files, package folders, and modules by their dotted names; each file once.

    A file by itself gets a name of its own, and the same file in a later call replaces its classes; its imports of
    neighboring files are found.

    Raises:
        ConfigurationError: for the first that is missing, fails, or imports a neighbor that another module hides.
    """
    done = set[Path]()
    for text in texts:
        plugin = located(text)
        if plugin.file not in done:
            done.add(plugin.file)
            with _beside(plugin.root):
                _load(plugin)


def located(text: str) -> Plugin:
    """Find a plug-in without importing it.

    Raises:
        ConfigurationError: if there is none, or if it is no Python file.
    """
    path = expanded(text)
    path = path / "__init__.py" if path.is_dir() else path
    if path.is_file() and path.suffix != ".py":
        raise ConfigurationError(f"plugins={shown(text)}: must be a Python file")
    if path.is_file():
        file = path.resolve()
        packaged = (file.parent / "__init__.py").is_file()
        return Plugin(
            text, file, next(iter(source_files(file))) if packaged else _called(file), root_of(file), packaged
        )
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text) or path.suffix == ".py":
        raise ConfigurationError(f"plugins={shown(text)}: there is no such file")
    with _beside(Path.cwd()):
        return Plugin(text, _located(text), text, Path.cwd(), True)


def _load(plugin: Plugin) -> None:
    """Import a plug-in, and remember the code that ran."""
    files = source_files(plugin.file)
    digests = {one: file_digest(one) for one in files.values()}
    _forget(files, digests)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        if plugin.packaged:
            importlib.import_module(plugin.name)
        else:
            _run(plugin.file, plugin.name)
    except (Exception, SystemExit) as error:
        hidden = _hidden(files, plugin.file)
        told = plugin.file if plugin.text.endswith(".py") else None
        said = f"{failure(error, files.values(), told)}{'; ' * bool(hidden)}{hidden}"
        raise ConfigurationError(f"plugins={shown(plugin.text)}: {said}") from error
    finally:
        sys.dont_write_bytecode = before
    if hidden := _hidden(files, None if plugin.packaged else plugin.file):
        raise ConfigurationError(f"plugins={shown(plugin.text)}: {hidden}")
    READ.update(digests)
    FOUND.update({called: one for called, one in files.items() if plugin.packaged or one != plugin.file})


def _run(file: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file, loader=Fresh(name, str(file)))
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(sys.modules[name])
    except BaseException:
        del sys.modules[name]
        raise


def _called(file: Path) -> str:
    """A module name for a file; a number tells it from another file of the same stem."""
    name, number = f"{PLUGIN}{file.stem}", 1
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != str(file):
        number += 1
        name = f"{PLUGIN}{file.stem}_{number}"
    return name


@contextmanager
def _beside(root: Path) -> Iterator[None]:
    """A folder first on the path, as for a script, while a plug-in is imported; behind everything else afterwards."""
    folder = str(root)
    kept = [one for one in sys.path if one not in ROOTS]
    importlib.invalidate_caches()
    sys.path[:] = [folder, *kept]
    try:
        yield
    finally:
        ROOTS[:] = [folder, *(one for one in ROOTS if one != folder)] if folder not in kept else ROOTS
        sys.path[:] = [*kept, *ROOTS]


def _located(text: str) -> Path:
    """The file of a module, found without importing it."""
    first, *rest = text.split(".")
    spec = PathFinder.find_spec(first)
    if spec is None and first not in FOUND:
        spec = importlib.util.find_spec(first)
    stems = [Path(folder, *rest) for folder in (spec.submodule_search_locations or ()) if rest] if spec else []
    files = [one for stem in stems for one in (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))]
    files += [Path(spec.origin)] if spec and spec.origin and not rest else []
    found = next((one for one in files if one.is_file() and one.suffix == ".py"), None)
    if found is None:
        where = f"; {first} is {spec.origin or 'a folder without __init__.py'}" if spec else ""
        raise ConfigurationError(
            f"plugins={shown(text)}: there is no such file, nor a Python module of this name{where}"
        )
    return found.resolve()


def _forget(files: Mapping[str, Path], digests: Mapping[Path, str]) -> None:
    """Drop modules of earlier plug-ins that have the names of those about to be imported, or whose files have changed.

    A dropped module stays available under another name, by which the annotations of its classes are resolved.
    """
    firsts = {name.partition(".")[0] for name in files}
    stale = {
        name
        for name, file in FOUND.items()
        if files.get(name, file) != file or READ.get(file) != digests.get(file, READ.get(file))
    }
    packages = {name.partition(".")[0] for name in stale} & firsts
    for name in [name for name in FOUND if name.partition(".")[0] in packages]:
        del FOUND[name]
        module = sys.modules.pop(name, None)
        if module is not None:
            aside = f"{PLUGIN}{id(module)}_{name}"
            sys.modules[aside] = module
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == name:
                    value.__module__ = aside


def _hidden(files: Mapping[str, Path], itself: Path | None) -> str:
    """The complaint about the first of these modules that was imported from another file; empty if there is none."""
    for name, file in files.items():
        module = sys.modules.get(name)
        if file != itself and module is not None:
            found = getattr(module, "__file__", None)
            if not found or Path(found).resolve() != file:
                return f"its neighbour {os.path.relpath(file)} is hidden by {found or 'a built-in module'}; rename it"
    return ""
