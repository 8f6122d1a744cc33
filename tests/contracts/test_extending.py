"""docs/extending.md: every block runs, in order, as a reader would run it; each example stays under ten lines."""

import ast
import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("restored_table")
def test_the_examples_run(tmp_path: Path) -> None:
    script = tmp_path / "extending.py"
    script.write_text("\n".join(BLOCKS), encoding="utf-8")
    space = runpy.run_path(str(script))
    assert space["losses"][-1] < space["losses"][0]


def test_each_example_is_short() -> None:
    classes = [node for block in BLOCKS for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ClassDef)]
    assert {"Saturating", "Softsign", "HeavyBall"} <= {node.name for node in classes}
    for node in classes:
        lines = ast.unparse(node).splitlines()
        assert sum(bool(line.strip()) for line in lines) < 10, node.name
