"""What two ranks tell each other, against what one process adds up by itself; all of it by one pair of processes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from energy.data import Augment
from energy.ranks import Ranks
from energy.train.evaluate import score
from energy.train.metrics import EpochMetrics
from energy.train.session import Session
from tests.data.test_images import images
from tests.ranks.conftest import Start, ended
from tests.ranks.epochs import add, batches, counts, pictures, run_in, steps
from tests.ranks.pair import drives, normalized, parts


@pytest.fixture(scope="module")
def pair(start: Start, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks found."""
    file: Path = tmp_path_factory.mktemp("pair") / "found"
    ((code, _, errors),) = ended(start(["-m", "tests.ranks.pair", str(file)], 1))
    assert code == 0, errors
    return [torch.load(f"{file}.{rank}", weights_only=False) for rank in (0, 1)]


def same(found: Any, wanted: Any) -> None:
    """Equal, but for the order of additions."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            same(found[name], value)
    elif isinstance(wanted, tuple):
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-12)
    else:
        assert found == wanted


@pytest.mark.parametrize("way", ["at once", "in turn"])
@pytest.mark.parametrize("rank", [0, 1])
def test_tensors_are_added_up_whatever_their_types_and_sizes(pair: list[Any], rank: int, way: str) -> None:
    """1 + 2 times the same whole numbers, bit for bit; so many bytes that they are sent in several buckets."""
    found = pair[rank]["sums"][way]
    wanted = [one + other for one, other in zip(parts(1), parts(2), strict=True)]
    assert [one.dtype for one in found] == [one.dtype for one in wanted]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("rank", [0, 1])
def test_sums_begin_anew(pair: list[Any], rank: int) -> None:
    assert pair[rank]["sums"]["again"].tolist() == [3, 3]


@pytest.mark.parametrize("rank", [0, 1])
def test_decisions_are_those_of_all_or_of_the_first(pair: list[Any], rank: int) -> None:
    found = pair[rank]["decisions"]
    assert found["sum"] == 2**41 + 1
    assert found["greatest"] == (7, 7)
    assert found["anywhere"] == [True, True, False, True]
    assert found["told"] == {"rank": 0}
    assert found["gathered"] == [("rank", 0), ("rank", 1)]
    assert found["first"].tolist() == [1.0, 1.0, 1.0]
    assert found["here"] == (rank, 2, rank == 0, 2)
    assert found["apart"] == (1, rank, rank == 0), "alone it counts itself, and speaks no more than before"


def test_the_first_acts_for_all_and_its_error_ends_all(pair: list[Any]) -> None:
    first, second = (one["decisions"]["by first"] for one in pair)
    assert first == ("of 0", "KeyError(True)", [0, 0]) and second == ("of 0", "SystemExit(1)", [])


@pytest.mark.parametrize("rank", [0, 1])
def test_all_leave_when_one_is_told_or_late(pair: list[Any], rank: int) -> None:
    found = pair[rank]["stops"]
    assert found == {"told": (True, int(signal.SIGUSR1)), "late": (True, True, 0), "calm": False}


def test_a_batch_is_normalized_by_the_statistics_of_all_its_shares(pair: list[Any]) -> None:
    """Two and three of five samples, against torch and its tape on all five; twice derived."""

    def whole(u: Any, mean: Any, var: Any, scale: Any, shift: Any, *fields: Any) -> torch.Tensor:
        return F.batch_norm(u, mean, var, scale, shift, *fields)

    alone = normalized(slice(None), whole)
    found = [one["statistics"]["normalized"] for one in pair]
    assert [len(one["out"]) for one in found] == [2, 3]
    for name in ("out", "drive", "second", "fixed"):
        torch.testing.assert_close(torch.cat([one[name] for one in found]), alone[name], rtol=1e-10, atol=1e-12)
    for name in ("scale", "shift"):  # of the share of each, which the rule adds up
        torch.testing.assert_close(found[0][name] + found[1][name], alone[name], rtol=1e-10, atol=1e-12)
    for name in ("mean", "var"):
        for one in found:
            torch.testing.assert_close(one[name], alone[name], rtol=1e-10, atol=1e-12)
    assert len(drives()[0]) == 5


@pytest.mark.parametrize("rank", [0, 1])
def test_the_adjoint_of_a_sum_is_a_sum(pair: list[Any], rank: int) -> None:
    found = pair[rank]["statistics"]
    assert found["summed"].tolist() == [3.0, 4.0] and found["slope"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("way", ["shared", "dealt"])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_epoch_counts_every_sample_once(pair: list[Any], rank: int, way: str) -> None:
    """Batches of which each rank had a share, and batches of which each had its own, of unequal sizes."""
    alone = EpochMetrics(torch.device("cpu"))
    for whole in batches():
        add(alone, whole, whole)
    wanted, found = counts(alone), pair[rank]["meters"][way]
    if way == "dealt":  # nothing is held where nothing learns
        del wanted["control"], found["control"]
    same(found, wanted)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_score_is_the_mean_over_all_samples(pair: list[Any], rank: int) -> None:
    """Five batches of 23 samples, three for one rank and two for the other."""
    alone, found = score(*pictures(), mirrored=True), pair[rank]["scores"]["score"]
    assert alone["examples"] == 23 and {"top5_accuracy", "mirrored_accuracy"} <= alone.keys()
    assert all(alone[name] > 30 for name in ("accuracy", "top5_accuracy", "mirrored_accuracy"))
    for one in (alone, found):
        del one["seconds"]
    same(found, alone)


def test_a_checkpoint_of_all_counts_once_when_it_is_taken_up(pair: list[Any], tmp_path: Path) -> None:
    first, second = (one["sessions"] for one in pair)
    assert first["own"] == (14, 14, 30) and second["own"] == (16, 16, 0), "shares, before and after; then the sum"
    session = Session(run_in(tmp_path / "run"), tmp_path / "run")
    steps(session, 2)
    for one in (first, second):
        assert one["resumed"] and one["equal"]
        same(one["all"], session.metrics.facts())
        torch.testing.assert_close(one["weights"], session.network.state_dict(), rtol=1e-10, atol=1e-12)


def test_what_one_rank_finds_lost_ends_all_and_the_first_alone_writes(pair: list[Any]) -> None:
    first, second = (one["sessions"] for one in pair)
    assert "weights of dense1 are not finite" in second["told"] and first["told"].startswith(second["told"])
    assert (first["written"], second["written"]) == (["checkpoints", "epochs", "failed"], [])
    assert first["failed"] == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_at_the_end_ends_all_alike(pair: list[Any], rank: int) -> None:
    """After the read-out, with all of it to do again; or after the result."""
    assert pair[rank]["endings"] == {"read-out": (143, False), "test": (143, True)}


@pytest.mark.parametrize("augment", [Augment(), Augment(2, True, 3), Augment(2, True, alternate=True)])
@pytest.mark.parametrize("count", [2, 3])
def test_shares_of_a_batch_make_the_batch(monkeypatch: pytest.MonkeyPatch, count: int, augment: Augment) -> None:
    """Bit for bit, with the draws of the whole batch: 8 for 3 ranks are 2, 3 and 3."""
    whole = [*images(augment=augment).batches(8, seed=1, epoch=1, train=True, start_step=2)]
    held = list[list[Any]]()
    for number in range(count):
        monkeypatch.setattr("energy.data.images.here", lambda number=number: Ranks(number, count))
        monkeypatch.setattr("energy.ranks.here", lambda number=number: Ranks(number, count))
        held.append([*images(augment=augment).batches(8, seed=1, epoch=1, train=True, start_step=2)])
    for (x, y), *shares in zip(whole, *held, strict=True):
        assert torch.equal(torch.cat([one for one, _ in shares]), x)
        assert torch.equal(torch.cat([one for _, one in shares]), y)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_batches_of_an_evaluation_are_dealt_out(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Each of seven to one rank; of nine ranks two have none."""
    whole, held = [*images().batches(8, seed=1, epoch=0, train=False)], dict[int, list[int]]()
    for number in range(count):
        monkeypatch.setattr("energy.data.images.here", lambda number=number: Ranks(number, count))
        own = [*images().batches(8, seed=1, epoch=0, train=False)]
        held |= {int(y[0]): y.tolist() for _, y in own}
        assert len(whole) // count <= len(own) <= -(-len(whole) // count)
    assert [held[first] for first in sorted(held)] == [y.tolist() for _, y in whole]
