"""A continued run takes the forms of its maps that it was begun with, and so repeats the numbers of an unbroken one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from energy.couplings import forms
from energy.couplings.forms import choice, store
from energy.io.record import KERNELS
from energy.train import fit as page
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

VGG: dict[str, Any] = {"model": {"name": "vgg", "plan": [8, 0, 8, 0, 8, 0], "dense": [12]}, "data": {"limit": 60}}


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Choices are made for maps of any size, by a process that has chosen nothing and a machine without a cache."""
    monkeypatch.setattr(choice, "LEAST", 1)
    monkeypatch.setattr(store, "cache_file", lambda: None)
    forms.forget_forms()
    yield
    forms.forget_forms()


def measuring(monkeypatch: pytest.MonkeyPatch, place: int) -> list[str]:
    """Let every measurement be won by the candidate at this place; return who has won."""
    won: list[str] = []

    def fastest(runs: dict[str, Callable[[], object]]) -> str:
        won.append(list(runs)[place])
        return won[-1]

    monkeypatch.setattr(choice, "fastest", fastest)
    return won


def test_a_continued_run_repeats_the_choices_of_its_beginning(
    make_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
) -> None:
    one, other = make_run("unbroken", **VGG), make_run("broken", **VGG)
    won = measuring(monkeypatch, -1)
    fit(one)
    assert {"taps", "matrix"} <= set(won)
    recorded, chosen = store.read_choices(one.folder / KERNELS), forms.chosen_forms()
    assert recorded.items() <= chosen.items()
    missing = [name for name in chosen.keys() - recorded.keys() if name.startswith("convolution")]
    assert all("float32(360, " in name for name in missing)  # the batch of the test, met after the last checkpoint

    forms.forget_forms()
    with monkeypatch.context() as patch:
        patch.setattr(Impatient, "patience", 3)
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(other)
    forms.forget_forms()
    won = measuring(monkeypatch, 0)  # a measurement would now come out otherwise
    fit(other)
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    assert set(won) <= {"library"}  # of what the first part had not met, such as batches of the test


def test_without_that_record_it_would_not(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, final_tensors: Callable[[Run], bytes]
) -> None:
    found = []
    for place in (0, -1):
        forms.forget_forms()
        measuring(monkeypatch, place)
        run = make_run(f"by-{place}", **VGG)
        fit(run)
        found.append(final_tensors(run))
    assert found[0] != found[1]


def test_deterministic_runs_choose_nothing(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    won = measuring(monkeypatch, -1)
    run = make_run(**{**VGG, "train": {"deterministic": True, "epochs": 1}})
    fit(run)
    assert not won and not (run.folder / KERNELS).exists()
