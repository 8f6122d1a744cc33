"""Every shipped preset and experiment composes, for the verb it is meant for, and says what it is for."""

import contextlib
import functools
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
EXPERIMENTS = sorted((CONFIGS / "experiment").rglob("*.yaml"))


FAMILIES = ("softhebb", "krotov_hopfield")  # many experiments each, all of one form
WITHOUT_LABELS = [path for path in EXPERIMENTS if path.parent.name in FAMILIES]


def sampled(paths: list[Path]) -> list[Any]:
    """The paths, of which those of families are slow but for every fourth; the published pages compose them too."""
    rare = {path for place, path in enumerate(WITHOUT_LABELS) if place % 4}
    return [pytest.param(path, marks=pytest.mark.slow) if path in rare else path for path in paths]


@functools.cache
def composed(path: Path) -> tuple[int, str, str]:
    """Status, output and errors of a dry run of an experiment, once for all that is asked of it."""
    name = path.relative_to(CONFIGS / "experiment").with_suffix("").as_posix()
    text = path.read_text(encoding="utf-8")
    verb = "study" if "\nblocks:" in text else "compare" if "\nsettlers:" in text else "train"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([verb, "--dry-run", f"experiment={name}"])
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("path", sampled(EXPERIMENTS), ids=lambda path: path.stem)
def test_experiments_compose(path: Path) -> None:
    status, out, err = composed(path)
    assert status == 0, err
    assert json.loads(out)["title"].startswith(path.stem), "tables call it by the name of the file"


@pytest.mark.parametrize("path", sampled(WITHOUT_LABELS), ids=lambda path: path.stem)
def test_layers_without_labels_learn_from_images_as_they_are(path: Path) -> None:
    """As published; some data sets shift and mirror by default."""
    data = json.loads(composed(path)[1])["data"]
    assert (data["crop"], data["flip"], data["cutout"]) == (0, False, 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_begin_with_what_they_are_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("# ") and "@package" not in line for line in lines[:2])


def test_a_settler_is_chosen_on_the_line_whatever_the_experiment(energy: Callable[[Sequence[str]], Any]) -> None:
    for settler in ("backprop", "dual_propagation", "two_phase"):
        answer = energy(["train", "--dry-run", "experiment=cifar10_small", f"settler={settler}"])
        assert answer.status == 0, answer.err
        assert json.loads(answer.out)["settler"]["name"] == settler
