"""Errors that this library raises for its user, in one hierarchy.

Each is also the built-in kind that fits (`ValueError`, `TypeError`, ...), so that code which knows nothing of this
library catches it too. Any other exception is a defect, of the library or of code given to it.
"""

from pathlib import PurePath
from typing import Final

WIDTH: Final = 160  # letters of a value in a message
LINE: Final = 2500  # letters of a whole message
SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


class EnergyError(Exception):
    """An error for the user to read: one line that names the field or file, the value, and the limit or the remedy."""


class ConfigurationError(EnergyError, ValueError):
    """A configuration that cannot be used; the one-line message names the field, its value and the limit."""


class FieldError(ConfigurationError):
    """A value that the class of a component refuses for one of its fields.

    Attributes:
        owner: the label of the component, or else its group.
        said: the message without the owner.
    """

    def __init__(self, owner: str, said: str) -> None:
        super().__init__(f"{owner}.{said}")
        self.owner = owner
        self.said = said


class UsageError(EnergyError, ValueError):
    """An argument, or a file named by one, that a call cannot use: a value out of range, or parts that do not fit."""


class UsageTypeError(UsageError, TypeError):
    """An argument of another type than a call takes."""


class NonFiniteError(EnergyError, ValueError):
    """A number that is NaN or infinite, named before it reaches a weight."""


class DataError(EnergyError, ValueError):
    """A data set that is missing, damaged, hostile or unusable; the message names file, fault and remedy."""


class DamagedFileError(EnergyError, ValueError):
    """A file of a run that differs from what was written; the message names the file, the place and the defect."""


class DamagedCheckpointError(DamagedFileError):
    """A checkpoint folder that differs from its manifest; the message names folder, file and defect."""


class MissingFileError(EnergyError, FileNotFoundError):
    """A file or folder of a run that is not there."""


class DiskError(EnergyError, OSError):
    """A file of a run that the system refuses, such as on a full disk; the message names it, why, and what is left."""


class LockedFolderError(EnergyError, RuntimeError):
    """A run folder that another process is training in."""


class LostRankError(EnergyError, RuntimeError):
    """A process of a training on several that has ended, or does not answer; the message names it."""


class MissingDependencyError(EnergyError, ImportError):
    """A package that is not installed; the message names the extra that installs it."""


class OutOfMemory(EnergyError, MemoryError, RuntimeError):
    """A lack of memory; the message names the point of the run, and the settings to reduce."""


def shown(value: object, width: int = WIDTH) -> str:
    r"""Return a value as a message repeats it: on one line, without control characters, a long one cut in its middle.

    Text and paths stand as they are, anything else as `repr` gives it. Control characters, line ends and bytes that are
    no UTF-8 become escapes, so that no file can move the cursor of a terminal or add a line of its own.

    Example:
        >>> shown("a" * 500, 20)
        'aaaaaaaaaa ... aaaaa'
        >>> print(shown("two\nlines"))
        two\nlines
    """
    if isinstance(value, str | PurePath):
        text = str(value)
    else:
        try:
            text = repr(value)
        except (ValueError, RecursionError):  # a whole number of more digits than Python writes, nested lists
            text = f"<{type(value).__name__} too large to be shown>"
    if len(text) > 4 * width:  # no more than is shown is escaped
        text = f"{text[: 2 * width]}{text[-2 * width :]}"
    plain = escaped(text, "")
    if len(plain) <= width and len(text) <= width:
        return plain
    tail = max(0, (width - 5) // 3)
    return f"{plain[: width - 5 - tail]} ... {plain[len(plain) - tail :]}"


def escaped(text: str, kept: str = f"\n{SPACES}") -> str:
    """Write what a terminal would obey, and what turns or hides letters, as an escape; ends of lines and spaces stay.

    Args:
        text: any text, also one that is no UTF-8.
        kept: the letters that stay though they are not printable.

    Example:
        >>> escaped("a\\x1b[31mb")
        'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else _as_escape(one) for one in text)


def _as_escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
