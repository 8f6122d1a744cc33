"""The comparison of shown with printed text, which all other tests of this folder stand on."""

import pytest

from tests.docs.matching import mismatch
from tests.docs.pages import Block, anchors, blocks, commands, links


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("accuracy 91.39 %", "accuracy  90.83 %\n"),
        ("1 sweep, 3e-06", "1 sweep, 2.9e-06"),
        ("start\n...\nend", "start\nanything\nat all\nend"),
        ("runs/run-... is done", "runs/run-8dec709706 is done"),
        ("0.001 off", "0.0 off"),
        ("[0, 1] (a|b)*", "[0, 1] (a|b)*"),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str) -> None:
    assert mismatch(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("accuracy 91.39 %", "accuracy 80.00 %"),
        ("125 sweeps", "126 sweeps"),
        ("error 2e-07", "error 2e-05"),
        ("error 2e-07", "error -2e-07"),
        ("did you mean 'beta'?", "did you mean 'alpha'?"),
        ("start\n...\nend", "start\nend of it"),
        ("", "something"),
    ],
)
def test_what_does_not(shown: str, printed: str) -> None:
    assert mismatch(shown, printed)


PAGE = """\
# A title, with `code`

See [the other](other.md#part).

```python
print(1)
```

```text
1
```

<!-- not run: it takes long -->
```console
$ energy train \\
    a=1  # why
shown [no](link.md)
$ energy data list
```
"""


def test_a_page_is_taken_apart() -> None:
    python, text, console = blocks(PAGE)
    assert (python.kind, python.shown, python.skip, python.line) == ("python", "1", "", 5)
    assert (text.kind, console.skip) == ("text", "it takes long")
    first, second = commands(console)
    assert (first.words, first.shown) == ("energy train a=1  # why", ["shown [no](link.md)"])
    assert (second.words, second.shown, second.line) == ("energy data list", [], 18)
    assert links(PAGE) == ["other.md#part"]
    assert anchors(PAGE) == {"a-title-with-code"}


def test_shell_lines_need_no_prompt() -> None:
    block = Block("bash", "# first\nenergy data list  # sets\n\nenergy train a=1", 1)
    assert [command.words for command in commands(block)] == ["energy data list", "energy train a=1"]
