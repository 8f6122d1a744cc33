"""Two ranks against one process at the same batch: equal to rounding, and integers bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ranks.cases import CASES, steps
from tests.ranks.conftest import Start, ended
from tests.ranks.rank import SIZES


@pytest.fixture(scope="module")
def together(start: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, Any]]:
    """What two ranks found, by case and batch size."""
    file: Path = tmp_path_factory.mktemp("ranks") / "found.pt"
    for code, _, err in ended(start(["-m", "tests.ranks.rank", str(file)])):
        assert code == 0, err
    return torch.load(file)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_they_learn_what_one_process_learns(
    together: dict[tuple[str, int], dict[str, Any]], name: str, size: int
) -> None:
    alone, found = steps(name, size), together[name, size]
    assert alone.keys() == found.keys()
    for key, value in alone.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(
                found[key], value, rtol=1e-9, atol=1e-11, msg=lambda text, key=key: f"{key}: {text}"
            )
        else:
            assert found[key] == value, key
