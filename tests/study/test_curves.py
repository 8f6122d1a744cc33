"""Figures of runs: of a bounded size, no two runs alike, whatever the environment says about matplotlib."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from energy.command.figures import draw_folder
from energy.plots.style import APART, apart, looks
from tests.docs.pages import ROOT


def _runs(top: Path, count: int, layers: int = 0) -> Path:
    for index in range(count):
        lines = []
        for epoch in range(3):
            units = {
                f"conv{k}": {"norm": k + epoch, "never_win": index, "entropy": 1.0, "entropy_limit": 2.0}
                for k in range(layers)
            }
            line: dict[str, Any] = {"epoch": epoch, "train_objective": 1 / (epoch + 1 + index), "cosine_worst": 0.9}
            lines.append(
                line | {"train_accuracy": 50.0, "validation_accuracy": 40.0 + index} | {"unit_diagnostics": units}
            )
        folder = top / f"seed={index},settler=dual_propagation,model.sizes=[{16 + index}],{'long' * 20}"
        folder.mkdir(parents=True)
        (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return top


def _size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[16:24]
    return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")


@pytest.mark.parametrize(
    ("count", "layers"), [(1, 0), (3, 0), (14, 3), (40, 0), pytest.param(120, 5, marks=pytest.mark.slow)]
)
def test_a_figure_of_many_runs_has_a_bounded_size(tmp_path: Path, count: int, layers: int) -> None:
    (path,) = draw_folder(_runs(tmp_path / "runs", count, layers))
    wide, high = _size(path)
    assert wide <= 2400 and high <= 1700


@pytest.mark.parametrize("count", [1, 2, 8, 9, 14, APART, APART + 1, 40])
def test_no_two_runs_look_alike(count: int) -> None:
    found = looks([f"run {index}" for index in range(count)])
    assert len({(str(look.color), look.marker) for look in found.values()}) == count


def test_labels_lose_what_they_share_and_stay_apart() -> None:
    assert apart(["seed=0,lr=0.1", "seed=1,lr=0.1"], 20) == ["seed=0", "seed=1"]
    assert apart(["only,one"], 20) == ["only,one"]
    cut = apart([f"{'a' * 40}{index}{'b' * 40}" for index in range(12)], 10)
    assert len(set(cut)) == 12 and max(map(len, cut)) <= 10


def test_a_run_that_has_no_epoch_yet_is_left_out(tmp_path: Path) -> None:
    top = _runs(tmp_path / "runs", 2)
    (top / "begun").mkdir()
    (top / "begun" / "record.jsonl").touch()
    assert [path.name for path in draw_folder(top)] == ["curves.png"]


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", pytest.param("nonsense", marks=pytest.mark.slow)]
)
def test_no_backend_of_the_environment_is_loaded(tmp_path: Path, backend: str) -> None:
    top = _runs(tmp_path / "runs", 1)
    program = (
        "import sys\nfrom energy.cli import main\n"
        "status = main(['plot', sys.argv[1]])\nassert 'matplotlib.pyplot' not in sys.modules\nsys.exit(status)"
    )
    env = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(top)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (top / "curves.png").is_file()


def test_the_backend_of_who_draws_later_is_theirs() -> None:
    program = (
        "from energy.plots.style import canvas\nwith canvas(1, 2, 2): pass\n"
        "import matplotlib, os\nprint(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    )
    env = {**os.environ, "MPLBACKEND": "svg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["svg", "svg"]
