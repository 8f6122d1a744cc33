"""A data folder and a cache of one's own for every test, and small sets written in the published formats."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Batch = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; the cache beside it does not exist yet."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ENERGY_DATA", str(folder))
    monkeypatch.setenv("ENERGY_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Random rows of bytes and labels that run through all classes."""

    def make(count: int, size: int = 3072, classes: int = 10, first: int = 0, seed: int = 0) -> Batch:
        rows = np.random.default_rng(seed).integers(0, 256, (count, size), dtype=np.uint8)
        return rows, np.arange(count, dtype=np.int64) % classes + first

    return make


@pytest.fixture
def pickled() -> Callable[..., bytes]:
    def make(batch: Batch, label: str = "labels", protocol: int = 2) -> bytes:
        return pickle.dumps({"data": batch[0], label: batch[1].tolist(), "mean": batch[0].sum(0) / 7}, protocol)

    return make


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    def make(**arrays: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=True, **arrays)  # pyright: ignore[reportArgumentType]
        return stream.getvalue()

    return make
