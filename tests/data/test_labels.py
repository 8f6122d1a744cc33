"""Labels of a data set: every type of whole number, one-hot vectors, real numbers, and labels that are on or off."""

from typing import Any

import numpy as np
import pytest
import torch

from energy.data.labels import checked_labels
from energy.errors import DataError
from energy.targets import TargetKind

CLASSES = [2, 0, 1, 2]
HOT = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
WHOLE = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("kind", WHOLE)
def test_every_type_of_whole_number_is_taken_exactly(kind: str) -> None:
    for labels in (np.array(CLASSES, kind), torch.from_numpy(np.array(CLASSES, kind)), np.array(HOT, kind)):
        found = checked_labels(labels, 4, "mine train", 3)
        assert found.dtype is torch.int64
        assert found.tolist() == CLASSES
    on = checked_labels(np.array(HOT, kind), 4, "mine train", 3, TargetKind.LABELS)
    assert on.dtype is torch.uint8
    assert on.tolist() == HOT
    real = checked_labels(np.array(HOT, kind), 4, "mine train", 3, TargetKind.REAL)
    assert real.dtype is torch.float64
    assert real.tolist() == HOT


def test_booleans_are_classes_0_and_1_and_labels_on_and_off() -> None:
    assert checked_labels(torch.tensor([True, False]), 2, "mine", 2).tolist() == [1, 0]
    assert checked_labels(np.array(HOT, bool), 4, "mine", 3).tolist() == CLASSES
    assert checked_labels(torch.tensor(HOT).bool(), 4, "mine", 3, TargetKind.LABELS).tolist() == HOT


def test_vectors_of_zeros_and_ones_may_be_floating() -> None:
    assert checked_labels(torch.tensor(HOT).half(), 4, "mine", 3).tolist() == CLASSES
    assert checked_labels(np.array(HOT, np.float32), 4, "mine", 3, TargetKind.LABELS).tolist() == HOT


def test_the_first_label_is_where_the_classes_begin() -> None:
    assert checked_labels(torch.tensor([1, 3]), 2, "mine", 3, first=1).tolist() == [1, 3]


def test_one_output_may_be_one_number_a_sample() -> None:
    assert checked_labels(torch.tensor([0.5, 2.0]), 2, "mine", 1, TargetKind.REAL).tolist() == [[0.5], [2.0]]


REFUSED: list[tuple[Any, int, TargetKind, str]] = [
    (torch.tensor([0.0, 1.0]), 2, TargetKind.CLASSES, r"torch.float32 of shape \(2,\); must be int64.*labels.long\(\)"),
    (
        np.array([0, 300], "u2"),
        3,
        TargetKind.CLASSES,
        r"run from 0 to 300; must lie between 0 and 2; .*300, of sample 1",
    ),
    (torch.tensor([0, -128], dtype=torch.int8), 3, TargetKind.CLASSES, r"run from -128 to 0; .*of sample 1"),
    (np.array([0, 2**64 - 1], "u8"), 3, TargetKind.CLASSES, r"reach above 9223372036854775807"),
    (torch.tensor([[0, 1, 1], [1, 0, 0]]), 3, TargetKind.CLASSES, r"sample 0 are \[0, 1, 1\]; must have one 1"),
    (torch.tensor([[0, 1, 0], [0, 0, 0]]), 3, TargetKind.CLASSES, r"sample 1 are \[0, 0, 0\]; must have one 1"),
    (torch.tensor([[0.1, 0.9, 0], [0, 1, 0]]), 3, TargetKind.CLASSES, r"sample 0 are \[0.1, 0.9, 0.0\]"),
    (torch.tensor([0, 1, 1]), 3, TargetKind.CLASSES, r"torch.int64 of shape \(3,\); must be int64 of shape \(2,\)"),
    (torch.tensor([0j, 1j]), 3, TargetKind.CLASSES, r"torch.complex64; must be whole or real"),
    (np.array(["a", "b"]), 3, TargetKind.CLASSES, r"labels are an array of <U1: must hold numbers"),
    (["a", "b"], 3, TargetKind.CLASSES, r"labels are a list; must be a tensor"),
    (torch.tensor([[0.0, float("nan")], [0, 0]]), 2, TargetKind.REAL, r"label 1 of sample 0 is not finite"),
    (torch.zeros(2, 3), 2, TargetKind.REAL, r"shape \(2, 3\); must be \(2, 2\)"),
    (torch.zeros(2, 2, dtype=torch.bool), 2, TargetKind.REAL, r"torch.bool; must be real"),
    (torch.tensor([[2**53 + 1], [0]]), 1, TargetKind.REAL, r"beyond 2\^53"),
    (torch.tensor([[0, 1], [0, 2]]), 2, TargetKind.LABELS, r"sample 1 are \[0, 2\]; must be 0 or 1"),
    (torch.tensor([[0, 0.5], [0, 1]]), 2, TargetKind.LABELS, r"sample 0 are \[0.0, 0.5\]; must be 0 or 1"),
]


@pytest.mark.parametrize(("labels", "outputs", "kind", "message"), REFUSED)
def test_other_labels_are_refused_with_the_sample(labels: Any, outputs: int, kind: TargetKind, message: str) -> None:
    with pytest.raises(DataError, match=f"^mine train: .*{message}") as caught:
        checked_labels(labels, 2, "mine train", outputs, kind)
    assert "\n" not in str(caught.value)
