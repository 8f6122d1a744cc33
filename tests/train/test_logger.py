"""Loggers: they see what the record says, end no training, and are no part of a run."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from energy.component import Component, from_dict, to_dict
from energy.io.former import current
from energy.io.record import read_lines
from energy.network import Network
from energy.renamed import FormerNameWarning
from energy.train.board import TensorBoard
from energy.train.evaluate import evaluate
from energy.train.fit import fit
from energy.train.logger import Log, Logger, NoLogger
from energy.train.run import Run, Training, identity
from tests.train.conftest import Maker


class Kept(Log):
    """A log in memory, which fails in the method that it is told."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.told: list[tuple[str, Any]] = []

    def _tell(self, what: str, value: Any = None) -> None:
        self.told.append((what, value))
        if what == self.failing:
            raise ConnectionError("nobody\nthere")

    def epoch(self, network: Network, line: Mapping[str, Any]) -> None:
        assert isinstance(network, Network)
        self._tell("epoch", dict(line))

    def end(self, result: Mapping[str, Any]) -> None:
        self._tell("end", dict(result))

    def close(self) -> None:
        self._tell("close")


@pytest.fixture
def kept() -> Iterator[type[Logger]]:
    """A registered logger whose logs are in `opened`."""
    before = dict(Component.registry)

    class Keeping(Logger, name="keeping"):
        """Keeps everything in memory."""

        failing: str = ""
        opened: ClassVar[list[Kept]] = []

        def open(self, run: Mapping[str, Any], folder: Path, epoch: int) -> Log:
            """Open it."""
            if self.failing == "open":
                raise OSError("no such service")
            self.opened.append(Kept(self.failing))
            self.opened[-1].told.append(("open", (run["title"], folder, epoch)))
            return self.opened[-1]

    yield Keeping
    Component.registry.clear()
    Component.registry.update(before)


def test_a_logger_of_ones_own_sees_every_line_and_the_result(make_run: Maker, kept: Any) -> None:
    run = make_run(train={"logger": "keeping", "epochs": 3})
    result = fit(run)
    (log,) = kept.opened
    assert [what for what, _ in log.told] == ["open", "epoch", "epoch", "epoch", "end", "close"]
    assert log.told[0][1] == ("tiny", run.folder, 0)
    assert json.loads(json.dumps([line for what, line in log.told if what == "epoch"])) == read_lines(
        run.folder / "record.jsonl"
    )
    assert log.told[-2][1] == result


def test_a_run_that_is_broken_off_closes_its_log_and_tells_where_it_goes_on(make_run: Maker, kept: Any) -> None:
    run = make_run(train={"logger": "keeping", "epochs": 2, "batch_size": 60, "time_limit": 1e-9})
    for _ in range(20):
        try:
            fit(run)
            break
        except SystemExit:
            assert kept.opened[-1].told[-1] == ("close", None)
    first, *others = [log.told[0][1][2] for log in kept.opened]
    assert first == 0 and max(others) >= 1, "the epoch that it goes on with"
    done = [line["epoch"] for log in kept.opened for what, line in log.told if what == "epoch"]
    assert done == [0, 1], "each epoch is told once"


@pytest.mark.parametrize("failing", ["open", "epoch", "end", "close"])
def test_a_logger_that_fails_ends_no_training(
    make_run: Maker, kept: Any, final_tensors: Any, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    plain = make_run("plain")
    fit(plain)
    capsys.readouterr()
    run = make_run("logged", train={"logger": {"name": "keeping", "failing": failing}, "strict": True})
    fit(run)
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    text = "OSError: no such service" if failing == "open" else "ConnectionError: nobody there"
    assert said == [
        f"tiny: warning: train.logger=keeping: failed ({text}); the run goes on without it, and its record is whole"
    ]
    assert final_tensors(run) == final_tensors(plain)
    if failing != "open":
        told = [what for what, _ in kept.opened[-1].told]
        assert told.count(failing) == 1, "it is not asked again"
        assert told[-1] == "close" and told.count("close") == 1


def test_a_logger_is_no_part_of_a_run(make_run: Maker, kept: Any) -> None:
    plain, logged = make_run(), make_run(train={"logger": {"name": "keeping", "failing": "end"}})
    assert identity(plain) == identity(logged) and "plugins" not in identity(logged)
    fit(logged)
    del Component.registry["logger", "keeping"]
    assert (
        evaluate(logged.folder)["accuracy"] == json.loads((logged.folder / "result.json").read_text())["test_accuracy"]
    )
    assert fit(plain)["key"], "the same folder, without the logger, is the same run"


def test_the_former_name_is_taken_with_a_warning(make_run: Maker) -> None:
    plain = to_dict(make_run())["train"]
    del plain["logger"]
    with pytest.warns(
        FormerNameWarning, match=r"^train\.tensorboard: goes in version 0\.3; say train\.logger=tensorboard$"
    ):
        assert from_dict(Training, {**plain, "tensorboard": True}).logger == TensorBoard()
    with pytest.warns(FormerNameWarning, match="say train.logger=none"):
        assert from_dict(Training, {**plain, "tensorboard": False}).logger == NoLogger()
    with pytest.warns(FormerNameWarning):
        both = from_dict(Training, {**plain, "logger": "none", "tensorboard": True})
    assert both.logger == NoLogger(), "of both the present name counts"


def test_the_command_line_says_so_in_one_line() -> None:
    words = ["-m", "energy", "train", "train.tensorboard=true", "model.sizes=[4]", "--dry-run"]
    said = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    assert said.stderr == "energy: warning: train.tensorboard: goes in version 0.3; say train.logger=tensorboard\n"
    assert json.loads(said.stdout)["train"]["logger"] == {"name": "tensorboard"}


@pytest.mark.parametrize(("former", "present"), [(True, "tensorboard"), (False, "none")])
def test_a_run_folder_under_the_former_name_is_read_in_silence(make_run: Maker, former: bool, present: str) -> None:
    plain = to_dict(make_run())
    del plain["train"]["logger"]
    plain["train"]["tensorboard"] = former
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_dict(Run, current(Run, plain), path="").train.logger.name == present


def test_no_logger_keeps_nothing(tmp_path: Path) -> None:
    log = NoLogger().open({}, tmp_path, 0)
    log.readout({"epoch": 0})
    log.close()
    assert not list(tmp_path.iterdir())
