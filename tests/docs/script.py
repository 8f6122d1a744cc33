"""The commands of a shell block, as the shell sees them: loops, functions and variables expanded, nothing run."""

import subprocess
from pathlib import Path
from typing import Final

WRITTEN: Final = """
energy() { printf '%s\\0' energy "$@" $'\\n' >&3; }
python() { printf '%s\\0' python "$@" $'\\n' >&3; }
command_not_found_handle() { echo "$1: is neither energy nor python" >&2; exit 127; }
set -eu
"""


def calls(text: str, folder: Path) -> list[list[str]]:
    """The words of every call of `energy` and `python` that the block makes, in their order.

    Args:
        text: the block. It is read by bash in an empty environment, so only words of the shell itself do anything.
        folder: an empty folder to be in.

    Raises:
        ValueError: for a block that bash refuses, or that calls another program.
    """
    file = folder / "calls"
    command = ["/bin/bash", "-c", f"exec 3>{file}\n{WRITTEN}{text}\n"]
    done = subprocess.run(command, cwd=folder, env={"PATH": ""}, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr or done.stdout:
        raise ValueError(f"a block of commands does not run: {done.stderr or done.stdout or done.returncode}")
    ended = file.read_text(encoding="utf-8").split("\n\0")
    return [words.removesuffix("\0").split("\0") for words in ended if words]
