"""How a planted defect is looked for."""

from typing import Any

import pytest


def noticed(check: Any, subject: Any, words: str, *arguments: Any) -> None:
    """The check raises one line that begins with the subject and says `words`."""
    with pytest.raises(AssertionError, match=words) as caught:
        check(subject, *arguments)
    text = str(caught.value)
    name = getattr(subject, "label", "") or type(subject).__name__
    assert "\n" not in text and len(text) < 400 and text.startswith(f"{name}: ")
