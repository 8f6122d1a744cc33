"""Plug-ins: files, packages and modules of one's own that declare components; importing one runs it."""

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Final

from energy.component import ConfigurationError
from energy.io.code import PLUGIN, READ, fingerprint, root_of, sources
from energy.paths import expanded

FOUND: Final[dict[str, Path]] = {}  # modules of plug-ins, and those beside them, by the names they are imported by
ROOTS: Final[list[str]] = []  # folders of plug-ins on the path, the latest first


class Fresh(SourceFileLoader):
    """Reads the source each time: compiled files go by the second of a change and its size, and miss a changed sign."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_plugin(text: str) -> None:
    """Import a plug-in: a file, a package folder, or a module by its dotted name.

    A file by itself gets a name of its own, and the same file again replaces its classes; what it imports from beside
    it is found there.

    Raises:
        ConfigurationError: when it is missing, fails, or imports a neighbour that another module hides.
    """
    path = expanded(text)
    path = path / "__init__.py" if path.is_dir() else path
    if path.is_file() and path.suffix != ".py":
        raise ConfigurationError(f"plugins={text}: must be a Python file")
    if path.is_file():
        file = path.resolve()
        packaged = (file.parent / "__init__.py").is_file()
        with _beside(root_of(file)):
            _load(text, file, next(iter(sources(file))) if packaged else _called(file), packaged)
    elif re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text) and path.suffix != ".py":
        with _beside(Path.cwd()):
            _load(text, _located(text), text, True)
    else:
        raise ConfigurationError(f"plugins={text}: there is no such file")


def _load(text: str, file: Path, name: str, packaged: bool) -> None:
    """Import `file` as `name`, and remember the code that ran."""
    files = sources(file)
    digests = {one: fingerprint(one) for one in files.values()}
    _forget(files, digests)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        if packaged:
            importlib.import_module(name)
        else:
            _run(file, name)
    except (Exception, SystemExit) as error:
        hidden = _hidden(files, file)
        said = f"{_line(error, file)}{type(error).__name__}: {error}{'; ' * bool(hidden)}{hidden}"
        raise ConfigurationError(f"plugins={text}: {said}") from error
    finally:
        sys.dont_write_bytecode = before
    if hidden := _hidden(files, None if packaged else file):
        raise ConfigurationError(f"plugins={text}: {hidden}")
    READ.update(digests)
    FOUND.update({called: one for called, one in files.items() if packaged or one != file})


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
    """A name for a file, told from that of another file of the same stem by a number."""
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
        raise ConfigurationError(f"plugins={text}: there is no such file, nor a Python module of this name{where}")
    return found.resolve()


def _forget(files: Mapping[str, Path], digests: Mapping[Path, str]) -> None:
    """Make room for modules that are about to be imported, where earlier plug-ins had others of these names, or these
    as they were before a change: what was there goes on under another name, where annotations are resolved.
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
    """The first of these modules that is not the file it should be; empty where there is none."""
    for name, file in files.items():
        module = sys.modules.get(name)
        if file != itself and module is not None:
            found = getattr(module, "__file__", None)
            if not found or Path(found).resolve() != file:
                return f"its neighbour {os.path.relpath(file)} is hidden by {found or 'a built-in module'}; rename it"
    return ""


def _line(error: BaseException, file: Path) -> str:
    """The last line of the plug-in that the error passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f"line {lines[-1]}: " if lines else ""
