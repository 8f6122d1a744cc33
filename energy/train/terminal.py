"""The only way from a run to the error stream: whole lines above the bar, none torn, none wrapped by the terminal.

A stream that went away (a closed terminal, a pipe without a reader) never stops a run: its lines are lost.
"""

import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TextIO

from energy.cautions import Caution
from energy.errors import escaped
from energy.ranks import here

USUAL: Final = 80  # columns of a terminal that does not say how many it has


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


_shown: ContextVar[Bar | None] = ContextVar("shown", default=None)


@contextmanager
def bar(show: bool, title: str, total: int, done: int) -> Iterator[Bar]:
    """Show a bar over the steps of a run; it is silent when unwanted, off a terminal or without tqdm.

    Args:
        show: false for a silent bar.
        title: the text before it.
        total: number of steps.
        done: number of those that are done already.
    """
    drawn = _drawn(title, total, done) if show and here().speaks and width(sys.stderr) is not None else None
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
        kind = "" if issubclass(category, Caution) or category is UserWarning else f"{category.__name__}: "
        return wrapped_lines(" ".join(f"{title}: warning: {kind}{message}".split()), width(sys.stderr)) + "\n"

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = before


def _drawn(title: str, total: int, done: int) -> Any:
    """Create a bar that leaves the last column free, follows the width, and outlives its stream; None without tqdm."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None

    class Drawn(tqdm):
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

    name = title if len(title) <= 24 else f"{title[:23]}…"
    settings: dict[str, Any] = {"leave": False, "unit": "step", "miniters": 1, "mininterval": 0.2}
    with contextlib.suppress(OSError):
        return Drawn(desc=name, total=total, initial=done, file=sys.stderr, ncols=width(sys.stderr), **settings)
    return None
