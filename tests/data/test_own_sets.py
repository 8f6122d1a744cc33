"""Data sets of one's own that are not what a set must be: one line says what was found, and others are left alone."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from energy.command.datasets import check_sets, list_sets
from energy.component import Component, ConfigurationError, choices, from_dict
from energy.data import DataError, DataSet, Digits, Examples, Raw, describe_sets
from energy.testing import check_data_set


@pytest.fixture(autouse=True)
def restored_table() -> Iterator[None]:
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


def examples(count: int = 30) -> Examples:
    return Examples(torch.arange(count * 4).view(count, 1, 2, 2) / (4 * count), torch.arange(count) % 3)


def mine(read: Callable[[], Any], **declared: Any) -> type[DataSet]:
    body = {"image": (1, 2, 2), "classes": 3, "levels": 1, "read": lambda self: read(), **declared}
    return type("Mine", (DataSet,), {k: v for k, v in body.items() if v is not ...}, name="mine")


PIXELS, LABELS = examples()
RETURNED = [
    (None, r"mine: read\(\) returned a NoneType; must be Raw\(train=Examples"),
    ((PIXELS, LABELS), r"mine: read\(\) returned a tuple of Tensor, Tensor; must be Raw"),
    ((examples(), examples()), r"mine: read\(\) returned a tuple of Examples, Examples; must be Raw"),
    ([examples(), examples()], r"mine: read\(\) returned a list of Examples, Examples"),
    (Raw((PIXELS, LABELS), examples()), r"mine: read\(\) returned a tuple of Tensor, Tensor for train"),  # type: ignore[arg-type]
    (Raw(examples(), None), r"mine: read\(\) returned a NoneType for test"),  # type: ignore[arg-type]
    (
        Raw(Examples(PIXELS.numpy(), LABELS.numpy()), examples()),  # type: ignore[arg-type]
        r"mine train: pixels are a ndarray; must be a tensor: torch\.from_numpy makes one",
    ),
    (
        Raw(examples(), Examples(PIXELS, LABELS.tolist())),  # type: ignore[arg-type]
        r"mine test: labels are a list; must be a tensor",
    ),
    (Raw(examples(), Examples(PIXELS, LABELS.float())), r"mine test: labels are torch\.float32"),
]


@pytest.mark.parametrize(("returned", "message"), RETURNED)
def test_what_read_returns_is_looked_at_first(returned: Any, message: str) -> None:
    made = mine(lambda: returned)()
    with pytest.raises(DataError, match=message) as caught:
        made.load("cpu", seed=0)
    assert "\n" not in str(caught.value)
    with pytest.raises(AssertionError, match=r"^mine: read.*must return Raw") as noticed:
        check_data_set(made)
    assert isinstance(noticed.value.__cause__, DataError)
    with pytest.raises(DataError, match=message):
        check_sets(["mine"])


DECLARED = [
    ({"image": (16,)}, r"mine\.image=\(16,\): must be \(channels, height, width\)"),
    ({"image": [1, 2, 2]}, r"mine\.image=\[1, 2, 2\]: must be"),
    ({"image": (1, 2, 2.0)}, r"mine\.image=.*three whole numbers"),
    ({"image": (1, 0, 2)}, r"mine\.image="),
    ({"image": 28}, r"mine\.image=28"),
    ({"image": ...}, r"Mine\.image: must be declared"),
    ({"classes": ...}, r"Mine\.classes: must be declared"),
    ({"classes": "ten"}, r"mine\.classes='ten': must be a whole number"),
    ({"classes": 0}, r"mine\.classes=0"),
    ({"levels": 0}, r"mine\.levels=0: must be the pixel value that stands for 1"),
    ({"names": "abc"}, r"mine\.names='abc': must be a tuple of names"),
    ({"names": ("a", "b", "c", "d")}, r"mine\.names="),
]


@pytest.mark.parametrize(("declared", "message"), DECLARED)
def test_what_the_class_declares_is_looked_at_first(
    declared: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cls = mine(lambda: Raw(examples(), examples()), **declared)
    for make in (cls, lambda: from_dict(DataSet, "mine")):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=message):
        cls()
    rows = {row["name"]: row for row in describe_sets()}
    assert rows.keys() == choices(DataSet).keys() and rows["mine"]["state"].startswith("unusable; ")
    assert rows["digits"]["state"] == "embedded", "the others are listed as ever"
    assert list_sets([]) == 0 and "unusable; " in capsys.readouterr().out


def test_a_set_that_fails_in_any_other_way_does_not_break_the_list() -> None:
    class Failing(DataSet, name="failing"):
        image = (1, 2, 2)
        classes = 3

        def __post_init__(self) -> None:
            super().__post_init__()
            raise RuntimeError("no\nluck")

        def read(self) -> Raw:
            raise NotImplementedError

    class Unread(DataSet, name="unread"):
        image = (1, 2, 2)
        classes = 3

    states = {row["name"]: row["state"] for row in describe_sets()}
    assert states["failing"] == "unusable; no luck"
    assert "cannot be used before it defines read" in states["unread"]


# ---- the check


def test_sets_that_keep_their_promises() -> None:
    assert check_data_set(Digits()) == []
    assert check_data_set(mine(lambda: Raw(examples(), examples()))()) == []
    assert check_data_set(mine(lambda: Raw(examples(), examples()))(pad=1, mean=[0.3], std=[0.2])) == []


def test_a_class_without_examples_is_noted() -> None:
    assert check_data_set(mine(lambda: Raw(examples(), examples()), classes=4)()) == [
        "mine: no training example of the classes [3]"
    ]


def changing() -> Raw:
    made = examples()
    return Raw(made._replace(pixels=made.pixels * np.random.default_rng().random()), made)


@pytest.mark.parametrize(
    ("read", "declared", "words"),
    [
        (lambda: Raw(examples(), examples()), {"levels": 255}, "brightest pixel is .* where levels=255 stands for 1"),
        (
            lambda: Raw(*(one._replace(pixels=(one.pixels * 255).byte()) for one in (examples(), examples()))),
            {"levels": 1},
            "above levels=1",
        ),
        (changing, {}, "a second read gives other pixels of train"),
        (lambda: Raw(examples(), examples()), {"classes": 2}, r"read\(\) must return .*labels run from 0 to 2"),
        (lambda: 1 / 0, {}, r"read\(\) must return .*ZeroDivisionError"),
    ],
)
def test_planted_defects(read: Callable[[], Any], declared: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=f"^mine: .*{words}") as caught:
        check_data_set(mine(read, **declared)())
    assert "\n" not in str(caught.value)
