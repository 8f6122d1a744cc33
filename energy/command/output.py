"""The output of a command: text in which nothing is obeyed by the terminal."""

import sys
from typing import TextIO

from energy.errors import escaped


def show(text: object, stream: TextIO | None = None) -> None:
    """Print `text` with control characters escaped, at once.

    Args:
        text: any object; its `str` is printed.
        stream: where to; standard output unless given.
    """
    print(escaped(str(text)), file=sys.stdout if stream is None else stream, flush=True)
