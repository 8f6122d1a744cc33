"""Names that would steer the terminal are printed as text, in messages and in tables."""

import json
import sys
from pathlib import Path

import pytest

from energy.cli import main
from energy.columns import fitted
from energy.command.output import show
from energy.errors import SPACES, escaped, shown
from energy.study.listing import listing
from energy.train.terminal import say

ACTING = ["\x1b[31m", "\x07", "\x9b2J", "\r", "\x08", "\x7f", "\u202e", "\u2066", "\u200b", "\u2028", "\udc80"]


@pytest.mark.parametrize("letters", ACTING)
def test_what_a_terminal_obeys_is_escaped(letters: str) -> None:
    text = escaped(f"a{letters}b\nc")
    assert text == f"a{letters.encode('unicode_escape', 'surrogatepass').decode()}b\nc"
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "text", ["plain", "γ = 0.5 µ ü 日本", "a\tb".replace("\t", " "), "non\u00a0breaking", "e\u0301"]
)
def test_letters_stay(text: str) -> None:
    assert escaped(text) == text


def test_messages_and_tables_escape_alike() -> None:
    """Every letter of Unicode: a message keeps those that are printable, a table also spaces and ends of lines."""
    for code in (*range(0x3400), 0xAC00, *range(0xD800, 0xF900), *range(0xFE00, 0x10000), 0x1F600, 0xE0001, 0x10FFFF):
        letter = chr(code)
        assert shown(letter).isprintable()
        assert escaped(letter) == (letter if letter in f"\n{SPACES}" else shown(letter)), code


def test_a_message_and_an_output(capsys: pytest.CaptureFixture[str]) -> None:
    say(True, "name \x1b[2J\nnext")
    show("name \x1b[2J")
    show("name \x1b[2J", sys.stderr)
    out, err = capsys.readouterr()
    assert out == "name \\x1b[2J\n" and err == "name \\x1b[2J\nnext\nname \\x1b[2J\n"


def test_a_cell_of_a_table() -> None:
    text, _ = fitted(["na\x1bme", "n"], [["\x1b[31m", "a\nb"]], 80, [])
    assert "\x1b" not in text and "\\x1b[31m" in text and "a\\nb" in text


@pytest.mark.parametrize(
    "words", [["evaluate", "no\x1b[31m"], ["tr\x1bain"], ["train", "mod\x1bel=mlp"], ["runs", "\x1b]0;x\x07"]]
)
def test_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (1, 2)
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "\x07" not in out + err and "\\x1b" in err


@pytest.mark.parametrize("csv", [False, True])
def test_a_table_of_runs_with_names_from_elsewhere(tmp_path: Path, csv: bool) -> None:
    for number in range(2):
        folder = tmp_path / f"run\x1b[3{number}m"
        folder.mkdir()
        run = {"title": "t\x1b[2J", "train": {"epochs": 1}, "na\x1bme": f"va\x1blue{number}"}
        (folder / "configuration.json").write_text(json.dumps({"run": run}))
    found = listing(tmp_path, width=200, csv=csv)
    assert "\x1b" not in found and "\\x1b[31m" in found
