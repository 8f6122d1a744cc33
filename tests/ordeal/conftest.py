"""Every test of this folder has one thread: equal sums whenever it runs."""

import pytest


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """One thread."""
