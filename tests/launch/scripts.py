"""Command lines of the tests' own: small programs that need nothing of the library."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from energy.launch.command_line import CommandLine

KILLED_AT_FIRST = """
import os, pathlib, signal, sys
count = pathlib.Path(sys.argv[1])
count.write_text(count.read_text() + "x" if count.exists() else "x")
if len(count.read_text()) <= int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
print("finished", flush=True)
"""
SAVES = """
import pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def save(number, frame):
    (place / "saved").write_text(str(int(number)))
    sys.exit(128 + number)
signal.signal(signal.SIGUSR1, save)
(place / "ready").touch()
time.sleep(60)
"""
SHOWS = """
import json, os, pathlib, sys, time
begun = time.time()
time.sleep(0.3)
names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONPATH")
found = {name: os.environ.get(name) for name in names}
pathlib.Path(sys.argv[1]).write_text(json.dumps({"begun": begun, "ended": time.time(), **found}))
"""


def command(folder: Path, program: str, *words: str, gpu: bool = False) -> CommandLine:
    """A command line that runs a program, in a folder of its own."""
    return CommandLine(folder.name, (sys.executable, "-c", program, *words), folder, gpu)


def exits(folder: Path, status: int) -> CommandLine:
    """A command line that ends with a status."""
    return command(folder, f"import sys; print('said'); sys.exit({status})")


def killed_at_first(folder: Path, times: int) -> CommandLine:
    """A command line that kills itself the first few times that it is started; `folder/../NAME.count` counts them."""
    return command(folder, KILLED_AT_FIRST, str(folder.with_suffix(".count")), str(times))


def starts(one: CommandLine) -> int:
    """How often such a command line was started."""
    path = one.folder.with_suffix(".count")
    return len(path.read_text()) if path.exists() else 0


def processes(*parts: str) -> list[int]:
    """The processes in whose command lines all these texts occur; on Linux."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            text = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(part in text for part in parts):
            found.append(int(place.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is true, for a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
