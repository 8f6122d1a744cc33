"""The only way from a run to the error stream: whole lines above the bar, none torn, none wrapped by the terminal.

A stream that went away (a closed terminal, a pipe without a reader) never stops a run: its lines are lost.
"""

import contextlib
import math
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TextIO

from energy.cautions import Caution
from energy.errors import escaped
from energy.ranks import here
from energy.renamed import FormerNameWarning

USUAL: Final = 80  # columns of a terminal that does not say how many it has
DUMB: Final = ("dumb", "unknown")  # terminals on which nothing is written over
BEFORE: Final = ("title", "place")  # of the live line: what stands before its bar
DROPPED: Final = ("sweeps", "cosine", "title", "objective", "left", "place")  # what goes first where there is no room
LEAST: Final = 6  # columns of its bar
LONGEST: Final = 24


class Bar(Protocol):
    """The part of a progress bar that is used."""

    def update(self, n: float | None = 1, /) -> object:
        """Move by `n` steps."""

    def clear(self) -> object:
        """Take the bar off the screen until it is drawn again."""

    def refresh(self) -> object:
        """Draw the bar."""


class Silent:
    """A bar that shows nothing."""

    def update(self, n: float | None = 1, /) -> object:
        """Do nothing."""

    clear = refresh = update


Details = Callable[[], Mapping[str, str]]  # what the bar says at this moment, by name
_shown: ContextVar[Bar | None] = ContextVar("shown", default=None)


@contextmanager
def bar(show: bool, title: str, total: int, done: int, details: Details = dict) -> Iterator[Bar]:
    """Show a live line over the steps of a run; it is silent when unwanted, where no line is redrawn, or without tqdm.

    Args:
        show: false for a silent bar.
        title: the text before it.
        total: number of steps.
        done: number of those that are done already.
        details: returns what the line says; called when it is drawn, at most once in 0.2 s.
    """
    drawn = _drawn(title, total, done, details) if show and here().speaks and redraws(sys.stderr) else None
    if drawn is None:
        yield Silent()
        return
    token = _shown.set(drawn)
    try:
        yield drawn
    finally:
        _shown.reset(token)
        with contextlib.suppress(OSError):
            drawn.close()


def redraws(stream: TextIO) -> bool:
    """Return true for a terminal that can write over a line; one that calls itself dumb cannot."""
    return width(stream) is not None and os.environ.get("TERM", "") not in DUMB


def redraw() -> None:
    """Draw the live line again, if there is one."""
    with contextlib.suppress(OSError):
        (_shown.get() or Silent()).refresh()


def erase() -> None:
    """Take the live line off the screen, if there is one, also from a handler of a signal."""
    with contextlib.suppress(OSError, RuntimeError):  # the latter if the stream was being written to
        (_shown.get() or Silent()).clear()


def width(stream: TextIO) -> int | None:
    """Return the columns that a line may have on a terminal, one less than there are; None off a terminal."""
    try:
        if not stream.isatty():
            return None
        return (os.get_terminal_size(stream.fileno()).columns or USUAL) - 1
    except (AttributeError, OSError, ValueError):
        return USUAL - 1


def say(show: bool, text: str, *, any_rank: bool = False) -> None:
    """Print lines on the error stream, apart from records and tables; too long ones are wrapped and indented.

    Of several ranks the first one speaks, or with `any_rank` each.

    Example:
        >>> say(False, "run: continuing from step 12, epoch 2")
    """
    if not (show and (any_rank or here().speaks)):
        return
    shown = _shown.get() or Silent()
    with contextlib.suppress(OSError):
        shown.clear()
        print(
            "\n".join(wrapped_lines(line, width(sys.stderr)) for line in text.split("\n")), file=sys.stderr, flush=True
        )
        shown.refresh()


def wrapped_lines(text: str, columns: int | None) -> str:
    """Wrap `text`, control characters escaped, into lines of at most `columns`, all but the first indented.

    None leaves it on one line.
    """
    text = escaped(text)
    if columns is None or len(text) <= columns:
        return text
    return "\n".join(
        textwrap.wrap(text, max(columns, 8), subsequent_indent="    ", break_on_hyphens=False, break_long_words=True)
    )


@contextmanager
def one_line_warnings(title: str) -> Iterator[None]:
    """Show warnings as `title: warning: text`, without the place in the source.

    Code that records warnings, or raises them, does so as before.
    """
    before = warnings.formatwarning

    def told(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        with contextlib.suppress(OSError):
            (_shown.get() or Silent()).clear()  # the next step draws it again
        kind = (
            ""
            if issubclass(category, (Caution, FormerNameWarning)) or category is UserWarning
            else f"{category.__name__}: "
        )
        return wrapped_lines(" ".join(f"{title}: warning: {kind}{message}".split()), width(sys.stderr)) + "\n"

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = before


def duration(seconds: float) -> str:
    """Format seconds as `0:07`, `12:03` or `1:02:03`.

    Example:
        >>> duration(723)
        '12:03'
    """
    whole = round(seconds) if math.isfinite(seconds) else 0
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _drawn(title: str, total: int, done: int, details: Details) -> Any:
    """Create a bar that leaves the last column free, follows the width, and outlives its stream; None without tqdm."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None

    class Drawn(tqdm):
        def __str__(self) -> str:
            facts = dict(self.format_dict)
            taken = self.n - self.initial
            left = {"left": f"{duration((total - self.n) * facts['elapsed'] / taken)} left"} if taken else {}
            before, after = _fitting(title, {**details(), **left}, self.ncols)
            said = {"bar_format": "{before}{bar}{after}", "before": before, "after": after}
            return self.format_meter(**{**facts, **said, "ncols": min(self.ncols, len(before + after) + LONGEST)})

        def display(self, msg: str | None = None, pos: int | None = None) -> Any:
            self.ncols = width(sys.stderr) or USUAL
            text = str(self) if msg is None else msg
            with contextlib.suppress(OSError):
                self.fp.write(f"\r{text.ljust(self.ncols)}")
                self.fp.flush()
            return True

        def clear(self, nolock: bool = False) -> None:
            self.display("")
            with contextlib.suppress(OSError):
                self.fp.write("\r")

    settings: dict[str, Any] = {"leave": False, "miniters": 1, "mininterval": 0.2}
    with contextlib.suppress(OSError):
        return Drawn(total=total, initial=done, file=sys.stderr, ncols=width(sys.stderr), **settings)
    return None


def _fitting(title: str, details: Mapping[str, str], columns: int) -> tuple[str, str]:
    """The texts before and after a bar, which leave `LEAST` columns for it, without those of `DROPPED` if need be."""
    name = title if len(title) <= 24 else f"{title[:23]}…"
    parts = {"title": name, **details}
    while True:
        before = "  ".join(parts[one] for one in BEFORE if one in parts)
        after = "  ".join(text for one, text in parts.items() if one not in BEFORE)
        before, after = (f"{before} " if before else ""), (f" {after}" if after else "")
        spare = next((one for one in DROPPED if one in parts), None)
        if spare is None or len(before + after) + LEAST <= columns:
            return before, after
        del parts[spare]
