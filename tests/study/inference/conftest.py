"""Studies in a folder of their own."""

from pathlib import Path
from typing import Any

import pytest

from energy.study.inference.study import Study
from tests.study.inference.small import Maker, small_study


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """Every test of this folder has one thread."""


@pytest.fixture
def study_of(tmp_path: Path) -> Maker:
    """``study_of(field=value)``: the small study with changes, in ``tmp_path/study``."""

    def make(**changes: Any) -> Study:
        return small_study(**{"out": str(tmp_path / "study"), **changes})

    return make
