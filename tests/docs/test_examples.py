"""Every Python block and every command in the documentation does what the page says it does.

The blocks of a page run in their order, in one namespace and one empty folder, as a reader would run them. A ```text
block right after a Python block is what it prints; lines below a command are what the command prints, and a shown line
``energy: ...`` says that it must fail. What a page marks as not run is still composed, with ``--dry-run``, where it is
a training or a comparison. A block marked with the name of a file is saved under it, as the page asks its reader to do.
"""

import contextlib
import io
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from energy.cli import main
from tests.docs.matching import mismatch
from tests.docs.pages import PAGES, ROOT, SHELLS, Block, Command, blocks, commands

COMPOSED = ("train", "compare")
# pages that train often, and the notebooks of more than five seconds: .ci/run runs them by themselves
LONG = ("extending.md", "running.md", "feedback_free.md", "how-to.md")
GALLERY = ("gamma.md", "softhebb.md", "energy.md", "ledger.md", "microcircuit.md")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.name in LONG + GALLERY else page for page in PAGES],
    ids=_name,
)
def test_the_page_does_what_it_says(page: Path, place: Path) -> None:
    with _module(f"page_{page.stem}") as module:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.file:
                (place / block.file).write_text(block.text + "\n", encoding="utf-8")
            elif block.kind == "python" and not block.skip:
                _run_python(block, module, page)
            elif block.kind in SHELLS:
                for command in commands(block):
                    _compose(command, page) if block.skip else _run_command(command, page)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_few_blocks_are_not_run(page: Path) -> None:
    code = [block for block in blocks(page.read_text(encoding="utf-8")) if block.kind in ("python", *SHELLS)]
    idle = [block for block in code if block.skip]
    assert not any(block.kind == "python" for block in idle)
    assert all(len(block.skip.split()) >= 2 for block in idle), "a reason is more than a word"
    assert len(idle) <= max(3, len(code) // 2)


@contextlib.contextmanager
def _module(name: str) -> Iterator[types.ModuleType]:
    """The namespace of a page, known to Python so that classes defined in it find their annotations."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        yield module
    finally:
        del sys.modules[name]


def _run_python(block: Block, module: types.ModuleType, page: Path) -> None:
    where = f"{page}:{block.line}"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * block.line + block.text, str(page), "exec"), module.__dict__)
    if block.shown is not None:
        difference = mismatch(block.shown, printed.getvalue())
        assert not difference, f"{where}: {difference}"


def _run_command(command: Command, page: Path) -> None:
    where, words = f"{page}:{command.line}: {command.words}", shlex.split(command.words, comments=True)
    if words[0] == "ls":
        printed, status = subprocess.run(words, capture_output=True, text=True, check=True).stdout, 0
    else:
        assert words[0] == "energy", f"{where}: mark it as not run, and say why"
        status, printed = _energy(words[1:])
    fails = any(line.startswith("energy: ") for line in command.shown)
    assert bool(status) == fails, f"{where}: status {status}\n{printed}"
    if command.shown:
        difference = mismatch("\n".join(command.shown), printed)
        assert not difference, f"{where}: {difference}"


def _compose(command: Command, page: Path) -> None:
    """Check the configuration of a command that takes too long, or needs what is not here, to be run."""
    words = shlex.split(command.words, comments=True)
    if words[0] == "energy" and words[1] in COMPOSED:
        status, printed = _energy([words[1], "--dry-run", *words[2:]])
        assert status == 0, f"{page}:{command.line}: {command.words}\n{printed}"


def _energy(words: list[str]) -> tuple[int, str]:
    """Status and everything printed by one command, errors in their place."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = main(words)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
    return status, printed.getvalue()
