"""`constraints-lowest.txt` has the lowest version of every requirement, and `constraints.txt` one that is allowed."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements() -> list[Requirement]:
    """All that pyproject.toml asks for: to run, by extra, and to build."""
    project = PROJECT["project"]
    extras = [text for group in project["optional-dependencies"].values() for text in group]
    return [Requirement(text) for text in [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]]


def pins(file: str) -> dict[str, str]:
    """Name to version of a file of constraints."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("#")[0].strip().split("==") for line in lines if not line.startswith("#") and line.strip()]
    assert all(len(pair) == 2 for pair in pairs), pairs
    return dict(pairs)  # pyright: ignore[reportArgumentType]


def bound(requirement: Requirement) -> str:
    """The version after the one >= of a requirement."""
    (lowest,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return lowest


def release(version: str) -> tuple[int, ...]:
    """A version as numbers, zeros at its end left out: 2.10 is 2.10.0."""
    numbers = [int(part) for part in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def test_every_bound_is_in_the_file_and_nothing_else() -> None:
    lowest = pins("constraints-lowest.txt")
    assert {name: release(version) for name, version in lowest.items()} == {
        requirement.name: release(bound(requirement)) for requirement in requirements()
    }


def test_a_requirement_has_one_bound_wherever_it_stands() -> None:
    found: dict[str, set[str]] = {}
    for requirement in requirements():
        found.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {name: bounds for name, bounds in found.items() if len(bounds) > 1} == {}


def test_what_is_pinned_for_development_is_allowed() -> None:
    pinned = pins("constraints.txt")
    assert {name for name in pins("constraints-lowest.txt") if name not in pinned} <= {"nvidia-ml-py", "nir", "wandb"}
    for requirement in requirements():
        if requirement.name in pinned:
            assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_every_python_from_the_lowest_on_is_declared() -> None:
    declared = [text.rpartition(" ")[2] for text in PROJECT["project"]["classifiers"] if ":: 3." in text]
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    minors = [int(version.removeprefix("3.")) for version in declared]
    assert declared[0] == lowest and minors == [*range(minors[0], minors[0] + len(minors))]
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == lowest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"


@pytest.mark.parametrize(
    ("words", "file", "torch"),
    [
        (["lowest"], "constraints-lowest.txt", "2.10.0"),
        (["lowest", "TORCH=2.13.0"], "constraints-lowest.txt", "2.13.0"),
        (["python", "VERSION=3.12", "TORCH=2.14.1"], "constraints.txt", "2.14.1"),
    ],
    ids=" ".join,
)
def test_the_targets_take_these_files(words: list[str], file: str, torch: str, tmp_path: Path) -> None:
    """The commands are shown, and the one that writes the constraints is carried out."""
    place = f"LOWEST={tmp_path}/none"
    done = subprocess.run(["make", "-n", *words, place], cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = [line for line in done.stdout.splitlines() if " > " in line]
    written = subprocess.run(command.partition(" > ")[0], shell=True, cwd=ROOT, capture_output=True, check=True)
    assert re.findall(r"^torch==(.*)$", written.stdout.decode(), re.MULTILINE) == [torch]
    assert (f" {file} ") in command and "pip install" in done.stdout and "torchvision" not in done.stdout
