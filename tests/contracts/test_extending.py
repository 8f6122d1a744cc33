"""docs/extending.md: each example is short. That its blocks run, as a reader would run them, is in tests/docs."""

import ast

from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "extending.md"
PYTHON = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.kind == "python"]


def _lines(text: str) -> int:
    """Lines of code: neither blank, nor imports, nor docstrings."""
    tree = ast.parse(text)
    left_out = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(bool(line.strip()) for number, line in enumerate(text.splitlines(), 1) if number not in left_out)


def _energy() -> Block:
    return next(block for block in PYTHON if block.file == "pc.py")


def test_each_example_is_short() -> None:
    classes = [node for block in PYTHON for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.ClassDef)]
    assert {"Saturating", "Softsign", "HeavyBall", "Noisy", "Quadratic", "BCM"} <= {node.name for node in classes}
    for node in classes:
        assert _lines(ast.unparse(node)) < 10, node.name


def test_an_energy_of_ones_own_takes_less_than_fifteen_lines() -> None:
    assert {"energy", "PredictiveCoding"} <= {
        node.name for node in ast.parse(_energy().text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert _lines(_energy().text) < 15


def test_both_ways_to_train_it_are_held_above_the_floor() -> None:
    """The blocks that run assert it: the page trains it from the command line with two relaxations, and from Python."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## Any energy\n")[2].partition("\n## ")[0]
    inside = blocks(text)
    assert not any(block.skip for block in inside)
    commands = [block.text for block in inside if block.kind == "console"]
    assert (
        sum(block.count("--plugin pc.py model=predictive_coding settler=energy_two_phase") for block in commands) == 2
    )
    assert sum(block.count("settler.relax=flow") for block in commands) == 1
    checked = [
        block.text for block in inside if block.kind == "python" and "assert min(accuracy, *trained) > 80" in block.text
    ]
    assert len(checked) == 1
