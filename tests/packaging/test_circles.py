"""The modules of the library stand on one another in one direction: no two of them import each other."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

import energy


def imports() -> dict[str, set[str]]:
    """The modules that each module imports, wherever in it the statement stands.

    Of the package itself those for type checkers do not count: they name what its `__getattr__` imports when asked.
    """
    graph, running = (grimp.build_graph(energy.__name__, exclude_type_checking_imports=only) for only in (False, True))
    found = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    return found | {energy.__name__: set(running.find_modules_directly_imported_by(energy.__name__))}


def test_no_modules_import_each_other() -> None:
    found = imports()
    assert len(found) > 150
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")


def test_no_packages_import_each_other() -> None:
    packages: dict[str, set[str]] = {}
    for module, others in imports().items():
        package = ".".join(module.split(".")[:2])
        reached = {".".join(other.split(".")[:2]) for other in others}
        packages.setdefault(package, set()).update(reached - {package})
    packages.pop("energy")  # its version, and the names that it hands on when they are asked for
    try:
        TopologicalSorter({package: others - {"energy"} for package, others in packages.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")
