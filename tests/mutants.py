"""Plant one-line defects, one at a time, in a copy of the tree, and see that a test notices each.

    python tests/mutants.py [NAME ...] [--part 2/6]

``tests/mutants.toml`` lists the defects, each with the smallest selection of tests that ought to notice it. Every
selection must pass in the untouched copy first; those of one file are run together, and are in one part when the list
is judged in parts, on several machines. Exit status 1 when a defect
survives, when its pattern is not found exactly once, or when a selection does not pass; 0 otherwise. The copy lies in
a temporary directory and holds no bytecode: an edit of the same length within one second would otherwise run the
stale one and hide the defect.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
LIMIT = 600.0  # seconds of one selection; a defect that makes a loop endless is noticed by it
LEFT_OUT = ("*.egg-info", "__pycache__", "build", "dist", "multirun", "runs", "studies")
PRELOADED = ("torch", "torch._dynamo", "torchdiffeq", "safetensors.torch", "sklearn.datasets", "hydra", "pytest")
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
SURVIVED, LOST, UNSOUND = "SURVIVED", "PATTERN NOT FOUND", "SELECTION FAILS"


@dataclass(frozen=True)
class Mutant:
    """In ``file``, ``old`` becomes ``new``; ``pytest tests -k only -m marks`` ought to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    only: str = ""
    marks: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """The file of tests, and the marks of those that are run."""
        return self.tests, self.marks

    def plant(self, source: str) -> str | None:
        """``source`` with the defect in it; None unless the pattern is there exactly once."""
        return source.replace(self.old, self.new) if source.count(self.old) == 1 else None


@dataclass(frozen=True)
class Verdict:
    """How a selection ended: pytest's exit status, and the first test that failed."""

    status: int
    failed: str = ""


def load(path: Path = LIST) -> list[Mutant]:
    """The defects, in the order of the file."""
    with path.open("rb") as stream:
        return [Mutant(**entry) for entry in tomllib.load(stream)["mutant"]]


def copy(root: Path, tree: Path) -> Path:
    """The sources and tests of ``root`` in ``tree``; no hidden files, no bytecode, nothing that a run leaves behind."""
    ignore = shutil.ignore_patterns(".*", *LEFT_OUT)
    return Path(shutil.copytree(root, tree, ignore=ignore))


def run(tree: Path, tests: str, only: str = "", marks: str = "", limit: float = LIMIT) -> Verdict:
    """Run one selection inside ``tree`` in a process of its own, forked from one that holds the libraries already."""
    os.environ.update(ENVIRONMENT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    log = tree / ".mutants.log"
    selection = [tests, *(["-k", only] if only else []), *(["-m", marks] if marks else [])]
    process = context.Process(target=_pytest, args=(str(tree), str(log), selection))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return Verdict(1, f"the limit of {limit:g} s")
    said = log.read_text(errors="replace")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)
    return Verdict(process.exitcode or 0, failed[1] if failed else "")


def _pytest(tree: str, log: str, selection: list[str]) -> None:
    """The process of one selection: ``tree`` is the working directory and comes first among the places of modules."""
    import pytest

    handle = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(tree)
    os.environ.update(ENVIRONMENT, PYTHONPATH=tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [tree, *(place for place in sys.path if place not in {str(ROOT), str(ROOT / "tests")})]
    status = pytest.main(["-x", "-q", "--tb=no", "-rfE", "--assert=plain", "-p", "no:cacheprovider", *selection])
    sys.stdout.flush()
    os._exit(int(status))


@contextmanager
def planted(tree: Path, mutant: Mutant) -> Iterator[bool]:
    """The defect is in ``tree`` meanwhile; false, and nothing changed, when its pattern is not there exactly once."""
    path = tree / mutant.file
    source = path.read_text(encoding="utf-8")
    changed = mutant.plant(source)
    path.write_text(source if changed is None else changed, encoding="utf-8")
    try:
        yield changed is not None
    finally:
        path.write_text(source, encoding="utf-8")


def judge(tree: Path, mutant: Mutant) -> str:
    """``killed by <test>``, or what is wrong."""
    with planted(tree, mutant) as found:
        if not found:
            return LOST
        verdict = run(tree, mutant.tests, mutant.only, mutant.marks)
    if verdict.status == 1:
        return f"killed by {verdict.failed}"
    return SURVIVED if verdict.status == 0 else f"{UNSOUND} with it: {verdict.failed or verdict.status}"


def sound(tree: Path, mutants: Sequence[Mutant]) -> dict[tuple[str, str], str]:
    """What is wrong with the selections from each file of tests in the untouched tree, by its marks; empty where they
    pass.
    """
    wrong: dict[tuple[str, str], str] = {}
    for place in dict.fromkeys(mutant.place for mutant in mutants):
        parts = {mutant.only for mutant in mutants if mutant.place == place}
        only = "" if "" in parts else " or ".join(f"({part})" for part in sorted(parts))
        verdict = run(tree, place[0], only, place[1])
        wrong[place] = "" if verdict.status == 0 else f"{UNSOUND} without it: {verdict.failed or verdict.status}"
    return wrong


def part(mutants: Sequence[Mutant], share: str) -> list[Mutant]:
    """The part `k/n` of the defects, 1 <= k <= n, in their order; those of one file of tests are in one part.

    Files of tests go, the one with the most defects first, to the part that has the fewest so far.

    Raises:
        SystemExit: `share` is none, or no defect is left for it.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", share)
    if found is None or int(found[1]) > int(found[2]):
        raise SystemExit(f"--part is {share!r}; it must be k/n with 1 <= k <= n, as 2/6")
    counts = Counter(mutant.tests for mutant in mutants)
    taken, sizes = dict[str, int](), [0] * int(found[2])
    for tests, count in counts.most_common():
        taken[tests] = sizes.index(min(sizes))
        sizes[taken[tests]] += count
    chosen = [mutant for mutant in mutants if taken[mutant.tests] == int(found[1]) - 1]
    if not chosen:
        raise SystemExit(f"--part is {share!r}; there are only {len(counts)} files of tests to share out")
    return chosen


def main(names: Sequence[str] = (), share: str = "1/1") -> int:
    """Judge the named defects, or all, or the part `share` of them; print a line for each; return the exit status."""
    every = load()
    unknown = set(names) - {mutant.name for mutant in every}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(mutant.name for mutant in every)}")
    chosen = part([mutant for mutant in every if not names or mutant.name in names], share)
    width, place = max(len(m.name) for m in chosen), max(len(m.file) for m in chosen)
    caught = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy(ROOT, Path(folder, "tree"))
        wrong = sound(tree, chosen)
        for mutant in chosen:
            start = time.perf_counter()
            verdict = wrong[mutant.place] or judge(tree, mutant)
            caught += verdict.startswith("killed")
            seconds = time.perf_counter() - start
            print(f"{mutant.name:{width}}  {mutant.file:{place}}  {seconds:6.1f} s  {verdict}", flush=True)
    print(f"{caught} of {len(chosen)} defects were noticed")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="defects to plant; all of them by default")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="the k-th of n parts of them; all by default")
    given = parser.parse_args()
    sys.exit(main(given.names, given.part))
