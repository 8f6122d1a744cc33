"""A terminal made of text: what a screen of so many columns holds once a program has written, and where it tore."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SEQUENCE = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])")


@dataclass
class Screen:
    """Lines of ``columns`` places, written to from left to right.

    Attributes:
        lines: what stands in each.
        wrapped: lines that were longer than the screen is wide, and went on below.
        torn: lines that were left while an older text still stood behind the new one.
    """

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    wrapped: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    place: int = 0

    def write(self, text: str) -> None:
        """Take what a program prints."""
        position, text = 0, text.replace("\r\n", "\n")  # as a terminal is told to begin a line
        while position < len(text):
            found = SEQUENCE.match(text, position)
            if found:
                assert found[2] in "Km", f"a sequence this screen does not know: {found[0]!r}"
                if found[2] == "K":
                    self.lines[-1] = self.lines[-1][: self.place]
                position = found.end()
                continue
            self._put(text[position])
            position += 1

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.place = 0
        elif letter == "\n":
            if self.lines[-1][self.place :].strip():
                self.torn.append(self.lines[-1])
            self.lines.append("")
            self.place = 0
        else:
            if self.place == self.columns:
                self.wrapped.append(self.lines[-1])
                self.lines.append("")
                self.place = 0
            line = self.lines[-1].ljust(self.place)
            self.lines[-1] = line[: self.place] + letter + line[self.place + 1 :]
            self.place += 1

    @property
    def text(self) -> list[str]:
        """The lines, without blanks at their ends and empty ones at the end."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip().split("\n")


def shown(words: Sequence[str], columns: int, environment: Mapping[str, str] | None = None) -> tuple[Screen, int, str]:
    """Run a command on a terminal of ``columns``: the screen at the end, the exit status, and all that was written."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    child = subprocess.Popen(
        words, stdin=follower, stdout=follower, stderr=follower, env={**os.environ, **(environment or {})}
    )
    os.close(follower)
    written = bytearray()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    status = child.wait(timeout=30)
    text = written.decode()
    screen = Screen(columns)
    screen.write(text)
    return screen, status, text
