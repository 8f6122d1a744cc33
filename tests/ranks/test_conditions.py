"""What several ranks cannot do, and networks whose gradients would reach nobody."""

from __future__ import annotations

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
    import os
    import socket

    there = (socket.gethostname(), os.getpid())
    gone = (socket.gethostname(), 2**22 + 7)  # above the greatest process number
    with (
        pytest.raises(LostRankError, match=r"rank 1 \(process 4194311\) of 2 has ended"),
        ranks.heard(ranks.Ranks(0, 2, None, (there, gone))),
    ):
        raise RuntimeError("connection closed")
