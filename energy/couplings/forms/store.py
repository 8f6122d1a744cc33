"""Choices in a file: JSON, by torch and processor and then by map, so that one file may serve several machines."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from energy.errors import DamagedFileError
from energy.io.atomic import write_text
from energy.io.plain import json_object
from energy.io.plain_file import read_plain
from energy.io.provenance import device_name

LARGEST: Final = 1 << 24  # bytes of a file


@functools.cache
def environment() -> str:
    """Return what choices hold for: torch, the processor, and its widest arithmetic that torch uses."""
    capability = torch.backends.cpu.get_cpu_capability()
    tiles = " AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"torch {torch.__version__}, {device_name(torch.device('cpu'))}, {capability}{tiles}"


def cache_file() -> Path | None:
    """Return the file that processes share: `energy/kernels.json` in XDG_CACHE_HOME or `~/.cache`; None if homeless."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return folder / "energy" / "kernels.json"


def read_choices(path: Path) -> dict[str, str]:
    """Read the choices for this environment; none from a file that is missing, damaged or of another kind."""
    found = _whole(path).get(environment())
    return {str(name): str(form) for name, form in found.items()} if isinstance(found, Mapping) else {}


def write_choices(path: Path, choices: Mapping[str, str]) -> None:
    """Write these choices beside the others in `path`; without effect where that cannot be written."""
    whole = _whole(path)
    whole[environment()] = {**read_choices(path), **choices}
    try:
        write_text(path, json.dumps(whole, indent=1, sort_keys=True) + "\n")
    except (OSError, DamagedFileError):
        return


def shared_choices() -> dict[str, str]:
    """Read the choices that processes share."""
    path = cache_file()
    return {} if path is None else read_choices(path)


def share_choice(name: str, form: str) -> None:
    """Share a choice with other processes."""
    path = cache_file()
    if path is not None:
        write_choices(path, {name: form})


def _whole(path: Path) -> dict[str, Any]:
    try:
        return json_object(read_plain(path, LARGEST), str(path))
    except (OSError, ValueError):
        return {}
