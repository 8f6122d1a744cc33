"""The pictures of a finished run: measured from its weights, kept in one file, drawn from that file."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energy.cli import main
from energy.command.figures import draw_folder
from energy.component import from_dict
from energy.data.digits import Digits
from energy.errors import DataError
from energy.io.figure_data import FIGURE_DATA, read_figure_data, write_figure_data
from energy.plots.curves import draw_curves
from energy.train.evaluate import load_run
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run

LOCAL: dict[str, Any] = {
    "model": {
        "name": "softhebb",
        "channels": [6],
        "kernels": [3],
        "powers": [1.0],
        "pools": ["max_2_2_0"],
        "dense": [5],
        "radius": 5.0,
    },
    "data": {"name": "digits", "limit": 120},
    "settler": "feedforward",
    "rule": {"name": "softhebb", "rate": 0.1},
    "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0},
    "readout": {"name": "ridge"},
    "train": {"epochs": 2, "batch_size": 20, "progress": False},
    "title": "tiny",
}
PICTURES = ["curves.png", "filters.png", "receptive.png", "units.png", "features.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two layers that learn without feedback, with its pictures."""
    pytest.importorskip("matplotlib")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    register_builtins()
    folder = tmp_path_factory.mktemp("pictures") / "run"
    fit(from_dict(Run, {**LOCAL, "out": str(folder)}, path=""))
    assert [path.name for path in draw_folder(folder)] == PICTURES
    torch.set_num_threads(before)
    return folder


def test_every_picture_is_there(folder: Path) -> None:
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES)
    assert not list(folder.glob(".writing*"))


def test_the_numbers_are_those_of_the_weights(folder: Path) -> None:
    run, network, _ = load_run(folder)
    arrays, facts = read_figure_data(folder / FIGURE_DATA)
    weight = network.state_dict()["couplings.0.filters.weight"]
    norms = weight.flatten(1).norm(dim=1).numpy()
    assert facts["layers"] == ["conv1", "dense1"] and facts["split"] == "validation" and facts["title"] == "tiny"
    assert facts["laws"]["conv1"] == {"norm": 2.0, "radius": 1.0}
    peaks = weight.abs().amax((1, 2, 3), keepdim=True)
    np.testing.assert_allclose(arrays["filters"], (weight / peaks).numpy(), rtol=1e-6)
    counts, edges = arrays["norm/conv1"], arrays["norm_edges/conv1"]
    np.testing.assert_array_equal(counts, np.histogram(norms, edges)[0])
    assert edges[0] == pytest.approx(norms.min()) and edges[-1] == pytest.approx(norms.max())
    rates = 0.1 * np.abs(norms - 1) ** 0.5
    assert arrays["rate_edges/conv1"][[0, -1]] == pytest.approx([rates.min(), rates.max()], rel=1e-5)
    assert arrays["weight/conv1"].sum() == weight.numel()
    images = facts["images"]
    assert arrays["wins/conv1"].sum() == 64 * images and arrays["wins/dense1"].sum() == images
    labels = run.data.load("cpu", run.seed).validation.labels.numpy()
    np.testing.assert_array_equal(arrays["labels"], labels)
    assert arrays["principal"].shape == arrays["neighbourhoods"].shape == (images, 2)
    assert arrays["receptive/dense1"].shape == (5, 1, 8, 8)


def test_a_receptive_field_of_the_first_layer_is_its_filter(folder: Path) -> None:
    """Below, batch norm multiplies every pixel of the one channel alike; above, the mean filter is taken away."""
    weight = load_run(folder)[1].state_dict()["couplings.0.filters.weight"]
    direction = weight - weight.mean(0)
    wanted = direction / direction.abs().amax((1, 2, 3), keepdim=True)
    np.testing.assert_allclose(read_figure_data(folder / FIGURE_DATA)[0]["receptive/conv1"], wanted.numpy(), atol=1e-4)


def test_pictures_are_drawn_again_from_their_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(self: Digits) -> None:
        raise DataError("digits: are not there")

    monkeypatch.setattr(Digits, "read", absent)
    (folder / "units.png").unlink()
    assert [path.name for path in draw_folder(folder)] == PICTURES
    assert (folder / "units.png").exists()


def test_without_its_images_a_run_keeps_its_curves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("record.jsonl", "readout.jsonl", "final"):
        (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, tmp_path / name)

    def absent(self: Digits) -> None:
        raise DataError("digits: are not there")

    monkeypatch.setattr(Digits, "read", absent)
    assert main(["plot", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "curves.png")]
    assert said.err == f"No pictures of what {tmp_path} learnt: digits: are not there\n"
    assert not (tmp_path / FIGURE_DATA).exists()


def test_curves_of_layers_without_feedback(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms and winners of both layers and the read-out's accuracy take the place of objective, accuracy and cosine."""
    import energy.plots.curves as curves

    seen: list[Any] = []
    real: Callable[..., Any] = curves.curve_panels
    monkeypatch.setattr(curves, "curve_panels", lambda *records: (seen.append(real(*records)), seen[-1])[1])
    draw_curves({"run": folder}, tmp_path / "one.png")
    draw_curves({"a": folder, "b": folder}, tmp_path / "two.png")
    titles = [title for title, _, _ in seen[0]]
    assert titles == [
        "mean norm ‖w‖ of a neuron",
        "neurons that never win, percent",
        "spread of the winners",
        "read-out: accuracy, percent",
    ]
    for panels in seen:  # a folder under two labels is one run
        assert [(curve.name, curve.band.epochs, curve.band.runs) for curve in panels[0].curves] == [
            ("conv1", [1, 2], 1),
            ("dense1", [1, 2], 1),
        ]
        assert all(0 <= share <= 1 for curve in panels[2].curves for share in curve.band.mean)


def test_an_album_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays = {"a/b": np.arange(6).reshape(2, 3), "c": np.array([0.5, math.inf], dtype=np.float32)}
    path = write_figure_data(tmp_path / FIGURE_DATA, arrays, {"title": "α", "layers": []})
    found, facts = read_figure_data(path)
    assert sorted(found) == ["a/b", "c"] and facts["title"] == "α" and facts["layers"] == []
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [one.name for one in tmp_path.iterdir()] == [FIGURE_DATA]


@pytest.mark.parametrize("kind", ["text", "cut", "no facts", "another format", "objects"])
def test_what_is_no_album_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / FIGURE_DATA
    if kind == "text":
        path.write_text("not an archive")
    elif kind == "cut":
        path.write_bytes(write_figure_data(path, {"a": np.zeros(100)}, {}).read_bytes()[:-40])
    elif kind == "no facts":
        np.savez(path, a=np.zeros(3))
    elif kind == "another format":
        np.savez(path, facts=np.array('{"format": 99}'))
    else:
        np.savez(path, facts=np.array([{"format": 1}], dtype=object))
    with pytest.raises(ValueError, match=rf"{FIGURE_DATA}: no record of pictures .*remove it, and it is made again"):
        read_figure_data(path)
