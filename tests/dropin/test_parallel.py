"""Wrapped modules inside `DistributedDataParallel`, on two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from energy.dropin import wrap
from energy.settle import DualPropagation
from tests.dropin.modules import batch, drawn
from tests.dropin.parallel import NAMES, Found, gradients
from tests.ranks.conftest import Start, ended, start

__all__ = ["start"]


@pytest.fixture(scope="module")
def pair(start: Start, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    file: Path = tmp_path_factory.mktemp("parallel") / "found"
    for code, _, errors in ended(start(["-m", "tests.dropin.parallel", str(file)])):
        assert code == 0, errors
    return [torch.load(f"{file}.{rank}") for rank in (0, 1)]


def assert_alike(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], rtol: float) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=rtol, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rank", [0, 1])
def test_gradients_are_those_of_autograd_in_its_place(pair: list[Found], name: str, rank: int) -> None:
    """With batch statistics of each process alone, as torch has them."""
    assert_alike(pair[rank][name], pair[rank][f"{name}, torch"], 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_mean_over_the_processes(pair: list[Found], name: str) -> None:
    first, second = (one[f"{name}, alone"] for one in pair)
    assert any(not torch.allclose(first[key], second[key]) for key in first)
    mean = {key: (first[key] + second[key]) / 2 for key in first}
    assert_alike(pair[0][name], mean, 1e-12)
    assert_alike(pair[1][name], mean, 1e-12)


@pytest.mark.parametrize("name", ["functional", "twice linear"])
def test_two_processes_are_one_at_the_same_batch(pair: list[Found], name: str) -> None:
    model, (x, labels) = wrap(drawn(name).train(), DualPropagation(beta=1e-7)), batch()
    cross_entropy(model(x), labels).backward()
    assert_alike(pair[0][name], gradients(model), 1e-5)
