"""What several ranks cannot do, and networks whose gradients would reach nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DataParallel

from energy import exchange, ranks
from energy.cli import main
from energy.component import ConfigurationError, from_dict
from energy.errors import LostRankError, UsageError, UsageTypeError
from energy.objectives import SquaredError
from energy.rules import Contrast
from energy.settle import DualPropagation
from energy.train.registration import register_builtins
from energy.train.run import Run
from energy.train.together import require_together
from tests.ranks.cases import batch, dense
from tests.ranks.conftest import Start, ended
from tests.ranks.slow import PATIENCE


def test_a_wrapped_network_is_refused() -> None:
    network = dense()
    wrapped, (x, target) = DataParallel(network), batch(network, 4, 0)
    with pytest.raises(UsageTypeError, match=r"wrapped in DataParallel.*pass the network itself"):
        Contrast().learn(wrapped, DualPropagation(), x, target, SquaredError())  # type: ignore[arg-type]
    with pytest.raises(UsageTypeError, match="DataParallel"):
        DualPropagation().settle(wrapped, x, target, SquaredError())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"train": {"batch_size": 3}}, r"train\.batch_size=3: must be at least 1 for each of 4 ranks"),
        ({"settler": {"name": "equilibrium_propagation", "warm_starts": 10}}, r"settler\.warm_starts=10"),
        (
            {"settler": {"name": "equilibrium_propagation", "relax": {"name": "adaptive_flow"}}},
            r"settler\.relax=adaptive_flow: needs one process",
        ),
        (
            {"settler": {"name": "equilibrium_propagation", "nudged": {"name": "adaptive_flow"}}},
            r"settler\.nudged=adaptive_flow: needs one process",
        ),
    ],
)
def test_conditions_of_a_training(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], named: str) -> None:
    register_builtins()
    parts = {
        name: {"name": kind} for name, kind in (("model", "mlp"), ("data", "digits"), ("objective", "squared_error"))
    }
    run = from_dict(Run, {**parts, "settler": {"name": "dual_propagation"}, **fields}, path="")
    require_together(run)
    monkeypatch.setattr(ranks, "here", lambda: ranks.Ranks(0, 4))
    with pytest.raises(ConfigurationError, match=named):
        require_together(run)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 7, 8, 64])
def test_shares_are_a_division(monkeypatch: pytest.MonkeyPatch, size: int, count: int) -> None:
    rows = list[int]()
    for number in range(count):
        monkeypatch.setattr(ranks, "here", lambda number=number: ranks.Ranks(number, count))
        mine = range(size)[ranks.share(size)]
        assert size // count <= len(mine) <= -(-size // count)
        rows += mine
    assert rows == list(range(size))


def test_outside_of_a_group_there_is_one() -> None:
    tensor = torch.tensor([1.0, 2.0])
    assert (
        exchange.sum_of_all([tensor])[0] is tensor
        and exchange.count_of_all(3) == 3
        and exchange.value_of_first("x") == "x"
    )
    assert ranks.here() == ranks.ONE and ranks.here().speaks and not ranks.here().several


def test_the_size_of_the_group_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert ranks.asked() == 1  # no launcher
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="WORLD_SIZE='two'"):
        ranks.asked()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "-m", "seed=0,1"], "energy: train -m: is for one process, and 2 were started (WORLD_SIZE)"),
        (["train", "launcher=local"], "energy: launcher=local: starts processes itself, and 2 were started already"),
        (["study", "experiment=inference_cost/hopfield"], "energy: study: is for one process"),
        (["compare", "experiment=demo"], "energy: compare: is for one process"),
        (["repro", "softhebb"], "energy: repro: is for one process"),
        (["evaluate", "runs/first"], "energy: evaluate: is for one process"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_ranks_share_one_training_only(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(words) == 2
        told = capsys.readouterr().err
        assert told.startswith(named) if rank == "0" else told == ""
    assert not list(tmp_path.iterdir())


def test_an_ended_process_is_named() -> None:
    there = (socket.gethostname(), os.getpid())
    gone = (socket.gethostname(), 2**22 + 7)  # above the greatest process number
    with (
        pytest.raises(LostRankError, match=r"rank 1 \(process 4194311\) of 2 has ended"),
        ranks.heard(ranks.Ranks(0, 2, None, (there, gone))),
    ):
        raise RuntimeError("connection closed")


def test_a_process_that_nobody_has_asked_after_has_ended_too() -> None:
    """A rank that was killed stays in the table of processes until its parent looks."""
    with subprocess.Popen(["sleep", "60"]) as child:
        here = ranks.Ranks(0, 2, None, ((socket.gethostname(), os.getpid()), (socket.gethostname(), child.pid)))
        with pytest.raises(LostRankError, match=r"a rank of 2 did not answer \(connection closed\)"), ranks.heard(here):
            raise RuntimeError("connection closed")
        os.kill(child.pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while Path(f"/proc/{child.pid}/stat").read_text().split()[2] != "Z" and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(LostRankError, match=rf"rank 1 \(process {child.pid}\) of 2 has ended"), ranks.heard(here):
            raise RuntimeError("connection closed")


@pytest.mark.parametrize(("rank", "speaks"), [(None, True), ("0", True), ("1", False), ("3", False)])
def test_before_they_join_all_but_the_first_are_silent(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, speaks: bool
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert ranks.here().speaks is speaks and not ranks.here().several
    with ranks.separately():
        assert ranks.here().speaks is speaks


def test_each_rank_has_the_gpu_of_its_number_on_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sixth of eight ranks is the second on a host with four GPUs."""
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert str(ranks.own_device(torch.device("cuda"))) == "cuda:1"
    assert [str(ranks.own_device(torch.device(name))) for name in ("cuda:3", "cpu")] == ["cuda:3", "cpu"]
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert str(ranks.own_device(torch.device("cuda"))) == "cuda"


def test_a_slow_rank_is_waited_for_as_long_as_patience_lasts(start: Start) -> None:
    """It counts as lost after that, and finds the others gone when it comes."""
    (code, said, _), (other_code, other_said, _) = ended(start(["-m", "tests.ranks.slow"]), 90)
    first, second = (line.split(maxsplit=2) for line in said.splitlines())
    assert first[0] == "1" and 0.5 < float(first[1]) < PATIENCE and first[2] == "[0, 1]"
    assert second[0] == "2" and float(second[1]) == pytest.approx(PATIENCE, abs=2.5)
    assert second[2].startswith("a rank of 2 did not answer in time")
    last = other_said.splitlines()[-1].split(maxsplit=2)
    assert last[0] == "2" and last[2].startswith("rank 0 (process ") and last[2].endswith("of 2 has ended")
    assert (code, other_code) == (7, 7)
