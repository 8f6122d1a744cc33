"""Tables for a terminal: no line is wider than it, and what had to go is said."""

import unicodedata

import pytest

from energy.columns import blocks, fitted, short

HEAD = ["settler", "test accuracy, %", "cosine at the start, worst / whole", "outcome of solves"]
ROWS = [
    ["backprop", "92.50 ± 0.86", "1.000 / 1.000", "no solve"],
    ["equilibrium_propagation", "95.56 ± 1.21", "0.982 / 0.982", "converged 97 %, diverged 3 %, 1 not finite"],
]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
def test_blocks_fit_and_say_everything(width: int) -> None:
    text = blocks(HEAD, ROWS, width)
    assert max(map(len, text.splitlines())) <= width
    for cell in ("92.50 ± 0.86", "0.982 / 0.982", "no solve"):
        assert cell in text
    assert text.count("backprop") == text.count("settler")  # the first column stands in every block


def test_a_table_that_fits_is_one_block() -> None:
    assert "\n\n" not in blocks(HEAD, ROWS, 160) and "\n\n" in blocks(HEAD, ROWS, 80)


def test_columns_are_aligned() -> None:
    lines = fitted(["run", "n"], [["a", "1"], ["b", "100"]], 40, [])[0].splitlines()
    assert lines == ["run    n", "───  ───", "a      1", "b    100"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_columns_go_in_the_order_they_can_be_spared(width: int) -> None:
    head = ["run", *(f"field {number}" for number in range(20))]
    rows = [["a/long/path/to/a/run/folder/of/a/sweep", *(["0.123456"] * 20)]]
    text, gone = fitted(head, rows, width, list(range(20, 1, -1)))
    assert max(map(len, text.splitlines())) <= width
    assert gone == head[len(head) - len(gone) :] and len(gone) < 20
    assert "field 0" in " ".join(text.split())


def test_text_is_cut_in_its_middle() -> None:
    assert short("abcdefghij", 10) == "abcdefghij"
    assert short("abcdefghij", 5) == "ab…ij"
    assert short("a\x1b[31mb\nc", 20) == r"a\x1b[31mb\nc"


def test_wide_letters_take_two_columns() -> None:
    cut = short("学习率学习率", 7)
    taken = sum(2 if unicodedata.east_asian_width(letter) == "W" else 1 for letter in cut)
    assert taken <= 7 and "…" in cut
