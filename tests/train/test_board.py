"""TensorBoard: what is read back from the event file is what the record and the weights say."""

import sys
from typing import Any

import pytest

from energy.component import ConfigurationError, to_dict
from energy.io.record import BOARD, read_lines
from energy.train.board import Board
from energy.train.fit import fit
from energy.train.logger import numbers
from energy.train.run import Run, identity
from tests.train.conftest import Maker


def _events(run: Run) -> Any:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    return EventAccumulator(
        str(run.folder / BOARD), size_guidance={"images": 0, "histograms": 0, "scalars": 0}
    ).Reload()


@pytest.fixture
def shown(make_run: Maker) -> tuple[Run, Any]:
    pytest.importorskip("tensorboard")
    run = make_run(train={"logger": "tensorboard", "epochs": 3, "probe_every": 2})
    fit(run)
    return run, _events(run)


def test_every_number_of_every_line_is_a_scalar(shown: tuple[Run, Any]) -> None:
    run, events = shown
    lines = read_lines(run.folder / "record.jsonl")
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    wanted: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in numbers(line):
            wanted.setdefault(name, []).append((line["epoch"], value))
    assert {"validation_accuracy", "settle/nudged/sweeps_mean", "cosines/output", "seconds/step"} <= set(wanted)
    for name, points in wanted.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points]
        assert [value for _, value in found] == pytest.approx([value for _, value in points], rel=1e-6)


def test_weights_and_norms_are_histograms_and_filters_are_shown_at_probes(shown: tuple[Run, Any]) -> None:
    run, events = shown
    network = run.network()
    for layer, edge in zip(network.layers, network.edges, strict=True):
        weight = edge.coupling.get_parameter("weight")
        for name, count in ((f"weights/{layer.name}", weight.numel()), (f"norms/{layer.name}", len(weight))):
            found = events.Histograms(name)
            assert [event.step for event in found] == [0, 1, 2]
            assert all(event.histogram_value.num == count for event in found)
    pictures = events.Images("filters")
    assert [event.step for event in pictures] == [0, 2]
    assert (pictures[0].width, pictures[0].height) == (37 * 9, 28 * 9)  # 12 filters of 8×8 in 4 columns, 3 rows


def test_the_configuration_stands_beside_the_result(shown: tuple[Run, Any]) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    _, events = shown
    kind = plugin_data_pb2.HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue] (a generated module)
    data = kind.FromString(events.summary_metadata["_hparams_/session_start_info"].plugin_data.content)
    chosen = data.session_start_info.hparams
    assert chosen["optimizer/lr"].number_value == 0.1 and chosen["settler/name"].string_value == "dual_propagation"
    assert chosen["model/sizes"].string_value == "[12]" and "out" not in chosen
    assert events.Scalars("result/test_accuracy")[0].value > 0


def test_the_board_changes_nothing_of_the_run(make_run: Maker, final_tensors: Any, timeless: Any) -> None:
    pytest.importorskip("tensorboard")
    plain, shown = make_run("plain"), make_run("shown", train={"logger": "tensorboard"})
    assert identity(plain) == identity(shown)
    fit(plain)
    fit(shown)
    assert final_tensors(plain) == final_tensors(shown)
    assert timeless(plain.folder) == timeless(shown.folder)
    assert not (plain.folder / BOARD).exists() and (shown.folder / BOARD).is_dir()


def test_a_read_out_is_shown_too(make_run: Maker) -> None:
    pytest.importorskip("tensorboard")
    run = make_run(
        model={"name": "softhebb", "channels": [4], "kernels": [3], "powers": [1.0], "pools": ["none"]},
        rule={"name": "softhebb"},
        settler={"name": "feedforward"},
        readout={"name": "linear", "epochs": 3},
        train={"logger": "tensorboard"},
    )
    fit(run)
    events, lines = _events(run), read_lines(run.folder / "readout.jsonl")
    found = [event.value for event in events.Scalars("readout/train_accuracy")]
    assert found == pytest.approx([line["train_accuracy"] for line in lines]) and len(found) == 3
    assert [event.step for event in events.Scalars("unit_diagnostics/conv1/norm")] == [0, 1]


def test_epochs_that_are_done_again_are_shown_once(make_run: Maker) -> None:
    """A run that wrote epochs 0 to 2 and went on from a checkpoint after epoch 0."""
    pytest.importorskip("tensorboard")
    run = make_run()
    network = run.network()
    for start, values in ((0, {0: 1.0, 1: 2.0, 2: 3.0}), (1, {1: 5.0})):
        board = Board(to_dict(run), run.folder, start)
        for epoch, value in values.items():
            board.epoch(network, {"epoch": epoch, "train_objective": value})
        board.close()
    found = _events(run).Scalars("train_objective")
    assert [(event.step, event.value) for event in found] == [(0, 1.0), (1, 5.0)]


def test_without_the_package_it_is_one_line_and_nothing_is_written(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    run = make_run(train={"logger": "tensorboard"})
    with pytest.raises(
        ConfigurationError, match=r"^train.logger=tensorboard: needs the package tensorboard, which the extra"
    ):
        fit(run)
    assert not run.folder.exists()


def test_numbers_are_finite_and_named_by_their_path() -> None:
    line = {"epoch": 3, "a": {"b": 1, "c": None, "d": float("nan")}, "e": 2.5, "f": "text", "g": True, "h": [1, 2]}
    assert dict(numbers(line)) == {"a/b": 1, "e": 2.5}
