"""A verb of the command line: its words, and the function that carries it out."""

from collections.abc import Callable
from typing import NamedTuple

from energy.command.arguments import Arguments


class Verb(NamedTuple):
    """A verb of the command line.

    Attributes:
        usage: its words, for the usage line.
        summary: its purpose.
        example: the words of an example.
        action: carries it out, and returns the exit status.
        needs: the words that it requires; empty for a verb that stands alone.
        options: the options that it takes in addition to `--help` and `--plugin`, as `Arguments` calls them.
        components: whether it needs every component to be imported.
        pages: whether its help lists the components, and is printed by the action.
    """

    usage: str
    summary: str
    example: str
    action: Callable[[Arguments], int]
    needs: str = ""
    options: frozenset[str] = frozenset()
    components: bool = True
    pages: bool = False
