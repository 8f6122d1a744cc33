"""Keep what this version writes: `python -m tests.train.keep_release [NAME]`, once a release.

A folder of `releases` holds a finished run of two epochs on the digits, its weights exported, and how it scored; it is
never changed.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from energy import __version__
from energy.component import from_dict
from energy.train.export import export
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run

RELEASES: Final = Path(__file__).with_name("releases")
EXPECTED: Final = "expected.json"
EXPORTED: Final = "weights.safetensors"
LARGEST: Final = 100_000  # bytes of a file
DESCRIPTION: Final = {
    "title": "release",
    "device": "cpu",
    "model": {"name": "mlp", "sizes": [12], "hidden": {"name": "hard_sigmoid"}},
    "data": {"name": "digits"},
    "settler": {"name": "dual_propagation"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"epochs": 2, "batch_size": 20, "progress": False, "probe_batch": 8},
}


def keep(folder: Path) -> None:
    """Train, export and score in a new `folder`.

    Raises:
        FileExistsError: if it is there; what a release wrote stays as it is.
    """
    folder.mkdir(parents=True)
    register_builtins()
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "run"
        result = fit(from_dict(Run, {**DESCRIPTION, "out": str(out)}, path=""))
        export(out, folder / EXPORTED)
        shutil.copytree(out, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    expected = {name: result[name] for name in ("test_accuracy", "test_objective")}
    (folder / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    keep(RELEASES / (sys.argv[1] if len(sys.argv) > 1 else __version__))
