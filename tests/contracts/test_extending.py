"""docs/extending.md: its components train together, as a reader would run them; each is under ten lines of code.

The section on the command line needs its commands too, and is run with them by `tests/docs/test_examples.py`.
"""

import ast
import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
COMPONENTS = PAGE.read_text(encoding="utf-8").partition("\n## On the command line\n")[0]
BLOCKS = re.findall(r"^```python\n(.*?)^```", COMPONENTS, re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("restored_table")
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "extending.py"
    script.write_text("\n".join(BLOCKS), encoding="utf-8")
    space = runpy.run_path(str(script))
    assert space["losses"][-1] < space["losses"][0]


def code_lines(node: ast.ClassDef) -> int:
    """The lines of a class, blank ones and its docstring aside."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    bare = ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
    return sum(bool(line.strip()) for line in ast.unparse(bare).splitlines())


def test_each_example_is_short() -> None:
    classes = [node for block in BLOCKS for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ClassDef)]
    assert {"Saturating", "Softsign", "HeavyBall"} <= {node.name for node in classes}
    assert {node.name: count for node in classes if (count := code_lines(node)) >= 10} == {}
