"""Weights & Biases, with a module in its place that writes down what it is told."""

import sys
import types
from typing import Any

import pytest

from energy.component import ConfigurationError, from_dict
from energy.io.record import read_lines
from energy.train.fit import fit
from energy.train.logger import Logger, numbers
from energy.train.registration import register_builtins
from energy.train.wandb_log import WeightsAndBiases
from tests.train.conftest import Maker


class Begun:
    """The run of a service that keeps what it is sent."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.summary, self.offline = asked, dict[str, Any](), asked["mode"] == "offline"
        self.logged: list[tuple[dict[str, Any], int | None]] = []
        self.metrics: list[tuple[str, str]] = []
        self.finished: list[int] = []

    @property
    def url(self) -> str:
        assert not self.offline, "wandb warns when an offline run is asked for it"
        return "https://service/run"

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        assert not self.finished
        self.logged.append((values, step))

    def define_metric(self, name: str, step_metric: str) -> None:
        self.metrics.append((name, step_metric))

    def finish(self, exit_code: int) -> None:
        self.finished.append(exit_code)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> list[Begun]:
    """The runs that were begun with the module in place of wandb."""
    begun: list[Begun] = []
    module = types.ModuleType("wandb")

    def init(**asked: Any) -> Begun:
        begun.append(Begun(asked))
        return begun[-1]

    module.init, module.Settings = init, lambda **said: said  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return begun


def test_every_number_of_the_record_is_sent(make_run: Maker, service: list[Begun]) -> None:
    run = make_run(train={"logger": {"name": "wandb", "project": "p"}, "epochs": 3})
    result = fit(run)
    (sent,) = service
    assert sent.asked["project"] == "p" and sent.asked["name"] == "tiny" and sent.asked["entity"] is None
    assert sent.asked["config"]["optimizer"]["lr"] == 0.1 and sent.asked["dir"] == str(run.folder)
    assert sent.asked["settings"]["console"] == "off", "its lines stay ours"
    lines = read_lines(run.folder / "record.jsonl")
    assert [step for _, step in sent.logged] == [0, 1, 2]
    for (values, _), line in zip(sent.logged, lines, strict=True):
        assert values == pytest.approx(dict(numbers(line)))
    assert sent.summary["result/test_accuracy"] == result["test_accuracy"]
    assert sent.finished == [0]


@pytest.mark.parametrize(("sending", "mode"), [("auto", None), ("online", "online"), ("offline", "offline")])
def test_the_mode_is_the_environments_unless_it_is_said(
    make_run: Maker, service: list[Begun], sending: str, mode: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(make_run(train={"logger": {"name": "wandb", "sending": sending}, "epochs": 1, "progress": True}))
    assert service[0].asked["mode"] == mode, "None leaves WANDB_MODE to wandb"
    assert service[0].finished == [0]
    assert ("tiny: shown at https://service/run" in capsys.readouterr().err) is (mode != "offline")


def test_a_continued_run_is_the_same_run_there(make_run: Maker, service: list[Begun]) -> None:
    run = make_run(train={"logger": "wandb", "epochs": 2, "batch_size": 60, "time_limit": 1e-9})
    for _ in range(20):
        try:
            fit(run)
            break
        except SystemExit:
            assert service[-1].finished == [1], "broken off"
    assert len(service) > 1 and service[-1].finished == [0]
    assert {sent.asked["resume"] for sent in service} == {"allow"}
    (identity,) = {sent.asked["id"] for sent in service}
    other = make_run("other", train={"logger": "wandb", "epochs": 1})
    fit(other)
    assert service[-1].asked["id"] != identity


def test_a_read_out_has_steps_of_its_own(make_run: Maker, service: list[Begun]) -> None:
    run = make_run(
        model={"name": "softhebb", "channels": [4], "kernels": [3], "powers": [1.0], "pools": ["none"]},
        rule={"name": "softhebb"},
        settler={"name": "feedforward"},
        readout={"name": "linear", "epochs": 2},
        train={"logger": "wandb", "epochs": 1},
    )
    fit(run)
    lines = read_lines(run.folder / "readout.jsonl")
    sent = [values for values, step in service[0].logged if step is None]
    assert [values["readout/epoch"] for values in sent] == [0, 1]
    assert [values["readout/train_accuracy"] for values in sent] == [line["train_accuracy"] for line in lines]
    assert service[0].metrics == [("readout/*", "readout/epoch")]


def test_a_service_that_is_not_there_ends_no_training(
    make_run: Maker, service: list[Begun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**asked: Any) -> Begun:
        raise TimeoutError("no answer after 60 s")

    monkeypatch.setattr(sys.modules["wandb"], "init", fail)
    assert fit(make_run(train={"logger": "wandb", "epochs": 1}))["epochs"] == 1
    said = capsys.readouterr().err
    assert said.count("warning: train.logger=wandb: failed (TimeoutError: no answer after 60 s)") == 1


@pytest.mark.parametrize("found", [None, types.ModuleType("wandb")], ids=["nothing", "a folder of that name"])
def test_without_the_package_it_is_one_line_and_nothing_is_written(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, found: types.ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", found)
    run = make_run(train={"logger": "wandb"})
    with pytest.raises(ConfigurationError, match=r"^train\.logger=wandb: needs the package wandb, which the extra"):
        fit(run)
    assert not run.folder.exists()


@pytest.mark.parametrize(("field", "value"), [("timeout", 0.0), ("timeout", float("nan")), ("project", "")])
def test_fields_out_of_range_are_refused(field: str, value: Any) -> None:
    register_builtins()
    with pytest.raises(ConfigurationError, match=rf"logger\.{field}="):
        from_dict(Logger, {"name": "wandb", field: value})
    assert WeightsAndBiases().timeout > 0
