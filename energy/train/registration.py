"""Registration of components, ours and those of plug-ins: importing puts them into the table of `from_dict`."""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import energy
from energy.component import ConfigurationError
from energy.io.code import READ, failure, file_digest, source_files

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS: Final = "energy.components"  # the group in which a distribution names modules of its own
ASIDE: Final = ("energy.__main__", "energy.cli", "energy.command", "energy.plots", "energy.testing")

LOADED: Final[set[tuple[str, str]]] = set()  # distributions and the modules of theirs that are imported


def register_builtins() -> None:
    """Import every module that may declare components: ours, then the entry points of installed distributions, once.

    Raises:
        ConfigurationError: when an entry point fails, naming its distribution, file and line.
    """
    for name in modules():
        importlib.import_module(name)
    for distribution, entry in entry_points():
        if (distribution, entry.value) not in LOADED:
            _load(distribution, entry)
            LOADED.add((distribution, entry.value))


def modules() -> dict[str, Path]:
    """Return our modules that may declare components, by dotted name, and their files; nothing is imported."""
    return dict(
        sorted((name, file) for name, file in _below(package_folder("."), "energy") if not name.startswith(ASIDE))
    )


def entry_points() -> list[tuple[str, "EntryPoint"]]:
    """Return the entry points of installed plug-ins, each after its distribution and version; none is imported."""
    from importlib import metadata

    found = {
        (entry.name, entry.value): (
            f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a distribution",
            entry,
        )
        for entry in metadata.entry_points(group=ENTRY_POINTS)
    }
    return [found[key] for key in sorted(found)]


def package_folder(name: str) -> Path:
    """Return the folder `name` of the package `energy`."""
    return Path(energy.__file__).parent / name


def _below(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    """Yield the modules of a package and of those in it; links to folders are followed."""
    yield package, folder / "__init__.py"
    for entry in os.scandir(folder):
        if entry.is_dir() and (folder / entry.name / "__init__.py").is_file():
            yield from _below(folder / entry.name, f"{package}.{entry.name}")
        elif entry.name.endswith(".py") and entry.name != "__init__.py":
            yield f"{package}.{entry.name.removesuffix('.py')}", folder / entry.name


def _load(distribution: str, entry: "EntryPoint") -> None:
    """Import the module of an entry point, and remember the code that ran."""
    files: dict[str, Path] = {}
    try:
        spec = importlib.util.find_spec(entry.module)
        files = source_files(Path(spec.origin)) if spec and spec.origin and spec.origin.endswith(".py") else {}
        digests = {one: file_digest(one) for one in files.values()}
        entry.load()
    except (Exception, SystemExit) as error:
        said = f"its entry point {entry.name} = {entry.value} of {ENTRY_POINTS} fails"
        cure = f"repair or uninstall {distribution.partition(' ')[0]}"
        raise ConfigurationError(f"{distribution}: {said}: {failure(error, files.values())}; {cure}") from error
    READ.update(digests)
