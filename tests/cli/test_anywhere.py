"""The command line wherever it is started: other packages of our names, other environments, other ways in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

TINY = ["model.sizes=[4]", "data.limit=100", "train.epochs=1", "train.probe_every=0", "train.progress=false"]


def _started(words: list[str], place: Path, **changes: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **changes}
    return subprocess.run([sys.executable, *words], cwd=place, env=env, capture_output=True, text=True, check=False)


def test_python_m_energy_is_energy(tmp_path: Path) -> None:
    done = _started(["-m", "energy"], tmp_path)
    assert done.returncode == 2 and "energy train" in done.stderr
    assert _started(["-m", "energy", "--version"], tmp_path).returncode == 0


@pytest.mark.parametrize(
    "kind", ["package", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("file", "folder"))]
)
def test_ours_are_found_beside_those_of_the_user(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "models.py").write_text("MINE = 1\n")
    else:
        for name in ("models", "configs"):
            (tmp_path / name).mkdir()
        if kind == "package":
            (tmp_path / "models" / "__init__.py").write_text("MINE = 1\n")
    program = (
        f"from energy.cli import main\nassert main({['train', *TINY, 'out=r']!r}) == 0\n"
        "from pathlib import Path\nfrom energy.train.evaluate import load_run\n"
        "run, network, _ = load_run(Path('r'))\nprint(type(run.model).__name__, len(network.layers))"
    )
    if kind != "folder":  # one without __init__.py gives way to any package on the path
        program += "\nimport models\nprint(models.MINE)"
    (tmp_path / "own.py").write_text(program)
    done = _started(["own.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = ["MLP", "2", *([] if kind == "folder" else ["1"])]
    assert done.stdout.split()[-len(wanted) :] == wanted
    if kind != "package":
        done = _started(["-m", "energy", "train", *TINY, "out=again"], tmp_path)
        assert done.returncode == 0, done.stderr


def test_a_models_of_ones_own_that_was_imported_before_stays(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("MINE = 1\n")
    program = (
        "import models\nfrom energy.cli import main\nstatus = main(['explain', 'mlp'])\n"
        "assert models.MINE and __import__('sys').modules['models'] is models\nraise SystemExit(status)"
    )
    (tmp_path / "own.py").write_text(program)
    done = _started(["own.py"], tmp_path)
    assert done.returncode == 0 and "energy.models.mlp.MLP" in done.stdout, done.stderr


NOTEBOOK = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "COLUMNS": "abc", "LINES": "-1"}
BARE = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNINGS": "error"}
ASCII = {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "nonsense"}


@pytest.mark.parametrize(
    "changes",
    [{**NOTEBOOK, **BARE}, *(pytest.param(one, marks=pytest.mark.slow) for one in (NOTEBOOK, BARE, ASCII))],
    ids=["both", "notebook", "bare", "ascii"],
)
def test_no_environment_costs_a_comparison_at_its_end(tmp_path: Path, changes: dict[str, str]) -> None:
    quick = ["settlers=[backprop]", "seeds=[0,1]", "timing_rounds=1", "timing_seconds=1", *TINY]
    done = _started(["-m", "energy", "compare", *quick, "out=c"], tmp_path, **changes)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("compare: mlp on digits, one epoch, 2 seeds: backprop; 2 trainings into c")
    assert (tmp_path / "c" / "compare.json").is_file() and "backprop" in done.stdout
