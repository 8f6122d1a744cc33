"""The origin of a number: commit, device, versions, threads."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

import torch

import energy
from energy.ranks import here

COUNTED: Final = (":(top)", ":(top,exclude)paper_repro", ":(top,exclude,glob)**/*.md")  # records and tables aside


def provenance(device: torch.device) -> dict[str, Any]:
    """Return the facts on machine and code for the record; none of them changes a result on purpose."""
    return {
        "commit": commit(),
        "energy": energy.__version__,
        "device": str(device),
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "ranks": here().count,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def device_name(device: torch.device) -> str:
    """Return the name of the accelerator, or of the processor as the system gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def commit(folder: Path | None = None) -> str:
    """Return the commit of the source tree of this library, followed by `-dirty` if tracked files differ.

    Texts and the folder `paper_repro`, which the runs of its own cells change, are left out of this. Empty outside a
    repository, or in one that does not track this library. Hooks and file monitors of the repository are turned off.
    """
    source = Path(energy.__file__).resolve() if folder is None else folder / "energy" / "__init__.py"
    if not _git(source.parent, "ls-files", "--error-unmatch", source.name):
        return ""
    head = _git(source.parent, "rev-parse", "--verify", "HEAD")
    changed = _git(source.parent, "status", "--porcelain", "--untracked-files=no", "--", *COUNTED)
    return f"{head}-dirty" if head and changed else head


def _git(folder: Path, *words: str) -> str:
    """The output of one read-only git command, empty when git is missing or refuses."""
    safe = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "--no-optional-locks"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *safe, *words], cwd=folder, env=clean, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
