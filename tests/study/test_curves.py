"""Figures of runs: of a bounded size, no two runs alike, whatever the environment says about matplotlib."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from energy.command.figures import draw_folder, draw_together
from energy.plots.seed_band import SeedBand, seed_band
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


def _run(folder: Path, objectives: list[float], seed: int = 0, **fields: Any) -> Path:
    """A run folder with a configuration and a record."""
    folder.mkdir(parents=True)
    run = {"settler": {"name": "backprop"}, "optimizer": {"lr": 0.1}, "train": {"epochs": 9}, "seed": seed, **fields}
    (folder / "configuration.json").write_text(json.dumps({"run": run}))
    lines = [{"epoch": epoch, "train_objective": number} for epoch, number in enumerate(objectives)]
    (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved."""
    import energy.plots.curves as page

    figures: list[Any] = []
    monkeypatch.setattr(page, "save", lambda figure, path: figures.append(figure) or path)
    return figures


def _legend(figure: Any) -> tuple[list[str], str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def test_seeds_are_one_line_in_a_band_from_the_least_to_the_greatest(tmp_path: Path, drawn: list[Any]) -> None:
    for seed, shift in enumerate((0.0, 1.0, 5.0)):
        _run(tmp_path / "bp" / f"seed={seed}", [3.0 + shift, 2.0 + shift], seed)
        _run(tmp_path / "dp" / f"{seed}", [1.0, 0.5], seed, settler={"name": "dual_propagation"})
    draw_together([tmp_path], [], tmp_path / "x.png")
    labels, title = _legend(drawn[0])
    assert labels == ["settler=backprop (3 seeds)", "settler=dual_propagation (3 seeds)"]
    assert title == "line: mean over the seeds; band: from the least to the greatest of them"
    axes = drawn[0].axes[0]
    first = axes.lines[0].get_xydata().tolist()
    assert first == [[1.0, 5.0], [2.0, 4.0]], "(3 + 4 + 8)/3 and (2 + 3 + 7)/3"
    corners = {tuple(corner) for corner in axes.collections[0].get_paths()[0].vertices.tolist()}
    assert {(1.0, 3.0), (1.0, 8.0), (2.0, 2.0), (2.0, 7.0)} <= corners


def test_what_not_all_seeds_have_reached_is_pale(tmp_path: Path, drawn: list[Any]) -> None:
    _run(tmp_path / "a", [4.0, 3.0, 2.0, 1.0], 0)
    _run(tmp_path / "b", [6.0, 5.0], 1)
    draw_together([tmp_path / "a", tmp_path / "b"], [], tmp_path / "x.png")
    whole, rest = drawn[0].axes[0].lines[:2]
    assert whole.get_xydata().tolist() == [[1, 5], [2, 4]] and whole.get_alpha() is None
    assert rest.get_xydata().tolist() == [[2, 4], [3, 2], [4, 1]] and rest.get_alpha() < 0.5
    labels, title = _legend(drawn[0])
    assert labels == ["a (2 seeds)"] and "pale: the mean of those seeds that came so far" in title


def test_a_band_of_runs_of_different_lengths() -> None:
    found = seed_band([[(1, 1.0), (3, 3.0)], [(1, 3.0), (2, 5.0), (3, 7.0), (4, 9.0)]])
    assert found == SeedBand([1, 2, 3, 4], [2.0, 5.0, 5.0, 9.0], [1.0, 5.0, 3.0, 9.0], [3.0, 5.0, 7.0, 9.0], 3, 2)


def test_the_legend_says_what_differs_and_nothing_else(tmp_path: Path, drawn: list[Any]) -> None:
    _run(tmp_path / "a", [1.0], optimizer={"lr": 0.1}, model={"sizes": [16, 32]})
    _run(tmp_path / "b", [1.0], optimizer={"lr": 0.2}, model={"sizes": [16]})
    draw_together([tmp_path], [], tmp_path / "x.png")
    assert _legend(drawn[0])[0] == ["lr=0.1, sizes=[16,32]", "lr=0.2, sizes=[16]"]


@pytest.mark.parametrize("count", [1, 2, 14, APART, APART + 1, 40])
def test_of_many_runs_every_named_one_has_a_look_of_its_own_and_the_others_are_counted(
    tmp_path: Path, drawn: list[Any], count: int
) -> None:
    runs = [_run(tmp_path / f"{index}", [1.0, 0.5], optimizer={"lr": 0.1 + 0.01 * index}) for index in range(count)]
    draw_together(runs, [], tmp_path / "x.png")
    labels, title = _legend(drawn[0])
    lines = [line for line in drawn[0].axes[0].lines if len(line.get_xdata())]
    assert len(lines) == count and len(labels) == len({*labels}) == min(count, APART)
    styles = [(str(line.get_color()), line.get_marker()) for line in lines]
    assert len({color for color, _ in styles[:APART]}) == min(count, APART) and all(
        marker not in ("", "None") for _, marker in styles[:APART]
    )
    assert all(color == "#BBBBBB" and marker in ("", "None") for color, marker in styles[APART:])
    assert (f"{count} lines: {count - APART} of them gray" in title) is (count > APART)


def test_conditions_choose_the_runs_of_a_figure(tmp_path: Path, drawn: list[Any]) -> None:
    for index in range(4):
        _run(tmp_path / f"{index}", [1.0], optimizer={"lr": 0.1 * (index + 1)}, title="t")
    draw_together([tmp_path], ["lr>=0.3"], tmp_path / "x.png")
    assert _legend(drawn[0])[0] == ["lr=0.3", "lr=0.4"]
